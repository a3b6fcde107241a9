import type { CallCosts } from '../driver/teardown-cost.js';
import type { DriverBench, ModeBench } from './bench-record.js';

/** Below this a percentile rests on less than ten samples beyond it. */
const ENOUGH = { p90: 100, p99: 1000, p999: 10_000 } as const;
/** The C program against itself may differ by this much, and its rounds by that much. */
const NOISE = 0.02;
const NOISE_SPREAD = 0.1;
/** The part of a teardown that reading the clock may take. */
const CLOCK_SHARE = 0.02;

/** Why the numbers of a mode may mislead. */
export function doubtsAbout(
  mode: ModeBench,
  costs: CallCosts,
  bimodal: ReadonlySet<string>,
): string[] {
  const doubts: string[] = [];
  const { control } = mode;
  if (control !== undefined) {
    const off = Math.abs(control.median - 1);
    const wide = control.p90 - control.p10;
    if (off > NOISE || wide > NOISE_SPREAD) {
      doubts.push(
        `${mode.mode}: noisy machine: the C program took ${control.median.toFixed(3)} x its own time ` +
          `(${control.p10.toFixed(3)}..${control.p90.toFixed(3)} over the rounds)`,
      );
    }
  }
  const { drivers, mode: name } = mode;
  const two = drivers.filter(({ driver, count }) => bimodal.has(driver) && count >= ENOUGH.p99);
  if (two.length > 0) {
    doubts.push(`${name}: bimodal: ${namesOf(two)}: two peaks, and a median is of one of them`);
  }
  const coarse = drivers.filter(
    ({ count, p50Us }) => count > 0 && costs.clockNs > CLOCK_SHARE * p50Us * 1000,
  );
  if (coarse.length > 0) {
    const took = `reading the clock takes ${costs.clockNs.toFixed(0)} ns`;
    doubts.push(
      `${name}: clock resolution: ${namesOf(coarse)}: ${took}, over ${CLOCK_SHARE * 100} %`,
    );
  }
  if (mode.costs !== undefined && Math.min(mode.costs.jsUs, mode.costs.kernelUs) < 0) {
    const why = 'the calls were measured before, and the machine has changed its pace';
    doubts.push(`${name}: where the time goes: the parts are more than the whole: ${why}`);
  }
  for (const { driver, faults } of drivers) {
    for (const { what, count } of faults) doubts.push(`${name}: ${driver}: ${count} x ${what}`);
  }
  return doubts;
}

const namesOf = (drivers: readonly DriverBench[]): string =>
  drivers.map(({ driver }) => driver).join(', ');

/** Which percentiles so many cycles cannot carry; undefined if they carry all. */
export function doubtTooFew(cycles: number): string | undefined {
  const thin = Object.entries(ENOUGH).filter(([, enough]) => cycles < enough);
  if (thin.length === 0) return undefined;
  const names = thin.map(([name]) => name.replace('p999', 'p99.9')).join(', ');
  return `too few samples: ${cycles} cycles are not enough for ${names} (-n ${ENOUGH.p999} are)`;
}

/** Whether the clock is one that can be read without entering the kernel. */
export function doubtClock({ clockNs, clockSource, systemCallNs }: CallCosts): string | undefined {
  if (clockNs < systemCallNs) return undefined;
  return `clock resolution: ${clockSource ?? 'the clock'} is read by a system call (${clockNs.toFixed(0)} ns)`;
}
