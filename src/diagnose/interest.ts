import { type EpollInstances, type EpollInterest, epollInterestOf } from '../observer/epoll.js';
import { codeOf, isGone } from '../observer/proc.js';
import {
  EPOLLERR,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLHUP,
  EPOLLIN,
  EPOLLMSG,
  EPOLLONESHOT,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDBAND,
  EPOLLRDHUP,
  EPOLLRDNORM,
  EPOLLWAKEUP,
  EPOLLWRBAND,
  EPOLLWRNORM,
} from '../syscall/constants.js';

/** An event loop that watches a descriptor. */
export interface Watch {
  /** The descriptor of the epoll instance, in the same process. */
  readonly epfd: number;
  /** Such as EPOLLIN|EPOLLRDHUP; EPOLLERR and EPOLLHUP are always reported, and named where there is nothing else. */
  readonly events: string;
  /** Whether another epoll instance of the process watches this one: then it need not be the one that is waited for. */
  readonly nested?: true;
}

/** What the epoll instances of a process watch, by the inode number of the file. */
export type Interest = ReadonlyMap<number, readonly Watch[]>;

const bits = Object.entries({
  ...{
    EPOLLIN,
    EPOLLPRI,
    EPOLLOUT,
    EPOLLRDHUP,
    EPOLLRDNORM,
    EPOLLRDBAND,
    EPOLLWRNORM,
    EPOLLWRBAND,
  },
  ...{ EPOLLMSG, EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLONESHOT, EPOLLET },
});

/** EP_PRIVATE_BITS in fs/eventpoll.c: how an entry reports. They alone are left of one that has fired with EPOLLONESHOT. */
const HOW = EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET;

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
  const instances = new Set(entries.map(({ epfd }) => epfd));
  const nested = new Set(entries.map(({ fd }) => fd).filter((fd) => instances.has(fd)));
  const interest = new Map<number, Watch[]>();
  for (const { epfd, inode, events } of entries) {
    if (inode === undefined) continue;
    const watch: Watch = {
      epfd,
      events: eventsText(events),
      ...(nested.has(epfd) && { nested: true }),
    };
    const others = interest.get(inode);
    if (others === undefined) interest.set(inode, [watch]);
    else others.push(watch);
  }
  // Without inode numbers nothing can be said of any descriptor.
  return interest.size === 0 && entries.length > 0 ? undefined : interest;
}

/** What an entry is watched for. */
export function eventsText(events: number): string {
  if ((events & ~HOW) === 0) return 'nothing until it is armed again';
  const set = bits.filter(([, bit]) => (events & bit) !== 0).map(([name]) => name);
  const always = EPOLLERR | EPOLLHUP;
  return ((events & ~HOW & ~always) === 0 ? ['EPOLLERR', 'EPOLLHUP', ...set] : set).join('|');
}
