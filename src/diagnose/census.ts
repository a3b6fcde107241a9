import { readFileSync, statSync } from 'node:fs';
import { type EpollInstances, isEventpoll } from '../observer/epoll.js';
import { codeOf, isGone, numbersIn, ProcessDirectory, unlessGone } from '../observer/proc.js';
import { NOT_A_SOCKET, type SocketDescriptor, socketInode } from '../observer/process.js';

/** A descriptor that leads to a socket. */
export interface HeldBy {
  readonly pid: number;
  readonly fd: number;
}

/** What one pass over /proc found in one process. */
interface Household extends EpollInstances {
  readonly pid: number;
  /** Its sockets are the places from `first` up to, not including, `end`. */
  readonly first: number;
  readonly end: number;
}

const NOWHERE = -1;
const FIRST_SIZE = 1024;

/**
 * Which process holds which sockets, as one pass over /proc found it.
 *
 * One pass answers for any number of sockets, and sees the event loops as well. Inode numbers tell sockets apart: the kernel
 * gives the same one out again only after 2^32 others. Costs 3 us a descriptor, most of it the kernel's; see
 * observer/process.ts for what it is blind to.
 */
export class Census {
  /** Processes that may not be read, by the errno that said so. */
  readonly refused = new Map<number, string>();
  /** Whether /proc hides the processes of others (mount option hidepid). */
  readonly hidden: boolean;
  readonly #households = new Map<number, Household>();
  // A place for each descriptor of a socket, in order of pid and fd.
  #length = 0;
  #pids = new Int32Array(FIRST_SIZE);
  #fds = new Int32Array(FIRST_SIZE);
  #inodes = new Float64Array(FIRST_SIZE);
  /** The first place of an inode number, by its last bits; made when the pass has ended. */
  readonly #buckets: Int32Array;
  /** The next place of the same bucket. */
  readonly #next: Int32Array;

  /** Makes the pass. */
  constructor() {
    const pids = numbersIn('/proc');
    this.hidden = pids[0] !== 1;
    for (const pid of pids) this.#visit(pid);
    // At least as many buckets as places. The numbers were given out in turn: their last bits are as good as any hash.
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(this.#length + 1))).fill(NOWHERE);
    this.#next = new Int32Array(this.#length);
    for (let place = this.#length - 1; place >= 0; place--) {
      const bucket = this.#bucketOf(this.#inodes[place] as number);
      this.#next[place] = this.#buckets[bucket] as number;
      this.#buckets[bucket] = place;
    }
  }

  /** The processes that hold sockets. */
  get pids(): Iterable<number> {
    return this.#households.keys();
  }

  /** Who holds a socket, in order of pid and fd: dup, fork and SCM_RIGHTS make several. */
  holdersOf(inode: number): HeldBy[] {
    const holders: HeldBy[] = [];
    for (let place = this.#placeOf(inode); place !== NOWHERE; place = this.#samePlace(place)) {
      holders.push({ pid: this.#pids[place] as number, fd: this.#fds[place] as number });
    }
    return holders;
  }

  /** The epoll instances of a process that holds sockets. */
  epollOf(pid: number): EpollInstances | undefined {
    return this.#households.get(pid);
  }

  /** The sockets of each process whose inode numbers are in none of these lists, one descriptor for each. */
  unlisted(lists: Iterable<Uint32Array>): Map<number, SocketDescriptor[]> {
    const isListed = new Uint8Array(this.#length);
    for (const inodes of lists) {
      for (const inode of inodes) {
        for (let at = this.#placeOf(inode); at !== NOWHERE; at = this.#samePlace(at)) {
          isListed[at] = 1;
        }
      }
    }
    const unlisted = new Map<number, SocketDescriptor[]>();
    const seen = new Set<number>();
    for (const { pid, first, end } of this.#households.values()) {
      const sockets: SocketDescriptor[] = [];
      seen.clear();
      for (let place = first; place < end; place++) {
        const inode = this.#inodes[place] as number;
        if (isListed[place] !== 0 || seen.has(inode)) continue;
        seen.add(inode);
        sockets.push({ fd: this.#fds[place] as number, inode });
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

  #add(pid: number, fd: number, inode: number): void {
    const place = this.#length++;
    if (place === this.#fds.length) this.#grow();
    this.#pids[place] = pid;
    this.#fds[place] = fd;
    this.#inodes[place] = inode;
  }

  #grow(): void {
    const size = 2 * this.#fds.length;
    const [pids, fds, inodes] = [this.#pids, this.#fds, this.#inodes];
    this.#pids = new Int32Array(size);
    this.#fds = new Int32Array(size);
    this.#inodes = new Float64Array(size);
    this.#pids.set(pids);
    this.#fds.set(fds);
    this.#inodes.set(inodes);
  }

  #bucketOf(inode: number): number {
    return inode & (this.#buckets.length - 1);
  }

  #placeOf(inode: number): number {
    return this.#from(this.#buckets[this.#bucketOf(inode)] as number, inode);
  }

  #samePlace(place: number): number {
    return this.#from(this.#next[place] as number, this.#inodes[place] as number);
  }

  #from(start: number, inode: number): number {
    let place = start;
    while (place !== NOWHERE && this.#inodes[place] !== inode) place = this.#next[place] as number;
    return place;
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
