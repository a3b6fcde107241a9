import { type EpollInstances, type EpollInterest, epollInterestOf } from '../observer/epoll.js';
import { codeOf, isGone } from '../observer/proc.js';
import {
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
} from '../syscall/constants.js';

/** An event loop that watches a descriptor. */
export interface Watch {
  /** The descriptor of the epoll instance, in the same process. */
  readonly epfd: number;
  /** Such as EPOLLIN|EPOLLRDHUP; EPOLLERR and EPOLLHUP are always reported. */
  readonly events: string;
}

/** What the epoll instances of a process watch, by the inode number of the file. */
export type Interest = ReadonlyMap<number, readonly Watch[]>;

const bits = Object.entries({
  ...{ EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLRDHUP },
  ...{ EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLET },
});

/** Reads it. Undefined if it may not be read, if the kernel does not say, or if there is no event loop. */
export function interestOf(pid: number, known?: EpollInstances): Interest | undefined {
  if (known?.epfds.length === 0) return undefined;
  let entries: EpollInterest[];
  try {
    entries = epollInterestOf(pid, known);
  } catch (error) {
    const code = codeOf(error);
    if (isGone(code) || code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
  const interest = new Map<number, Watch[]>();
  for (const { epfd, inode, events } of entries) {
    if (inode === undefined) continue;
    const watch = { epfd, events: eventsText(events) };
    const others = interest.get(inode);
    if (others === undefined) interest.set(inode, [watch]);
    else others.push(watch);
  }
  // Without inode numbers nothing can be said of any descriptor.
  return interest.size === 0 && entries.length > 0 ? undefined : interest;
}

function eventsText(events: number): string {
  const set = bits.filter(([, bit]) => (events & bit) !== 0).map(([name]) => name);
  return set.length === 0 ? 'nothing until it is armed again' : set.join('|');
}
