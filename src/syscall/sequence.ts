import { define } from './call.js';

/** What a step of a sequence does: SequenceStep in native/os/sequence.h. */
export const SEQUENCE = {
  clock: 0,
  close: 1,
  shutdown: 2,
  read: 3,
  write: 4,
  getsockopt: 5,
  gettid: 6,
  socket: 7,
  connect: 8,
  accept: 9,
  setsockopt: 10,
} as const;

/** How many numbers a step is: what it does, the descriptor, and two more. */
export const STEP_LENGTH = 4;

/**
 * Several calls in one crossing, whatever each returns: `[SEQUENCE.close, fd, 0, 0]`, `[shutdown, fd, how, 0]`,
 * `[read, fd, length, 0]`, `[write, fd, length, 0]` and `[connect, fd, length, 0]` of the beginning of `bytes`,
 * `[getsockopt, fd, level, name]` of an int (EINVAL for a filter), `[socket, domain, type, protocol]`, `[accept, fd, flags, 0]`,
 * `[setsockopt, fd, level, name]` to the first 8 of `bytes`, `[gettid, 0, 0, 0]`. An fd of -1 is the result of the first step, -2 that of the second. What each returned, or -errno,
 * is left in `results`; `[clock, 0, 0, 0]` leaves CLOCK_MONOTONIC, read through the vDSO, in the next of `stamps`.
 *
 * Returns how many steps were made. Throws SyscallError, EINVAL, and makes none where a step is unknown or there is no
 * room for what it leaves.
 */
export const sequence = define<
  [steps: Int32Array, bytes: Uint8Array, results: Int32Array, stamps: BigInt64Array],
  number
>({ name: 'sequence', site: () => ({}) });
