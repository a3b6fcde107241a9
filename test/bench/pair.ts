import { medianSorted, quantileSorted } from 'simple-statistics';

/** Runs something `iterations` times and returns how long all of them took, in nanoseconds. */
export type Arm = (iterations: number) => number | Promise<number>;

/** Arms that belong together, measured in one run of `rounds` rounds. */
export type Panel = (rounds: number) => Promise<Figure[]>;

/** Panels by name, run one after the other. */
export type Group = Readonly<Record<string, Panel>>;

/** Where a ratio must lie for the project to have kept its word. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number };

/** One ratio, over all pairs of rounds of one run. */
export interface Figure {
  readonly what: string;
  readonly against: string;
  readonly ratio: { readonly median: number; readonly p10: number; readonly p90: number };
  /** Medians for one iteration. They belong to this machine; the ratio carries over. */
  readonly medianNs: { readonly what: number; readonly against: number };
  readonly bound?: Bound;
  /** The bound holds for the median ratio, or there is none. */
  readonly ok: boolean;
  /** The same program twice: what differs from 1 here is the machine's noise. */
  readonly control: boolean;
}

const ROUND_NS = 100e6;
const WARM_UP_ROUNDS = 2;

/** An arm that calls `body` in a loop. */
export function timed(body: () => unknown): Arm {
  return (iterations) => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < iterations; i++) kept = body();
    return Number(process.hrtime.bigint() - start);
  };
}

/** An arm that awaits `body` in a loop, one call outstanding at a time. */
export function timedAsync(body: () => Promise<unknown>): Arm {
  return async (iterations) => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < iterations; i++) kept = await body();
    return Number(process.hrtime.bigint() - start);
  };
}

/** The last result of a timed body: what somebody may look at cannot be optimised away. */
export let kept: unknown;

/**
 * Runs the arms in turn, one round each, `rounds` times over; returns each arm's nanoseconds per
 * iteration, round by round, so that equal indexes make a pair.
 *
 * Every arm gets rounds of its own size, about 100 ms long; rounds to find it and to warm up are
 * not returned.
 */
export async function alternate<Name extends string>(
  arms: Readonly<Record<Name, Arm>>,
  rounds: number,
): Promise<Record<Name, number[]>> {
  const sizes = new Map<Name, number>();
  const samples = {} as Record<Name, number[]>;
  for (const name of Object.keys(arms) as Name[]) {
    sizes.set(name, await roundSize(arms[name]));
    samples[name] = [];
  }
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const [name, size] of sizes) {
      const perIteration = (await arms[name](size)) / size;
      if (round >= 0) samples[name].push(perIteration);
    }
  }
  return samples;
}

async function roundSize(arm: Arm): Promise<number> {
  for (let iterations = 1; ; iterations *= 2) {
    const elapsed = await arm(iterations);
    if (elapsed >= ROUND_NS / 4) return Math.max(1, Math.round((iterations * ROUND_NS) / elapsed));
  }
}

/** One arm of a run, by the name it goes by in the figures. */
export interface Series {
  readonly name: string;
  readonly ns: readonly number[];
}

/** How many times as long `what` took as `against` did, pair by pair. */
export function compare(what: Series, against: Series, bound?: Bound): Figure {
  return figure(what, against, bound, false);
}

/** The machine's noise: two instances of one program, paired as `compare` pairs two programs. */
export function control(name: string, twin: readonly number[], ns: readonly number[]): Figure {
  return figure({ name, ns: twin }, { name: 'itself', ns }, undefined, true);
}

function figure(what: Series, against: Series, bound: Bound | undefined, control: boolean): Figure {
  const ratios = sorted(what.ns.map((ns, round) => ns / (against.ns[round] ?? Number.NaN)));
  const median = medianSorted(ratios);
  return {
    what: what.name,
    against: against.name,
    ratio: { median, p10: quantileSorted(ratios, 0.1), p90: quantileSorted(ratios, 0.9) },
    medianNs: {
      what: medianSorted(sorted(what.ns)),
      against: medianSorted(sorted(against.ns)),
    },
    ...(bound && { bound }),
    ok: bound === undefined || holds(bound, median),
    control,
  };
}

function holds(bound: Bound, ratio: number): boolean {
  return 'atMost' in bound ? ratio <= bound.atMost : ratio >= bound.atLeast;
}

function sorted(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b);
}
