/**
 * What a command has started, wherever it went, and what is left of it: found by a mark in the environment that every
 * descendant inherits, so that other tests' processes do not count.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { until } from '../fixture/until.js';

/** A living process. */
export interface Seen {
  readonly pid: number;
  readonly argv: readonly string[];
}

function attempt<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch {
    return otherwise; // gone since, or not ours to see
  }
}

const entries = (path: string): string[] => attempt(() => readdirSync(path), []);
/** What a link names; '' where it is there no more. */
export const link = (path: string): string => attempt(() => readlinkSync(path), '');
const text = (path: string): string => attempt(() => readFileSync(path, 'utf8'), '');
const pids = (): number[] => entries('/proc').map(Number).filter(Number.isInteger);

/** The network namespaces that a process's threads are in, `net:[4026532345]`. */
export function namespacesOf(pid: number): string[] {
  return entries(`/proc/${pid}/task`)
    .map((tid) => link(`/proc/${pid}/task/${tid}/ns/net`))
    .filter((name) => name !== '');
}

/** The processes that keep a namespace, by a thread in it or by a descriptor of it; `held` is a descriptor of our own. */
export function keepersOf(namespace: string, held = -1): number[] {
  return pids().filter(
    (pid) =>
      namespacesOf(pid).includes(namespace) ||
      entries(`/proc/${pid}/fd`).some(
        (fd) =>
          !(pid === process.pid && Number(fd) === held) &&
          link(`/proc/${pid}/fd/${fd}`) === namespace,
      ),
  );
}

/**
 * Namespaces held by a descriptor, so that nobody else's gets the same number meanwhile: the kernel gives it away again
 * at once.
 */
export class HeldNamespaces implements Disposable {
  readonly #fds = new Map<string, number>();

  /** Takes hold of those that a process keeps, by threads in them or by descriptors, but for the test's own. */
  hold(pid: number): void {
    const places = [
      ...entries(`/proc/${pid}/task`).map((tid) => `/proc/${pid}/task/${tid}/ns/net`),
      ...entries(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`),
    ];
    const isNew = (name: string) =>
      name.startsWith('net:') && !HOST.includes(name) && !this.#fds.has(name);
    for (const path of places) {
      if (!isNew(link(path))) continue;
      const fd = attempt(() => openSync(path, 'r'), -1);
      if (fd < 0) continue;
      // What was opened may be another already.
      const name = link(`/proc/self/fd/${fd}`);
      if (isNew(name)) this.#fds.set(name, fd);
      else closeSync(fd);
    }
  }

  get names(): string[] {
    return [...this.#fds.keys()];
  }

  /** Who else keeps them: for a moment also who diagnoses all namespaces of the machine, as other tests do. */
  get kept(): string[] {
    return [...this.#fds].flatMap(([name, fd]) =>
      keepersOf(name, fd).map((pid) => `${name} kept by ${pid}`),
    );
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.values()) closeSync(fd);
    this.#fds.clear();
  }
}

const HOST = namespacesOf(process.pid);

export class Traces {
  readonly #mark = `CLOSEWAIT_TEST=${randomUUID()}`;
  readonly #namespaces = new HeldNamespaces();

  /** The command under the mark; the process that is started becomes the command's own. */
  marked(command: readonly string[]): string[] {
    return ['env', this.#mark, ...command];
  }

  /** The living processes of the command. Remembers the namespaces they are in. */
  processes(): Seen[] {
    const seen = pids()
      .filter((pid) => text(`/proc/${pid}/environ`).split('\0').includes(this.#mark))
      .map((pid) => ({ pid, argv: text(`/proc/${pid}/cmdline`).split('\0') }));
    for (const { pid } of seen) this.#namespaces.hold(pid);
    return seen;
  }

  /** The network namespaces the command was seen in, this process's own aside. */
  get namespaces(): string[] {
    this.processes();
    return this.#namespaces.names;
  }

  /** Waits until no process and no namespace of the command is left. */
  async gone(): Promise<void> {
    const left = (): string[] => [
      ...this.processes().map(({ pid, argv }) => `process ${pid} ${argv.join(' ')}`),
      ...this.#namespaces.kept,
    ];
    try {
      await until(
        () => left().length === 0,
        () => `left behind: ${left().join(', ')}`,
      );
    } finally {
      this.#namespaces[Symbol.dispose]();
    }
  }
}
