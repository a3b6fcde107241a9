import type { End } from '../driver/role.js';
import { Capture, type Frame } from '../observer/capture.js';
import { Polling } from '../observer/polling.js';
import { type FourTuple, SockDiag } from '../observer/sock-diag.js';
import { TracepointObserver, type TracepointOptions } from '../observer/tracepoint.js';
import type { Endpoint } from '../tcp/address.js';
import type { SocketRow } from '../tcp/socket-table.js';
import type { World } from '../world/world.js';
import type { Feed } from './feed.js';
import type { CapturedFrame, ObserverReport } from './record.js';
import { Timeline } from './timeline.js';

const POLL_MS = 1;
/** How long no frame may come before the kernel is asked whether there is one. */
const FOLLOW_MS = 20;
/** Between a frame's time stamp and its place in the ring lies the kernel's receive queue. */
const QUEUE_NS = 1_000_000n;
const UNWANTED = 'the run was to be unobserved';

/** Starts an observer where this process may, else says why not. */
async function attempt<T>(start: () => Promise<T>, needs: string): Promise<T | string> {
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return error.code === 'EPERM' ? `needs ${needs} (${error.message})` : error.message;
  }
}

/** The observers of one run, all on one timeline. */
export class Instruments implements AsyncDisposable {
  readonly timeline = new Timeline();
  /** What ended an observer before its time: the run proves nothing then. */
  failure: Error | undefined;
  /** What was refused to an observer during the run, and why. */
  readonly refused = new Map<string, string>();
  readonly #world: World;
  readonly #threads: ReadonlyMap<number, End>;
  #waitsForPort = false;
  readonly #diag: SockDiag;
  readonly #polling: Polling;
  #looking: Promise<void> | undefined;
  readonly #story: Feed;
  #trace: TracepointObserver | string = UNWANTED;
  /** Of the programs' calls: they are started after the rest. */
  readonly #callTraces: TracepointObserver[] = [];
  #capture: Capture | string = UNWANTED;
  #packets: Feed | undefined;
  #handedOn = 0;
  #following: Promise<void> | undefined;
  #server: Endpoint | undefined;
  #client: Endpoint | undefined;
  #ended = false;

  private constructor(world: World, diag: SockDiag, threads: ReadonlyMap<number, End>) {
    this.#world = world;
    this.#threads = threads;
    this.#diag = diag;
    this.#story = this.timeline.open({ name: 'scenario', latenessNs: 0, delivers: 'promptly' });
    this.#polling = this.#poll();
  }

  /**
   * Starts all that may run in a world; they stop with this object. `threads` act the ends: their calls are followed.
   * Unobserved, only sockets' states are looked at: somebody has to tell a scenario that waits.
   */
  static async start(
    world: World,
    threads: ReadonlyMap<number, End>,
    { observed = true }: { readonly observed?: boolean } = {},
  ): Promise<Instruments> {
    const actor = await world.actor('sock_diag');
    const diag = new SockDiag(await actor.socket(...SockDiag.socket));
    await actor.stop();
    const instruments = new Instruments(world, diag, threads);
    if (!observed) return instruments;
    for (const [tid, end] of threads) instruments.timeline.threadActs(tid, end);
    // The host has other traffic: there it is known only when the server listens what to look for.
    if (world.kind === 'host') instruments.#waitsForPort = true;
    else await instruments.#observe();
    return instruments;
  }

  /** Starts to trace and to capture: everything, or the sockets of one port. */
  async #observe(port?: number): Promise<void> {
    const ports = port === undefined ? {} : { ports: [port] };
    try {
      const threads = [...this.#threads.keys()];
      this.#trace = await this.#follow({
        netns: this.#world.inode,
        ...ports,
        ...(threads.length > 0 && { threads }),
      });
      this.#capture = await attempt(
        async () => Capture.start(await this.#world.actor('capture'), 'lo', { filter: ports }),
        'CAP_NET_RAW',
      );
      this.#watchPackets();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  #poll(): Polling {
    const looks = this.timeline.open({
      ...{ name: 'polling', latenessNs: POLL_MS * 1e6, states: 'samples' },
    });
    const polling = Polling.start({
      diag: this.#diag,
      everyMs: POLL_MS,
      onChange: ({ tNs, subject, state, latenessNs }) => {
        if (state === undefined || 'fd' in subject) return;
        const end = subject.local === this.#server ? 'server' : 'client';
        // Before the first look it may have been so since the run began.
        const late = latenessNs ?? Number(tNs - this.timeline.originNs);
        looks.push({ kind: 'state', tNs, end, state, latenessNs: late });
      },
      onLook: (beganNs) => {
        this.client();
        looks.advance(beganNs);
      },
    });
    this.#looking = (async () => {
      // Nothing comes this way but the error that ends it.
      for await (const _ of polling);
    })().catch((error: Error) => this.#fail(looks, error));
    return polling;
  }

  /** Puts tracepoints on the timeline: sockets and calls, or the calls of some threads alone. */
  async #follow(options: TracepointOptions): Promise<TracepointObserver | string> {
    const ofProgram = options.sockets === false;
    const of = ofProgram ? {} : { states: 'transitions' as const };
    // What a program does before it has a socket is its runtime starting up.
    let awake = !ofProgram;
    let feed: Feed | undefined;
    const observer = await attempt(
      () =>
        TracepointObserver.start({
          ...options,
          onEvent: (event) => {
            awake ||= event.kind === 'enter' && event.syscall === 'socket';
            if (awake) feed?.push(event);
          },
          onSettled: (untilNs) => feed?.advance(untilNs),
        }),
      'CAP_BPF and CAP_PERFMON',
    );
    if (typeof observer === 'string') return observer;
    feed = this.timeline.open({ name: 'tracepoint', latenessNs: 0, ...of });
    return observer;
  }

  /** A program has been started that acts an end: its calls are followed from here on. */
  async threadActs(tid: number, end: End): Promise<void> {
    this.timeline.threadActs(tid, end);
    if (typeof this.#trace === 'string') return;
    const calls = await this.#follow({ sockets: false, threads: [tid] });
    if (typeof calls !== 'string') this.#callTraces.push(calls);
  }

  /** The server listens: from here on its connection can be told from all others. */
  async serverListens(address: Endpoint): Promise<void> {
    this.#server = address;
    if (this.#waitsForPort) await this.#observe(address.port);
    // lo may carry much else.
    else if (this.#capture instanceof Capture) {
      this.#capture.attachFilter({ ports: [address.port] });
    }
    this.timeline.serverListens(address, this.#world.inode);
  }

  /** The client's address: the kernel gave it, so the kernel is asked. Undefined until there is one. */
  client(): Endpoint | undefined {
    const server = this.#server;
    if (this.#client !== undefined || server === undefined) return this.#client;
    const family = server.address.includes(':') ? 6 : 4;
    for (const { remote, local, inode } of this.#diag.snapshot({ family })) {
      // On the host an earlier client of the same port may be in TIME_WAIT still: nobody holds that one.
      if (remote.port !== server.port || remote.address !== server.address || inode === 0) continue;
      this.#client = local;
      for (const end of ['client', 'server'] as const) this.#polling.watch(this.#tuple(end));
      break;
    }
    return this.#client;
  }

  #tuple(end: End): FourTuple {
    const [server, client] = [this.#server, this.#client];
    if (server === undefined || client === undefined) throw new Error('there is no connection yet');
    return end === 'client' ? { local: client, remote: server } : { local: server, remote: client };
  }

  /** The socket of one end, or undefined where the kernel has none: never, or no longer. */
  row(end: End): SocketRow | undefined {
    return this.client() && this.#diag.find(this.#tuple(end));
  }

  /** The server's listening sockets. */
  listeners(): SocketRow[] {
    const port = this.#server?.port;
    return [...this.#diag.snapshot({ states: ['LISTEN'] })].filter(
      ({ local }) => local.port === port,
    );
  }

  /** The scenario names this moment; the time it has. */
  mark(name: string): number {
    const tNs = process.hrtime.bigint();
    this.#story.push({ kind: 'moment', tNs, name });
    return Number(tNs - this.timeline.originNs);
  }

  #watchPackets(): void {
    const capture = this.#capture;
    if (!(capture instanceof Capture)) return;
    const feed = this.timeline.open({
      ...{ name: 'capture', latenessNs: Number(capture.clockErrorNs), delivers: 'in-order' },
    });
    const follow = async (): Promise<void> => {
      while (!this.#ended) {
        await capture.until(({ length }) => this.#ended || length > this.#handedOn, FOLLOW_MS);
        const askedNs = process.hrtime.bigint();
        await capture.flush();
        this.#handOn(capture, feed);
        feed.advance(askedNs - QUEUE_NS);
      }
    };
    this.#packets = feed;
    // Who waits must hear of it.
    this.#following = follow().catch((error: Error) => this.#fail(feed, error));
  }

  #fail(feed: Feed, error: Error): void {
    this.failure ??= error;
    feed.fail(error);
  }

  #handOn({ frames }: Capture, feed: Feed): void {
    for (; this.#handedOn < frames.length; this.#handedOn++) {
      const { segment, monotonicNs: tNs } = frames[this.#handedOn] as Frame;
      if (segment !== undefined) feed.push({ kind: 'segment', tNs, segment });
    }
  }

  /** Waits until the capture has that many segments of the connection; not for long. */
  async segments(count: number, deadlineMs: number): Promise<void> {
    if (!(this.#capture instanceof Capture)) return;
    await this.#capture.until(() => this.frames.length >= count, deadlineMs);
  }

  /** Has every observer tell all it has seen, and ends the timeline. */
  async finish(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const untilNs = process.hrtime.bigint();
    this.#polling.look();
    for (const trace of [this.#trace, ...this.#callTraces]) {
      if (typeof trace !== 'string') await trace.flush();
    }
    await this.#following;
    if (this.#capture instanceof Capture && this.#packets?.open) {
      await this.#capture.stop();
      this.#handOn(this.#capture, this.#packets);
      this.#packets.advance(untilNs);
    }
    this.timeline.close();
  }

  /** The connection's frames so far. */
  get frames(): CapturedFrame[] {
    if (!(this.#capture instanceof Capture)) return [];
    const ports = [this.#server?.port, this.#client?.port];
    return this.#capture.frames.flatMap(({ realtimeNs, monotonicNs, bytes, segment }) =>
      // On the host's network a stranger may have had one of the ports a moment before; not both.
      segment !== undefined &&
      ports.includes(segment.source.port) &&
      ports.includes(segment.destination.port)
        ? [{ realtimeNs, tNs: this.#sinceStart(monotonicNs), bytes, segment }]
        : [],
    );
  }

  #sinceStart(tNs: bigint): number {
    return Number(tNs - this.timeline.originNs);
  }

  /** Whether packets are seen, and whether every transition is: a hit that was lost may have been any. */
  get sees(): { readonly packets: boolean; readonly transitions: boolean } {
    return {
      packets: this.#capture instanceof Capture,
      transitions: typeof this.#trace !== 'string' && this.#trace.lost === 0,
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
    const [capture, trace] = [this.#capture, this.#trace];
    return [
      { name: 'TCP_INFO', available: true, latenessNs: 0 },
      { name: 'sock_diag', available: true, latenessNs: 0 },
      { name: 'polling', available: true, latenessNs: POLL_MS * 1e6 },
      capture instanceof Capture
        ? {
            ...{ name: 'capture', available: true, via: capture.via },
            ...{ latenessNs: Number(capture.clockErrorNs), lost: capture.dropped },
          }
        : { name: 'capture', available: false, reason: capture },
      typeof trace === 'string'
        ? { name: 'tracepoint', available: false, reason: trace }
        : { name: 'tracepoint', available: true, via: trace.via, latenessNs: 0, lost: trace.lost },
      { name: 'process', available: true, latenessNs: 0 },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.timeline.close();
    await this.#polling.stop();
    await this.#looking;
    if (this.#capture instanceof Capture) await this.#capture[Symbol.asyncDispose]();
    await this.#following;
    for (const trace of [this.#trace, ...this.#callTraces]) {
      if (typeof trace !== 'string') await trace.stop();
    }
    this.#diag.close();
  }
}
