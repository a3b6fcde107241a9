import type { RunRecord } from '../experiment/record.js';

/** What the observers of a command's runs could not see, and why; of many runs it is the same again and again. */
export class Unseen {
  #runs = 0;
  /** In how many runs, by observer and reason. */
  readonly #counts = new Map<string, number>();

  add({ observers }: Pick<RunRecord, 'observers'>): void {
    // A run that was skipped had none.
    if (observers.length === 0) return;
    this.#runs++;
    for (const { name, available, reason } of observers) {
      if (available) continue;
      const what = `${name}: ${reason}`;
      this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
    }
  }

  /** A line for each observer and reason, with the number of runs where it was not all of them. */
  get lines(): string[] {
    return [...this.#counts].map(([what, count]) => {
      const where = count === this.#runs ? '' : ` in ${count} of ${this.#runs} runs`;
      return `not seen${where}: ${what}`;
    });
  }
}
