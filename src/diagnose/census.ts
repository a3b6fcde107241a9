import { readFileSync, readlinkSync, statSync } from 'node:fs';
import type { DescriptorIterator } from '../observer/descriptor-iterator.js';
import { ROW_WORDS } from '../observer/descriptor-program.js';
import { type EpollInstances, isEventpoll } from '../observer/epoll.js';
import {
  codeOf,
  isGone,
  livingThreadOf,
  ProcessDirectory,
  parseStat,
  unlessGone,
  visibleProcesses,
} from '../observer/proc.js';
import { NOT_A_SOCKET, type SocketDescriptor, socketInode } from '../observer/process.js';
import type { LinkBytes } from '../syscall/links.js';

/** A descriptor that leads to a socket. */
export interface HeldBy {
  readonly pid: number;
  readonly fd: number;
}

/** What one pass over /proc found in one process. */
interface Household extends EpollInstances {
  readonly pid: number;
  /** Its sockets are among the places from `first` up to, not including, `end`. */
  readonly first: number;
  readonly end: number;
}

const NOWHERE = -1;
const FIRST_SIZE = 1024;

/** Instead of an inode number: no socket. */
const NONE = 0;

/** Where in a row of a DescriptorIterator what is. */
const [PID, TID, FD, INODE] = [0, 1, 2, 3];

/**
 * Which process holds which sockets, as one pass over /proc found it.
 *
 * One pass answers for any number of sockets, and sees the event loops as well. Inode numbers tell sockets apart: the kernel
 * gives the same one out again only after 2^32 others. Costs 3 us a descriptor, most of it the kernel's, and a fourth of that
 * where a BPF program may tell of them; see observer/process.ts for what it is blind to.
 */
export class Census {
  /** Processes that may not be read, by the errno that said so. */
  readonly refused = new Map<number, string>();
  /** Why /proc may not list all processes; undefined where it does. */
  readonly hidden: string | undefined;
  readonly #households = new Map<number, Household>();
  // A place for each descriptor of a socket, in order of pid and fd: ROW_WORDS numbers.
  #length = 0;
  #rows = new Uint32Array(FIRST_SIZE * ROW_WORDS);
  /** The first place of an inode number, by its last bits; made when the pass has ended. */
  readonly #buckets: Int32Array;
  /** The next place of the same bucket. */
  readonly #next: Int32Array;

  /** Makes the pass; by `iterator` where there is one, which tells of sockets of TCP only. */
  constructor(iterator?: DescriptorIterator) {
    const { pids, hidden } = visibleProcesses();
    this.hidden = hidden;
    if (iterator === undefined) for (const pid of pids) this.#visit(pid);
    else this.#take(iterator);
    // At least as many buckets as places. The numbers were given out in turn: their last bits are as good as any hash.
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(this.#length + 1))).fill(NOWHERE);
    this.#next = new Int32Array(this.#length);
    this.#index();
  }

  /** The processes that hold sockets. */
  get pids(): Iterable<number> {
    return this.#households.keys();
  }

  /** Who holds a socket, in order of pid and fd: dup, fork and SCM_RIGHTS make several. */
  holdersOf(inode: number): HeldBy[] {
    const rows = this.#rows;
    const holders: HeldBy[] = [];
    for (let place = this.#placeOf(inode); place !== NOWHERE; place = this.#samePlace(place)) {
      const at = place * ROW_WORDS;
      holders.push({ pid: rows[at + PID] as number, fd: rows[at + FD] as number });
    }
    return holders;
  }

  /** Whether a holder still is one: a child that was forked during the pass may have closed its copy since, or called exec. */
  stillHolds({ pid, fd }: HeldBy, inode: number): boolean {
    const task = this.#households.get(pid)?.task ?? '';
    try {
      return readlinkSync(`/proc/${pid}/${task}fd/${fd}`) === `socket:[${inode}]`;
    } catch (error) {
      const code = codeOf(error);
      if (isGone(code) || code === 'EACCES' || code === 'EPERM') return false;
      throw error;
    }
  }

  /** The thread of a process that has its descriptors: the first, unless that has ended and another goes on. */
  threadOf(pid: number): number {
    const [, tid] = this.#households.get(pid)?.task.split('/') ?? [];
    return tid === undefined ? pid : Number(tid);
  }

  /** The epoll instances of a process that holds sockets. */
  epollOf(pid: number): EpollInstances | undefined {
    return this.#households.get(pid);
  }

  /** The sockets of each process whose inode numbers are in none of these lists, one descriptor for each. */
  unlisted(lists: Iterable<Uint32Array>): Map<number, SocketDescriptor[]> {
    const isListed = new Uint8Array(this.#length);
    for (const inodes of lists) {
      for (let i = 0; i < inodes.length; i++) {
        let place = this.#placeOf(inodes[i] as number);
        for (; place !== NOWHERE; place = this.#samePlace(place)) isListed[place] = 1;
      }
    }
    const rows = this.#rows;
    const unlisted = new Map<number, SocketDescriptor[]>();
    const seen = new Set<number>();
    for (const { pid, first, end } of this.#households.values()) {
      const sockets: SocketDescriptor[] = [];
      seen.clear();
      for (let place = first; place < end; place++) {
        if (isListed[place] !== 0) continue;
        const inode = rows[place * ROW_WORDS + INODE] as number;
        if (inode === NONE || seen.has(inode)) continue;
        seen.add(inode);
        sockets.push({ fd: rows[place * ROW_WORDS + FD] as number, inode });
      }
      if (sockets.length > 0) unlisted.set(pid, sockets);
    }
    return unlisted;
  }

  #visit(pid: number): void {
    const first = this.#length;
    const epfds: number[] = [];
    try {
      using process = new ProcessDirectory(pid);
      const task = process.eachDescriptor((fd, link) => {
        const inode = socketInode(link);
        if (inode !== NOT_A_SOCKET) this.#add(pid, fd, inode);
        else if (isEventpoll(link)) epfds.push(fd);
      });
      if (this.#length > first) {
        this.#households.set(pid, { pid, first, end: this.#length, epfds, task });
      }
    } catch (error) {
      this.#length = first;
      const code = codeOf(error);
      if (isGone(code)) return;
      if (code !== 'EACCES' && code !== 'EPERM') throw error;
      this.refused.set(pid, code);
    }
  }

  /** Takes the rows as they come, which is in order of tid and fd: those of one process are together. */
  #take(iterator: DescriptorIterator): void {
    for (const rows of iterator.rows()) {
      const length = this.#length + rows.length / ROW_WORDS;
      while (length * ROW_WORDS > this.#rows.length) this.#grow();
      this.#rows.set(rows, this.#length * ROW_WORDS);
      this.#length = length;
    }
    const rows = this.#rows;
    const end = this.#length;
    const orphaned = new Set<number>();
    for (let first = 0; first < end; ) {
      const pid = rows[first * ROW_WORDS + PID] as number;
      const epfds: number[] = [];
      let sockets = 0;
      let place = first;
      for (; place < end && rows[place * ROW_WORDS + PID] === pid; place++) {
        const at = place * ROW_WORDS;
        // A table of a thread's own. It is the process's if its first thread has ended.
        if (rows[at + TID] !== pid) {
          rows[at + INODE] = NONE;
          orphaned.add(pid);
        } else if (rows[at + INODE] === NONE) epfds.push(rows[at + FD] as number);
        else sockets++;
      }
      if (sockets > 0) this.#households.set(pid, { pid, first, end: place, epfds, task: '' });
      first = place;
    }
    for (const pid of orphaned) if (!this.#households.has(pid)) this.#visit(pid);
  }

  #add(pid: number, fd: number, inode: number): void {
    const at = this.#length * ROW_WORDS;
    if (at === this.#rows.length) this.#grow();
    this.#rows[at + PID] = pid;
    this.#rows[at + FD] = fd;
    this.#rows[at + INODE] = inode;
    this.#length++;
  }

  #grow(): void {
    const rows = this.#rows;
    this.#rows = new Uint32Array(2 * rows.length);
    this.#rows.set(rows);
  }

  #index(): void {
    const [rows, buckets, next] = [this.#rows, this.#buckets, this.#next];
    const mask = buckets.length - 1;
    for (let place = this.#length - 1; place >= 0; place--) {
      const inode = rows[place * ROW_WORDS + INODE] as number;
      if (inode === NONE) continue;
      next[place] = buckets[inode & mask] as number;
      buckets[inode & mask] = place;
    }
  }

  #placeOf(inode: number): number {
    const first = this.#buckets[inode & (this.#buckets.length - 1)] as number;
    return this.#from(first, inode);
  }

  #samePlace(place: number): number {
    return this.#from(this.#next[place] as number, this.#rows[place * ROW_WORDS + INODE] as number);
  }

  #from(start: number, inode: number): number {
    const rows = this.#rows;
    let place = start;
    while (place !== NOWHERE && rows[place * ROW_WORDS + INODE] !== inode) {
      place = this.#next[place] as number;
    }
    return place;
  }
}

const NET = 0x3a_74_65_6e;

/** Whether the link of a descriptor is "net:[NUMBER]": a network namespace's (ns_get_name() in fs/nsfs.c). */
function isNetns({ words, start, length }: LinkBytes): boolean {
  return length > 4 && words[start >> 2] === NET;
}

/** Paths in /proc of the network namespaces that these processes hold descriptors of, by inode number. */
export function namespacesHeldBy(pids: Iterable<number>): Map<number, string> {
  const paths = new Map<number, string>();
  for (const pid of pids) {
    const fds: number[] = [];
    try {
      using process = new ProcessDirectory(pid);
      const task = process.eachDescriptor((fd, link) => {
        if (isNetns(link)) fds.push(fd);
      });
      for (const path of fds.map((fd) => `/proc/${pid}/${task}fd/${fd}`)) {
        const inode = unlessGone(() => statSync(path).ino);
        if (inode !== undefined) paths.set(inode, path);
      }
    } catch (error) {
      const code = codeOf(error);
      if (!isGone(code) && code !== 'EACCES' && code !== 'EPERM') throw error;
    }
  }
  return paths;
}

/** The network namespace of a process, as the inode number that ls -i and lsns show. Throws Node's own error. */
export function netnsOf(pid: number | 'self'): number {
  try {
    return statSync(`/proc/${pid}/ns/net`).ino;
  } catch (error) {
    if (pid === 'self' || codeOf(error) !== 'ENOENT') throw error;
    return statSync(netnsPathOf(pid)).ino;
  }
}

/** Where that namespace can be opened: a thread that has ended is in none, be it the first. */
export function netnsPathOf(pid: number): string {
  return `/proc/${pid}/task/${livingThreadOf(pid)}/ns/net`;
}

/** When a process began, in hundredths of a second since boot; undefined once it is gone. */
export function startTicksOf(pid: number | 'self'): number | undefined {
  return unlessGone(() => parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1')).startTicks);
}

/** The kernel's name for a process; undefined once it is gone. */
export function commOf(pid: number): string | undefined {
  return unlessGone(() => readFileSync(`/proc/${pid}/comm`, 'utf8').replace(/\n$/, ''));
}
