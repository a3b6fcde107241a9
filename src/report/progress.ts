import type { Tally } from './outcome.js';

/** How far many runs have come. */
export interface Progress {
  readonly tally: Tally;
  readonly total: number;
  /** The names of those that are going on, the oldest first. */
  readonly running: readonly string[];
}

/** One line, not wider than the terminal: `17/40, 1 failed: fin-wait2-expiry, close-wait`. */
export function formatProgress({ tally, total, running }: Progress, columns: number): string {
  const done = Object.values(tally).reduce((sum, count) => sum + count, 0);
  const failed = tally['not-reproduced'] + tally.inconclusive;
  const line = `${done}/${total}${failed > 0 ? `, ${failed} failed` : ''}: ${running.join(', ')}`;
  // In the last column a terminal would wrap.
  return line.length < columns ? line : `${line.slice(0, Math.max(0, columns - 2))}…`;
}
