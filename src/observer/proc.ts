// What one process says of itself in /proc.

import { fstatSync, readdirSync, readFileSync } from 'node:fs';
import { O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY } from '../syscall/constants.js';
import { close, Descriptors, open } from '../syscall/descriptor.js';
import { openat, readFileAt } from '../syscall/directory.js';
import { eachDescriptorLink, type LinkVisitor } from '../syscall/links.js';
import { mustBe, outOfRange } from '../tcp/argument.js';

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/**
 * A process's directory, held open: what is read through it is that process's. Once it has ended there is ENOENT or ESRCH,
 * even if the kernel has given its number to another since.
 */
export class ProcessDirectory implements Disposable {
  readonly #pid: number;
  #fd: number;

  /** Throws SyscallError: ENOENT when there is no such process. */
  constructor(pid: number) {
    this.#pid = pid;
    this.#fd = open(`/proc/${pid}`, DIRECTORY | O_PATH);
  }

  /** The text of a file. Throws SyscallError. */
  read(path: string): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(readFileAt(this.#fd, path));
  }

  /**
   * Visits the process's descriptors, in ascending order. Throws SyscallError: EACCES when they may not be seen.
   *
   * They are in its own directory, unless its first thread has ended and left the table to the others. What has no memory
   * (a kernel thread, a zombie) has no descriptors, yet its fd directory may refuse us: that is no gap.
   *
   * Returns the path of the directory that has them: '', or that of a thread with a slash behind it.
   */
  eachDescriptor(visit: LinkVisitor): string {
    let seen = 0;
    try {
      this.#eachDescriptorOf('', (fd, link) => {
        seen++;
        visit(fd, link);
      });
    } catch (error) {
      if (this.#hasMemory('')) throw error;
    }
    if (seen > 0 || this.#hasMemory('')) return '';
    const tid = livingThreadOf(this.#pid);
    if (tid === this.#pid) return '';
    const task = `task/${tid}/`;
    this.#eachDescriptorOf(task, visit);
    return task;
  }

  #eachDescriptorOf(task: string, visit: LinkVisitor): void {
    using fds = new Descriptors();
    const table = fds.own(openat(this.#fd, `${task}fd`, DIRECTORY));
    // The size is how many are open, since Linux 6.2; 0 before that.
    eachDescriptorLink(table, fstatSync(table).size, visit);
  }

  #hasMemory(task: string): boolean {
    return parseStat(this.read(`${task}stat`)).hasMemory;
  }

  /** Idempotent. */
  close(): void {
    if (this.#fd < 0) return;
    close(this.#fd);
    // Its number may soon be somebody else's.
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What is used here of /proc/PID/stat. */
export interface Stat {
  readonly state: string;
  readonly hasMemory: boolean;
  /** When it began, in hundredths of a second since boot (USER_HZ). */
  readonly startTicks: number;
}

/** Parses /proc/PID/stat. */
export function parseStat(line: string): Stat {
  // The name is the process's to choose, parentheses and spaces included: only the last ')' is the kernel's. The
  // fields after it count from 3 in proc_pid_stat(5): state 3, starttime 22, vsize 23.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const [state, start, size] = [fields[0], fields[19], fields[20]];
  if (state === undefined || size === undefined) throw new Error(`stat is cut short: ${line}`);
  return { state, hasMemory: size !== '0', startTicks: Number(start) };
}

/** The thread of a process that has what its threads share: the first, unless that has ended and another goes on. */
export function livingThreadOf(pid: number): number {
  const isLiving = (tid: number): boolean =>
    unlessGone(
      () => parseStat(readFileSync(`/proc/${pid}/task/${tid}/stat`, 'latin1')).hasMemory,
    ) ?? false;
  if (isLiving(pid)) return pid;
  return unlessGone(() => numbersIn(`/proc/${pid}/task`))?.find(isLiving) ?? pid;
}

/** The process that a thread is of, which is its own where it is the first; undefined once it is gone. */
export function processOfThread(tid: number): number | undefined {
  const status = unlessGone(() => readFileSync(`/proc/${tid}/status`, 'latin1'));
  return status === undefined ? undefined : Number(/^Tgid:\s*(\d+)$/m.exec(status)?.[1] ?? tid);
}

/** The entries of a directory that are numbers, in ascending order. */
export function numbersIn(directory: string): number[] {
  return readdirSync(directory)
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => a - b);
}

/** The processes that /proc lists, in ascending order, and why there may be others. */
export function visibleProcesses(): { pids: number[]; hidden: string | undefined } {
  const pids = unlessGone(() => numbersIn('/proc')) ?? [];
  // The caller at least would be there.
  if (pids.length === 0) return { pids, hidden: 'no processes can be seen: /proc is not mounted' };
  const hidden = 'processes of other users are hidden (/proc is mounted with hidepid)';
  return { pids, hidden: pids[0] === 1 ? undefined : hidden };
}

/**
 * The inode number behind a descriptor. Throws Node's own error.
 *
 * As a bigint: where Node 20 has last looked at a pipe or a socket without, `import` and `require` follow no symbolic link to the
 * modules of a package that they have been at.
 */
export function inodeOf(fd: number): number {
  return Number(fstatSync(fd, { bigint: true }).ino);
}

/** Throws RangeError unless it is a number that a process can have, TypeError unless it is a number. */
export function checkedPid(pid: unknown): number {
  if (typeof pid !== 'number') throw mustBe('a pid', 'a process id', pid);
  if (!Number.isInteger(pid) || pid < 1) throw outOfRange(`not a process id: ${pid}`);
  return pid;
}

/** What `read` returns; undefined if what it reads has gone. */
export function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isGone(codeOf(error))) return undefined;
    throw error;
  }
}

/** ENOENT: the name was gone at once; ESRCH: it went between open and read. */
export function isGone(code: string): boolean {
  return code === 'ENOENT' || code === 'ESRCH';
}

/** The name of an error's errno; '' if it has none. */
export function codeOf(error: unknown): string {
  // Not by `instanceof Error`: where a test runner makes globals of its own, Node's errors are of another Error.
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}
