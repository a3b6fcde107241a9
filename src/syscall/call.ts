import { type CallSite, SyscallError } from './error.js';
import { type CallName, native, noSuchCall } from './native.js';

/** Hands the addon's arguments on: to the kernel, or to an actor's queue. */
export type Invoke = (...args: unknown[]) => number;

/**
 * One system call, said once: how its arguments become numbers and bytes, and what its result means. The same row
 * serves the caller's thread (`define`) and an actor's.
 */
export interface Call<A extends unknown[], R> {
  readonly name: CallName;
  /** What strace would print, where it is not `name`; of several, the one that failed, by what the call left in `room`. */
  readonly syscall?: string | ((room: Uint8Array) => string);
  /** How many bytes the kernel writes its answer into. */
  readonly room?: number | ((...args: A) => number);
  /** Calls `invoke` with the addon's arguments and returns what it returns. Left out: the call's own, as they are. */
  readonly enter?: (invoke: Invoke, room: Uint8Array, ...args: A) => number;
  /** The result, from the kernel's and from what it wrote. Left out: the kernel's. */
  readonly leave?: (result: number, room: Uint8Array) => R;
  /** What the call is about, for its error. Left out: the first argument is the descriptor. */
  readonly site?: (...args: A) => CallSite;
}

/** A system call as a function: synchronous, blocking as in C. Throws SyscallError. */
export interface SyscallFunction<A extends unknown[], R> {
  (...args: A): R;
  /** The row that serves these arguments; an actor asks for it. */
  readonly row: (...args: A) => Call<A, R>;
}

/**
 * What a call is about. To be asked for right after the row's `enter`: what an argument holds may be another thing later.
 */
export function callSite<A extends unknown[], R>({ site }: Call<A, R>, args: A): CallSite {
  if (site === undefined) return { fd: args[0] as number };
  try {
    return site(...args);
  } catch {
    // A getter that answered once and now throws: what the kernel has to say counts more.
    return {};
  }
}

/** The error of a call, with what it was about. */
export function failure<A extends unknown[], R>(
  call: Call<A, R>,
  errno: number,
  site: CallSite,
  room: Uint8Array,
): SyscallError {
  return new SyscallError(syscallOf(call, room), errno, site);
}

/** The system call a row makes, by its C name. */
function syscallOf<A extends unknown[], R>(
  { syscall, name }: Call<A, R>,
  room: Uint8Array,
): string {
  return typeof syscall === 'function' ? syscall(room) : (syscall ?? name);
}

/** The pair of descriptors that the kernel wrote. */
export const twoInts = (_result: number, room: Uint8Array): [number, number] => {
  const view = new DataView(room.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
};

/** Nothing to tell beyond success. */
export const nothing = (): void => {};

/** A room of its own: what an actor's call gets, since many can be out at once. */
export function roomFor<A extends unknown[]>({ room = 0 }: Call<A, unknown>, args: A): Uint8Array {
  return room === 0 ? noRoom : new Uint8Array(typeof room === 'number' ? room : room(...args));
}

/** The error of a call that was made through its function, as whoever called that sees it. */
export function failed<A extends unknown[], R>(
  run: SyscallFunction<A, R>,
  result: number,
  args: A,
  room: Uint8Array = noRoom,
): SyscallError {
  const call = run.row(...args);
  const error = failure(call, result, callSite(call, args), room);
  // The stack begins at who made the call.
  Error.captureStackTrace(error, run);
  return error;
}

function named<A extends unknown[], R>(
  name: string,
  run: (...args: A) => R,
  row: (...args: A) => Call<A, R>,
): SyscallFunction<A, R> {
  Object.defineProperty(run, 'name', { value: name });
  return Object.assign(run, { row });
}

/**
 * Makes the function of a call. It adds as little as it can to the crossing: parameters are fixed, since a rest and a
 * spread cost as much as the crossing does, and a room of fixed size serves every time, since a new typed array costs more.
 *
 * All rows share the code of that function, which V8 then compiles for none of them in particular. A call that is made in
 * tight loops brings code of its `own`, which does what its row says.
 */
export function define<A extends unknown[], R>(
  call: Call<A, R>,
  own?: (...args: A) => R,
): SyscallFunction<A, R> {
  if (own !== undefined) return named(call.name, own, () => call);
  const { enter, leave, room: size = 0 } = call;
  const kernel = (native[call.name] ?? (() => noSuchCall(call.name))) as Invoke;
  const fixed = typeof size === 'number' ? new Uint8Array(size) : undefined;
  const run =
    enter === undefined
      ? (a: unknown, b: unknown, c: unknown, d: unknown) => {
          const result = kernel(a, b, c, d);
          if (result < 0) throw failed(defined, result, [a, b, c, d] as unknown as A);
          return leave === undefined ? result : leave(result, noRoom);
        }
      : (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown) => {
          const args = [a, b, c, d, e] as unknown as A;
          const room = fixed ?? roomFor(call, args);
          const result = (enter as AnyEnter)(kernel, room, a, b, c, d, e);
          if (result < 0) throw failed(defined, result, args, room);
          return leave === undefined ? result : leave(result, room);
        };
  const defined = named(call.name, run as unknown as (...args: A) => R, () => call);
  return defined;
}

type AnyEnter = (invoke: Invoke, room: Uint8Array, ...args: unknown[]) => number;
const noRoom = new Uint8Array();

/** A function that is two calls in C, told apart by its arguments; `own` as in `define`. */
export function choose<A extends unknown[], R>(
  name: string,
  which: (...args: A) => SyscallFunction<A, R>,
  own?: (...args: A) => R,
): SyscallFunction<A, R> {
  const chosen = which as unknown as (...args: unknown[]) => (...args: unknown[]) => R;
  const run = (a: unknown, b: unknown, c: unknown, d: unknown) => chosen(a, b, c, d)(a, b, c, d);
  return named(name, own ?? (run as unknown as (...args: A) => R), (...args) =>
    which(...args).row(...args),
  );
}
