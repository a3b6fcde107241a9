/**
 * What the article's programs take from stdio.h, over read(2) and write(2): they block, and no event loop turns.
 */
import * as sys from '../syscall/sys.js';

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const NEWLINE = 0x0a;

/**
 * Prints to standard output at once: unlike printf() into a pipe, nothing waits in a buffer. Like C, it does not look whether there
 * was room for it; but where nobody reads any more, which kills a C program, it throws SyscallError: EPIPE.
 */
export function print(text: string | Uint8Array): void {
  try {
    writeAll(STDOUT, text);
  } catch (error) {
    if (!(error instanceof sys.SyscallError) || error.code === 'EPIPE') throw error;
  }
}

/** Prints a line to standard error. Where it cannot be written there is nobody to tell, and the exit code still says it. */
export function complain(line: string): void {
  try {
    writeAll(STDERR, `${line}\n`);
  } catch (error) {
    if (!(error instanceof sys.SyscallError)) throw error;
  }
}

/** Writes all of it, however many calls that takes. */
export function writeAll(fd: number, data: string | Uint8Array): void {
  let rest = typeof data === 'string' ? Buffer.from(data) : data;
  while (rest.length > 0) {
    rest = rest.subarray(restarted(fd, sys.POLLOUT, () => sys.write(fd, rest)));
  }
}

/** Reads once, for as long as it takes: 0 is the end. */
export function readOnce(fd: number, buffer: Uint8Array): number {
  return restarted(fd, sys.POLLIN, () => sys.read(fd, buffer));
}

/** Reads standard input by lines, as fgets(3) does; what it has read ahead goes back when it is disposed of, as at exit(3). */
export class LineReader implements Disposable {
  readonly #chunk = new Uint8Array(4096);
  #pending: Uint8Array = new Uint8Array(0);
  #ended = false;

  /**
   * Returns one line with its newline, or its first `size` - 1 bytes if it is longer; undefined at the end.
   *
   * A last line without a newline is returned as it is. The end stays the end: a terminal could give more, and is not asked.
   */
  fgets(size: number): Uint8Array | undefined {
    for (;;) {
      const newline = this.#pending.subarray(0, size - 1).indexOf(NEWLINE);
      if (newline >= 0) return this.#take(newline + 1);
      if (this.#pending.length >= size - 1) return this.#take(size - 1);
      const length = this.#ended ? 0 : readOnce(STDIN, this.#chunk);
      this.#ended = length === 0;
      if (this.#ended) return this.#pending.length > 0 ? this.#take(size - 1) : undefined;
      this.#pending = Buffer.concat([this.#pending, this.#chunk.subarray(0, length)]);
    }
  }

  #take(length: number): Uint8Array {
    const line = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return line;
  }

  [Symbol.dispose](): void {
    const unread = this.#take(this.#pending.length).length;
    if (unread === 0) return;
    try {
      sys.lseek(STDIN, -unread, sys.SEEK_CUR);
    } catch (error) {
      // Nothing goes back into a pipe or a terminal (ESPIPE); exit() has no error either.
      if (!(error instanceof sys.SyscallError)) throw error;
    }
  }
}

/**
 * Makes the call again after a signal, and after the descriptor was not ready.
 *
 * Node's own signal handlers do not all restart the call they interrupt, and whoever shares a terminal or a pipe with
 * us may have made it non-blocking.
 */
export function restarted<T>(fd: number, events: number, call: () => T): T {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof sys.SyscallError)) throw error;
      if (error.code === 'EAGAIN') waitFor(fd, events);
      else if (error.code !== 'EINTR') throw error;
    }
  }
}

function waitFor(fd: number, events: number): void {
  try {
    sys.poll([{ fd, events }], -1);
  } catch (error) {
    if (!(error instanceof sys.SyscallError && error.code === 'EINTR')) throw error;
  }
}
