import type { DriverName } from '../driver/role.js';
import type { Scenario } from '../scenario/scenario.js';
import type { Run } from './record.js';

/** One of many runs. */
export interface Task {
  readonly scenario: Scenario;
  readonly driver: DriverName;
  readonly family: 4 | 6;
}

/** A task that has been run. */
export interface Outcome {
  readonly task: Task;
  readonly run: Run;
  readonly durationMs: number;
}

export interface SuiteOptions {
  /** How many run at once. */
  readonly jobs: number;
  /** Ends all of them. */
  readonly signal: AbortSignal;
  /** Runs one. */
  readonly run: (task: Task, signal: AbortSignal) => Promise<Run>;
  /** A task begins. */
  readonly onStart?: (task: Task) => void;
  /** A task has ended; `index` is its place among the tasks. */
  readonly onEnd: (outcome: Outcome, index: number) => void;
}

/** A slow scenario sleeps on the kernel's timers: it costs next to nothing while it does. */
const SLEEPERS_PER_JOB = 8;

/**
 * Runs many scenarios, several at once, each in a place of its own. Slow ones begin first and have lanes of their own, so
 * that all of it lasts little longer than the slowest. With one job, one after the other, in the order given.
 *
 * Throws what a run throws, a lab that could not be set up, when all that were going on have ended.
 */
export async function runSuite(tasks: readonly Task[], options: SuiteOptions): Promise<void> {
  const { jobs, run, onStart, onEnd } = options;
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const lane = async (queue: number[]): Promise<void> => {
    for (let index = queue.shift(); index !== undefined; index = queue.shift()) {
      const task = tasks[index] as Task;
      signal.throwIfAborted();
      onStart?.(task);
      const began = performance.now();
      try {
        onEnd({ task, run: await run(task, signal), durationMs: performance.now() - began }, index);
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }
  };
  const all = [...tasks.keys()];
  const isSlow = (index: number): boolean => tasks[index]?.scenario.slow === true;
  const queues: [number[], number][] =
    jobs === 1
      ? [[all, 1]]
      : [
          [all.filter(isSlow), jobs * SLEEPERS_PER_JOB],
          [all.filter((index) => !isSlow(index)), jobs],
        ];
  const lanes = queues.flatMap(([queue, count]) =>
    Array.from({ length: Math.min(count, queue.length) }, () => lane(queue)),
  );
  for (const ended of await Promise.allSettled(lanes)) {
    if (ended.status === 'rejected')
      throw failed.signal.aborted ? failed.signal.reason : ended.reason;
  }
}
