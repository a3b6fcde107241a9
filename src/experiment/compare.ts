import type { DriverName } from '../driver/role.js';
import type { Command } from '../driver/running.js';
import type { Scenario } from '../scenario/scenario.js';
import { followsPath } from '../tcp/states.js';
import { factsOf, PATH, TIME, VERDICT } from './facts.js';
import type { RunRecord } from './record.js';
import { type RunOptions, run } from './run.js';

/** Who acts one of the runs. */
export interface Variant {
  readonly driver: DriverName;
  /** The Node of it, where it has one: a path. Left out: this one. */
  readonly node?: string;
  /** What acts one of the ends, by driver program. */
  readonly command?: Command;
}

/** One thing that runs have not in common. */
export interface Difference {
  readonly what: string;
  /** By the run's label; null where there was none. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** The same scenario by several. */
export interface Comparison {
  readonly scenario: string;
  readonly records: readonly RunRecord[];
  readonly differences: readonly Difference[];
}

/** Times that are closer are the machine's affair: a delayed ACK takes 40 ms. */
const NOTABLE_MS = 20;
const NOTABLE_RATIO = 2;

/** Runs a scenario by each variant, one after the other, and tells what differs. Throws what `run` throws. */
export async function compare(
  scenario: Scenario,
  variants: readonly Variant[],
  options: Omit<RunOptions, keyof Variant>,
): Promise<Comparison> {
  const records: RunRecord[] = [];
  for (const variant of variants) {
    const { record } = await run(scenario, { ...options, ...variant });
    records.push(record);
  }
  return { scenario: scenario.name, records, differences: differencesOf(records) };
}

/** How to compare many scenarios. */
export interface CompareAllOptions extends Omit<RunOptions, keyof Variant> {
  /** How many scenarios at once. */
  readonly jobs: number;
  readonly onEnd?: (comparison: Comparison) => void;
}

/** The same for several scenarios, in their order. The first that throws ends the others. */
export async function compareAll(
  scenarios: readonly Scenario[],
  variants: readonly Variant[],
  { jobs, onEnd, signal, ...options }: CompareAllOptions,
): Promise<Comparison[]> {
  const failed = new AbortController();
  const either = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
  const comparisons: Comparison[] = [];
  const queue = [...scenarios.entries()];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [place, scenario] = next;
      const comparison = await compare(scenario, variants, { ...options, signal: either });
      comparisons[place] = comparison;
      onEnd?.(comparison);
    }
  };
  const lanes = Array.from({ length: Math.min(jobs, queue.length) }, () =>
    lane().catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(lanes);
  await Promise.all(lanes);
  return comparisons;
}

/** A name for each run: its driver's, or that of what ran it where a driver ran it several times. */
export function labelsOf(records: readonly RunRecord[]): string[] {
  return records.map(({ driver, runtime }, i) => {
    const alike = records.filter((other) => other.driver === driver);
    if (alike.length === 1) return driver;
    const label = runtime ?? driver;
    const same = alike.filter((other) => other.runtime === runtime);
    return same.length === 1 ? label : `${label} #${i + 1}`;
  });
}

/**
 * What the runs have not in common, in the order of `factsOf`. One that was skipped differs by that alone. Times differ
 * always; they are named where the longest is more than twice the shortest, and by 20 ms.
 */
export function differencesOf(records: readonly RunRecord[]): Difference[] {
  const labels = labelsOf(records);
  const facts = records.map(factsOf);
  return factNames(facts).flatMap((what) => {
    const values: Record<string, unknown> = {};
    for (const [i, each] of facts.entries()) {
      if (what !== VERDICT && records[i]?.verdict === 'skipped') continue;
      values[labels[i] ?? ''] = each.get(what) ?? null;
    }
    const all = Object.values(values);
    const differ = what.startsWith(TIME)
      ? isNotable(all)
      : !isSame(all) && !(what.startsWith(PATH) && isSamePath(all, records));
    return differ ? [{ what, values }] : [];
  });
}

/**
 * What of the differences an application or a peer would notice: not how often a call is made, nor when, nor how much data
 * got through before the end.
 */
export const tellingDifferences = ({ differences }: Comparison): Difference[] =>
  differences.filter(
    ({ what, values }) =>
      TELLING.some((begin) => what.startsWith(begin)) &&
      !isSame(Object.values(values).map(withoutSizes)),
  );

const TELLING = [VERDICT, PATH, 'resets', 'verbs of', 'events of', 'failed calls', 'left behind'];

const withoutSizes = (value: unknown): unknown =>
  Array.isArray(value) ? value.map((each) => String(each).replace(/^data \d+$/, 'data')) : value;

const isSame = (values: readonly unknown[]): boolean =>
  new Set(values.map((value) => JSON.stringify(value))).size <= 1;

/** Whether paths differ by nothing but what an observer missed: where transitions were not seen, passing states may lack. */
function isSamePath(paths: readonly unknown[], records: readonly RunRecord[]): boolean {
  if (records.every(seesTransitions)) return false;
  const known = paths.filter((path) => Array.isArray(path));
  const [longest = []] = known.toSorted((a, b) => b.length - a.length);
  return known.every((path) => followsPath(path, longest));
}

function seesTransitions({ verdict, observers }: RunRecord): boolean {
  const { available, lost = 0 } = observers.find(({ name }) => name === 'tracepoint') ?? {};
  return verdict === 'skipped' || (available === true && lost === 0);
}

/** The names of all facts, each once, in the order that every run tells them. */
export function factNames(facts: readonly ReadonlyMap<string, unknown>[]): string[] {
  const names: string[] = [];
  for (const each of facts) {
    let after = -1;
    for (const name of each.keys()) {
      const known = names.indexOf(name);
      if (known < 0) names.splice(after + 1, 0, name);
      after = known < 0 ? after + 1 : known;
    }
  }
  return names;
}

function isNotable(times: readonly unknown[]): boolean {
  const known = times.filter((time) => typeof time === 'number');
  const [least, most] = [Math.min(...known), Math.max(...known)];
  return most - least > NOTABLE_MS && most > NOTABLE_RATIO * least;
}
