import { linearRegression } from 'simple-statistics';

const SAMPLES = 60;
const ENOUGH = 3;

/** How a number moves: its last samples, and the straight line that fits them best. */
export class Trend {
  readonly #samples: [tMs: number, value: number][] = [];

  add(tMs: number, value: number): void {
    this.#samples.push([tMs, value]);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }

  /** By how much it grows in a millisecond (least squares); undefined before there are samples enough to say. */
  get perMs(): number | undefined {
    if (this.#samples.length < ENOUGH) return undefined;
    return linearRegression(this.#samples).m;
  }

  /** Whether every sample is zero: nothing is left to follow. */
  get isZero(): boolean {
    return this.#samples.every(([, value]) => value === 0);
  }
}

/** When something that grows by `perMs` has used up `room`; null if it does not grow, or it is not known yet. */
export function fullInMs(room: number, perMs: number | undefined): number | null {
  if (perMs === undefined || perMs <= 0 || !Number.isFinite(room)) return null;
  return Math.max(0, Math.round(room / perMs));
}

/** Growth in a minute, to a tenth. */
export function perMinute(perMs: number | undefined): number | null {
  return perMs === undefined ? null : Math.round(perMs * 600_000) / 10;
}
