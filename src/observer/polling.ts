import { checkDescriptor } from '../syscall/argument.js';
import * as sys from '../syscall/sys.js';
import { parseScopedAddress } from '../tcp/address.js';
import {
  atLeast,
  type Checks,
  checkEndpoint,
  checkedFields,
  checkFunction,
  checkIterable,
  checkMs,
  invalidValue,
  mustBe,
  outOfRange,
} from '../tcp/argument.js';
import { checkState, stateName, type TcpState, type TcpStateName } from '../tcp/states.js';
import { Feed } from './feed.js';
import type { Availability } from './observer.js';
import { type FourTuple, SockDiag } from './sock-diag.js';

/**
 * What to look at: a descriptor of this process, which stays the caller's and must be unwatched before it is closed, or
 * one end of a connection by its addresses.
 */
export type Subject = { readonly fd: number } | FourTuple;

/** A state that was not there at the last look. */
export interface StateChange<S extends Subject = Subject> {
  /** CLOCK_MONOTONIC, when the answer was there. */
  readonly tNs: bigint;
  readonly source: 'polling';
  readonly via: 'TCP_INFO' | 'sock_diag';
  readonly subject: S;
  /** CLOSE where no table has the connection: not yet, or no longer. Undefined: it can't be looked at, see `error`. */
  readonly state: TcpState | undefined;
  /**
   * How late this can be: the time since the previous look began. What came and went in between was not seen. Undefined
   * at the first look, before which anything may have happened.
   */
  readonly latenessNs: number | undefined;
  /** Why the subject can no longer be looked at (EBADF, ENOTSOCK, ...): its watch has ended. */
  readonly error?: sys.SyscallError;
}

/** Whom to look at, how often, and where what is seen goes. */
export interface PollingOptions {
  readonly subjects?: Iterable<Subject>;
  /** Between two looks; a turn of the event loop that takes longer delays them. Left out: 1. */
  readonly everyMs?: number;
  /** Looks into another namespace; it stays the caller's. Left out: this thread's own namespace. */
  readonly diag?: SockDiag;
  /** How many changes may wait to be read; more are dropped and counted. Left out: 65,536. */
  readonly limit?: number;
  /** Gets each change as it is seen; the iterator then only tells what ended it, which is thrown where nobody reads. */
  readonly onChange?: (change: StateChange) => void;
  /** Called after each round of looks with the time it began: what changed up to then has been told. */
  readonly onLook?: (beganNs: bigint) => void;
}

/** How a spin ended. */
export interface Spin {
  /** The states seen, the first look's among them. */
  readonly changes: readonly StateChange<{ readonly fd: number }>[];
  /** Whether the state came before the deadline. */
  readonly reached: boolean;
  readonly looks: number;
  readonly elapsedNs: number;
  /** The longest time between two looks: nothing that lasted longer was missed. */
  readonly longestGapNs: number;
}

const FACTS = {
  name: 'polling',
  sees: 'the state of descriptors (TCP_INFO) and of connections by address (sock_diag), look by look',
  blindTo: 'what came and went between two looks; by TCP_INFO also TIME_WAIT, which reads CLOSE',
  costs: 'a look takes about 0.5 us (TCP_INFO) or 5 us (sock_diag); spin() keeps one thread busy',
  needs: 'nothing; the descriptor, or the addresses',
  clock: 'CLOCK_MONOTONIC at the look; late by up to the time since the last one (latenessNs)',
} as const;

const OPTIONS: Checks<PollingOptions> = {
  subjects: checkIterable,
  everyMs: checkMs,
  diag: (what, diag) => {
    if (!(diag instanceof SockDiag)) throw mustBe(what, 'a SockDiag', diag);
  },
  limit: atLeast(0),
  onChange: checkFunction,
  onLook: checkFunction,
};

function checkSubject(subject: unknown): void {
  if (typeof subject !== 'object' || subject === null) {
    throw mustBe('a subject', '{fd} or {local, remote}', subject);
  }
  if ('fd' in subject) {
    checkDescriptor('fd', subject.fd);
    return;
  }
  const { local, remote } = subject as Partial<FourTuple>;
  checkEndpoint('local', local);
  checkEndpoint('remote', remote);
  const [own, other] = [local, remote].map((end) => parseScopedAddress(end?.address ?? ''));
  const isOneLink = own?.scope === 0 || other?.scope === 0 || own?.scope === other?.scope;
  if (isOneLink && own !== undefined && own.bytes.length === other?.bytes.length) return;
  const not = isOneLink ? 'not two addresses of one family' : 'two interfaces';
  throw invalidValue(`${not}: ${local?.address}, ${remote?.address}`);
}

interface Watch {
  readonly subject: Subject;
  state?: TcpState;
  /** When the last look began. */
  lookedNs?: bigint;
}

/**
 * The states of some sockets, by looking at them again and again: for those who may not trace.
 *
 * Sees: what each look finds. Blind to: what came and went between two looks; TIME_WAIT, if it looks by descriptor.
 * Costs: two system calls a look by address, one by descriptor, on the event loop, every `everyMs`. Needs: nothing.
 * Clock: CLOCK_MONOTONIC, `latenessNs` late at most. Source: tcp(7), sock_diag(7).
 *
 * @example
 * await using polling = Polling.start({ subjects: [{ fd }] });
 * for await (const { state, latenessNs } of polling) console.log(state, latenessNs);
 */
export class Polling implements AsyncIterable<StateChange>, AsyncDisposable {
  readonly #watches = new Map<Subject, Watch>();
  readonly #feed: Feed<StateChange>;
  readonly #timer: NodeJS.Timeout;
  readonly #lent: SockDiag | undefined;
  readonly #onChange: (change: StateChange) => void;
  readonly #onLook: PollingOptions['onLook'];
  /** Whether nobody reads, who would get the error that ends it. */
  #isUnread: boolean;
  #own: SockDiag | undefined;

  private constructor(options: PollingOptions) {
    const { subjects = [], everyMs = 1, diag, limit = 65_536 } = options;
    if (everyMs < 1) throw outOfRange(`everyMs must be 1 or more, received ${everyMs}`);
    this.#feed = new Feed(limit);
    this.#onChange = options.onChange ?? ((change) => this.#feed.push(change));
    this.#onLook = options.onLook;
    this.#isUnread = options.onChange !== undefined;
    this.#lent = diag;
    for (const subject of subjects) this.watch(subject);
    this.#timer = setInterval(() => this.#tick(), everyMs);
  }

  /** Begins to look. Throws TypeError or RangeError for options that are none, such as a period below 1 ms. */
  static start(options: PollingOptions = {}): Polling {
    return new Polling(checkedFields('options', options, OPTIONS));
  }

  /** Whether it can look here: always. */
  static availability(): Availability {
    return { ...FACTS, available: true };
  }

  /** Changes nobody read in time. */
  get dropped(): number {
    return this.#feed.dropped;
  }

  /** Looks at a subject from the next tick on. Throws TypeError or RangeError for what nobody can look at. */
  watch(subject: Subject): void {
    checkSubject(subject);
    this.#watches.set(subject, { subject });
  }

  /** Looks at it no more; `subject` is the object that was watched. */
  unwatch(subject: Subject): void {
    this.#watches.delete(subject);
  }

  #tick(): void {
    try {
      this.look();
    } catch (error) {
      clearInterval(this.#timer);
      this.#feed.end(error);
      if (this.#isUnread) throw error;
    }
  }

  /** Looks at every subject now, beside the ticks. Throws what keeps sock_diag from being asked at all. */
  look(): void {
    const beganNs = process.hrtime.bigint();
    for (const watch of this.#watches.values()) this.#lookAt(watch);
    this.#onLook?.(beganNs);
  }

  #lookAt(watch: Watch): void {
    const { subject, state: before, lookedNs } = watch;
    const beganNs = process.hrtime.bigint();
    const told = (state: TcpState | undefined, error?: sys.SyscallError): void => {
      const tNs = process.hrtime.bigint();
      const latenessNs = lookedNs === undefined ? undefined : Number(tNs - lookedNs);
      const via = 'fd' in subject ? 'TCP_INFO' : 'sock_diag';
      this.#onChange({
        ...{ tNs, source: 'polling', via, subject, state, latenessNs },
        ...(error && { error }),
      });
    };
    try {
      const state = 'fd' in subject ? stateOf(subject.fd) : this.#find(subject);
      watch.lookedNs = beganNs;
      if (state === before) return;
      watch.state = state;
      told(state);
    } catch (error) {
      if (!(error instanceof sys.SyscallError && 'fd' in subject)) throw error;
      this.#watches.delete(subject);
      told(undefined, error);
    }
  }

  #find(tuple: FourTuple): TcpState {
    this.#own ??= this.#lent === undefined ? SockDiag.open() : undefined;
    return (this.#lent ?? this.#own)?.find(tuple)?.state ?? 'CLOSE';
  }

  /** The changes from here on, until it is stopped; throws what ended it. Of several readers each change goes to one. */
  [Symbol.asyncIterator](): AsyncIterator<StateChange> {
    this.#isUnread = false;
    return this.#feed[Symbol.asyncIterator]();
  }

  /** Ends the looks, and the reader's loop after what has been seen. Idempotent. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#feed.end();
    this.#own?.close();
    this.#own = undefined;
    this.#watches.clear();
  }

  /** Stops; a second time does nothing. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

// tcpi_state comes first, and the kernel copies no more than there is room for.
const firstByte = new Uint8Array(1);

function stateOf(fd: number): TcpState {
  sys.getsockopt(fd, sys.IPPROTO_TCP, sys.TCP_INFO, firstByte);
  return stateName(firstByte[0] ?? 0);
}

/**
 * Looks at a descriptor without a pause, two million times a second, until it is in the state or `deadlineMs` have gone
 * by. Blocks this thread: what is to be seen has to happen on another, or in another process. Throws SyscallError, TypeError or
 * RangeError for a state or a time that is none.
 */
export function spin(fd: number, until: TcpStateName, deadlineMs: number): Spin {
  checkState('until', until);
  checkMs('deadlineMs', deadlineMs);
  const subject = { fd };
  const changes: StateChange<{ readonly fd: number }>[] = [];
  const start = process.hrtime.bigint();
  const deadline = start + BigInt(Math.round(deadlineMs * 1e6));
  let [began, now, longest, looks] = [start, start, 0n, 0];
  let last = -1;
  let state: TcpState | undefined;
  do {
    sys.getsockopt(fd, sys.IPPROTO_TCP, sys.TCP_INFO, firstByte);
    const previous = began;
    // The end of one look is the beginning of the next.
    began = now;
    now = process.hrtime.bigint();
    const gap = now - previous;
    if (looks > 0 && gap > longest) longest = gap;
    if (firstByte[0] !== last) {
      last = firstByte[0] ?? 0;
      state = stateName(last);
      const latenessNs = looks === 0 ? undefined : Number(gap);
      changes.push({ tNs: now, source: 'polling', via: 'TCP_INFO', subject, state, latenessNs });
    }
    looks++;
  } while (state !== until && now < deadline);
  return {
    changes,
    reached: state === until,
    looks,
    elapsedNs: Number(now - start),
    longestGapNs: Number(longest),
  };
}
