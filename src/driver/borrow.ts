import { readdirSync } from 'node:fs';
import * as sys from '../syscall/sys.js';
import { isEnding, socketsOf } from './processes.js';
import type { Program } from './program.js';

/** Of a program of the story something may not be seen by whoever runs it: that says nothing of the story. */
export class MayNotLook extends Error {
  override readonly name = 'MayNotLook';
  readonly code = 'EACCES';
}

/**
 * Runs `look` with a copy of a program's connected socket, found among its descriptors; undefined where there is none. While
 * the copy is open the program's close() sends no FIN, so `look` must be quick. Throws MayNotLook.
 */
export function borrowSocket<T>(
  program: Program | undefined,
  look: (fd: number) => T,
): T | undefined {
  if (program === undefined) return undefined;
  mayBeSeen(program.pid);
  for (const { fd } of socketsOf([program.pid]).values()) {
    using fds = new sys.Descriptors();
    try {
      const copy = fds.own(sys.pidfd_getfd(program.pidfd, fd));
      if (sys.getOption(copy, 'SO_ACCEPTCONN') || sys.getOption(copy, 'SO_PROTOCOL') !== 6)
        continue;
      return look(copy);
    } catch (error) {
      // The program may close it, or end, while it is looked at.
      const gone = ['EBADF', 'ESRCH', 'ENOPROTOOPT'];
      if (!(error instanceof sys.SyscallError)) throw error;
      if (gone.includes(error.code)) continue;
      throw error.code === 'EPERM' ? new MayNotLook(error.message) : error;
    }
  }
  return undefined;
}

/** Where descriptors may not be listed there seem to be none. */
function mayBeSeen(pid: number): void {
  try {
    readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES' || isEnding(pid)) return;
    throw new MayNotLook('EACCES: /proc/PID/fd of a process that is not dumpable');
  }
}
