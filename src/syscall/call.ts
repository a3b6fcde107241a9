import { type CallSite, SyscallError } from './error.js';
import { type CallName, native } from './native.js';

/**
 * One system call, said once: how its arguments become numbers and bytes, and what its result means. The same row
 * serves the caller's thread (`define`) and an actor's.
 */
export interface Call<A extends unknown[], R> {
  readonly name: CallName;
  /** What strace would print, where it is not `name`. */
  readonly syscall?: string;
  /** How many bytes the kernel writes its answer into, where that is always the same. */
  readonly room?: number;
  /** The addon's arguments; `room` is as long as said above. Left out: the call's own, as they are. */
  readonly enter?: (room: Uint8Array, ...args: A) => unknown[];
  /** The result, from the kernel's and the arguments `enter` made. Left out: the kernel's. */
  readonly leave?: (result: number, entered: unknown[], room: Uint8Array) => R;
  /** What the call was about, for its error. Left out: the first argument is the descriptor. */
  readonly site?: (...args: A) => CallSite;
}

/** A system call as a function: synchronous, blocking as in C. Throws SyscallError. */
export interface SyscallFunction<A extends unknown[], R> {
  (...args: A): R;
  /** The row that serves these arguments; an actor asks for it. */
  readonly row: (...args: A) => Call<A, R>;
}

/** The error of a call, with what it was about. */
export function failure<A extends unknown[], R>(
  call: Call<A, R>,
  errno: number,
  args: A,
): SyscallError {
  const site = call.site === undefined ? { fd: args[0] as number } : call.site(...args);
  return new SyscallError(call.syscall ?? call.name, errno, site);
}

/** The pair of descriptors that the kernel wrote. */
export const twoInts = (
  _result: number,
  _entered: unknown[],
  room: Uint8Array,
): [number, number] => {
  const view = new DataView(room.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
};

/** Nothing to tell beyond success. */
export const nothing = (): void => {};

/** A room of its own: what an actor's call gets, since many can be out at once. */
export function roomFor({ room = 0 }: Call<never, unknown>): Uint8Array {
  return new Uint8Array(room);
}

const noArguments: unknown[] = [];

/**
 * Makes the function of a call. It is as short as the crossing itself: fixed parameters where nothing is to be done, and
 * one room for every time, because a small typed array costs more to hand to the addon than a system call takes.
 */
export function define<A extends unknown[], R>(call: Call<A, R>): SyscallFunction<A, R> {
  const { enter, leave } = call;
  const kernel = native[call.name] as (...args: unknown[]) => number;
  const room = roomFor(call);
  // The stack begins at who made the call.
  const thrown = (error: Error): Error => {
    Error.captureStackTrace(error, run);
    return error;
  };
  const run =
    enter === undefined
      ? (a: unknown, b: unknown, c: unknown, d: unknown) => {
          const result = kernel(a, b, c, d);
          if (result < 0) throw thrown(failure(call, result, [a, b, c, d] as unknown as A));
          return leave === undefined ? result : leave(result, noArguments, room);
        }
      : (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown) => {
          const args = [a, b, c, d, e] as unknown as A;
          const entered = enter(room, ...args);
          const [u, v, w, x, y, z] = entered;
          const result = kernel(u, v, w, x, y, z);
          if (result < 0) throw thrown(failure(call, result, args));
          return leave === undefined ? result : leave(result, entered, room);
        };
  Object.defineProperty(run, 'name', { value: call.name });
  return Object.assign(run as unknown as (...args: A) => R, { row: () => call });
}

/** A function that is two calls in C, told apart by its arguments. */
export function choose<A extends unknown[], R>(
  name: string,
  which: (...args: A) => SyscallFunction<A, R>,
): SyscallFunction<A, R> {
  const run = (...args: A): R => which(...args)(...args);
  Object.defineProperty(run, 'name', { value: name });
  return Object.assign(run, { row: (...args: A) => which(...args).row(...args) });
}
