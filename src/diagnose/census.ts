import { readFileSync, statSync } from 'node:fs';
import { codeOf, isGone, numbersIn, unlessGone } from '../observer/proc.js';
import { type SocketDescriptor, socketsOf } from '../observer/process.js';

/** A descriptor that leads to a socket. */
export interface HeldBy {
  readonly pid: number;
  readonly fd: number;
}

/** Which process holds which sockets, as one pass over /proc found it. */
export interface Census {
  /** Who holds a socket, by its inode number, in order of pid and fd: dup, fork and SCM_RIGHTS make several. */
  readonly holders: ReadonlyMap<number, readonly HeldBy[]>;
  /** The sockets of each process that could be read and has any. */
  readonly sockets: ReadonlyMap<number, readonly SocketDescriptor[]>;
  /** Processes that may not be read, by the errno that said so. */
  readonly refused: ReadonlyMap<number, string>;
  /** Whether /proc hides the processes of others (mount option hidepid). */
  readonly hidden: boolean;
}

/**
 * Reads once, in every process of /proc, which sockets it holds.
 *
 * One scan answers for any number of sockets. Inode numbers tell sockets apart: the kernel gives the same one out again
 * only after 2^32 others. Costs about 6 us a descriptor; see observer/process.ts for what it is blind to.
 */
export function takeCensus(): Census {
  const holders = new Map<number, HeldBy[]>();
  const sockets = new Map<number, SocketDescriptor[]>();
  const refused = new Map<number, string>();
  const pids = numbersIn('/proc');
  for (const pid of pids) {
    const found = unlessRefused(pid, refused);
    if (found === undefined || found.length === 0) continue;
    sockets.set(pid, found);
    for (const { fd, inode } of found) {
      const held = holders.get(inode);
      if (held === undefined) holders.set(inode, [{ pid, fd }]);
      else held.push({ pid, fd });
    }
  }
  return { holders, sockets, refused, hidden: pids[0] !== 1 };
}

function unlessRefused(pid: number, refused: Map<number, string>): SocketDescriptor[] | undefined {
  try {
    return socketsOf(pid);
  } catch (error) {
    const code = codeOf(error);
    if (isGone(code)) return undefined;
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    refused.set(pid, code);
    return undefined;
  }
}

/** The network namespace of a process, as the inode number that ls -i and lsns show. Throws Node's own error. */
export function netnsOf(pid: number | 'self'): number {
  return statSync(`/proc/${pid}/ns/net`).ino;
}

/** The kernel's name for a process; undefined once it is gone. */
export function commOf(pid: number): string | undefined {
  return unlessGone(() => readFileSync(`/proc/${pid}/comm`, 'utf8').replace(/\n$/, ''));
}
