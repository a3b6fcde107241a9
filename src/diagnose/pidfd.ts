import { O_EXCL } from '../syscall/constants.js';
import { pidfd_open } from '../syscall/process.js';

/** linux/pidfd.h */
const PIDFD_THREAD = O_EXCL;

/**
 * A pidfd by which a process's descriptors are copied; the caller closes it. Once its first thread has ended they are those of
 * another, `tid`. Throws SyscallError: EINVAL for such a thread before Linux 6.9.
 */
export function openPidfd(pid: number, tid = pid): number {
  return tid === pid ? pidfd_open(pid) : pidfd_open(tid, PIDFD_THREAD);
}
