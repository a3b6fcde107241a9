/**
 * Tells which processes hold a socket and what each thread of a process waits in.
 *
 * Sees: every descriptor in the tables of the processes in /proc, and every thread's state, system call and wait channel.
 * Blind to: sockets no descriptor table names (not accepted yet, in flight over SCM_RIGHTS, registered with io_uring
 *   only); processes outside this /proc's pid namespace; a thread that has left its process's table by
 *   unshare(CLONE_FILES); the names of a 32-bit process's calls, whose numbers belong to another table; the call a
 *   thread went on with after SIGCONT, which reads restart_syscall.
 * Costs: one readlink for each descriptor of each process looked at, about 2 us: 0.2 s for 100,000.
 * Needs: nothing for processes of one's own user; CAP_SYS_PTRACE for others and for those that are not dumpable. A
 *   security module may refuse even then.
 * Clock: none. A scan is no snapshot: each line is as old as the moment it was read.
 * Source: proc(5), fs/proc/base.c, fs/proc/array.c; netstat's column as net-tools 2.10 prints it.
 */
import { readFileSync } from 'node:fs';
import type { LinkBytes } from '../syscall/links.js';
import { syscallName } from '../syscall/process.js';
import { type Checks, checkedFields, checkIterable, mustBe } from '../tcp/argument.js';
import {
  checkedPid,
  codeOf,
  isGone,
  numbersIn,
  ProcessDirectory,
  parseStat,
  visibleProcesses,
} from './proc.js';

/** A descriptor that refers to a socket, of any family. */
export interface SocketDescriptor {
  readonly fd: number;
  readonly inode: number;
}

/** One descriptor of one process that keeps a socket alive. */
export interface Holder {
  readonly pid: number;
  readonly fd: number;
  /** The kernel's name for the process: 15 bytes at most, set by exec or by the process itself. */
  readonly comm: string;
  /** The name netstat -p prints: argv[0], without its directories if it is an absolute path. */
  readonly program: string;
}

/** Who holds the sockets asked about, as far as /proc may be read. */
export interface Holders {
  /** An entry for every inode asked about, its holders in order of pid and fd; empty when none was seen. */
  readonly holders: Map<number, Holder[]>;
  /** Why holders may be missing from the answer; empty when every process could be read. */
  readonly incomplete: string[];
}

/** The system call a thread is blocked in; `name` is missing where this machine's headers have none. */
export interface BlockedCall {
  readonly number: number;
  readonly name?: string;
  /** The six argument registers, whether the call uses them or not. */
  readonly args: readonly bigint[];
}

/** What a thread of a process is doing. */
export interface Thread {
  readonly tid: number;
  readonly comm: string;
  /** The letter of proc_pid_stat(5): R running, S sleeping, D disk sleep, T stopped, t traced, Z zombie, ... */
  readonly state: string;
  readonly syscall?: BlockedCall;
  /** The kernel function it sleeps in; absent while it runs, and where the kernel does not tell us. */
  readonly wchan?: string;
  /** Why `syscall` is missing. */
  readonly reason?: string;
}

const OPTIONS: Checks<{ readonly pids?: Iterable<number> }> = { pids: checkIterable };

/**
 * Finds the processes that hold the sockets with these inode numbers.
 *
 * Looks at every process unless `pids` names some. One that ends meanwhile is left out; one that may not be read is
 * counted in `incomplete`.
 */
export function holdersOf(
  inodes: Iterable<number>,
  options: { readonly pids?: Iterable<number> } = {},
): Holders {
  checkIterable('inodes', inodes);
  const { pids: asked } = checkedFields('options', options, OPTIONS);
  const wanted = new Inodes(inodes);
  const found: Holder[][] = new Array(wanted.sorted.length);
  const holders = new Map<number, Holder[]>();
  const incomplete: string[] = [];
  if (found.length === 0) return { holders, incomplete };

  const { pids, hidden } = asked ? { pids: Array.from(asked, checkedPid) } : visibleProcesses();
  if (hidden !== undefined) incomplete.push(hidden);
  const refused = new Map<string, number>();
  for (const pid of pids) {
    try {
      addHoldersIn(pid, wanted, found);
    } catch (error) {
      const code = codeOf(error);
      if (isGone(code)) continue;
      if (code !== 'EACCES' && code !== 'EPERM') throw error;
      refused.set(code, (refused.get(code) ?? 0) + 1);
    }
  }
  for (let i = 0; i < found.length; i++) holders.set(wanted.sorted[i] as number, found[i] ?? []);
  for (const [code, count] of refused) {
    const processes = count === 1 ? '1 process' : `${count} processes`;
    incomplete.push(
      `${code}: ${processes} of other users, not dumpable or guarded by a security module (CAP_SYS_PTRACE may help)`,
    );
  }
  return { holders, incomplete };
}

/**
 * Lists the sockets among a process's descriptors, in order of fd.
 *
 * Throws SyscallError: ENOENT when there is no such process, EACCES when it may not be read.
 */
export function socketsOf(pid: number): SocketDescriptor[] {
  using process = new ProcessDirectory(checkedPid(pid));
  const sockets: SocketDescriptor[] = [];
  process.eachDescriptor((fd, link) => {
    const inode = socketInode(link);
    if (inode !== NOT_A_SOCKET) sockets.push({ fd, inode });
  });
  return sockets;
}

/**
 * Tells what each thread of a process is doing, in order of tid.
 *
 * The fields of one thread are read one after the other, not at one instant. Throws Node's own error, ENOENT, when
 * there is no such process.
 */
export function threadsOf(pid: number): Thread[] {
  const threads: Thread[] = [];
  const tasks = `/proc/${checkedPid(pid)}/task`;
  for (const tid of numbersIn(tasks)) {
    const task = `${tasks}/${tid}`;
    const call = blockedCallOf(task);
    const wchan = wchanOf(task);
    try {
      // Read last: once these succeed, a file missing above was missing, not gone together with its thread.
      const comm = withoutNewline(readFileSync(`${task}/comm`, 'utf8'));
      const { state } = parseStat(readFileSync(`${task}/stat`, 'latin1'));
      threads.push({ tid, comm, state, ...call, ...(wchan !== undefined && { wchan }) });
    } catch (error) {
      if (!isGone(codeOf(error))) throw error;
    }
  }
  return threads;
}

/** Whether what a thread does is hidden from whoever asks, and not for this moment alone. */
export function isHidden(thread: Thread | undefined): thread is Thread & { reason: string } {
  return /^E[A-Z]+:/.test(thread?.reason ?? '');
}

/**
 * The inodes asked about, without doubles.
 *
 * A process tends to have its sockets in the order in which they were made, and so were their inodes numbered: the one
 * that follows the last is looked at first. Hashed, each would be somewhere else in memory, which takes a fifth of the
 * time that its readlink does.
 */
function checkedInode(inode: unknown): number {
  if (typeof inode !== 'number') throw mustBe('an inode', 'a number', inode);
  return inode;
}

class Inodes {
  readonly sorted: Float64Array;
  #last = -1;

  constructor(inodes: Iterable<number>) {
    this.sorted = Float64Array.from(inodes, checkedInode)
      .sort()
      .filter((inode, i, all) => inode !== all[i - 1]);
  }

  /** Its place in `sorted`; -1 if it is not there. */
  indexOf(inode: number): number {
    const { sorted } = this;
    if (sorted[this.#last + 1] === inode) return ++this.#last;
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle] as number) < inode) low = middle + 1;
      else high = middle;
    }
    if (sorted[low] !== inode) return -1;
    this.#last = low;
    return low;
  }
}

/** Adds the holders in one process to those found so far, which are by the place of their inode. */
function addHoldersIn(pid: number, wanted: Inodes, found: Holder[][]): void {
  using process = new ProcessDirectory(pid);
  const fds: number[] = [];
  const places: number[] = [];
  process.eachDescriptor((fd, link) => {
    const inode = socketInode(link);
    const place = inode === NOT_A_SOCKET ? -1 : wanted.indexOf(inode);
    if (place < 0) return;
    fds.push(fd);
    places.push(place);
  });
  if (fds.length === 0) return;
  const comm = withoutNewline(process.read('comm'));
  const program = programIn(process.read('cmdline'));
  for (let i = 0; i < fds.length; i++) {
    const place = places[i] as number;
    const holder = { pid, fd: fds[i] as number, comm, program };
    const others = found[place];
    if (others === undefined) found[place] = [holder];
    else others.push(holder);
  }
}

function blockedCallOf(task: string): Pick<Thread, 'syscall' | 'reason'> {
  let line: string;
  try {
    line = readFileSync(`${task}/syscall`, 'latin1').trim();
  } catch (error) {
    const code = codeOf(error);
    if (isGone(code)) return { reason: `${code}: this kernel does not say` };
    return { reason: `${code}: needs the same user and a dumpable process, or CAP_SYS_PTRACE` };
  }
  if (line === 'running') return { reason: 'running' };
  const [first, ...registers] = line.split(' ');
  const number = Number(first);
  if (number < 0) return { reason: 'blocked outside any system call' };
  const name = syscallName(number);
  const args = registers.slice(0, 6).map(BigInt);
  return { syscall: { number, args, ...(name !== undefined && { name }) } };
}

function wchanOf(task: string): string | undefined {
  try {
    const name = readFileSync(`${task}/wchan`, 'latin1');
    return name === '' || name === '0' ? undefined : name;
  } catch {
    return undefined;
  }
}

/** A name ends in a newline that is not part of it. */
function withoutNewline(comm: string): string {
  return comm.replace(/\n$/, '');
}

function programIn(cmdline: string): string {
  const [argv0 = ''] = cmdline.split('\0', 1);
  return argv0.startsWith('/') ? argv0.slice(argv0.lastIndexOf('/') + 1) : argv0;
}

/** Instead of an inode number. */
export const NOT_A_SOCKET = -1;
const SHORTEST = 'socket:[0]'.length;
const [SOCK, ET] = new Uint32Array(Uint8Array.from(Buffer.from('socket:[')).buffer);

/**
 * The inode number in "socket:[NUMBER]", which is how the link of a socket's descriptor reads (sockfs_dname() in
 * net/socket.c). No text is made: a scan consists of these.
 */
export function socketInode({ words, bytes, start, length }: LinkBytes): number {
  // Behind a shorter link are bytes of the one before.
  if (length < SHORTEST || words[start >> 2] !== SOCK || words[(start >> 2) + 1] !== ET) {
    return NOT_A_SOCKET;
  }
  let inode = 0;
  const end = start + length - 1;
  for (let at = start + 8; at < end; at++) inode = inode * 10 + (bytes[at] as number) - 0x30;
  return inode;
}
