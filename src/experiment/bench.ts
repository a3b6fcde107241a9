import { cpus, release } from 'node:os';
import {
  RECORD,
  type TeardownArm,
  type TeardownDriver,
  type TeardownMode,
} from '../driver/teardown.js';
import { type CallCosts, measureCalls } from '../driver/teardown-cost.js';
import { snapshot } from '../observer/sock-diag.js';
import { until } from '../observer/until.js';
import { visit } from '../world/visit.js';
import { privilege, type World, type WorldKind } from '../world/world.js';
import { type ArmName, ArmStoppedError, Arms, TWIN } from './bench-arm.js';
import { doubtClock, doubtsAbout, doubtTooFew } from './bench-doubts.js';
import { observeArms } from './bench-observed.js';
import { OBSERVED, readPortBudget, sessionCycles, WARM_UP, whyNotPorts } from './bench-ports.js';
import type { BenchRecord, Costs, DriverBench, ModeBench } from './bench-record.js';
import { ratioOf } from './bench-spread.js';
import { Tally } from './bench-tally.js';
import { openWorld, ownBudget } from './bench-world.js';

export interface BenchOptions {
  readonly modes: readonly TeardownMode[];
  readonly drivers: readonly TeardownDriver[];
  /** Of each driver in each mode. */
  readonly cycles: number;
  readonly world: WorldKind;
  /** Ends the measuring; what was measured until then is the result. */
  readonly signal?: AbortSignal;
  /** Called as a mode begins. */
  readonly onMode?: (mode: TeardownMode) => void;
}

/** It cannot be measured here without running out of something; the message says what to do. */
export class BenchRefusedError extends Error {
  override readonly name = 'BenchRefusedError';
}

const ROUNDS = 50;
const FEWEST_ROUNDS = 5;
/** A round begins with caches that the others have filled: short ones are slow ones. */
const LEAST_IN_A_ROUND = 200;
const MOST_IN_A_ROUND = 2000;
const WARM_UP_AGAIN = 200;
/** The first connections of a session must still be in TIME_WAIT at its end: that lasts a minute. */
const LONGEST_SESSION_MS = 20_000;
const TIME_WAIT_MS = 60_000;
/** How long what is under way at the end of a session may take. */
const SETTLE_MS = 1000;
const LATE =
  'a session took longer than TIME_WAIT lasts: who paid it was counted, and not held against anything';

/** How a number of cycles is cut into rounds: small enough to alternate, and none larger than a session may be. */
export function plan(cycles: number, perSession: number): number[] {
  const wanted = Math.max(LEAST_IN_A_ROUND, Math.ceil(cycles / ROUNDS));
  const each = Math.min(MOST_IN_A_ROUND, perSession, wanted, Math.ceil(cycles / FEWEST_ROUNDS));
  const whole: number[] = Array(Math.floor(cycles / each)).fill(each);
  return cycles % each === 0 ? whole : [...whole, cycles % each];
}

/** One mode, over all its sessions. */
class ModeRun {
  readonly #mode: TeardownMode;
  readonly #options: BenchOptions;
  readonly #tallies = new Map<ArmName, Tally>();
  readonly doubts = new Set<string>();
  #warm = false;
  #broken = false;

  constructor(mode: TeardownMode, options: BenchOptions) {
    this.#mode = mode;
    this.#options = options;
    // The C program is what the others are measured against: it runs even if nobody asks for its numbers.
    const names: ArmName[] = ['c', TWIN, ...options.drivers.filter((driver) => driver !== 'c')];
    for (const name of names) this.#tallies.set(name, new Tally(mode));
  }

  /** Whether a driver has stopped: its mode cannot go on. */
  get broken(): boolean {
    return this.#broken;
  }

  /** Lives as many of the rounds as one session can hold, one at least, and takes them off the list. */
  async session(rounds: number[], perSession: number): Promise<void> {
    const beganMs = performance.now();
    const lastedMs = (): number => performance.now() - beganMs;
    await using world = await openWorld(this.#options.world);
    using _inside = await visit(world);
    await using arms = new Arms();
    const { named } = arms;
    try {
      for (const name of this.#tallies.keys()) {
        await arms.open(name, this.#mode, world, this.#options.signal);
      }
      await this.#warmUp(world, named);
      let room = perSession;
      do {
        const cycles = rounds[0] as number;
        if (!(await this.#round(named, cycles))) break;
        rounds.shift();
        room -= cycles;
      } while ((rounds[0] ?? room + 1) <= room && lastedMs() < LONGEST_SESSION_MS);
    } catch (error) {
      if (!(error instanceof ArmStoppedError) || this.#options.signal?.aborted) throw error;
      this.#broken = true;
      this.#tallies.get(error.arm)?.stopped(error.message);
    }
    const whole = !this.#broken && !this.#options.signal?.aborted;
    // What the last cycles sent may still be on its way.
    const sockets = await until(
      () => [...snapshot()],
      (all) => !whole || all.every(({ state }) => state === 'TIME_WAIT' || state === 'LISTEN'),
      { deadlineMs: world.kind === 'namespace' ? SETTLE_MS : 0 },
    );
    const late = lastedMs() >= TIME_WAIT_MS;
    if (late) this.doubts.add(`${this.#mode.name}: ${LATE}`);
    for (const [name, arm] of named) {
      const alone = world.kind === 'namespace' && !late;
      this.#tallies.get(name)?.left(sockets, arm, { whole, alone });
    }
  }

  async #warmUp(world: World, named: ReadonlyMap<ArmName, TeardownArm>): Promise<void> {
    // By the second session the optimizer has seen the code; a program is new in each.
    const cycles = this.#warm ? WARM_UP_AGAIN : WARM_UP;
    for (const arm of named.values()) await arm.run(new BigInt64Array(cycles * RECORD.length));
    if (!this.#warm) await this.#observe(world, named);
    this.#warm = true;
  }

  async #observe(world: World, named: ReadonlyMap<ArmName, TeardownArm>): Promise<void> {
    const arms = [...named].filter(([name]) => name !== TWIN).map(([, arm]) => arm);
    try {
      const { drivers, lost } = await observeArms(arms, OBSERVED, world.inode);
      for (const [driver, seen] of drivers) this.#tallies.get(driver)?.observe(seen);
      if (lost > 0) this.doubts.add(`${this.#mode.name}: up to ${lost} events were lost`);
    } catch (error) {
      const ended = this.#options.signal?.aborted || error instanceof ArmStoppedError;
      if (ended || !(error instanceof Error)) throw error;
      this.doubts.add(
        `${this.#mode.name}: states and system calls were not seen: ${error.message}`,
      );
    }
  }

  /** Each arm in turn; whoever begins does not always begin. False if it was interrupted. */
  async #round(named: ReadonlyMap<ArmName, TeardownArm>, cycles: number): Promise<boolean> {
    const { signal } = this.#options;
    const done = new Map<Tally, BigInt64Array>();
    for (const [name, arm] of named) {
      // Timers and signals have their say between two arms, not within one.
      await new Promise(setImmediate);
      if (signal?.aborted) return false;
      const records = new BigInt64Array(cycles * RECORD.length);
      const tally = this.#tallies.get(name) as Tally;
      const start = process.hrtime.bigint();
      try {
        await arm.run(records);
      } catch (error) {
        if (signal?.aborted) return false;
        throw error;
      }
      tally.elapsedNs += Number(process.hrtime.bigint() - start);
      done.set(tally, records);
    }
    for (const [tally, records] of done) tally.add(records);
    return true;
  }

  result(calls: CallCosts): { mode: ModeBench; doubts: string[] } {
    const { name, title, kind } = this.#mode;
    const c = this.#tallies.get('c') as Tally;
    const twin = this.#tallies.get(TWIN) as Tally;
    const drivers = this.#options.drivers.map(
      (driver): DriverBench => (this.#tallies.get(driver) as Tally).result(driver, c),
    );
    const raw = drivers.find(({ driver }) => driver === 'raw');
    const measured = c.rounds > 0;
    const mode: ModeBench = {
      mode: name,
      title,
      kind,
      drivers,
      ...(measured && { control: ratioOf(twin.ratiosTo(c)) }),
      ...(measured && raw && { costs: costsOf(this.#mode, raw, c.medianUs, calls) }),
    };
    const bimodal = this.#options.drivers.filter((driver) => this.#tallies.get(driver)?.bimodal);
    const faults = c.faulty && !this.#options.drivers.includes('c') ? [`${name}: faults of c`] : [];
    const doubts = doubtsAbout(mode, calls, new Set(bimodal));
    return { mode, doubts: [...this.doubts, ...faults, ...doubts] };
  }
}

/** The parts of a teardown that is driven call by call. */
export function costsOf(
  { steps, closing }: TeardownMode,
  raw: DriverBench,
  cUs: number,
  { systemCallNs, crossingNs, clockNs }: CallCosts,
): Costs {
  const calls = steps.length;
  const systemCallUs = (calls * systemCallNs) / 1000;
  const crossingUs = (calls * crossingNs) / 1000;
  // The clock is read before, when the closing call and the one that sees it are made, and after: of the first and the
  // last reading half is in the time.
  const clocks = closing > 0 ? 3 : 2;
  const kernelUs = cUs - systemCallUs - (clocks * clockNs) / 1000;
  return { calls, crossingUs, systemCallUs, kernelUs, jsUs: raw.p50Us - cUs - crossingUs };
}

/** How many connections a run leaves in TIME_WAIT. */
function stubsOf({ modes, drivers, cycles }: BenchOptions, perSession: number): number {
  const paying = modes.filter(({ payer }) => payer !== 'nobody').length;
  const again = Math.ceil(cycles / perSession) - 1;
  const each = cycles + WARM_UP + OBSERVED + again * WARM_UP_AGAIN;
  return paying * (new Set(['c', ...drivers]).size + 1) * each;
}

/**
 * Ends connections in each mode by each driver, in turn, and tells what it took. Throws BenchRefusedError before anything
 * would run out; SyscallError where the lab cannot be set up.
 */
export async function bench(options: BenchOptions): Promise<BenchRecord> {
  const { modes, cycles, signal, onMode } = options;
  const host = options.world === 'host';
  const budget = host ? readPortBudget() : ownBudget;
  const perSession = sessionCycles(budget);
  const refused = host ? whyNotPorts(budget, stubsOf(options, perSession)) : undefined;
  if (refused !== undefined) throw new BenchRefusedError(refused);
  const calls = measureCalls();
  const done: ModeBench[] = [];
  const rss = { first: 0, last: 0 };
  const doubts = [doubtTooFew(cycles), doubtClock(calls)].filter((doubt) => doubt !== undefined);
  if (host)
    doubts.push('on the host: others use this network too, and their traffic is in the way');
  for (const mode of modes) {
    if (signal?.aborted) break;
    onMode?.(mode);
    const run = new ModeRun(mode, options);
    const rounds = plan(cycles, perSession);
    while (rounds.length > 0 && !run.broken && !signal?.aborted) {
      try {
        await run.session(rounds, perSession);
        rss.last = process.memoryUsage.rss();
        rss.first ||= rss.last;
      } catch (error) {
        if (!signal?.aborted) throw error;
      }
    }
    const { mode: result, doubts: more } = run.result(calls);
    done.push(result);
    doubts.push(...more);
  }
  const interrupted = signal?.aborted ?? false;
  if (interrupted) doubts.push('interrupted: not all cycles were lived');
  const all = done.flatMap(({ drivers }) => drivers);
  const whole = ({ cycles: lived, faults, socketsLeft }: DriverBench): boolean =>
    faults.length === 0 && socketsLeft === 0 && (interrupted || lived === cycles);
  return {
    kernel: release(),
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    world: { kind: options.world, privilege: privilege() },
    cycles,
    ok: all.every(whole),
    interrupted,
    ...(rss.first > 0 && { rssBytes: rss }),
    modes: done,
    doubts,
  };
}
