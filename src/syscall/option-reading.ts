// getsockopt(2) by its gate, for who asks often: no argument is handed over and no memory made for an answer.

import { SyscallError } from './error.js';
import { native } from './native.js';
import {
  LENGTH,
  type Page,
  pageInUse,
  pageWith,
  RESULT,
  SCRATCH,
  take,
  untaken,
  VALUE,
} from './page.js';
import { getsockopt } from './socket.js';

const pass = native.gates.getsockopt as () => void;

/** Where the bytes of an option are. */
export interface OptionBytes {
  readonly bytes: Uint8Array;
  /** The same memory. */
  readonly words: Uint32Array;
  /** In `bytes`; a multiple of 8. */
  readonly start: number;
  /** How many bytes the kernel filled. */
  readonly length: number;
}

function readAt(
  { words, bytes }: Page,
  start: number,
  fd: number,
  level: number,
  name: number,
  capacity: number,
): number {
  // What is no descriptor gets the addon's own words for that.
  if ((fd | 0) !== fd) getsockopt(fd, level, name, bytes);
  words[VALUE] = fd;
  words[VALUE + 1] = level;
  words[VALUE + 2] = name;
  words[VALUE + 3] = start;
  words[LENGTH] = capacity;
  pass();
  const length = (words[RESULT] as number) | 0;
  if (length < 0) throw failure(length, fd);
  return length;
}

function failure(errno: number, fd: number): SyscallError {
  const error = new SyscallError('getsockopt', errno, { fd });
  Error.captureStackTrace(error, readAt);
  return error;
}

/** getsockopt() of at most `capacity` bytes: nobody will write to them again, save rereadOption. */
export function readOption(fd: number, level: number, name: number, capacity: number): OptionBytes {
  const page = pageWith(capacity);
  const start = untaken();
  const length = readAt(page, start, fd, level, name, capacity);
  take(length);
  return { bytes: page.bytes, words: page.words, start, length };
}

/**
 * getsockopt() to where an earlier answer of that option is, overwriting it. Returns that answer itself; another, which
 * leaves the earlier one as it is, where that one's page is no longer in use.
 */
export function rereadOption(
  fd: number,
  level: number,
  name: number,
  earlier: OptionBytes,
): OptionBytes {
  const page = pageInUse();
  if (page.bytes !== earlier.bytes) return readOption(fd, level, name, earlier.length);
  const length = readAt(page, earlier.start, fd, level, name, earlier.length);
  return length === earlier.length ? earlier : { ...earlier, length };
}

/** The first byte of an option. */
export function readOptionByte(fd: number, level: number, name: number): number {
  const page = pageInUse();
  readAt(page, SCRATCH, fd, level, name, 1);
  return page.bytes[SCRATCH] as number;
}
