import { readFileSync, readlinkSync } from 'node:fs';
import { codeOf, isGone, numbersIn, parseStat, unlessGone } from '../observer/proc.js';
import type { HeldBy } from './census.js';

/** A socket that no dump shows any more, and who holds it. */
export interface Ghost {
  readonly inode: number;
  readonly holders: readonly HeldBy[];
}

/** The ghosts that are still there, each with the holders it has left. Costs 4 us a holder, and 40 us one that has gone. */
export function stillHaunting(ghosts: readonly Ghost[]): Ghost[] {
  return ghosts
    .map(({ inode, holders }) => ({ inode, holders: holders.filter((each) => holds(each, inode)) }))
    .filter(({ holders }) => holders.length > 0);
}

/** Whether that descriptor still leads to the socket with that inode number, as far as it may be looked at. */
export function holds({ pid, fd }: HeldBy, inode: number): boolean {
  const isIn = (directory: string) => linkAt(`${directory}/fd/${fd}`) === `socket:[${inode}]`;
  if (isIn(`/proc/${pid}`)) return true;
  if (!isLeaderless(pid)) return false;
  const tasks = `/proc/${pid}/task`;
  return unlessGone(() => numbersIn(tasks))?.some((tid) => isIn(`${tasks}/${tid}`)) ?? false;
}

/** Whether its first thread has ended: if there are others, its descriptors are theirs. */
function isLeaderless(pid: number): boolean {
  const line = unlessGone(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  return line !== undefined && !parseStat(line).hasMemory;
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    const code = codeOf(error);
    if (isGone(code) || code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
}
