import { readFileSync } from 'node:fs';
import * as sys from '../syscall/sys.js';

/** What the parts of a call cost on this machine, in ns. */
export interface CallCosts {
  /** The cheapest system call there is, native. */
  readonly systemCallNs: number;
  /** Into the addon and out again, without arguments. */
  readonly crossingNs: number;
  /** One native reading of the clock. */
  readonly clockNs: number;
  /** What the kernel takes the time from: `tsc`, `kvm-clock`, ...; undefined where it does not say. */
  readonly clockSource: string | undefined;
}

const BATCH = 1000;
const REPEATS = 15;
const noBytes = new Uint8Array();

/** The median of `measure`, which gives ns for one of what it repeats. */
function median(measure: () => number): number {
  const values = Array.from({ length: REPEATS }, measure).sort((a, b) => a - b);
  return values[REPEATS >> 1] as number;
}

/** Measures them, each in a loop: some milliseconds. */
export function measureCalls(): CallCosts {
  const { SEQUENCE, STEP_LENGTH } = sys;
  const calls = new Int32Array((BATCH + 2) * STEP_LENGTH);
  for (let i = 1; i <= BATCH; i++) calls[i * STEP_LENGTH] = SEQUENCE.gettid;
  const clocks = new Int32Array(calls.length);
  const results = new Int32Array(BATCH + 2);
  const stamps = new BigInt64Array(BATCH + 2);
  const batch = (steps: Int32Array, last: number): number => {
    sys.sequence(steps, noBytes, results, stamps);
    return Number((stamps[last] as bigint) - (stamps[0] as bigint)) / BATCH;
  };
  const systemCallNs = median(() => batch(calls, 1));
  const clockNs = median(() => batch(clocks, BATCH));
  const crossed = median(() => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < BATCH; i++) sys.gettid();
    return Number(process.hrtime.bigint() - start) / BATCH;
  });
  return { systemCallNs, crossingNs: crossed - systemCallNs, clockNs, clockSource: clockSource() };
}

function clockSource(): string | undefined {
  try {
    const path = '/sys/devices/system/clocksource/clocksource0/current_clocksource';
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined; // sysfs need not be mounted
  }
}
