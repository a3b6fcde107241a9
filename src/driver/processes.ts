import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import * as sys from '../syscall/sys.js';

/** One descriptor of one process. */
export interface Held {
  readonly pid: number;
  readonly fd: number;
}

/** A process that lives and those that it and they have started, parents first. One that has left its parent is not found. */
export function descendantsOf(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? parentOf(Number(name)) : undefined;
    if (parent !== undefined) parents.set(Number(name), parent);
  }
  const found = parents.has(root) ? [root] : [];
  // A list that grows while it is gone through: each is asked for its children.
  for (const each of found) {
    for (const [pid, parent] of parents) if (parent === each) found.push(pid);
  }
  return found;
}

/** The inodes of the sockets that processes hold, and a descriptor of each. */
export function socketsOf(pids: readonly number[]): ReadonlyMap<number, Held> {
  const found = new Map<number, Held>();
  for (const pid of pids) {
    for (const fd of entries(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined) found.set(Number(inode), { pid, fd: Number(fd) });
    }
  }
  return found;
}

/** Ends a process and its descendants. Throws SyscallError. */
export function endDescendants(root: number): void {
  // Children first: of a parent that is gone they are no descendants any more.
  for (const pid of descendantsOf(root).reverse()) {
    using fds = new sys.Descriptors();
    try {
      const pidfd = fds.own(sys.pidfd_open(pid));
      // Between the list and the descriptor the number may have become somebody else's.
      if (descendantsOf(root).includes(pid)) sys.pidfd_send_signal(pidfd, sys.SIGKILL);
    } catch (error) {
      if (!(error instanceof sys.SyscallError && error.code === 'ESRCH')) throw error;
    }
  }
}

/** The parent of a process that lives. Source: proc_pid_stat(5). */
function parentOf(pid: number): number | undefined {
  const [, state = 'X', parent] = /^.*\) (\S) (\d+)/s.exec(textOf(`/proc/${pid}/stat`)) ?? [];
  return 'ZX'.includes(state) ? undefined : Number(parent);
}

/** Whether a process has ended, or is about to: there is little to be seen of it then, whoever looks. Source: proc_pid_stat(5). */
export function isEnding(pid: number): boolean {
  const PF_EXITING = 0x4;
  const [, state = 'X', flags] =
    /^.*\) (\S)(?: \S+){5} (\d+)/s.exec(textOf(`/proc/${pid}/stat`)) ?? [];
  return 'ZX'.includes(state) || (Number(flags) & PF_EXITING) !== 0;
}

/** What has gone since it was listed, or is not ours to see, is none of them. */
function attempt<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code)) return otherwise;
    throw error;
  }
}

const entries = (path: string): string[] => attempt(() => readdirSync(path), []);
const link = (path: string): string => attempt(() => readlinkSync(path), '');
/** A file of /proc; empty where there is none, not any more, or where it is not ours to see. */
export const textOf = (path: string): string => attempt(() => readFileSync(path, 'utf8'), '');
