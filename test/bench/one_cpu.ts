import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Keeps this process, all its threads and what they start on one of its CPUs until disposed.
 *
 * A thread that sleeps on another CPU has to be woken there; in a virtual machine that costs ten
 * times what is to be measured, and whether it happens is the scheduler's choice from one moment to
 * the next. Node cannot set affinity, so taskset(1) does.
 */
export class OneCpu implements Disposable {
  readonly #allowed: string;

  constructor() {
    this.#allowed = allowedList();
    pin(process.pid, allowedCpus().at(-1) as string);
  }

  [Symbol.dispose](): void {
    pin(process.pid, this.#allowed);
  }
}

/** The CPUs this process may run on, each as taskset names it. */
export function allowedCpus(): string[] {
  return allowedList()
    .split(',')
    .flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => String(first + i));
    });
}

function allowedList(): string {
  const status = readFileSync('/proc/self/status', 'utf8');
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1];
  if (allowed === undefined) throw new Error('/proc/self/status: no Cpus_allowed_list');
  return allowed;
}

/** Keeps a process, all its threads and what they start on these CPUs. */
export function pin(pid: number, cpus: string): void {
  const args = ['--all-tasks', '--cpu-list', '--pid', cpus, String(pid)];
  const { error, status } = spawnSync('taskset', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (error) throw error;
  if (status !== 0) throw new Error(`taskset ${args.join(' ')} ended with ${status}`);
}
