import {
  type TeardownDriver,
  type TeardownMode,
  teardownDrivers,
  teardownModes,
} from '../driver/teardown.js';

/** What the command line says, as it stands there. */
export interface BenchFlags {
  readonly mode?: readonly string[];
  readonly driver?: readonly string[];
  readonly n?: string;
  readonly bound?: string;
  readonly scale?: readonly string[] | true;
}

/** What it means. */
export interface BenchPlan {
  readonly modes: readonly TeardownMode[];
  readonly drivers: readonly TeardownDriver[];
  readonly cycles: number;
  /** The ratio of new to old from which on a slower driver is a regression. */
  readonly bound: number;
  /** How many connections to hold and tear down; empty: no such curve. */
  readonly scale: readonly number[];
}

const CYCLES = 10_000;
const MOST_CYCLES = 10_000_000;
const BOUND = 1.05;
const SCALE = [1000, 10_000, 100_000];

/** Throws a RangeError that says which name or number there is none of. */
export function planBench({ mode, driver, n, bound, scale }: BenchFlags): BenchPlan {
  return {
    modes: chosen('mode', mode, teardownModes, ({ name }) => name),
    drivers: chosen('driver', driver, teardownDrivers, (name) => name),
    cycles: n === undefined ? CYCLES : integer('-n', n, MOST_CYCLES),
    bound: bound === undefined ? BOUND : ratio(bound),
    scale: scale === undefined ? [] : points(scale),
  };
}

function chosen<T>(
  what: string,
  names: readonly string[] | undefined,
  all: readonly T[],
  nameOf: (each: T) => string,
): readonly T[] {
  if (names === undefined) return all;
  for (const name of names) {
    if (!all.some((each) => nameOf(each) === name)) {
      throw new RangeError(`no ${what} "${name}": there are ${all.map(nameOf).join(', ')}`);
    }
  }
  return all.filter((each) => names.includes(nameOf(each)));
}

function integer(what: string, text: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  throw new RangeError(`${what} must be an integer from 1 to ${most}, received "${text}"`);
}

function ratio(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 1 && value <= 100) return value;
  throw new RangeError(`--bound must be a ratio from 1 to 100, received "${text}"`);
}

function points(texts: readonly string[] | true): number[] {
  return texts === true ? SCALE : texts.map((text) => integer('--scale', text, 1_000_000));
}
