import { isDeepStrictEqual } from 'node:util';
import { MayNotLook } from '../driver/borrow.js';
import { CannotExpress, type Cast, type End, type Role } from '../driver/role.js';
import { inodeOf } from '../observer/proc.js';
import { type Holder, holdersOf, isHidden, threadsOf } from '../observer/process.js';
import { tcpInfo, tcpState } from '../observer/tcp-info.js';
import { until } from '../observer/until.js';
import type {
  ReachOptions,
  Scenario,
  SocketExpectation,
  Stage,
  TimerOptions,
} from '../scenario/scenario.js';
import { causeOf, type SocketFacts, wasConnected } from '../tcp/cause.js';
import type { SocketRow, TimerName } from '../tcp/socket-table.js';
import { followsPath, type TcpState, type TcpStateName } from '../tcp/states.js';
import type { Link } from '../world/link.js';
import type { Wire } from '../world/wire.js';
import type { Source } from './event.js';
import { Instruments } from './instruments.js';
import { asJson } from './json-value.js';
import { gapsIn } from './observer-report.js';
import { isSampleOf, listenerPathOf, pathOf } from './path.js';
import type { Place } from './place.js';
import type { CapturedFrame, Check, Diagnosis, Left, Moment, MomentSocket } from './record.js';
import { flagsOf } from './repeats.js';
import { checkAct, checkMoment, checkWaiting, timerOf, wantedOf } from './request.js';

const DEADLINE_MS = 10_000;
const AGREEMENT = 'sources that agree';
/** A last segment may be on its way when the story is over: a delayed ACK takes 40 ms. */
const TAIL_MS = 200;
const ENDS: readonly End[] = ['client', 'server'];

/** What a lab may be told besides what to run. */
export interface LabOptions {
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
  /** Called when every observer has looked; the scenario goes on when it has resolved. */
  readonly onMoment?: ((moment: Moment) => Promise<void>) | undefined;
  /** False leaves out every observer that nobody waits for. */
  readonly observed: boolean;
  readonly family: 4 | 6;
}

/** The stage that a scenario plays on, and its jury: holds what the instruments saw against what should be. */
export class Lab implements Stage, AsyncDisposable {
  readonly server: Cast['server'];
  readonly client: Cast['client'];
  readonly checks: Check[] = [];
  readonly moments: Moment[] = [];
  /** What was there when the story was over. */
  left: Left = { sockets: [], tcpInfo: {}, diagnoses: [] };
  readonly instruments: Instruments;
  readonly #scenario: Scenario;
  readonly #place: Place;
  readonly #cast: Cast;
  readonly #options: LabOptions;
  #over = false;

  private constructor(
    scenario: Scenario,
    place: Place,
    cast: Cast,
    instruments: Instruments,
    options: LabOptions,
  ) {
    this.#scenario = scenario;
    this.#place = place;
    this.#cast = cast;
    this.#options = options;
    this.instruments = instruments;
    this.server = cast.server;
    this.client = cast.client;
    cast.onListen = async (address) => {
      await instruments.serverListens(address);
      const { wire, ends } = place;
      if (wire !== undefined && !ends.includes('client')) instruments.clientIs(wire.local);
    };
    cast.onDiscard = (end, on) => instruments.timeline.discards(end, on);
    cast.onStart = (tid, end) => instruments.threadActs(tid, end);
  }

  /** Sets up the observers in a place. They stop with the lab; place and cast stay the caller's. */
  static async open(
    scenario: Scenario,
    place: Place,
    cast: Cast,
    options: LabOptions,
  ): Promise<Lab> {
    const threads = place.ends.flatMap((end) => {
      const { tid } = cast[end];
      return tid === undefined ? [] : [[tid, end] as const];
    });
    const { observed, family } = options;
    const instruments = await Instruments.start(place, {
      ...{ observed, family, threads: new Map(threads) },
    });
    const lab = new Lab(scenario, place, cast, instruments, options);
    // A wire needs no call to be reached.
    if (!place.ends.includes('server') && place.wire !== undefined) {
      await instruments.serverListens(place.wire.local);
    }
    return lab;
  }

  get link(): Link {
    return given(this.#place.link, 'link');
  }

  get wire(): Wire {
    return given(this.#place.wire, 'wire');
  }

  expect = (what: string, expected: unknown, observed: unknown): void => {
    this.#check(what, expected, observed, 'scenario');
  };

  #check(what: string, expected: unknown, observed: unknown, source: Source): void {
    if (this.#over) throw new Error(`${what}: the run is over, and its verdict was given`);
    // What may not be looked at is left unsaid.
    if (source === 'process' && !observed && this.instruments.refused.has(source)) return;
    const ok = isDeepStrictEqual(expected, observed);
    this.checks.push({ what, expected: asJson(expected), observed: asJson(observed), source, ok });
  }

  fails = async (what: string, code: string, act: Promise<unknown>): Promise<void> => {
    checkAct(act);
    let observed: unknown = 'no error';
    try {
      await act;
    } catch (error) {
      // What has no code is no answer of the kernel's, and what cannot be said was not done.
      if (error instanceof CannotExpress) throw error;
      if (!(error instanceof Error && 'code' in error)) throw error;
      observed = error.code;
    }
    this.#check(what, code, observed, 'scenario');
  };

  reach = async (
    states: Partial<Readonly<Record<End, TcpStateName>>>,
    options: ReachOptions = {},
  ): Promise<void> => {
    const wanted = wantedOf(states, options, this.#place.ends);
    const { deadlineMs = DEADLINE_MS } = options;
    const over = new AbortController();
    const { signal } = this.#options;
    const either = AbortSignal.any(signal ? [over.signal, signal] : [over.signal]);
    const { timeline } = this.instruments;
    try {
      await Promise.all(
        wanted.map((each) => timeline.waitFor(each, { deadlineMs, signal: either })),
      );
    } finally {
      over.abort();
    }
    this.instruments.look();
    for (const { end, state } of wanted) {
      // Two that know nothing of each other: the socket's own answer, and the kernel's table.
      const own = this.#ask(end);
      // Its descriptor has nothing to do with TIME_WAIT any more: the connection is a mini-socket's.
      const told = state === 'TIME_WAIT' ? 'CLOSE' : state;
      if (own !== undefined) this.#check(`${end} is in ${state}`, told, own, 'TCP_INFO');
      const row = this.instruments.row(end)?.state ?? 'CLOSE';
      this.#check(`${end} is in ${state}`, state, row, 'sock_diag');
    }
  };

  timer = async (end: End, name: TimerName, options: TimerOptions = {}): Promise<void> => {
    const { belowMs } = timerOf(end, name, options, this.#place.ends);
    await this.#until(`the ${end} with timer ${name}`, () => {
      const { timer, timerMs = 0 } = this.instruments.row(end) ?? {};
      return [timer === name && timerMs < belowMs, [timer, timerMs]];
    });
  };

  blocked = async (role: Role, call: string): Promise<void> => {
    checkWaiting(role, call);
    const { driver } = this.#cast;
    if (!role.blocks) throw new CannotExpress(driver, `a thread that waits in ${call}()`);
    await this.#until(`the ${role.end} to wait in ${call}`, () => {
      const thread = threadsOf(given(role.pid, 'process')).find(({ tid }) => tid === role.tid);
      if (isHidden(thread)) throw new MayNotLook(thread.reason);
      return [thread?.syscall?.name === call, thread?.syscall?.name ?? thread?.reason];
    });
  };

  async #until(what: string, look: () => readonly [ok: boolean, seen: unknown]): Promise<void> {
    const { signal } = this.#options;
    const [ok, seen] = await until(look, ([ok]) => ok, { deadlineMs: DEADLINE_MS, signal });
    if (ok) return;
    const within = `within ${DEADLINE_MS / 1000} s`;
    throw new Error(`expected ${what} ${within}, observed ${JSON.stringify(seen)}`);
  }

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
    checkMoment(name);
    const tNs = this.instruments.mark(name);
    const moment = { name, tNs, ...this.#look() };
    this.moments.push(moment);
    const expected = this.#scenario.expected?.[name] ?? {};
    for (const end of ENDS) {
      const expectation = expected[end];
      if (expectation !== undefined) this.#hold(end, expectation, moment);
    }
    await this.#options.onMoment?.(moment);
  };

  /** The experiment's sockets, listener first, then client and server, and why each stays. */
  #look(): Left {
    this.instruments.look();
    const own: Partial<Record<End, TcpState>> = {};
    const rows: [MomentSocket['end'], SocketRow][] = [];
    for (const row of this.instruments.listeners()) rows.push(['listener', row]);
    const facts: [End, Omit<SocketFacts, 'holders'>][] = [];
    for (const end of ENDS) {
      const state = this.#ask(end);
      if (state !== undefined) own[end] = state;
      const row = this.instruments.row(end);
      if (row !== undefined) rows.push([end, row]);
      const each = row ?? this.#ghost(end);
      if (each !== undefined) facts.push([end, each]);
    }
    const pids = new Set(ENDS.flatMap((end) => this[end].pid ?? []));
    const inodes = [...rows, ...facts].map(([, { inode }]) => inode).filter(Boolean);
    const { holders, incomplete } = holdersOf(inodes, { pids });
    for (const reason of incomplete) this.instruments.refused.set('process', reason);
    const sockets = rows.map(([end, row]) => {
      const [owner] = holders.get(row.inode) ?? [];
      const { family, state, recvQ, sendQ, local, remote, inode, timer, timerMs } = row;
      return {
        end,
        ...{ family, state, recvQ, sendQ, local, remote, inode, timer, timerMs },
        ...(owner && { owner: { pid: owner.pid, fd: owner.fd, program: owner.program } }),
      };
    });
    const diagnoses = facts.flatMap(([end, each]) =>
      this.#diagnose(end, each, holders.get(each.inode) ?? []),
    );
    return { sockets, tcpInfo: own, diagnoses };
  }

  /** A descriptor whose connection is gone: sock_diag has it no more, so it is asked itself. */
  #ghost(end: End): Omit<SocketFacts, 'holders'> | undefined {
    const seen = this.#unlessRefused('TCP_INFO', () =>
      this[end].withDescriptor((fd) => ({ inode: inodeOf(fd), info: tcpInfo(fd) })),
    );
    if (seen?.info.state !== 'CLOSE') return undefined;
    const { inode, info } = seen;
    const connected = wasConnected(info);
    return { state: 'CLOSE', recvQ: 0, sendQ: 0, inode, timer: 'off', connected };
  }

  #diagnose(
    end: End,
    facts: Omit<SocketFacts, 'holders'>,
    holders: readonly Holder[],
  ): Diagnosis[] {
    const found = causeOf({ ...facts, holders });
    if (found === undefined) return [];
    const { program, pid, tid } = this[end];
    if (program === undefined || pid === undefined) return [{ end, ...found }];
    const thread = this.#unlessRefused('process', () =>
      threadsOf(holders[0]?.pid ?? pid).find((each) => each.tid === tid),
    );
    if (isHidden(thread)) this.instruments.refused.set('process', thread.reason);
    const { missingCall: missing } = program;
    return [{ end, ...found, ...(thread && { thread }), ...(missing && { missing }) }];
  }

  #hold(end: End, expectation: SocketExpectation, { name, sockets, diagnoses }: Moment): void {
    const socket = sockets.find((each) => each.end === end);
    const diagnosis = diagnoses.find((each) => each.end === end);
    const at = `${end} at "${name}"`;
    const { recvQ, sendQ, owned, timer, cause, waitsIn } = expectation;
    if (recvQ !== undefined) this.#check(`Recv-Q of the ${at}`, recvQ, socket?.recvQ, 'sock_diag');
    if (sendQ !== undefined) {
      const queued = socket?.sendQ ?? 0;
      const seen = sendQ === 'some' && queued > 0 ? 'some' : socket?.sendQ;
      this.#check(`Send-Q of the ${at}`, sendQ, seen, 'sock_diag');
    }
    if (timer !== undefined) this.#check(`timer of the ${at}`, timer, socket?.timer, 'sock_diag');
    if (owned !== undefined) {
      const seen = socket === undefined ? undefined : socket.inode !== 0;
      this.#check(`a descriptor holds the ${at}`, owned, seen, 'sock_diag');
      if (owned)
        this.#check(`a process holds the ${at}`, true, socket?.owner !== undefined, 'process');
    }
    if (cause !== undefined)
      this.#check(`cause of the ${at}`, cause, diagnosis?.cause, 'sock_diag');
    const call = waitsIn?.[this.#cast.driver];
    const waits = diagnosis?.thread?.syscall?.name;
    // Which call a thread goes on with after SIGCONT is not told.
    if (call !== undefined && waits !== 'restart_syscall') {
      this.#check(`the ${at} waits in`, call, waits, 'process');
    }
  }

  /** Ends the observation, holds the story as a whole against the scenario, and returns the connection's frames. */
  async finish(): Promise<CapturedFrame[]> {
    const { instruments } = this;
    const { segments, resets = [], listener, momentary = {}, expected = {} } = this.#scenario;
    for (const name of Object.keys(expected)) {
      if (this.moments.some((moment) => moment.name === name)) continue;
      // What is expected of it has not been held against anything.
      this.#check(`moment "${name}"`, 'comes', 'never came', 'scenario');
    }
    await instruments.tail(segments?.length ?? 0, resets.length, TAIL_MS);
    this.left = this.#look();
    await instruments.finish();
    const { transitions, packets } = instruments.sees;
    for (const end of this.#place.ends) {
      const [wanted = [], observed] = [this.#scenario.path[end], this.path(end)];
      const [source, ok] = transitions
        ? (['tracepoint', observed.join() === wanted.join()] as const)
        : // Who only looks now and then may miss what passes.
          (['polling', followsPath(observed, wanted, momentary[end])] as const);
      this.checks.push({ what: `path of the ${end}`, expected: wanted, observed, source, ok });
    }
    if (listener !== undefined && transitions) {
      const observed = listenerPathOf(instruments.timeline.states);
      this.#check('path of the listener', listener, observed, 'tracepoint');
    }
    const frames = instruments.frames;
    if (packets) {
      if (segments !== undefined) {
        const flags = flagsOf(frames, segments);
        this.#check('segments of the connection', segments, flags, 'capture');
      }
      const senders = instruments.resets;
      this.#check('resets of the connection, by their senders', resets, senders, 'capture');
    }
    const gaps = gapsIn(instruments.reports);
    for (const { kind, what, values, sources } of instruments.timeline.findings) {
      // What is missing or came late proves nothing against a run, nor does what follows from it.
      if (kind === 'lost' || kind === 'late' || sources.some((each) => gaps.has(each))) continue;
      const source = sources[0] ?? 'scenario';
      this.checks.push({ what, expected: AGREEMENT, observed: values, source, ok: false });
    }
    this.#over = true;
    return frames;
  }

  /** The states that an end went through so far; by the samples alone where transitions were lost. */
  path(end: End): TcpState[] {
    const { timeline, sees } = this.instruments;
    const events = timeline.states.filter(
      (event) => sees.transitions || event.source !== 'tracepoint',
    );
    return pathOf(events, end);
  }

  /** Whether all that failed is what an observer with gaps would say of any run. */
  get inDoubt(): boolean {
    const gaps = gapsIn(this.instruments.reports);
    return this.checks.every(
      ({ ok, source, expected, observed }) =>
        ok ||
        gaps.has(source) ||
        (source === 'polling' && isSampleOf(observed as string[], expected as string[])),
    );
  }

  /** The end of which a state was to be the proof, and which nobody has seen in it. */
  get unproved(): string | undefined {
    for (const [end, state] of Object.entries(this.#scenario.proof ?? {})) {
      if (!this.path(end as End).includes(state)) return `${end} was not seen in ${state}`;
    }
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.instruments[Symbol.asyncDispose]();
  }
}

function given<T>(part: T | undefined, name: string): T {
  if (part !== undefined) return part;
  throw new Error(`the scenario has no ${name}: its place must ask for one`);
}
