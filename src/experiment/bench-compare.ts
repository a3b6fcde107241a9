import { cumulativeStdNormalProbability, median, wilcoxonRankSum } from 'simple-statistics';
import type { TeardownDriver } from '../driver/teardown.js';
import type { BenchRecord, DriverBench } from './bench-record.js';

/** How one driver in one mode differs from an earlier run. */
export interface Change {
  readonly mode: string;
  readonly driver: TeardownDriver;
  /** What was held against each other, round by round. */
  readonly of: 'ratio to C' | 'us';
  readonly before: number;
  readonly now: number;
  /** `now` in units of `before`. */
  readonly factor: number;
  /** How many rounds there were, before and now. */
  readonly rounds: readonly [number, number];
  /** How likely a difference like this one is by chance alone: Wilcoxon's rank-sum test. */
  readonly p: number;
  /**
   * Beyond noise, and beyond the bound a regression. The C program's times are no regression: they follow the machine, whose
   * mood no rank test knows.
   */
  readonly verdict: 'same' | 'faster' | 'slower' | 'regression';
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** What only one of the two has. */
  readonly unpaired: readonly string[];
  readonly bound: number;
  readonly ok: boolean;
  /** What is not the same about the two runs, so that a change may be of that. */
  readonly doubts: readonly string[];
}

const BY_CHANCE = 0.01;
const LEAST_ROUNDS = 5;

/**
 * How likely it is that two samples this far apart are of one distribution: two-sided, by the normal approximation of the
 * rank sum. 1 where either has fewer than five values: too few to tell.
 */
export function rankSumProbability(a: readonly number[], b: readonly number[]): number {
  if (a.length < LEAST_ROUNDS || b.length < LEAST_ROUNDS) return 1;
  const sum = wilcoxonRankSum([...a], [...b]);
  const mean = (a.length * (a.length + b.length + 1)) / 2;
  const deviation = Math.sqrt((a.length * b.length * (a.length + b.length + 1)) / 12);
  return 2 * (1 - cumulativeStdNormalProbability(Math.abs(sum - mean) / deviation));
}

/**
 * What changed beyond noise since an earlier run. Drivers are compared by their ratios to the C program of their own run,
 * which the machine's mood does not change; the C program itself by its times, which it does.
 */
export function compareBench(before: BenchRecord, now: BenchRecord, bound: number): Comparison {
  const earlier = byName(before);
  const later = byName(now);
  const changes: Change[] = [];
  for (const [name, [mode, driver]] of later) {
    const old = earlier.get(name)?.[1];
    if (old !== undefined) changes.push(change(mode, old, driver, bound));
  }
  const unpaired = [
    ...[...later.keys()].filter((name) => !earlier.has(name)).map((name) => `${name}: new`),
    ...[...earlier.keys()].filter((name) => !later.has(name)).map((name) => `${name}: not run now`),
  ];
  const ok = changes.every(({ verdict }) => verdict !== 'regression');
  return { changes, unpaired, bound, ok, doubts: doubtsOf(before, now, changes) };
}

function doubtsOf(before: BenchRecord, now: BenchRecord, changes: readonly Change[]): string[] {
  const doubts = (['kernel', 'cpu', 'node'] as const)
    .filter((what) => before[what] !== undefined && before[what] !== now[what])
    .map((what) => `another ${what}: ${before[what]} then, ${now[what]} now`);
  if (changes.length === 0) doubts.push('nothing was measured both times');
  for (const { mode, driver, of, verdict, factor, rounds } of changes) {
    if (rounds.some((count) => count < LEAST_ROUNDS)) {
      const counts = `${rounds[0]} then, ${rounds[1]} now, ${LEAST_ROUNDS} needed`;
      doubts.push(`${mode}, ${driver}: too few rounds to tell (${counts})`);
    }
    if (of !== 'us' || verdict === 'same') continue;
    doubts.push(
      `${mode}, ${driver}: ${factor.toFixed(3)} x its own time: the kernel, or what else the machine does`,
    );
  }
  return doubts;
}

function byName({ modes }: BenchRecord): Map<string, [mode: string, driver: DriverBench]> {
  return new Map(
    modes.flatMap(({ mode, drivers }) =>
      drivers.map((each) => [`${mode}, ${each.driver}`, [mode, each]] as const),
    ),
  );
}

function change(mode: string, old: DriverBench, now: DriverBench, bound: number): Change {
  const { driver } = now;
  const of = driver === 'c' ? 'us' : 'ratio to C';
  const of_ = (each: DriverBench): number[] =>
    (of === 'us' ? each.roundsUs : each.ratios).filter((value) => Number.isFinite(value));
  const [a, b] = [of_(old), of_(now)];
  const middle = (values: number[]): number => (values.length === 0 ? Number.NaN : median(values));
  const p = rankSumProbability(a, b);
  const factor = middle(b) / middle(a);
  const rounds = [a.length, b.length] as const;
  const verdict = !(p < BY_CHANCE)
    ? 'same'
    : factor > bound && of !== 'us'
      ? 'regression'
      : factor > 1
        ? 'slower'
        : 'faster';
  return { mode, driver, of, before: middle(a), now: middle(b), factor, rounds, p, verdict };
}

/** Reads what an earlier `bench --json` printed. Throws a TypeError if it is something else. */
export function parseBench(text: string): BenchRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new TypeError(`it is no JSON: ${(error as Error).message}`);
  }
  const isNumbers = (each: unknown): boolean =>
    Array.isArray(each) &&
    each.every((one) => one === null || (typeof one === 'number' && one > 0));
  const modes = (value as Partial<BenchRecord> | null)?.modes;
  const whole =
    Array.isArray(modes) &&
    modes.every(
      (mode) =>
        typeof mode?.mode === 'string' &&
        Array.isArray(mode.drivers) &&
        mode.drivers.every(
          (driver: Partial<DriverBench> | null) =>
            typeof driver?.driver === 'string' &&
            isNumbers(driver.ratios) &&
            isNumbers(driver.roundsUs),
        ),
    );
  if (!whole) throw new TypeError('it is not what `closewait bench --json` prints');
  return value as BenchRecord;
}
