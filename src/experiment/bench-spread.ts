import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Ratio, Spread } from './bench-record.js';

const BARS_PER_OCTAVE = 16;
const LOWEST_NS = 128;
const OCTAVES = 26;
const MOST_NS = 60e9;
/** A second peak must hold this part of all, and the valley before it be this much lower. */
const PEAK_SHARE = 0.1;
const VALLEY = 0.5;

/** Times of any number of cycles in memory that does not grow: a histogram with high dynamic range, and bars to draw. */
export class Times {
  // Three figures: within 0.1 % of the true value, from 1 ns to a minute.
  readonly #histogram: RecordableHistogram = createHistogram({ figures: 3, highest: MOST_NS });
  readonly #bars = new Float64Array(OCTAVES * BARS_PER_OCTAVE);

  add(ns: number): void {
    // The histogram has no 0: what the clock could not tell apart took a nanosecond at most.
    const value = Math.min(MOST_NS, Math.max(1, Math.round(ns)));
    this.#histogram.record(value);
    const bar = Math.floor(Math.log2(value / LOWEST_NS) * BARS_PER_OCTAVE);
    const last = this.#bars.length - 1;
    const index = Math.max(0, Math.min(last, bar));
    this.#bars[index] = (this.#bars[index] as number) + 1;
  }

  get count(): number {
    return this.#histogram.count;
  }

  get spread(): Spread {
    const at = (percentile: number): number =>
      this.count === 0 ? Number.NaN : this.#histogram.percentile(percentile) / 1000;
    return {
      count: this.count,
      p50Us: at(50),
      p90Us: at(90),
      p99Us: at(99),
      p999Us: at(99.9),
      maxUs: this.count === 0 ? Number.NaN : this.#histogram.max / 1000,
    };
  }

  /** The bars with something in them: lower edge in us and how many. */
  get bars(): [number, number][] {
    return Array.from(this.#bars, (count, i): [number, number] => [
      (LOWEST_NS * 2 ** (i / BARS_PER_OCTAVE)) / 1000,
      count,
    ]).filter(([, count]) => count > 0);
  }

  /** Whether there are two peaks with a valley between them: a median then says little. */
  get bimodal(): boolean {
    return hasTwoPeaks(this.#bars);
  }
}

/** Two peaks, each with a part of all that counts, and between them a valley half as high as the lower or less. */
export function hasTwoPeaks(bars: ArrayLike<number>): boolean {
  // Smoothed over five bars: a peak is wider than one of 4 %.
  const smooth = Array.from(bars, (_, i) => {
    let sum = 0;
    for (let j = i - 2; j <= i + 2; j++) sum += bars[j] ?? 0;
    return sum;
  });
  const total = smooth.reduce((sum, count) => sum + count, 0);
  const top = smooth.indexOf(Math.max(...smooth));
  for (const direction of [1, -1]) {
    let valley = smooth[top] as number;
    let beyond = 0;
    let peak = 0;
    for (let i = top + direction; i >= 0 && i < smooth.length; i += direction) {
      const height = smooth[i] as number;
      if (height < valley) {
        valley = height;
        beyond = 0;
        peak = 0;
      }
      beyond += height;
      peak = Math.max(peak, height);
      if (beyond >= PEAK_SHARE * total && valley <= VALLEY * peak) return true;
    }
  }
  return false;
}

/** The quantile of values, between neighbours in proportion. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = q * (sorted.length - 1);
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  const high = sorted[Math.ceil(place)] ?? low;
  return low + (high - low) * (place - Math.floor(place));
}

export function ratioOf(ratios: readonly number[]): Ratio {
  return {
    median: quantile(ratios, 0.5),
    p10: quantile(ratios, 0.1),
    p90: quantile(ratios, 0.9),
  };
}
