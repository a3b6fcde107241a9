/**
 * Tells which descriptors an event loop of another process watches, and for what.
 *
 * Sees: every entry of every epoll instance that a process has a descriptor of.
 * Blind to: what is watched by poll(2), select(2) or io_uring; the queues behind an entry.
 * Costs: a readlink for each descriptor, about 2 us, and a few microseconds for each entry. While the kernel writes an
 *   instance's entries down, an epoll_ctl or epoll_wait on it waits.
 * Needs: nothing for processes of one's own user; CAP_SYS_PTRACE for others.
 * Clock: none. The entries of one instance are of one moment; the instances are read one after the other.
 * Source: proc_pid_fdinfo(5), ep_show_fdinfo() in fs/eventpoll.c.
 */
import type { LinkBytes } from '../syscall/links.js';
import { checkString, integer, listOf } from '../tcp/argument.js';
import { checkedPid, ProcessDirectory, unlessGone } from './proc.js';

/** One entry of an epoll instance. */
export interface EpollInterest {
  /** The descriptor of the instance; the same entries come once more for each copy of it. */
  readonly epfd: number;
  /**
   * The number the entry was added under. It may be another file's by now, or nobody's: an entry lives until every copy of
   * its descriptor is closed (epoll(7)). `inode` says which file it is.
   */
  readonly fd: number;
  /** EPOLLIN, EPOLLOUT, EPOLLET, ...; without EPOLLIN and its like the entry has fired and waits to be armed again. */
  readonly events: number;
  /** Of the file; missing before Linux 4.13. */
  readonly inode?: number;
}

/** Which descriptors of a process are epoll instances, and the path of the directory that has them. */
export interface EpollInstances {
  readonly epfds: readonly number[];
  /** As ProcessDirectory.eachDescriptor() returns it. */
  readonly task: string;
}

const checkDescriptors = listOf(integer(0, 2 ** 31 - 1));

/**
 * Lists what the epoll instances of a process watch, in order of epfd; looks for them unless they are `known`.
 *
 * An instance that is closed meanwhile is left out. Throws SyscallError: ENOENT when there is no such process, EACCES when
 * it may not be read.
 */
export function epollInterestOf(pid: number, known?: EpollInstances): EpollInterest[] {
  using process = new ProcessDirectory(checkedPid(pid));
  const { epfds, task } = known === undefined ? instancesIn(process) : checked(known);
  return epfds.flatMap((epfd) => {
    const text = unlessGone(() => process.read(`${task}fdinfo/${epfd}`));
    return text === undefined ? [] : parseEpollInterest(epfd, text);
  });
}

function checked(known: EpollInstances): EpollInstances {
  const { epfds, task } = (known ?? {}) as EpollInstances;
  checkDescriptors('known.epfds', epfds);
  checkString('known.task', task);
  return { epfds, task };
}

function instancesIn(process: ProcessDirectory): EpollInstances {
  const epfds: number[] = [];
  const task = process.eachDescriptor((fd, link) => {
    if (isEventpoll(link)) epfds.push(fd);
  });
  return { epfds, task };
}

const LINE = /^tfd: *(\d+) events: *([\da-f]+) data: *[\da-f]+(?:.* ino:([\da-f]+))?/gm;

/** Parses the entries in /proc/PID/fdinfo/EPFD; lines of another form are passed over. */
export function parseEpollInterest(epfd: number, text: string): EpollInterest[] {
  return Array.from(text.matchAll(LINE), ([, fd = '', events = '', inode]) => ({
    epfd,
    fd: Number(fd),
    events: Number.parseInt(events, 16),
    ...(inode !== undefined && { inode: Number.parseInt(inode, 16) }),
  }));
}

const EVENTPOLL = 'anon_inode:[eventpoll]';

/** Whether the link of a descriptor is that of an epoll instance. */
export function isEventpoll({ bytes, start, length }: LinkBytes): boolean {
  if (length !== EVENTPOLL.length) return false;
  return Buffer.from(bytes.buffer, start, length).toString('latin1') === EVENTPOLL;
}
