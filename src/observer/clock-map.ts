import { readFileSync, readlinkSync } from 'node:fs';
import { CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime } from '../syscall/sys.js';
import { unlessGone } from './proc.js';
import { UnavailableError } from './unavailable-error.js';

/** Both clocks read together, nanoseconds. */
export interface ClockReading {
  /** The CLOCK_MONOTONIC time it was made at. */
  readonly atNs: bigint;
  /** CLOCK_REALTIME minus CLOCK_MONOTONIC, and the most this can be wrong by. */
  readonly offsetNs: bigint;
  readonly errorNs: bigint;
}

/** Somebody set CLOCK_REALTIME. */
export interface ClockStep {
  /** The CLOCK_MONOTONIC times the step lies between. */
  readonly afterNs: bigint;
  readonly beforeNs: bigint;
  /** Positive: forward. */
  readonly byNs: bigint;
}

/** Reads both clocks, `attempts` times; the closest reading tells most. */
export function readClocks(attempts: number): ClockReading {
  let best: ClockReading | undefined;
  for (let i = 0; i < attempts; i++) {
    const before = clock_gettime(CLOCK_MONOTONIC);
    const realtime = clock_gettime(CLOCK_REALTIME);
    const half = (clock_gettime(CLOCK_MONOTONIC) - before) / 2n + 1n;
    // The reading in the middle was made somewhere between the other two.
    if (best === undefined || half < best.errorNs) {
      best = { atNs: before + half, offsetNs: realtime - before - half, errorNs: half };
    }
  }
  if (best === undefined) throw new RangeError(`attempts must be 1 or more, received ${attempts}`);
  return best;
}

/**
 * How far CLOCK_MONOTONIC is ahead, for this process, of what the kernel's tracepoints are stamped with: they know no time
 * namespaces (time_namespaces(7)). 0 on a kernel without (before Linux 5.6). Throws UnavailableError where the kernel does not
 * tell: it has the offsets of a process's children, which are another's after unshare(CLONE_NEWTIME).
 */
export function monotonicAheadNs(): bigint {
  const [own, children] = ['time', 'time_for_children'].map((name) =>
    unlessGone(() => readlinkSync(`/proc/self/ns/${name}`)),
  );
  if (own !== children) {
    throw new UnavailableError(
      'the clock of this process is not that of its children (CLONE_NEWTIME)',
    );
  }
  const offsets = unlessGone(() => readFileSync('/proc/self/timens_offsets', 'latin1')) ?? '';
  const [, seconds = 0, nanoseconds = 0] = /^monotonic\s+(-?\d+)\s+(\d+)/m.exec(offsets) ?? [];
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
}

/**
 * Maps CLOCK_REALTIME to CLOCK_MONOTONIC for a stream of stamps that come a little late.
 *
 * NTP slews both clocks alike, so their distance changes only where CLOCK_REALTIME is set: each `observe` notices that.
 * Stamps made between the two readings around a step are on either side of it: they are taken to be of after the step
 * where that puts them between the readings, so a step shorter than the time between readings leaves them wrong by as
 * much as it.
 */
export class ClockMap {
  readonly steps: ClockStep[] = [];
  #errorNs: bigint;
  #current: ClockReading;
  /** The last reading that still showed `#current`'s offset. */
  #confirmed: ClockReading;
  #earlier: ClockReading | undefined;

  constructor(first: ClockReading) {
    this.#errorNs = first.errorNs;
    this.#current = first;
    this.#confirmed = first;
  }

  /** The most a mapped stamp is wrong by, leaving out stamps made while the clock was set. */
  get errorNs(): bigint {
    return this.#errorNs;
  }

  /**
   * Takes in a reading made after the stamps that are to be mapped, and returns the mapping for them, which stays as it
   * is.
   */
  observe(reading: ClockReading): (realtimeNs: bigint) => bigint {
    const byNs = reading.offsetNs - this.#current.offsetNs;
    if (absolute(byNs) > reading.errorNs + this.#current.errorNs) {
      const { atNs } = this.#confirmed;
      this.steps.push({ afterNs: atNs, beforeNs: reading.atNs, byNs });
      this.#earlier = { ...this.#current, atNs };
      this.#current = reading;
      // From here on stamps are mapped by this reading, which may be a worse one.
      if (reading.errorNs > this.#errorNs) this.#errorNs = reading.errorNs;
    }
    this.#confirmed = reading;
    const { offsetNs, errorNs } = this.#current;
    const earlier = this.#earlier;
    if (earlier === undefined) return (realtimeNs) => realtimeNs - offsetNs;
    return (realtimeNs) => {
      const ns = realtimeNs - offsetNs;
      const since = ns >= earlier.atNs - errorNs && ns <= reading.atNs + errorNs;
      return since ? ns : realtimeNs - earlier.offsetNs;
    };
  }
}

function absolute(ns: bigint): bigint {
  return ns < 0n ? -ns : ns;
}
