import type { Check, RunRecord } from '../experiment/record.js';
import type { Outcome } from '../experiment/suite.js';

/** What tells one of many runs from the others. */
export function titleOf({ task: { scenario, driver, family } }: Outcome): string {
  return `${scenario.name} (${driver}, IPv${family})`;
}

/** The first expectation that was not met. */
export function failedCheck({ run }: Outcome): Check | undefined {
  return run.record.checks.find(({ ok }) => !ok);
}

/** How many runs came out how. */
export type Tally = Record<RunRecord['verdict'], number>;

export const emptyTally = (): Tally => ({
  reproduced: 0,
  'not-reproduced': 0,
  inconclusive: 0,
  skipped: 0,
});

/** `12 reproduced, 1 skipped in 3.2 s`: those that are none are left out. */
export function formatTally(tally: Tally, durationMs: number): string {
  const counts = Object.entries(tally).filter(([, count]) => count > 0);
  const all = counts.map(([verdict, count]) => `${count} ${verdict}`).join(', ');
  return `${all || 'nothing was run'} in ${(durationMs / 1000).toFixed(1)} s`;
}
