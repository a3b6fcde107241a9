import type { Run } from '../experiment/record.js';
import type { Outcome, Task } from '../experiment/suite.js';
import type { Tally } from '../report/outcome.js';
import { formatProgress } from '../report/progress.js';
import { formatVerdict } from '../report/terminal.js';
import type { Scenario } from '../scenario/scenario.js';
import type { Io } from './command.js';

/** Tells one run at length. */
export type Format = (run: Run, scenario: Scenario, io: Io) => string;

/** Tells a person how it goes: a line for each run that has ended, and on a terminal what is going on. */
export class Teller {
  readonly #running = new Set<Task>();
  readonly #told = new Set<string>();
  readonly #total: number;
  readonly #tally: Tally;
  readonly #format: Format | undefined;
  readonly #io: Io;

  /** `tally` is counted by the caller. With a format, the only run is told by it. */
  constructor(total: number, tally: Tally, format: Format | undefined, io: Io) {
    this.#total = total;
    this.#tally = tally;
    this.#format = format;
    this.#io = io;
  }

  started(task: Task): void {
    this.#running.add(task);
    this.#show();
  }

  ended(task: Task): void {
    this.#running.delete(task);
    this.#show();
  }

  /** Of what is repeated only the first run is told, and each that went wrong. */
  tell({ task, run }: Outcome): void {
    const { scenario, driver, family } = task;
    const what = `${scenario.name} ${driver} ${family}`;
    if (run.record.ok && this.#told.has(what)) return;
    this.#told.add(what);
    this.#io.status?.('');
    const whole = run.record.verdict === 'skipped' ? undefined : this.#format;
    this.#io.out(whole?.(run, scenario, this.#io) ?? `${formatVerdict(run, this.#io.paint)}\n`);
  }

  #show(): void {
    if (this.#io.status === undefined || this.#total === 1) return;
    const running = [...this.#running].map(({ scenario }) => scenario.name);
    const progress = { tally: this.#tally, total: this.#total, running };
    this.#io.status(formatProgress(progress, this.#io.columns));
  }
}
