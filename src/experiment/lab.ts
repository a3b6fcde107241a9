import type { Cast, End } from '../driver/role.js';
import { holdersOf, threadsOf } from '../observer/process.js';
import { tcpState } from '../observer/tcp-info.js';
import type { Scenario, SocketExpectation, Stage } from '../scenario/scenario.js';
import { causeOf } from '../tcp/cause.js';
import type { SocketRow } from '../tcp/socket-table.js';
import { followsPath, type TcpState, type TcpStateName } from '../tcp/states.js';
import type { World } from '../world/world.js';
import type { Source } from './event.js';
import { Instruments } from './instruments.js';
import { pathOf } from './path.js';
import type { CapturedFrame, Check, Diagnosis, Moment, MomentSocket } from './record.js';

const DEADLINE_MS = 10_000;
/** A last segment may be on its way when the story is over: a delayed ACK takes 40 ms. */
const TAIL_MS = 200;
const ENDS: readonly End[] = ['client', 'server'];

/** What a lab may be told besides what to run. */
export interface LabOptions {
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
  /** Called when every observer has looked; the scenario goes on when it has resolved. */
  readonly onMoment?: ((moment: Moment) => Promise<void>) | undefined;
  /** False leaves out every observer that nobody waits for. Left out: true. */
  readonly observed?: boolean | undefined;
}

/** The stage that a scenario plays on, and its jury: holds what the instruments saw against what should be. */
export class Lab implements Stage, AsyncDisposable {
  readonly server: Cast['server'];
  readonly client: Cast['client'];
  readonly checks: Check[] = [];
  readonly moments: Moment[] = [];
  readonly instruments: Instruments;
  readonly #scenario: Scenario;
  readonly #cast: Cast;
  readonly #options: LabOptions;

  private constructor(
    scenario: Scenario,
    cast: Cast,
    instruments: Instruments,
    options: LabOptions,
  ) {
    this.#scenario = scenario;
    this.#cast = cast;
    this.#options = options;
    this.instruments = instruments;
    this.server = cast.server;
    this.client = cast.client;
    cast.onListen = (address) => instruments.serverListens(address);
    cast.onStart = (tid, end) => instruments.threadActs(tid, end);
  }

  /** Sets up the observers in a world. They stop with the lab; the cast stays the caller's. */
  static async open(
    scenario: Scenario,
    world: World,
    cast: Cast,
    options: LabOptions = {},
  ): Promise<Lab> {
    const threads = ENDS.flatMap((end) => {
      const { tid } = cast[end];
      return tid === undefined ? [] : [[tid, end] as const];
    });
    const { observed = true } = options;
    const instruments = await Instruments.start(world, new Map(threads), { observed });
    return new Lab(scenario, cast, instruments, options);
  }

  expect = (what: string, expected: unknown, observed: unknown): void => {
    this.#check(what, expected, observed, 'scenario');
  };

  #check(what: string, expected: unknown, observed: unknown, source: Source): void {
    // JSON has no undefined: what is not there is null.
    const values = { expected: expected ?? null, observed: observed ?? null };
    const ok = JSON.stringify(values.expected) === JSON.stringify(values.observed);
    this.checks.push({ what, ...values, source, ok });
  }

  reach = async (states: Partial<Readonly<Record<End, TcpStateName>>>): Promise<void> => {
    const wanted = ENDS.flatMap((end) => {
      const state = states[end];
      return state === undefined ? [] : [{ end, state }];
    });
    const over = new AbortController();
    const signal = AbortSignal.any([
      over.signal,
      ...(this.#options.signal ? [this.#options.signal] : []),
    ]);
    const { timeline } = this.instruments;
    try {
      await Promise.all(
        wanted.map((each) => timeline.waitFor(each, { deadlineMs: DEADLINE_MS, signal })),
      );
    } finally {
      over.abort();
    }
    for (const { end, state } of wanted) {
      // Two that know nothing of each other: the socket's own answer, and the kernel's table.
      const own = this.#ask(end);
      if (own !== undefined) this.#check(`${end} is in ${state}`, state, own, 'TCP_INFO');
      const row = this.instruments.row(end)?.state ?? 'CLOSE';
      this.#check(`${end} is in ${state}`, state, row, 'sock_diag');
    }
  };

  #ask(end: End): TcpState | undefined {
    return this.#unlessRefused('TCP_INFO', () => this[end].withDescriptor(tcpState));
  }

  /** What is refused to an observer is said of it, and the others go on. */
  #unlessRefused<T>(observer: string, look: () => T): T | undefined {
    try {
      return look();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EPERM' && code !== 'EACCES') throw error;
      this.instruments.refused.set(observer, `needs CAP_SYS_PTRACE here (${message})`);
      return undefined;
    }
  }

  moment = async (name: string): Promise<void> => {
    const tNs = this.instruments.mark(name);
    const tcpInfoStates: Partial<Record<End, TcpState>> = {};
    for (const end of ENDS) {
      const state = this.#ask(end);
      if (state !== undefined) tcpInfoStates[end] = state;
    }
    const sockets = this.#sockets();
    const diagnoses = sockets.flatMap((socket) => this.#diagnose(socket));
    const moment = { name, tNs, sockets, tcpInfo: tcpInfoStates, diagnoses };
    this.moments.push(moment);
    const expected = this.#scenario.expected?.[name] ?? {};
    for (const end of ENDS) {
      const expectation = expected[end];
      if (expectation !== undefined) this.#hold(name, end, expectation, sockets, diagnoses);
    }
    await this.#options.onMoment?.(moment);
  };

  /** The experiment's sockets, listener first, then client and server. */
  #sockets(): MomentSocket[] {
    const rows: [MomentSocket['end'], SocketRow][] = [];
    for (const row of this.instruments.listeners()) rows.push(['listener', row]);
    for (const end of ENDS) {
      const row = this.instruments.row(end);
      if (row !== undefined) rows.push([end, row]);
    }
    const pids = new Set(ENDS.flatMap((end) => this[end].pid ?? []));
    const inodes = rows.map(([, { inode }]) => inode).filter((inode) => inode !== 0);
    const { holders, incomplete } = holdersOf(inodes, { pids });
    for (const reason of incomplete) this.instruments.refused.set('process', reason);
    return rows.map(([end, row]) => {
      const [owner] = holders.get(row.inode) ?? [];
      const { family, state, recvQ, sendQ, local, remote, inode, timer, timerMs } = row;
      return {
        end,
        ...{ family, state, recvQ, sendQ, local, remote, inode, timer, timerMs },
        ...(owner && { owner: { pid: owner.pid, fd: owner.fd, program: owner.program } }),
      };
    });
  }

  #diagnose(socket: MomentSocket): Diagnosis[] {
    const { end, owner } = socket;
    if (end === 'listener') return [];
    const holders = owner === undefined ? [] : [owner];
    const found = causeOf({ ...socket, holders });
    if (found === undefined) return [];
    const { program, pid, tid } = this[end];
    if (program === undefined || pid === undefined) return [{ end, ...found }];
    const thread = this.#unlessRefused('process', () =>
      threadsOf(owner?.pid ?? pid).find((each) => each.tid === tid),
    );
    const { missingCall: missing } = program;
    return [{ end, ...found, ...(thread && { thread }), ...(missing && { missing }) }];
  }

  #hold(
    moment: string,
    end: End,
    expectation: SocketExpectation,
    sockets: readonly MomentSocket[],
    diagnoses: readonly Diagnosis[],
  ): void {
    const socket = sockets.find((each) => each.end === end);
    const diagnosis = diagnoses.find((each) => each.end === end);
    const at = `${end} at "${moment}"`;
    const { recvQ, sendQ, owned, cause, waitsIn } = expectation;
    if (recvQ !== undefined) this.#check(`Recv-Q of the ${at}`, recvQ, socket?.recvQ, 'sock_diag');
    if (sendQ !== undefined) this.#check(`Send-Q of the ${at}`, sendQ, socket?.sendQ, 'sock_diag');
    if (owned !== undefined) {
      const seen = socket === undefined ? undefined : socket.inode !== 0;
      this.#check(`a descriptor holds the ${at}`, owned, seen, 'sock_diag');
      if (owned)
        this.#check(`a process holds the ${at}`, true, socket?.owner !== undefined, 'process');
    }
    if (cause !== undefined)
      this.#check(`cause of the ${at}`, cause, diagnosis?.cause, 'sock_diag');
    const call = waitsIn?.[this.#cast.driver];
    if (call !== undefined) {
      this.#check(`the ${at} waits in`, call, diagnosis?.thread?.syscall?.name, 'process');
    }
  }

  /** Ends the observation, holds the story as a whole against the scenario, and returns the connection's frames. */
  async finish(): Promise<CapturedFrame[]> {
    const { instruments } = this;
    const { segments } = this.#scenario;
    await instruments.segments(segments.length, TAIL_MS);
    await instruments.finish();
    const { transitions, packets } = instruments.sees;
    for (const end of ENDS) {
      const [expected, observed] = [this.#scenario.path[end], this.path(end)];
      // Who only looks now and then may miss what passes.
      const ok = transitions ? isSame(observed, expected) : followsPath(observed, expected);
      const source = transitions ? 'tracepoint' : 'polling';
      this.checks.push({ what: `path of the ${end}`, expected, observed, source, ok });
    }
    const frames = instruments.frames;
    if (packets) {
      const flags = frames.map(({ segment }) => segment.flags);
      this.#check('segments of the connection', segments, flags, 'capture');
    }
    for (const { kind, what, values, sources } of instruments.timeline.findings) {
      // What is missing or came late proves nothing against a run, nor does what follows from it.
      if (kind === 'lost' || kind === 'late' || sources.some((each) => this.#gaps.has(each)))
        continue;
      const source = sources[0] ?? 'scenario';
      this.checks.push({
        what,
        expected: 'sources that agree',
        observed: values,
        source,
        ok: false,
      });
    }
    return frames;
  }

  /** The states that an end went through so far; by the samples alone where transitions were lost. */
  path(end: End): TcpState[] {
    const { timeline, sees } = this.instruments;
    const events = timeline.events.filter(
      (event) => sees.transitions || event.source !== 'tracepoint',
    );
    return pathOf(events, end);
  }

  /** The observers that lost something. */
  get #gaps(): ReadonlySet<string> {
    return new Set(
      this.instruments.reports.flatMap(({ name, lost = 0 }) => (lost > 0 ? [name] : [])),
    );
  }

  /** Whether all that failed is what an observer with gaps would say of any run. */
  get inDoubt(): boolean {
    return this.checks.every(({ ok, source }) => ok || this.#gaps.has(source));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.instruments[Symbol.asyncDispose]();
  }
}

function isSame(observed: readonly string[], expected: readonly string[]): boolean {
  return observed.join() === expected.join();
}
