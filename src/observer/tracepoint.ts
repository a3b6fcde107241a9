import { CLOCK_MONOTONIC, clock_gettime, SyscallError, syscallName } from '../syscall/sys.js';
import { Tracefs } from '../syscall/tracefs.js';
import type { Sample } from '../tcp/ring.js';
import {
  decoderOf,
  type EnterRecord,
  type ExitRecord,
  parseFormat,
  type RecordDecoder,
  type TracepointFormat,
  type TraceRecord,
} from '../tcp/tracepoint.js';
import { BpfSource } from './bpf-source.js';
import type { Availability } from './observer.js';
import { PerfSource } from './perf-source.js';
import type { TraceSource } from './trace-source.js';
import {
  checkedTracepointOptions,
  RING_BYTES,
  type TracepointOptions,
} from './tracepoint-options.js';
import { UnavailableError } from './unavailable-error.js';

export type { TracepointOptions };

/** What every event tells. */
interface Hit {
  readonly tNs: bigint;
  readonly source: 'tracepoint';
  /** The process and thread that ran on the CPU: the caller of a system call, or whom a packet interrupted. */
  readonly pid: number;
  readonly tid: number;
  readonly cpu: number;
  /** The inode of the socket's network namespace; absent where it could not be read (never by perf). */
  readonly netns?: number;
}

type Named<R extends EnterRecord | ExitRecord> = R & { readonly syscall: string };

/** A transition, reset or retransmission of a socket, or a thread's way into or out of a system call. */
export type TraceEvent = Hit &
  (Exclude<TraceRecord, EnterRecord | ExitRecord> | Named<EnterRecord> | Named<ExitRecord>);

/** Whether and how it can run here; `reason` is why not, or why not the better way. */
export interface TracepointAvailability extends Availability {
  readonly via?: 'bpf' | 'perf';
}

const FACTS = {
  name: 'tracepoint',
  sees: 'every transition, reset (with its reason) and retransmission; system calls of chosen threads',
  blindTo:
    'request sockets and TIME_WAIT stubs; with perf, the network namespace; who caused a packet',
  costs:
    'about 0.2 us a transition with BPF, 0.3 us with perf; 8 MiB of ring, with perf for each CPU',
  needs: 'CAP_BPF and CAP_PERFMON, for perf CAP_PERFMON alone; tracefs readable, or CAP_SYS_ADMIN',
  clock: 'CLOCK_MONOTONIC at the hit; handed on to a listener, in order, up to 4 ms later',
} as const;

const STATES = 'sock/inet_sock_set_state';
const OF_SOCKETS = [
  STATES,
  'tcp/tcp_send_reset',
  'tcp/tcp_receive_reset',
  'tcp/tcp_retransmit_skb',
];
const OF_CALLS = ['raw_syscalls/sys_enter', 'raw_syscalls/sys_exit'];

/** For a listener; and only so that no ring runs full, which takes 100 ms of nothing but transitions. */
const POLL_MS = 2;
const CLEAR_MS = 20;
const SMALLEST_RING = 1 << 16;
const KEEP_BYTES = 64 << 20;

/**
 * Every state change, reset and retransmission of TCP sockets, and the system calls of chosen threads, as the kernel's
 * tracepoints tell.
 *
 * Sees: each transition with the state before and after, at the instant the kernel makes it, whoever owns the socket; each
 *   reset sent, with the kernel's reason, and received; each retransmission; calls with arguments and results.
 * Blind to: the way of a connection between its SYN and its ESTABLISHED on the passive side, where it is a request and
 *   no socket yet; TIME_WAIT stubs after the socket has become one; and with perf, the network namespace. `pid` and `tid`
 *   are who was running, which for a packet is chance; they are numbers of the machine's first pid namespace with BPF and
 *   of the observer's with perf.
 * Costs: about 0.2 us a transition with BPF, 0.3 us with perf (`npm run bench -- observers`); 8 MiB of ring,
 *   with perf for each CPU and each thread; at the end the kernel takes some 50 ms to let go of each perf event.
 * Needs: CAP_BPF and CAP_PERFMON, or for perf CAP_PERFMON alone; and tracefs: mounted and readable, or CAP_SYS_ADMIN to
 *   look at it without mounting it.
 * Clock: CLOCK_MONOTONIC at the hit. A listener gets events up to two polls of 2 ms later, in order; without one the rings
 *   are only emptied every 20 ms. A reset is stamped when the
 *   packet has been handed over: on loopback the peer's receipt, and what follows from it, comes first.
 * Source: include/trace/events/{sock,tcp}.h and the kernel's own `format` files; bpf(2), perf_event_open(2).
 */
export class TracepointObserver implements AsyncDisposable {
  /** The way in that was taken. */
  readonly via: 'bpf' | 'perf';
  /** Tracepoints this kernel does not have. */
  readonly missing: readonly string[];
  readonly #source: TraceSource;
  readonly #decoders: ReadonlyMap<number, RecordDecoder>;
  readonly #ports: ReadonlySet<number> | undefined;
  readonly #onEvent: TracepointOptions['onEvent'];
  readonly #onSettled: TracepointOptions['onSettled'];
  readonly #onFailure: TracepointOptions['onFailure'];
  readonly #keepBytes: number;
  readonly #timer: NodeJS.Timeout;
  #chunks: Uint8Array[] = [];
  #kept = 0;
  #dropped = 0;
  #lost = 0;
  /** Decoded and not yet handed on: something that happened before may still come out of another CPU's ring. */
  #waiting: TraceEvent[] = [];
  #events: TraceEvent[] = [];
  /** When the last poll but one began, and the last one. */
  #settledNs = 0n;
  #polledNs = 0n;
  #ending: Promise<void> | undefined;
  #stopped = false;
  #failed = false;

  private constructor(source: TraceSource, layouts: Layouts, options: TracepointOptions) {
    this.#source = source;
    this.via = source.via;
    this.missing = layouts.missing;
    this.#decoders = new Map(
      layouts.formats.flatMap((format) => {
        const decode = decoderOf(format);
        return decode ? [[format.id, decode] as const] : [];
      }),
    );
    this.#ports = options.ports && new Set(options.ports);
    this.#onEvent = options.onEvent;
    this.#onSettled = options.onSettled;
    this.#onFailure = options.onFailure;
    this.#keepBytes = options.keepBytes ?? KEEP_BYTES;
    this.#timer = setInterval(() => this.#tick(), this.#onEvent ? POLL_MS : CLEAR_MS);
  }

  /**
   * Starts to observe; what happens after this has resolved is seen. Throws SyscallError or UnavailableError where that
   * cannot be, a RangeError or TypeError for options that are none.
   */
  static async start(asked: TracepointOptions = {}): Promise<TracepointObserver> {
    const options = checkedTracepointOptions(asked);
    const { sockets = true, threads } = options;
    const calls = threads === undefined ? [] : OF_CALLS;
    const layouts = readLayouts(sockets ? [...OF_SOCKETS, ...calls] : calls);
    return new TracepointObserver(openSource(layouts.formats, options), layouts, options);
  }

  /** Tries all it takes, and lets go of it again. */
  static availability(): TracepointAvailability {
    const attempt = (via: 'bpf' | 'perf'): string | undefined => {
      try {
        // One tracepoint stands for all: the kernel takes its time to let go of each.
        const { formats } = readLayouts([STATES]);
        openSource(formats, { via, ringBytes: SMALLEST_RING })[Symbol.dispose]();
        return;
      } catch (error) {
        return reasonOf(error);
      }
    };
    const bpf = attempt('bpf');
    if (bpf === undefined) return { ...FACTS, available: true, via: 'bpf' };
    const perf = attempt('perf');
    if (perf === undefined) {
      return { ...FACTS, available: true, via: 'perf', reason: `not by bpf: ${bpf}` };
    }
    const reason = bpf === perf ? bpf : `bpf: ${bpf}; perf: ${perf}`;
    return { ...FACTS, available: false, reason };
  }

  /** What happened up to the last look but one, or to `flush`, in order. Asking looks. Empty with `onEvent`. */
  get events(): readonly TraceEvent[] {
    if (!this.#onEvent && !this.#stopped) this.#poll();
    this.#settle(this.#settledNs);
    return this.#events;
  }

  /**
   * Hits that are in nobody's events: the ring or what is kept was full, or a program could not run. An upper bound: what
   * was lost unseen may have been of another namespace, port or thread than those asked for.
   */
  get lost(): number {
    if (!this.#stopped) this.#lost = this.#source.lost();
    return this.#lost + this.#dropped;
  }

  /** Resolves when everything that happened before this call has been handed on, or at once where it was stopped. */
  async flush(): Promise<void> {
    const untilNs = clock_gettime(CLOCK_MONOTONIC);
    // Who calls may be the listener, to whom the rest of what came before is still to be handed on.
    await undefined;
    try {
      while (!this.#stopped && !this.#failed && !this.#drain()) await new Promise(setImmediate);
      if (this.#stopped || this.#failed) return;
      this.#settle(undefined);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#onSettled?.(untilNs);
  }

  /** Hands on what has happened so far, and ends. Idempotent. */
  stop(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    clearInterval(this.#timer);
    try {
      await this.flush();
      this.#lost = this.#source.lost();
    } finally {
      this.#stopped = true;
      await this.#source.close();
    }
  }

  /** Stops; a second time does nothing. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #tick(): void {
    try {
      this.#poll();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failed = true;
    clearInterval(this.#timer);
    if (this.#onFailure === undefined || !(error instanceof Error)) throw error;
    this.#onFailure(error);
  }

  #poll(): void {
    const lastNs = this.#polledNs;
    this.#polledNs = clock_gettime(CLOCK_MONOTONIC);
    // A record that is still being written hides what lies behind it.
    if (!this.#drain()) return;
    this.#settledNs = lastNs;
    // Without a listener, decoding waits until somebody asks.
    if (!this.#onEvent) return;
    this.#settle(this.#settledNs);
    this.#onSettled?.(this.#settledNs);
  }

  #drain(): boolean {
    return this.#source.drain((chunk) => {
      this.#kept += chunk.length;
      if (this.#onEvent || this.#kept <= this.#keepBytes) this.#chunks.push(chunk);
      else this.#dropped += this.#source.decode(chunk).samples.length;
    });
  }

  /** Hands on what happened up to `until`, or everything. */
  #settle(until: bigint | undefined): void {
    const events = this.#chunks.flatMap((chunk) => this.#decode(chunk));
    this.#chunks = [];
    const all = this.#waiting
      .concat(events)
      .sort((a, b) => (a.tNs < b.tNs ? -1 : a.tNs > b.tNs ? 1 : 0));
    const first = until === undefined ? -1 : all.findIndex(({ tNs }) => tNs > until);
    this.#waiting = first < 0 ? [] : all.splice(first);
    if (this.#onEvent) all.forEach(this.#onEvent);
    else this.#events = this.#events.concat(all);
  }

  #decode(chunk: Uint8Array): TraceEvent[] {
    const { samples, malformed } = this.#source.decode(chunk);
    if (malformed !== undefined) throw new Error(malformed);
    return samples.flatMap((sample) => this.#event(sample) ?? []);
  }

  #event({ record, ...hit }: Sample): TraceEvent | undefined {
    const id = (record[0] ?? 0) | ((record[1] ?? 0) << 8);
    const decoded = this.#decoders.get(id)?.(record);
    if (decoded === undefined) return;
    if (decoded.kind === 'enter' || decoded.kind === 'exit') {
      const syscall = syscallName(decoded.number) ?? `syscall_${decoded.number}`;
      return { ...hit, source: 'tracepoint', ...decoded, syscall };
    }
    const { local, remote } = decoded;
    if (this.#ports && !this.#ports.has(local.port) && !this.#ports.has(remote.port)) return;
    return { ...hit, source: 'tracepoint', ...decoded };
  }
}

interface Layouts {
  readonly formats: readonly TracepointFormat[];
  readonly missing: readonly string[];
}

function readLayouts(names: readonly string[]): Layouts {
  using tracefs = Tracefs.open();
  const formats: TracepointFormat[] = [];
  const missing: string[] = [];
  for (const name of names) {
    const format = readFormat(tracefs, name);
    if (format === undefined) missing.push(name);
    else formats.push(format);
  }
  if (missing.includes(STATES)) {
    throw new UnavailableError('the kernel has no tracepoint sock:inet_sock_set_state');
  }
  return { formats, missing };
}

function readFormat(tracefs: Tracefs, name: string): TracepointFormat | undefined {
  try {
    return parseFormat(tracefs.read(`events/${name}/format`));
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'ENOENT') return;
    throw error;
  }
}

function openSource(formats: readonly TracepointFormat[], options: TracepointOptions): TraceSource {
  const { via, ringBytes = RING_BYTES } = options;
  const open = {
    bpf: () => new BpfSource(formats, options, ringBytes),
    perf: () => new PerfSource(formats, options, ringBytes),
  };
  if (via !== undefined) return open[via]();
  let first: unknown;
  try {
    return open.bpf();
  } catch (error) {
    first = error;
  }
  try {
    return open.perf();
  } catch {
    throw first;
  }
}

/** What to do about it, in a few words. */
function reasonOf(error: unknown): string {
  if (!(error instanceof SyscallError)) return error instanceof Error ? error.message : `${error}`;
  const refused = error.code === 'EPERM' || error.code === 'EACCES';
  const needs: Readonly<Record<string, string>> = {
    fsopen: 'needs CAP_SYS_ADMIN (tracefs is not mounted, or not for this user)',
    openat: 'needs CAP_SYS_ADMIN (tracefs is not for this user)',
    bpf: 'needs CAP_BPF and CAP_PERFMON',
    perf_event_open: 'needs CAP_PERFMON',
  };
  return (refused ? needs[error.syscall] : undefined) ?? error.message;
}
