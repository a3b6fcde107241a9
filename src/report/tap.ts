import type { Outcome } from '../experiment/suite.js';
import { failedCheck, titleOf } from './outcome.js';

/**
 * Outcomes as TAP version 14, a test point each; what went wrong is in the YAML block below it. All that is no
 * verdict `reproduced` and no skip is `not ok`.
 */
export function formatTap(outcomes: readonly Outcome[]): string {
  const lines = ['TAP version 14', `1..${outcomes.length}`];
  for (const [i, outcome] of outcomes.entries()) {
    const { ok, verdict, reason = '' } = outcome.run.record;
    const skip = verdict === 'skipped' ? ` # SKIP ${oneLine(reason)}` : '';
    lines.push(`${ok ? 'ok' : 'not ok'} ${i + 1} - ${escaped(titleOf(outcome))}${skip}`);
    if (verdict !== 'skipped') lines.push(...diagnostics(outcome));
  }
  return `${lines.join('\n')}\n`;
}

/** YAML 1.2 takes any JSON for a value. */
function diagnostics(outcome: Outcome): string[] {
  const { ok, verdict, reason, ends } = outcome.run.record;
  const check = failedCheck(outcome);
  const fields = {
    duration_ms: Number(outcome.durationMs.toFixed(3)),
    ...(!ok && { message: reason ?? '', severity: 'fail', verdict }),
    ...(check && { check }),
    client: ends.client.path,
    server: ends.server.path,
  };
  const lines = Object.entries(fields).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`);
  return ['  ---', ...lines, '  ...'];
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ');

/** `#` would begin a directive, and `\` escapes it. */
const escaped = (text: string): string => oneLine(text).replace(/[\\#]/g, '\\$&');
