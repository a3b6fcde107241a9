/** Outcomes as reporters get them: a real run's record, and what becomes of it when it goes wrong. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { RunRecord } from '../../src/experiment/record.js';
import type { Outcome } from '../../src/experiment/suite.js';
import { closeWait } from '../../src/scenario/close-wait.js';

const FILE = fileURLToPath(new URL('../../../test/fixture/close-wait-run.json', import.meta.url));
const { record } = JSON.parse(readFileSync(FILE, 'utf8')) as { record: RunRecord };

/** The run's outcome with something of its record replaced. */
function outcome(changes: Partial<RunRecord> = {}): Outcome {
  const { family = 4, driver = 'raw' } = changes;
  return {
    task: { scenario: closeWait, driver, family },
    run: { record: { ...record, driver, family, ...changes }, frames: [] },
    durationMs: 12.3456,
  };
}

const failed = {
  what: 'the <echo> & "more"',
  expected: 'a\n',
  observed: 'b\u0000',
  source: 'scenario',
  ok: false,
} as const;

/** One of each verdict; the reasons have what a format may stumble over. */
export const outcomes: readonly Outcome[] = [
  outcome(),
  outcome({
    ...{ family: 6, ok: false, verdict: 'not-reproduced', checks: [failed] },
    reason: 'the <echo> & "more": expected "a\\n" # not this\nsecond line \u0001 \ud800',
  }),
  outcome({ driver: 'program', ok: false, verdict: 'inconclusive', reason: 'ring full' }),
  outcome({ verdict: 'skipped', ok: true, reason: 'this kernel has no IPv6 #\nreally' }),
];
