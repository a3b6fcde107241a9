/**
 * What a command has started, wherever it went, and what is left of it: found by a mark in the environment that every
 * descendant inherits, so that other tests' processes do not count.
 */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
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
const link = (path: string): string => attempt(() => readlinkSync(path), '');
const text = (path: string): string => attempt(() => readFileSync(path, 'utf8'), '');
const pids = (): number[] => entries('/proc').map(Number).filter(Number.isInteger);

/** The network namespaces that a process's threads are in, `net:[4026532345]`. */
export function namespacesOf(pid: number): string[] {
  return entries(`/proc/${pid}/task`)
    .map((tid) => link(`/proc/${pid}/task/${tid}/ns/net`))
    .filter((name) => name !== '');
}

/** The processes that keep a namespace, by a thread in it or by a descriptor of it. */
export function keepersOf(namespace: string): number[] {
  return pids().filter(
    (pid) =>
      namespacesOf(pid).includes(namespace) ||
      entries(`/proc/${pid}/fd`).some((fd) => link(`/proc/${pid}/fd/${fd}`) === namespace),
  );
}

const HOST = namespacesOf(process.pid);

export class Traces {
  readonly #mark = `CLOSEWAIT_TEST=${randomUUID()}`;
  readonly #namespaces = new Set<string>();

  /** The command under the mark; the process that is started becomes the command's own. */
  marked(command: readonly string[]): string[] {
    return ['env', this.#mark, ...command];
  }

  /** The living processes of the command. Remembers the namespaces they are in. */
  processes(): Seen[] {
    const seen = pids()
      .filter((pid) => text(`/proc/${pid}/environ`).split('\0').includes(this.#mark))
      .map((pid) => ({ pid, argv: text(`/proc/${pid}/cmdline`).split('\0') }));
    for (const { pid } of seen) {
      for (const name of namespacesOf(pid)) if (!HOST.includes(name)) this.#namespaces.add(name);
    }
    return seen;
  }

  /** The network namespaces the command was seen in, this process's own aside. */
  get namespaces(): string[] {
    this.processes();
    return [...this.#namespaces];
  }

  /** Waits until no process and no namespace of the command is left. */
  async gone(): Promise<void> {
    const left = (): string[] => [
      ...this.processes().map(({ pid, argv }) => `process ${pid} ${argv.join(' ')}`),
      ...[...this.#namespaces].flatMap((name) =>
        keepersOf(name).map((pid) => `${name} kept by ${pid}`),
      ),
    ];
    await until(
      () => left().length === 0,
      () => `left behind: ${left().join(', ')}`,
    );
  }
}
