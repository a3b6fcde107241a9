import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import {
  RECORD,
  type TeardownArm,
  type TeardownDriver,
  type TeardownMode,
} from '../driver/teardown.js';
import { type CallCosts, measureCalls } from '../driver/teardown-cost.js';
import { LibuvArm } from '../driver/teardown-libuv.js';
import { CallByCall, Composite } from '../driver/teardown-raw.js';
import { ReferenceArm } from '../driver/teardown-reference.js';
import { snapshot } from '../observer/sock-diag.js';
import { visit } from '../world/visit.js';
import { privilege, World, type WorldKind } from '../world/world.js';
import { doubtClock, doubtsAbout, doubtTooFew } from './bench-doubts.js';
import { observeArms } from './bench-observed.js';
import { readPortBudget, sessionCycles, whyNotPorts } from './bench-ports.js';
import type { BenchRecord, Costs, DriverBench, ModeBench } from './bench-record.js';
import { ratioOf } from './bench-spread.js';
import { Tally } from './bench-tally.js';

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
const WARM_UP = 1000;
const WARM_UP_AGAIN = 200;
const OBSERVED = 200;
/** The second instance of the C program, by which the noise is known. */
const TWIN = 'twin';

type ArmName = TeardownDriver | typeof TWIN;

const range = { low: 1024, high: 65535 };

/** Opens a world for one session: many ports, and no TIME_WAIT is taken over by a new connection while it is counted. */
async function openWorld(kind: WorldKind): Promise<World> {
  const world = await World.open(kind);
  if (kind === 'host') return world;
  try {
    await world.setSysctl('net/ipv4/ip_local_port_range', `${range.low} ${range.high}`);
    await world.setSysctl('net/ipv4/tcp_tw_reuse', '0');
  } catch (error) {
    await world.close();
    throw error;
  }
  return world;
}

async function openArm(
  name: ArmName,
  mode: TeardownMode,
  world: World,
  signal: AbortSignal | undefined,
): Promise<TeardownArm> {
  switch (name) {
    case 'raw':
      return new CallByCall(mode);
    case 'raw-composite':
      return new Composite(mode);
    case 'libuv':
      return new LibuvArm(mode);
    default:
      return ReferenceArm.start(world, name === 'program' ? 'program' : 'c', mode, signal);
  }
}

/** How a number of cycles is cut: rounds small enough to alternate, sessions small enough for their ports. */
export function plan(cycles: number, perSession: number): number[][] {
  const wanted = Math.max(LEAST_IN_A_ROUND, Math.ceil(cycles / ROUNDS));
  const each = Math.min(MOST_IN_A_ROUND, perSession, wanted, Math.ceil(cycles / FEWEST_ROUNDS));
  const sessions: number[][] = [];
  let left = cycles;
  while (left > 0) {
    const session: number[] = [];
    let room = perSession;
    while (left > 0 && room > 0) {
      const size = Math.min(each, left, room);
      session.push(size);
      left -= size;
      room -= size;
    }
    sessions.push(session);
  }
  return sessions;
}

/** One mode, over all its sessions. */
class ModeRun {
  readonly #mode: TeardownMode;
  readonly #options: BenchOptions;
  readonly #tallies = new Map<ArmName, Tally>();
  readonly doubts: string[] = [];

  constructor(mode: TeardownMode, options: BenchOptions) {
    this.#mode = mode;
    this.#options = options;
    // The C program is what the others are measured against: it runs even if nobody asks for its numbers.
    const names: ArmName[] = ['c', TWIN, ...options.drivers.filter((driver) => driver !== 'c')];
    for (const name of names) this.#tallies.set(name, new Tally(mode));
  }

  async session(rounds: readonly number[], first: boolean): Promise<void> {
    await using world = await openWorld(this.#options.world);
    using _inside = await visit(world);
    await using arms = new Arms();
    const { named } = arms;
    for (const name of this.#tallies.keys()) {
      named.set(name, new CountedArm(await openArm(name, this.#mode, world, this.#options.signal)));
    }
    // By the second session the optimizer has seen the code; a program is new in each.
    const warmUp = first ? WARM_UP : WARM_UP_AGAIN;
    for (const arm of named.values()) await arm.run(new BigInt64Array(warmUp * RECORD.length));
    if (first) await this.#observe(world, named);
    for (const cycles of rounds) {
      if (!(await this.#round(named, cycles))) break;
    }
    // A round that was cut short has left some.
    if (this.#options.signal?.aborted) return;
    const sockets = [...snapshot()];
    for (const [name, arm] of named) {
      this.#tallies.get(name)?.left(sockets, arm, world.kind === 'namespace');
    }
  }

  async #observe(world: World, named: ReadonlyMap<ArmName, TeardownArm>): Promise<void> {
    const arms = [...named].filter(([name]) => name !== TWIN).map(([, arm]) => arm);
    try {
      const { drivers, lost } = await observeArms(arms, OBSERVED, world.inode);
      for (const [driver, seen] of drivers) this.#tallies.get(driver)?.observe(seen);
      if (lost > 0) this.doubts.push(`${this.#mode.name}: of the states ${lost} events were lost`);
    } catch (error) {
      if (this.#options.signal?.aborted || !(error instanceof Error)) throw error;
      this.doubts.push(
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
  { steps }: TeardownMode,
  raw: DriverBench,
  cUs: number,
  { systemCallNs, crossingNs, clockNs }: CallCosts,
): Costs {
  const calls = steps.length;
  const systemCallUs = (calls * systemCallNs) / 1000;
  const crossingUs = (calls * crossingNs) / 1000;
  const kernelUs = cUs - systemCallUs - (2 * clockNs) / 1000;
  return { calls, crossingUs, systemCallUs, kernelUs, jsUs: raw.p50Us - cUs - crossingUs };
}

/** How many segments with RST this network has sent: OutRsts of /proc/net/snmp (RFC 4022). */
function resetsSent(): number {
  const [names = '', values = ''] = readFileSync('/proc/thread-self/net/snmp', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'));
  return Number(values.split(' ')[names.split(' ').indexOf('OutRsts')]);
}

/** An arm, and how many cycles it has lived. */
class CountedArm implements TeardownArm {
  readonly #arm: TeardownArm;
  lived = 0;
  /** Segments with RST that the network has sent meanwhile: in a world of its own, this arm's. */
  resets = 0;

  constructor(arm: TeardownArm) {
    this.#arm = arm;
  }

  get driver(): TeardownDriver {
    return this.#arm.driver;
  }

  get port(): number {
    return this.#arm.port;
  }

  get tids(): readonly number[] {
    return this.#arm.tids;
  }

  async run(records: BigInt64Array): Promise<void> {
    const before = resetsSent();
    await this.#arm.run(records);
    this.resets += resetsSent() - before;
    this.lived += records.length / RECORD.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#arm[Symbol.asyncDispose]();
  }
}

/** The arms of a session. */
class Arms implements AsyncDisposable {
  readonly named = new Map<ArmName, CountedArm>();

  async [Symbol.asyncDispose](): Promise<void> {
    for (const arm of [...this.named.values()].reverse()) await arm[Symbol.asyncDispose]();
  }
}

/** How many connections a run leaves in TIME_WAIT. */
function stubsOf({ modes, drivers, cycles }: BenchOptions): number {
  const paying = modes.filter(({ payer }) => payer !== 'nobody').length;
  return paying * (new Set(['c', ...drivers]).size + 1) * (cycles + WARM_UP + OBSERVED);
}

/**
 * Ends connections in each mode by each driver, in turn, and tells what it took. Throws BenchRefusedError before anything
 * would run out; SyscallError where the lab cannot be set up.
 */
export async function bench(options: BenchOptions): Promise<BenchRecord> {
  const { modes, cycles, signal, onMode } = options;
  const host = options.world === 'host';
  const budget = host
    ? readPortBudget()
    : { ports: range.high - range.low + 1, stubs: Number.POSITIVE_INFINITY };
  const refused = host ? whyNotPorts(budget, stubsOf(options)) : undefined;
  if (refused !== undefined) throw new BenchRefusedError(refused);
  const calls = measureCalls();
  const done: ModeBench[] = [];
  const doubts = [doubtTooFew(cycles), doubtClock(calls)].filter((doubt) => doubt !== undefined);
  if (host)
    doubts.push('on the host: others use this network too, and their traffic is in the way');
  for (const mode of modes) {
    if (signal?.aborted) break;
    onMode?.(mode);
    const run = new ModeRun(mode, options);
    const sessions = plan(cycles, sessionCycles(budget));
    for (const [i, rounds] of sessions.entries()) {
      if (signal?.aborted) break;
      try {
        await run.session(rounds, i === 0);
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
    modes: done,
    doubts,
  };
}
