import { addAbortListener } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { argumentError, checkDescriptor, checkObject } from './argument.js';
import { bpf_iter_create } from './bpf.js';
import {
  type Call,
  callSite,
  failure,
  type Invoke,
  roomFor,
  type SyscallFunction,
} from './call.js';
import * as descriptor from './descriptor.js';
import * as directory from './directory.js';
import { EAGAIN, EBUSY } from './errno.js';
import { AbortError, CANCELLED, type CallSite, SyscallError } from './error.js';
import * as message from './message.js';
import { type NativeActor, native, noSuchCall } from './native.js';
import * as process from './process.js';
import * as socket from './socket.js';

/** The calls an actor makes, by the names they have in `closewait/syscall`. */
const calls = {
  socket: socket.socket,
  socketpair: socket.socketpair,
  bind: socket.bind,
  listen: socket.listen,
  accept: socket.accept,
  accept4: socket.accept4,
  connect: socket.connect,
  send: socket.send,
  sendto: socket.sendto,
  recv: socket.recv,
  shutdown: socket.shutdown,
  getsockname: socket.getsockname,
  getpeername: socket.getpeername,
  getsockopt: socket.getsockopt,
  setsockopt: socket.setsockopt,
  attachFilter: socket.attachFilter,
  attachedFilter: socket.attachedFilter,
  read: descriptor.read,
  write: descriptor.write,
  readv: descriptor.readv,
  writev: descriptor.writev,
  close: descriptor.close,
  dup: descriptor.dup,
  dup3: descriptor.dup3,
  open: descriptor.open,
  lseek: descriptor.lseek,
  pipe2: descriptor.pipe2,
  eventfd: descriptor.eventfd,
  fcntl: descriptor.fcntl,
  ioctl: descriptor.ioctl,
  poll: descriptor.poll,
  epoll_create1: descriptor.epoll_create1,
  epoll_ctl: descriptor.epoll_ctl,
  epoll_wait: descriptor.epoll_wait,
  openat: directory.openat,
  getdents64: directory.getdents64,
  readlinkat: directory.readlinkat,
  getxattr: directory.getxattr,
  sendmsg: message.sendmsg,
  recvmsg: message.recvmsg,
  clock_getres: process.clock_getres,
  clock_gettime: process.clock_gettime,
  nanosleep: process.nanosleep,
  gettid: process.gettid,
  setns: process.setns,
  unshare: process.unshare,
  pidfd_open: process.pidfd_open,
  pidfd_getfd: process.pidfd_getfd,
  pidfd_send_signal: process.pidfd_send_signal,
  waitid: process.waitid,
  spawn: process.spawn,
  bpf_iter_create,
} as const;

/** What any call of an actor takes after its own arguments. */
export interface CallOptions {
  /** Ends the call: it rejects with AbortError, unless the kernel was faster. */
  readonly signal?: AbortSignal | undefined;
}

type Required_<A extends unknown[]> = A extends [infer H, ...infer T] ? [H, ...Required_<T>] : [];
type WithOptions<A extends unknown[]> =
  | A
  | [...A, options: CallOptions]
  | [...Required_<A>, options: CallOptions];

/** The calls of `closewait/syscall` as promises, each taking `{signal}` as a last argument. */
export type ActorCalls = {
  readonly [K in keyof typeof calls]: (typeof calls)[K] extends SyscallFunction<infer A, infer R>
    ? (...args: WithOptions<A>) => Promise<R>
    : never;
};

/** A call that is queued or under way, and whose promise it is. */
interface Pending<A extends unknown[], R> {
  readonly row: Call<A, R>;
  readonly site: CallSite;
  readonly room: Uint8Array;
  readonly signal: AbortSignal | undefined;
  readonly cancel: (() => void) | undefined;
  readonly resolve: (value: R) => void;
  readonly reject: (error: Error) => void;
}

function signalIn(args: unknown[]): AbortSignal | undefined {
  const last = args.at(-1);
  return typeof last === 'object' && last !== null ? signalOf(args, last) : undefined;
}

/** Takes the options off the arguments, if that is what the last of them is. */
function signalOf(args: unknown[], last: object): AbortSignal | undefined {
  // By itself it would pass for an argument too many, and cancel nothing.
  if (last instanceof AbortSignal) throw argumentError('options', '{signal}', last);
  // Of another class it is an argument, whatever its parts: an address with getters is Node's net.SocketAddress.
  if (!isPlain(last)) return undefined;
  const others = Object.keys(last).filter((key) => key !== 'signal');
  // Options without a signal are none; an address or a message, which have other parts, is an argument.
  if (!('signal' in last) && others.length > 0) return undefined;
  if (others.length > 0) throw argumentError('options', '{signal} and nothing else', last);
  const signal: unknown = 'signal' in last ? last.signal : undefined;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw argumentError('signal', 'an AbortSignal', signal);
  }
  args.pop();
  return signal;
}

/** Whether an object is of no class, in whatever realm it was made. */
function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const cancels = new WeakMap<AbortSignal, Set<() => void>>();

/** The cancellations a signal stands for. They share one listener: Node warns of a leak where there are many. */
function cancelsOf(signal: AbortSignal): Set<() => void> {
  let known = cancels.get(signal);
  if (known === undefined) {
    known = new Set();
    const all = known;
    const listen = (): void => {
      // Heard whatever other listeners do to the event.
      addAbortListener(signal, () => {
        // An event that somebody dispatched aborts nothing, but ends the listener.
        if (!signal.aborted) listen();
        else for (const cancel of all) cancel();
      });
    };
    listen();
    cancels.set(signal, known);
  }
  return known;
}

const indexes = new Map<string, number>(native.calls.map((name, index) => [name, index]));

// Where a row's `enter` leaves the addon's arguments on their way to an actor.
const none: unknown[] = [];
let handed = none;
const hand: Invoke = (...args) => {
  handed = args;
  return 0;
};

function cancelled(
  { syscall, name }: Pick<Call<never, unknown>, 'syscall' | 'name'>,
  signal: AbortSignal | undefined,
  actor: string,
): AbortError {
  const call = typeof syscall === 'string' ? syscall : name;
  return signal?.aborted
    ? new AbortError(call, 'its signal was aborted', { cause: signal.reason })
    : new AbortError(call, `actor ${actor} was stopped`);
}

/** Tells the promise of a call how that ended. */
function settle(pending: Pending<unknown[], unknown>, result: number, actor: string): void {
  const { row, site, room, signal, cancel, resolve, reject } = pending;
  if (signal && cancel) cancelsOf(signal).delete(cancel);
  try {
    if (result >= 0) {
      resolve(row.leave === undefined ? result : row.leave(result, room));
      return;
    }
    const error = failure(row, result, site, room);
    reject(error.code === CANCELLED ? cancelled(row, signal, actor) : error);
  } catch (error) {
    // Nobody else would hear of it: the addon calls this, for one call after the other.
    reject(error as Error);
  }
}

/** Between two tries to send a signal that found no room; the addon says whether the last one did. */
const RETRY_MS = 1;

/** The calls that are out, by their places. (A Map that is empty between two calls would be made anew each time.) */
class Outstanding {
  readonly #calls: (Pending<unknown[], unknown> | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#calls.length - this.#free.length;
  }

  /** Returns the call's place: nobody else's until it is taken. */
  add(call: Pending<unknown[], unknown>): number {
    const place = this.#free.pop() ?? this.#calls.length;
    this.#calls[place] = call;
    return place;
  }

  at(place: number): Pending<unknown[], unknown> | undefined {
    return this.#calls[place];
  }

  take(place: number): Pending<unknown[], unknown> | undefined {
    const call = this.#calls[place];
    if (call === undefined) return undefined;
    this.#calls[place] = undefined;
    this.#free.push(place);
    return call;
  }
}

/** Which call it was: only the lack of a free signal is EBUSY, and only that of room for a thread EAGAIN. */
function failedStart(result: number, netns: number): string {
  if (result === -EBUSY) return 'sigaction';
  return netns < 0 || result === -EAGAIN ? 'pthread_create' : 'setns';
}

/** An actor's thread without its calls; see Actor. */
class ActorThread implements AsyncDisposable {
  readonly name: string;
  readonly #pending = new Outstanding();
  readonly #thread: NativeActor;
  #stopped = false;

  constructor(name: string, netns: number) {
    this.name = name;
    // The table and not `this`: the addon holds the function for good, and a forgotten actor is to be collected.
    const pending = this.#pending;
    this.#thread = new native.Actor((id, result) => {
      const call = pending.take(id);
      if (call !== undefined) settle(call, result, name);
    });
    const result = this.#thread.start(name, netns);
    if (result < 0) {
      throw new SyscallError(failedStart(result, netns), result, { path: name });
    }
  }

  /** How many calls are queued or under way. */
  get outstanding(): number {
    return this.#pending.size;
  }

  /**
   * Ends every call of the actor with AbortError and its thread; where no signal can be sent to a blocked one, when there is room
   * for it. Idempotent. A program that the thread had spawned dies
   * with it.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    while (!this.#thread.stop()) await sleep(RETRY_MS);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Queues a call. Arguments are copied before this returns. */
  submit<A extends unknown[], R>(fn: SyscallFunction<A, R>, rest: unknown[]): Promise<R> {
    return new Promise((resolve, reject) => {
      const args = rest as A;
      const signal = signalIn(rest);
      const row: Call<A, R> = fn.row(...args);
      const room = roomFor(row, args);
      handed = args;
      row.enter?.(hand, room, ...args);
      // At once: what is read from here on may be a getter, which may make a call of its own.
      // Written out: a spread goes a slower way into the addon.
      const [a, b, c, d, e, f] = handed;
      handed = none;
      const site = callSite(row, args);
      // Asked when all has been read: reading an argument can run code, and that can abort.
      if (this.#stopped || signal?.aborted) throw cancelled(row, signal, this.name);
      // Before the call is out: what only looks like a signal throws here.
      const all = signal && cancelsOf(signal);
      const index = indexes.get(row.name) ?? noSuchCall(row.name);
      const cancel = all && ((): void => this.#cancel(id, call));
      const pending: Pending<A, R> = { row, site, room, signal, cancel, resolve, reject };
      const call = pending as unknown as Pending<unknown[], unknown>;
      const id = this.#pending.add(call);
      let queued = false;
      try {
        queued = native.submit(this.#thread.handle, id, index, a, b, c, d, e, f);
      } finally {
        if (!queued) this.#pending.take(id);
      }
      if (!queued) throw cancelled(row, signal, this.name);
      if (cancel) all.add(cancel);
      // The addon has read the elements of arrays, which may be getters too.
      if (signal?.aborted) this.#cancel(id, call);
    });
  }

  /** Again and again where this user has so many signals on their way that another cannot be sent. */
  #cancel(id: number, call: Pending<unknown[], unknown>): void {
    // What has the place by then may be another call.
    if (this.#pending.at(id) !== call || this.#thread.cancel(id)) return;
    setTimeout(() => this.#cancel(id, call), RETRY_MS);
  }
}

for (const [name, fn] of Object.entries(calls)) {
  Object.defineProperty(ActorThread.prototype, name, {
    value(this: ActorThread, ...args: unknown[]) {
      return this.submit(fn as unknown as SyscallFunction<unknown[], unknown>, args);
    },
  });
}

/** Where and as what an actor runs. */
export interface ActorOptions {
  /** Shows in ps and top (15 bytes of it) and in errors. */
  readonly name?: string;
  /** A descriptor of the network namespace to live in; it stays the caller's. Left out: the caller's namespace. */
  readonly netns?: number;
}

/**
 * A native thread that makes the calls of `closewait/syscall`, in the order they were asked for, each as a promise. It
 * blocks where C would block, and nobody waits through libuv. An idle actor does not keep the process alive; a call under
 * way does.
 *
 * A call can be cancelled by an AbortSignal. What the kernel has done is never thrown away: a call that finished before
 * the abort reached it resolves as usual. A read that one actor is blocked in keeps the descriptor alive when another
 * closes it: no FIN leaves until that read returns, so abort the read first.
 */
export type Actor = Omit<ActorThread, 'submit'> & ActorCalls;

export const Actor = {
  /**
   * Starts an actor. Throws SyscallError if there can be no thread, or if the namespace cannot be entered.
   *
   * @example
   * await using server = await Actor.start({ name: 'server' });
   * const { fd } = await server.accept(listener, { signal: AbortSignal.timeout(1000) });
   */
  async start(options: ActorOptions = {}): Promise<Actor> {
    checkObject('options', '{name?, netns?}', options);
    const { name = 'actor', netns } = options;
    if (typeof name !== 'string') throw argumentError('name', 'a string', name);
    if (netns !== undefined) checkDescriptor('netns', netns);
    return new ActorThread(name, netns ?? -1) as unknown as Actor;
  },
};
