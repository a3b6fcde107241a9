import type { End } from '../driver/role.js';
import { Polling } from '../observer/polling.js';
import type { FourTuple, SockDiag } from '../observer/sock-diag.js';
import { TracepointObserver, type TracepointOptions } from '../observer/tracepoint.js';
import type { Endpoint } from '../tcp/address.js';
import type { Segment } from '../tcp/segment.js';
import type { SocketRow } from '../tcp/socket-table.js';
import { attempt, attemptAll } from './attempt.js';
import { untold } from './disagreement.js';
import { openDiags } from './eyes.js';
import type { Feed } from './feed.js';
import { reportOf } from './observer-report.js';
import { Packets } from './packets.js';
import type { Place } from './place.js';
import type { CapturedFrame, ObserverReport } from './record.js';
import { makesTcpSocket } from './tcp-call.js';
import { Timeline } from './timeline.js';
import { plain } from './who.js';

const POLL_MS = 1;
/** Thousands of events between two polls, where a story makes some hundred: what is larger has to be cleared each time. */
const RING_BYTES = 1 << 20;
const UNWANTED = 'the run was to be unobserved';
const UNKNOWN = 'on the host only a server that listens tells what to look for, and none did';
const OVER = 'the run has ended';

/** What of the place is known from the start. */
export interface InstrumentsOptions {
  /** The threads that act the ends: their calls are followed. */
  readonly threads: ReadonlyMap<number, End>;
  readonly family: 4 | 6;
  /** False: only sockets' states are looked at, since somebody has to tell a scenario that waits. */
  readonly observed: boolean;
}

/** Tracepoints on the timeline; disposed of, they are off it. */
interface Trace extends AsyncDisposable {
  readonly observer: TracepointObserver;
}

/** The observers of one run, all on one timeline. */
export class Instruments implements AsyncDisposable {
  readonly timeline: Timeline;
  /** What ended an observer before its time: the run proves nothing then. */
  failure: Error | undefined;
  /** What was refused to an observer during the run, and why. */
  readonly refused = new Map<string, string>();
  readonly #place: Place;
  readonly #options: InstrumentsOptions;
  readonly #diags: Readonly<Record<End, SockDiag>>;
  readonly #polling: Record<End, Polling>;
  readonly #story: Feed;
  readonly #looking: Promise<void>[] = [];
  /** Of sockets and of the ends' threads. */
  #traces: Trace[] | string = UNWANTED;
  /** Of the programs' calls: they are started after the rest. */
  readonly #callTraces: Trace[] = [];
  #packets: Packets[] | string = UNWANTED;
  #waitsForPort = false;
  #server: Endpoint | undefined;
  #client: Endpoint | undefined;
  #ended = false;
  /**
   * States that the kernel's own table showed and no hit told of. A kernel may keep what some thread is at from BPF and perf,
   * as those of micro-VMs do for their supervisor's, and what interrupts that thread with it: no counter tells.
   */
  #untold = 0;

  private constructor(
    place: Place,
    options: InstrumentsOptions,
    diags: Readonly<Record<End, SockDiag>>,
  ) {
    this.#place = place;
    this.#options = options;
    this.#diags = diags;
    this.timeline = new Timeline({ ends: place.ends });
    this.#story = this.timeline.open({ name: 'scenario', latenessNs: 0, delivers: 'promptly' });
    this.#polling = { client: this.#poll('client'), server: this.#poll('server') };
  }

  /** Starts all that may run in a place; they stop with this object. */
  static async start(place: Place, options: InstrumentsOptions): Promise<Instruments> {
    const instruments = new Instruments(place, options, await openDiags(place));
    if (!options.observed) return instruments;
    for (const [tid, end] of options.threads) instruments.timeline.threadActs(tid, end);
    // The host has other traffic: there it is known only when the server listens what to look for.
    if (place.kind === 'host') {
      instruments.#waitsForPort = true;
      instruments.#traces = UNKNOWN;
      instruments.#packets = UNKNOWN;
      return instruments;
    }
    try {
      await instruments.#observe();
    } catch (error) {
      await instruments[Symbol.asyncDispose]();
      throw error;
    }
    return instruments;
  }

  /** Starts to trace and to capture: everything, or the sockets of one port. */
  async #observe(port?: number): Promise<void> {
    this.#traces = await this.#trace(port);
    this.#packets = await this.#tap(port);
  }

  async #trace(port: number | undefined): Promise<Trace[] | string> {
    const ports = port === undefined ? {} : { ports: [port] };
    let threads = [...this.#options.threads.keys()];
    const { client, server } = this.#place;
    return await attemptAll(new Set([client.inode, server.inode]), (netns) => {
      const calls = threads.length > 0 && { threads };
      // One observer follows them all, wherever they are.
      threads = [];
      return this.#follow({ netns, ...ports, ...calls });
    });
  }

  async #tap(port: number | undefined): Promise<Packets[] | string> {
    return await attemptAll(this.#place.taps, async (tap) => {
      const packets = await attempt(() => Packets.start(tap, this.timeline, port), 'CAP_NET_RAW');
      if (typeof packets === 'string') return packets;
      packets.onFailure = (error) => {
        this.failure ??= error;
      };
      return packets;
    });
  }

  /** Looks at one end, again and again. */
  #poll(end: End): Polling {
    const looks = this.timeline.open({
      ...{ name: 'polling', latenessNs: POLL_MS * 1e6, states: 'samples' },
    });
    const polling = Polling.start({
      diag: this.#diags[end],
      everyMs: POLL_MS,
      onChange: ({ tNs, state, latenessNs }) => {
        if (state === undefined) return;
        // Before the first look it may have been so since the run began.
        const late = latenessNs ?? Number(tNs - this.timeline.originNs);
        looks.push({ kind: 'state', tNs, end, state, latenessNs: late });
      },
      onLook: (beganNs) => {
        this.client();
        looks.advance(beganNs);
      },
    });
    const look = async (): Promise<void> => {
      // Nothing comes this way but the error that ends it.
      for await (const _ of polling);
    };
    this.#looking.push(
      look().catch((error: Error) => {
        this.failure ??= error;
        looks.fail(error);
      }),
    );
    return polling;
  }

  /** Puts tracepoints on the timeline: sockets and calls, or the calls of some threads alone. */
  async #follow(options: TracepointOptions): Promise<Trace | string> {
    const ofProgram = options.sockets === false;
    const of = ofProgram ? {} : { states: 'transitions' as const };
    // What a program does before it has a TCP socket is its runtime starting up.
    let awake = !ofProgram;
    let feed: Feed | undefined;
    const observer = await attempt(
      () =>
        TracepointObserver.start({
          ...options,
          ringBytes: RING_BYTES,
          onEvent: (event) => {
            awake ||= event.kind === 'enter' && makesTcpSocket(event);
            if (awake) feed?.push(event);
          },
          onSettled: (untilNs) => feed?.advance(untilNs),
          onFailure: (error) => {
            this.failure ??= error;
            feed?.fail(error);
          },
        }),
      'CAP_BPF and CAP_PERFMON',
    );
    if (typeof observer === 'string') return observer;
    if (this.#ended || this.timeline.closed) {
      // Interrupted while it started, or another observer has failed: nobody else would stop it.
      await observer.stop();
      return OVER;
    }
    const opened = this.timeline.open({ name: 'tracepoint', latenessNs: 0, ...of });
    feed = opened;
    return {
      observer,
      async [Symbol.asyncDispose]() {
        opened.close();
        await observer.stop();
      },
    };
  }

  /** A program has been started that acts an end: its calls are followed from here on. */
  async threadActs(tid: number, end: End): Promise<void> {
    this.timeline.threadActs(tid, end);
    // On the host the rest begins when the server listens.
    if (typeof this.#traces === 'string' && !this.#waitsForPort) return;
    const calls = await this.#follow({ sockets: false, threads: [tid] });
    if (typeof calls !== 'string') this.#callTraces.push(calls);
  }

  /** The server listens: from here on its connection can be told from all others. */
  async serverListens(address: Endpoint): Promise<void> {
    this.#server = address;
    if (this.#waitsForPort) {
      this.#waitsForPort = false;
      await this.#observe(address.port);
    } else if (typeof this.#packets !== 'string') {
      // There may be much else on the wire.
      for (const { capture } of this.#packets) capture.attachFilter({ ports: [address.port] });
    }
    const { client, server } = this.#place;
    // An address of the story's own is known; the host's own are everybody's.
    const from =
      this.#place.kind === 'network' ? client.addresses[this.#options.family] : address.address;
    const netns = client.inode === server.inode ? server.inode : undefined;
    this.timeline.serverListens(address, { ...(netns && { netns }), ...(from && { from }) });
  }

  /** The client is not asked for its address: it is one without a socket. */
  clientIs(address: Endpoint): void {
    this.#client = address;
    this.#watch();
  }

  /** The client's address: the kernel gave it, so the kernel is asked. Undefined until there is one. */
  client(): Endpoint | undefined {
    const server = this.#server;
    if (this.#client !== undefined || server === undefined) return this.#client;
    const { family } = this.#options;
    const own = this.#place.kind === 'network' ? undefined : server.address;
    // A client may speak IPv4 by a socket of IPv6: that is in the other family's table, and found by either.
    for (const row of this.#diags.client.snapshot(family === 4 ? {} : { family })) {
      const { remote, inode } = row;
      const local = { ...row.local, address: plain(row.local.address) };
      if (remote.port !== server.port || plain(remote.address) !== server.address) continue;
      // On the host an earlier client of the same port may be in TIME_WAIT still: nobody holds that one.
      if (inode === 0 && this.#place.kind === 'host') continue;
      // One more connection is made from another address.
      if (own !== undefined && local.address !== own) continue;
      this.#client = local;
      this.#watch();
      break;
    }
    return this.#client;
  }

  #watch(): void {
    for (const end of this.#place.ends) this.#polling[end].watch(this.#tuple(end));
  }

  #tuple(end: End): FourTuple {
    const [server, client] = [this.#server, this.#client];
    if (server === undefined || client === undefined) throw new Error('there is no connection yet');
    return end === 'client' ? { local: client, remote: server } : { local: server, remote: client };
  }

  /** The socket of one end, or undefined where the kernel has none: never, or no longer. */
  row(end: End): SocketRow | undefined {
    if (!this.#place.ends.includes(end) || this.client() === undefined) return undefined;
    return this.#diags[end].find(this.#tuple(end));
  }

  /** The server's listening sockets. */
  listeners(): SocketRow[] {
    const port = this.#server?.port;
    return [...this.#diags.server.snapshot({ states: ['LISTEN'] })].filter(
      ({ local }) => local.port === port,
    );
  }

  /** Looks at both ends now: who is told of no transition knows only what a look has found. */
  look(): void {
    for (const polling of Object.values(this.#polling)) polling.look();
  }

  /** The scenario names this moment; the time it has. */
  mark(name: string): number {
    const tNs = process.hrtime.bigint();
    this.#story.push({ kind: 'moment', tNs, name });
    return Number(tNs - this.timeline.originNs);
  }

  /** Waits until so many segments of the connection have been seen, and so many with RST; not for long. */
  async tail(segments: number, resets: number, deadlineMs: number): Promise<void> {
    if (typeof this.#packets === 'string') return;
    const enough = (): boolean => this.frames.length >= segments && this.resets.length >= resets;
    for (const { capture } of this.#packets) await capture.until(enough, deadlineMs);
  }

  /** Has every observer tell all it has seen, and ends the timeline. */
  async finish(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const untilNs = process.hrtime.bigint();
    this.look();
    for (const { observer } of this.#allTraces) await observer.flush();
    if (typeof this.#packets !== 'string') {
      for (const packets of this.#packets) await packets.finish(untilNs);
    }
    this.timeline.close();
    this.#untold = untold(this.timeline.findings, this.timeline.states).length;
  }

  get #allTraces(): Trace[] {
    return [...(typeof this.#traces === 'string' ? [] : this.#traces), ...this.#callTraces];
  }

  /** A client whose connection was over before anybody could look: its SYN has passed. */
  #caller(): Endpoint | undefined {
    const server = this.#server;
    if (server === undefined || typeof this.#packets === 'string') return undefined;
    const from = this.#place.kind === 'network' ? undefined : server.address;
    for (const packets of this.#packets) {
      const caller = packets.caller(server, from);
      if (caller !== undefined) return caller;
    }
    return undefined;
  }

  /** The connection's frames so far, each once, in order. */
  get frames(): CapturedFrame[] {
    if (typeof this.#packets === 'string') return [];
    const client = this.#client ?? this.#caller();
    const frames = this.#packets.flatMap((each) => each.between(this.#server, client));
    return frames.sort((a, b) => a.tNs - b.tNs);
  }

  /** Who sent the connection's resets so far, in order. */
  get resets(): End[] {
    const resets = this.frames.filter(({ segment }) => segment.flags.includes('R'));
    return resets.map(({ segment }) => this.#senderOf(segment));
  }

  #senderOf({ source }: Segment): End {
    const { address, port } = this.#server ?? { address: '', port: 0 };
    return source.port === port && source.address === address ? 'server' : 'client';
  }

  /** Whether packets are seen, and whether every transition is: a hit that was lost may have been any. */
  get sees(): { readonly packets: boolean; readonly transitions: boolean } {
    const traces = this.#traces;
    return {
      packets: typeof this.#packets !== 'string',
      transitions:
        typeof traces !== 'string' &&
        this.#untold === 0 &&
        traces.every(({ observer }) => observer.lost === 0),
    };
  }

  /** Who could look, and who could not. */
  get reports(): ObserverReport[] {
    return this.#started.map((report) => {
      const reason = this.refused.get(report.name);
      return reason === undefined ? report : { name: report.name, available: false, reason };
    });
  }

  get #started(): ObserverReport[] {
    const available = true;
    return [
      { name: 'TCP_INFO', available, latenessNs: 0 },
      { name: 'sock_diag', available, latenessNs: 0 },
      { name: 'polling', available, latenessNs: POLL_MS * 1e6 },
      reportOf('capture', this.#packets, ({ capture, lost }) => ({
        ...{ via: capture.via, latenessNs: Number(capture.clockErrorNs), lost },
        clockSetMs: capture.clockSteps.map(({ byNs }) => Number(byNs) / 1e6),
      })),
      reportOf('tracepoint', this.#traces, ({ observer: { via, lost } }) => ({
        ...{ via, latenessNs: 0, lost: Math.max(lost, this.#untold), clockSetMs: [] },
      })),
      { name: 'process', available, latenessNs: 0 },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.timeline.close();
    for (const polling of Object.values(this.#polling)) await polling.stop();
    await Promise.all(this.#looking);
    if (typeof this.#packets !== 'string') {
      for (const packets of this.#packets) await packets[Symbol.asyncDispose]();
    }
    await Promise.all(this.#allTraces.map((trace) => trace[Symbol.asyncDispose]()));
    for (const diag of Object.values(this.#diags)) diag.close();
  }
}
