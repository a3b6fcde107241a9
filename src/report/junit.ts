import type { Outcome } from '../experiment/suite.js';
import { emptyTally, failedCheck, titleOf } from './outcome.js';

/**
 * Outcomes as the XML that CI systems read, a test case each: `not-reproduced` is a failure, `inconclusive` an error.
 * Times are seconds.
 */
export function formatJunit(outcomes: readonly Outcome[], wholeMs: number): string {
  const tally = emptyTally();
  for (const { run } of outcomes) tally[run.record.verdict]++;
  const counts = {
    tests: outcomes.length,
    failures: tally['not-reproduced'],
    errors: tally.inconclusive,
    skipped: tally.skipped,
    time: seconds(wholeMs),
  };
  const { kernel } = outcomes[0]?.run.record ?? {};
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites${attributes({ name: 'closewait', ...counts })}>`,
    `<testsuite${attributes({ name: `Linux ${kernel ?? ''}`.trim(), ...counts })}>`,
    ...outcomes.map(testCase),
    '</testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function testCase(outcome: Outcome): string {
  const { task, run, durationMs } = outcome;
  const { verdict, reason = '', ends } = run.record;
  const facts = {
    classname: `closewait.${task.driver}.ipv${task.family}`,
    name: titleOf(outcome),
    time: seconds(durationMs),
  };
  if (verdict === 'reproduced') return `<testcase${attributes(facts)}/>`;
  const inside =
    verdict === 'skipped'
      ? `<skipped${attributes({ message: reason })}/>`
      : element(
          verdict === 'inconclusive' ? 'error' : 'failure',
          { message: reason, type: verdict },
          [
            ...(failedCheck(outcome) ? [JSON.stringify(failedCheck(outcome))] : []),
            `client: ${ends.client.path.join(' > ')}`,
            `server: ${ends.server.path.join(' > ')}`,
          ].join('\n'),
        );
  return `<testcase${attributes(facts)}>${inside}</testcase>`;
}

function element(name: string, named: Record<string, string>, text: string): string {
  return `<${name}${attributes(named)}>${escaped(text)}</${name}>`;
}

function attributes(named: Record<string, string | number>): string {
  return Object.entries(named)
    .map(
      ([name, value]) =>
        ` ${name}="${escaped(String(value)).replace(/[\t\n]/g, (c) => `&#${c.charCodeAt(0)};`)}"`,
    )
    .join('');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

/** What XML 1.0 has no place for, not even escaped: most control characters and halves of pairs. */
const NO_XML = /[^\t\n\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

function escaped(text: string): string {
  return text
    .replace(NO_XML, '\ufffd')
    .replace(/[&<>"]/g, (character) => ENTITIES[character] ?? '');
}

const seconds = (ms: number): string => (ms / 1000).toFixed(3);
