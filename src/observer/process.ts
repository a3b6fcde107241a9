/**
 * Tells which processes hold a socket and what each thread of a process waits in.
 *
 * Sees: every descriptor in the tables of the processes in /proc, and every thread's state, system call and wait channel.
 * Blind to: sockets no descriptor table names (not accepted yet, in flight over SCM_RIGHTS, registered with io_uring
 *   only); processes outside this /proc's pid namespace; a thread that has left its process's table by
 *   unshare(CLONE_FILES); the names of a 32-bit process's calls, whose numbers belong to another table; the call a
 *   thread went on with after SIGCONT, which reads restart_syscall.
 * Costs: one readlink for each descriptor of each process looked at, about 6 us: 0.6 s for 100,000.
 * Needs: nothing for processes of one's own user; CAP_SYS_PTRACE for others and for those that are not dumpable. A
 *   security module may refuse even then.
 * Clock: none. A scan is no snapshot: each line is as old as the moment it was read.
 * Source: proc(5), fs/proc/base.c, fs/proc/array.c; netstat's column as net-tools 2.10 prints it.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import * as sys from '../syscall/sys.js';

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

export interface Holders {
  /** An entry for every inode asked about, in order of pid and fd; empty when no holder was seen. */
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
  const holders = new Map<number, Holder[]>(Array.from(inodes, (inode) => [inode, []]));
  const incomplete: string[] = [];
  if (holders.size === 0) return { holders, incomplete };

  const pids = options.pids ? Array.from(options.pids, checkedPid) : numbersIn('/proc');
  if (!options.pids && pids[0] !== 1) {
    incomplete.push('processes of other users are hidden (/proc is mounted with hidepid)');
  }
  const refused = new Map<string, number>();
  for (const pid of pids) {
    try {
      addHoldersIn(pid, holders);
    } catch (error) {
      const code = codeOf(error);
      if (isGone(code)) continue;
      if (code !== 'EACCES' && code !== 'EPERM') throw error;
      refused.set(code, (refused.get(code) ?? 0) + 1);
    }
  }
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
 * Throws Node's own error: ENOENT when there is no such process, EACCES when it may not be read.
 */
export function socketsOf(pid: number): SocketDescriptor[] {
  const task = ownerOfDescriptors(`/proc/${checkedPid(pid)}`);
  const sockets: SocketDescriptor[] = [];
  if (task !== undefined) eachSocket(task, (fd, inode) => sockets.push({ fd, inode }));
  return sockets.sort((a, b) => a.fd - b.fd);
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
      const comm = commOf(task);
      const { state } = statOf(task);
      threads.push({ tid, comm, state, ...call, ...(wchan !== undefined && { wchan }) });
    } catch (error) {
      if (!isGone(codeOf(error))) throw error;
    }
  }
  return threads;
}

/**
 * Writes a holder as netstat's PID/Program name column does: cut to 19 bytes, without trailing padding.
 *
 * A character the cut goes through is left out whole; netstat prints its first bytes.
 */
export function programColumn({ pid, program }: Pick<Holder, 'pid' | 'program'>): string {
  const cut = Buffer.from(`${pid}/${program}`).subarray(0, 19);
  return new TextDecoder().decode(cut, { stream: true });
}

function addHoldersIn(pid: number, holders: ReadonlyMap<number, Holder[]>): void {
  const process = `/proc/${pid}`;
  const { startTime } = statOf(process);
  const task = ownerOfDescriptors(process);
  if (task === undefined) return;
  const found: [held: Holder[], fd: number][] = [];
  eachSocket(task, (fd, inode) => {
    const held = holders.get(inode);
    if (held !== undefined) found.push([held, fd]);
  });
  if (found.length === 0) return;
  const comm = commOf(process);
  const program = programOf(process);
  // The kernel may have given the number to another process since: its name must not be put on these sockets.
  if (statOf(process).startTime !== startTime) return;
  found.sort(([, a], [, b]) => a - b);
  for (const [held, fd] of found) held.push({ pid, fd, comm, program });
}

/**
 * Finds the task whose fd directory shows the process's descriptors; undefined when nothing has any.
 *
 * That is the process's own directory, unless its first thread has ended and left the table to the others. What has
 * no memory (a kernel thread, a zombie) has no descriptors, yet its fd directory may refuse us: asking it would
 * report a gap where there is none.
 */
function ownerOfDescriptors(process: string): string | undefined {
  if (statOf(process).hasMemory) return process;
  return numbersIn(`${process}/task`)
    .map((tid) => `${process}/task/${tid}`)
    .find((task) => unlessGone(() => statOf(task).hasMemory));
}

/** Visits the sockets among a task's descriptors, in no order: readdirSync sorts them as text. */
function eachSocket(task: string, visit: (fd: number, inode: number) => void): void {
  const directory = `${task}/fd/`;
  for (const name of readdirSync(directory)) {
    // Thousands of these are what a scan consists of: a closure or an object for each would show.
    let link: string;
    try {
      link = readlinkSync(directory + name);
    } catch (error) {
      if (isGone(codeOf(error))) continue;
      throw error;
    }
    if (link.startsWith('socket:[')) visit(Number(name), Number(link.slice(8, -1)));
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
  const name = sys.syscallName(number);
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

function commOf(task: string): string {
  return readFileSync(`${task}/comm`, 'utf8').replace(/\n$/, '');
}

function programOf(process: string): string {
  const [argv0 = ''] = readFileSync(`${process}/cmdline`, 'utf8').split('\0', 1);
  return argv0.startsWith('/') ? argv0.slice(argv0.lastIndexOf('/') + 1) : argv0;
}

function statOf(task: string): { state: string; startTime: string; hasMemory: boolean } {
  const line = readFileSync(`${task}/stat`, 'latin1');
  // The name is the process's to choose, parentheses and spaces included: only the last ')' is the kernel's. The
  // fields after it count from 3 in proc_pid_stat(5): state 3, starttime 22, vsize 23.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const [state, startTime, size] = [fields[0], fields[19], fields[20]];
  if (state === undefined || startTime === undefined || size === undefined) {
    throw new Error(`${task}/stat is cut short: ${line}`);
  }
  return { state, startTime, hasMemory: size !== '0' };
}

function numbersIn(directory: string): number[] {
  return readdirSync(directory)
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => a - b);
}

function checkedPid(pid: number): number {
  if (!Number.isInteger(pid) || pid < 1) throw new RangeError(`not a process id: ${pid}`);
  return pid;
}

function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isGone(codeOf(error))) return undefined;
    throw error;
  }
}

/** ENOENT: the name was gone at once; ESRCH: it went between open and read. */
function isGone(code: string): boolean {
  return code === 'ENOENT' || code === 'ESRCH';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
