import * as sys from '../syscall/sys.js';
import { socketsOf } from './processes.js';
import type { Program } from './program.js';

/**
 * Runs `look` with a copy of a program's connected socket, found among its descriptors; undefined where there is none. While
 * the copy is open the program's close() sends no FIN, so `look` must be quick.
 */
export function borrowSocket<T>(
  program: Program | undefined,
  look: (fd: number) => T,
): T | undefined {
  if (program === undefined) return undefined;
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
      if (error instanceof sys.SyscallError && gone.includes(error.code)) continue;
      throw error;
    }
  }
  return undefined;
}
