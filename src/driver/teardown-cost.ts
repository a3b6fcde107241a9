import { readFileSync } from 'node:fs';
import { close } from '../syscall/gate.js';
import * as sys from '../syscall/sys.js';

/** What the parts of a call cost on this machine, in ns. */
export interface CallCosts {
  /** The cheapest system call there is, native. */
  readonly systemCallNs: number;
  /** Into the addon and out again, by the gates that the driver `raw` goes through. */
  readonly crossingNs: number;
  /** One native reading of the clock. */
  readonly clockNs: number;
  /** What the kernel takes the time from: `tsc`, `kvm-clock`, ...; undefined where it does not say. */
  readonly clockSource: string | undefined;
}

const BATCH = 1000;
const REPEATS = 31;
/** More than any limit allows: the kernel looks it up, and says EBADF. (-1 would be the result of the step before.) */
const NO_DESCRIPTOR = 0x7fffffff;
const noBytes = new Uint8Array();

/** The median of `measure`, which gives ns for one of what it repeats. */
function median(measure: () => number): number {
  const values = Array.from({ length: REPEATS }, measure).sort((a, b) => a - b);
  return values[REPEATS >> 1] as number;
}

/** Measures them, each in a loop: some milliseconds. */
export function measureCalls(): CallCosts {
  const { SEQUENCE, STEP_LENGTH } = sys;
  const results = new Int32Array(BATCH + 2);
  const stamps = new BigInt64Array(BATCH + 2);
  /** So many of one kind, native, between two readings of the clock. */
  const native = (kind: number): (() => number) => {
    const steps = new Int32Array((BATCH + 2) * STEP_LENGTH);
    for (let i = 1; i <= BATCH; i++) steps.set([kind, NO_DESCRIPTOR], i * STEP_LENGTH);
    const last = kind === SEQUENCE.clock ? BATCH : 1;
    return () => {
      sys.sequence(steps, noBytes, results, stamps);
      return Number((stamps[last] as bigint) - (stamps[0] as bigint)) / BATCH;
    };
  };
  const closes = native(SEQUENCE.close);
  const crossings = (): number => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < BATCH; i++) close(NO_DESCRIPTOR);
    return Number(process.hrtime.bigint() - start) / BATCH;
  };
  return {
    systemCallNs: median(native(SEQUENCE.gettid)),
    // One beside the other: between two medians of their own the machine may have changed its pace.
    crossingNs: median(() => crossings() - closes()),
    clockNs: median(native(SEQUENCE.clock)),
    clockSource: clockSource(),
  };
}

function clockSource(): string | undefined {
  try {
    const path = '/sys/devices/system/clocksource/clocksource0/current_clocksource';
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined; // sysfs need not be mounted
  }
}
