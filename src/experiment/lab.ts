import { setTimeout as tick } from 'node:timers/promises';
import type { Cast, End } from '../driver/role.js';
import { Capture } from '../observer/capture.js';
import { holdersOf, threadsOf } from '../observer/process.js';
import { SockDiag } from '../observer/sock-diag.js';
import { tcpState } from '../observer/tcp-info.js';
import { TracepointObserver } from '../observer/tracepoint.js';
import type { Scenario, SocketExpectation, Stage } from '../scenario/scenario.js';
import type { Endpoint } from '../tcp/address.js';
import { causeOf } from '../tcp/cause.js';
import type { SocketRow } from '../tcp/socket-table.js';
import { followsPath, type TcpState, type TcpStateName } from '../tcp/states.js';
import type { World } from '../world/world.js';
import type {
  CapturedFrame,
  Check,
  Diagnosis,
  Moment,
  MomentSocket,
  ObserverReport,
  RunEvent,
  Source,
} from './record.js';
import { asTraced, transitionsOf, wholePath } from './transitions.js';

const DEADLINE_MS = 10_000;
const POLL_MS = 1;
const ENDS: readonly End[] = ['client', 'server'];

/** Opens a capture where this process may, else says why not. */
async function openCapture(world: World): Promise<Capture | string> {
  try {
    return await Capture.start(await world.actor('capture'));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return error.code === 'EPERM' ? `needs CAP_NET_RAW (${error.message})` : error.message;
  }
}

/** Opens the tracepoints of a world where this process may, else says why not. */
async function openTracepoints(world: World): Promise<TracepointObserver | string> {
  try {
    return await TracepointObserver.start({ netns: world.inode });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return error.message;
  }
}

/** What a lab may be told besides what to run. */
export interface LabOptions {
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
  /** Called when every observer has looked; the scenario goes on when it has resolved. */
  readonly onMoment?: ((moment: Moment) => Promise<void>) | undefined;
}

/** The observers of one run, and the stage that a scenario plays on in front of them. */
export class Lab implements Stage, AsyncDisposable {
  readonly server: Cast['server'];
  readonly client: Cast['client'];
  readonly checks: Check[] = [];
  readonly events: RunEvent[] = [];
  readonly moments: Moment[] = [];
  readonly paths: Record<End, TcpState[]> = { client: [], server: [] };
  readonly #scenario: Scenario;
  readonly #cast: Cast;
  readonly #diag: SockDiag;
  readonly #capture: Capture | string;
  readonly #trace: TracepointObserver | string;
  readonly #start = process.hrtime.bigint();
  readonly #signal: AbortSignal | undefined;
  readonly #onMoment: LabOptions['onMoment'];
  #clientAddress: Endpoint | undefined;

  private constructor(
    scenario: Scenario,
    cast: Cast,
    diag: SockDiag,
    capture: Capture | string,
    trace: TracepointObserver | string,
    { signal, onMoment }: LabOptions,
  ) {
    this.#signal = signal;
    this.#onMoment = onMoment;
    this.#scenario = scenario;
    this.#cast = cast;
    this.server = this.#watched(cast.server);
    this.client = cast.client;
    const connect = this.client.connect.bind(this.client);
    this.client.connect = async (to) => {
      await connect(to);
      // Now it is held; later its address may be nobody's.
      this.#findClient(to);
    };
    this.#diag = diag;
    this.#capture = capture;
    this.#trace = trace;
  }

  /** Sets up the observers in a world. They stop with the lab; the cast stays the caller's. */
  static async open(
    scenario: Scenario,
    world: World,
    cast: Cast,
    options: LabOptions = {},
  ): Promise<Lab> {
    const actor = await world.actor('sock_diag');
    const diag = new SockDiag(await actor.socket(...SockDiag.socket));
    await actor.stop();
    return new Lab(
      scenario,
      cast,
      diag,
      await openCapture(world),
      await openTracepoints(world),
      options,
    );
  }

  get #now(): number {
    return Number(process.hrtime.bigint() - this.#start);
  }

  /** The server, whose port the capture is narrowed to as soon as it listens: lo may carry much else. */
  #watched(server: Cast['server']): Cast['server'] {
    const listen = server.listen.bind(server);
    server.listen = async () => {
      const address = await listen();
      if (this.#capture instanceof Capture) this.#capture.attachFilter({ ports: [address.port] });
      return address;
    };
    return server;
  }

  expect = (what: string, expected: unknown, observed: unknown): void => {
    this.#check(what, expected, observed, 'scenario');
  };

  #check(what: string, expected: unknown, observed: unknown, source: Source): void {
    const ok = JSON.stringify(expected) === JSON.stringify(observed);
    this.checks.push({ what, expected, observed, source, ok });
  }

  #see(end: End, state: TcpState, source: Source): void {
    if (this.paths[end].at(-1) === state) return;
    this.paths[end].push(state);
    this.events.push({ tNs: this.#now, source, end, kind: 'state', state });
  }

  /** The client's address: the kernel gave it, so the kernel is asked. */
  #findClient(server: Endpoint): Endpoint | undefined {
    if (this.#clientAddress !== undefined) return this.#clientAddress;
    for (const { remote, local, inode } of this.#diag.snapshot({ family: 4 })) {
      // On the host an earlier client of the same port may be in TIME_WAIT still: nobody holds that one.
      if (remote.port === server.port && remote.address === server.address && inode !== 0) {
        this.#clientAddress = local;
      }
    }
    return this.#clientAddress;
  }

  /** The row of one end, or undefined where the kernel has none: never, or no longer. */
  #row(end: End): SocketRow | undefined {
    const server = this.server.address;
    const client = server === undefined ? undefined : this.#findClient(server);
    if (server === undefined || client === undefined) return undefined;
    return end === 'client'
      ? this.#diag.find({ local: client, remote: server })
      : this.#diag.find({ local: server, remote: client });
  }

  #look(end: End): TcpState {
    const state = this.#row(end)?.state ?? 'CLOSE';
    // Before the connection there is nothing to see; CLOSE means something only after it.
    if (state !== 'CLOSE' || this.paths[end].length > 0) this.#see(end, state, 'sock_diag');
    return state;
  }

  reach = async (states: Partial<Readonly<Record<End, TcpStateName>>>): Promise<void> => {
    const wanted = ENDS.filter((end) => states[end] !== undefined);
    const deadline = performance.now() + DEADLINE_MS;
    while (!wanted.every((end) => this.#look(end) === states[end])) {
      if (performance.now() > deadline) {
        const seen = wanted.map((end) => `${end}: ${this.paths[end].join(' > ') || 'nothing'}`);
        throw new Error(
          `expected ${wanted.map((end) => `${end} in ${states[end]}`).join(' and ')} within ` +
            `${DEADLINE_MS / 1000} s; observed ${seen.join('; ')}`,
        );
      }
      this.#signal?.throwIfAborted();
      await tick(POLL_MS);
    }
    for (const end of wanted) {
      const expected = states[end];
      const own = this.#ask(end);
      // Two that know nothing of each other: the socket's own answer, and the kernel's table.
      if (own !== undefined) this.#check(`${end} is in ${expected}`, expected, own, 'TCP_INFO');
      this.#check(`${end} is in ${expected}`, expected, this.#look(end), 'sock_diag');
    }
  };

  #ask(end: End): TcpState | undefined {
    return this[end].withDescriptor(tcpState);
  }

  moment = async (name: string): Promise<void> => {
    const tNs = this.#now;
    this.events.push({ tNs, source: 'scenario', end: null, kind: 'moment', name });
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
    await this.#onMoment?.(moment);
  };

  /** The experiment's sockets, listener first, then client and server. */
  #sockets(): MomentSocket[] {
    const server = this.server.address;
    if (server === undefined) return [];
    const rows: [MomentSocket['end'], SocketRow][] = [];
    for (const row of this.#diag.snapshot({ states: ['LISTEN'] })) {
      if (row.local.port === server.port) rows.push(['listener', row]);
    }
    for (const end of ENDS) {
      const row = this.#row(end);
      if (row !== undefined) rows.push([end, row]);
    }
    const pids = new Set(ENDS.flatMap((end) => this[end].pid ?? []));
    const inodes = rows.map(([, { inode }]) => inode).filter((inode) => inode !== 0);
    const { holders } = holdersOf(inodes, { pids });
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
    const program = this[end].program;
    if (program === undefined) return [{ end, ...found }];
    const thread = threadsOf(owner?.pid ?? program.tid).find(({ tid }) => tid === program.tid);
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

  /** Ends the capture, holds the story as a whole against the scenario, and returns the connection's frames. */
  async finish(): Promise<CapturedFrame[]> {
    for (const end of ENDS) {
      const [expected, observed] = [this.#scenario.path[end], this.paths[end]];
      const ok = followsPath(observed, expected);
      this.checks.push({ what: `path of the ${end}`, expected, observed, source: 'sock_diag', ok });
    }
    await this.#finishTrace();
    if (!(this.#capture instanceof Capture)) return [];
    const expected = this.#scenario.segments;
    await this.#capture.until(() => this.#connection().length >= expected.length, POLL_MS * 100);
    await this.#capture.stop();
    const frames = this.#connection();
    const flags = frames.map(({ segment }) => segment.flags);
    this.#check('segments of the connection', expected, flags, 'capture');
    for (const { tNs, segment } of frames) {
      const end = segment.source.port === this.server.address?.port ? 'server' : 'client';
      const { flags, payloadLength } = segment;
      this.events.push({ tNs, source: 'capture', end, kind: 'segment', flags, payloadLength });
    }
    this.events.sort((a, b) => a.tNs - b.tNs);
    return frames;
  }

  /** Puts the kernel's own account of every transition beside what the pollers saw of it. */
  async #finishTrace(): Promise<void> {
    const [server, client] = [this.server.address, this.#clientAddress];
    if (typeof this.#trace === 'string' || server === undefined || client === undefined) return;
    await this.#trace.flush();
    const transitions = transitionsOf(this.#trace.events, { client, server });
    for (const end of ENDS) {
      const traced = transitions.filter((each) => each.end === end).map(({ state }) => state);
      const expected = asTraced(this.#scenario.path[end]);
      this.#check(`transitions of the ${end}`, expected, traced, 'tracepoint');
      this.paths[end] = wholePath(traced, this.paths[end]);
    }
    for (const { end, state, tNs } of transitions) {
      const since = Number(tNs - this.#start);
      this.events.push({ tNs: since, source: 'tracepoint', end, kind: 'state', state });
    }
    this.events.sort((a, b) => a.tNs - b.tNs);
  }

  #connection(): CapturedFrame[] {
    if (!(this.#capture instanceof Capture)) return [];
    const ports = [this.server.address?.port, this.#clientAddress?.port];
    return this.#capture.frames.flatMap(({ realtimeNs, monotonicNs, bytes, segment }) =>
      // On the host's network a stranger may have had one of the ports a moment before; not both.
      segment !== undefined &&
      ports.includes(segment.source.port) &&
      ports.includes(segment.destination.port)
        ? [{ realtimeNs, tNs: Number(monotonicNs - this.#start), bytes, segment }]
        : [],
    );
  }

  /** Whether all that failed is what an observer with gaps would say of any run. */
  get inDoubt(): boolean {
    const gaps = new Set<Source>();
    if (this.#capture instanceof Capture && this.#capture.dropped > 0) gaps.add('capture');
    if (typeof this.#trace !== 'string' && this.#trace.lost > 0) gaps.add('tracepoint');
    return gaps.size > 0 && this.checks.every(({ ok, source }) => ok || gaps.has(source));
  }

  /** Who could look, and who could not. */
  get observers(): ObserverReport[] {
    const [capture, trace] = [this.#capture, this.#trace];
    const pollNs = POLL_MS * 1e6;
    return [
      { name: 'TCP_INFO', available: true, latenessNs: 0 },
      { name: 'sock_diag', available: true, latenessNs: pollNs },
      capture instanceof Capture
        ? {
            name: 'capture',
            available: true,
            via: capture.via,
            latenessNs: Number(capture.clockErrorNs),
            lost: capture.dropped,
          }
        : { name: 'capture', available: false, reason: capture },
      typeof trace === 'string'
        ? { name: 'tracepoint', available: false, reason: trace }
        : { name: 'tracepoint', available: true, via: trace.via, latenessNs: 0, lost: trace.lost },
      { name: 'process', available: true, latenessNs: 0 },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#capture instanceof Capture) await this.#capture[Symbol.asyncDispose]();
    if (typeof this.#trace !== 'string') await this.#trace.stop();
    this.#diag.close();
  }
}
