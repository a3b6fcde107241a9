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
    const status = readFileSync('/proc/self/status', 'utf8');
    const allowed = /^Cpus_allowed_list:\s*(\S*?(\d+))$/m.exec(status);
    if (!allowed?.[1] || !allowed[2]) throw new Error('/proc/self/status: no Cpus_allowed_list');
    this.#allowed = allowed[1];
    setAffinity(allowed[2]);
  }

  [Symbol.dispose](): void {
    setAffinity(this.#allowed);
  }
}

function setAffinity(cpus: string): void {
  const args = ['--all-tasks', '--cpu-list', '--pid', cpus, String(process.pid)];
  const { error, status } = spawnSync('taskset', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (error) throw error;
  if (status !== 0) throw new Error(`taskset ${args.join(' ')} ended with ${status}`);
}
