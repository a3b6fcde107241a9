import test from 'ava';
import { type FinalResults, Parser, type Result } from 'tap-parser';
import { formatTap } from '../../src/report/tap.js';
import { outcomes } from './outcomes.js';

interface Parsed {
  readonly results: FinalResults;
  readonly points: readonly Result[];
  readonly rest: readonly string[];
}

/** Reads TAP as a strict consumer does. */
function parsed(text: string): Parsed {
  const points: Result[] = [];
  const rest: string[] = [];
  let results: FinalResults | undefined;
  const parser = new Parser({ strict: true }, (final) => {
    results = final;
  });
  parser.on('assert', (point) => points.push(point));
  parser.on('extra', (line) => rest.push(line));
  parser.end(text);
  if (results === undefined) throw new Error('the parser has no result');
  return { results, points, rest };
}

test('a strict parser finds each point, its verdict, and nothing else', (t) => {
  const { results, points, rest } = parsed(formatTap(outcomes));
  t.deepEqual(rest, []);
  t.like(results, { count: 4, pass: 2, fail: 2, skip: 1, bailout: false });
  t.deepEqual(
    points.map(({ ok, name }) => [ok, name]),
    [
      [true, 'close-wait (raw, IPv4)'],
      [false, 'close-wait (raw, IPv6)'],
      [false, 'close-wait (program, IPv4)'],
      [true, 'close-wait (raw, IPv4)'],
    ],
  );
  t.is(points[3]?.skip, 'this kernel has no IPv6 # really');
});

test('what went wrong stands below its point', (t) => {
  const { points } = parsed(formatTap(outcomes));
  const [good, bad] = points;
  t.is(good?.time, 12.346);
  t.like(good?.diag, {
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  });
  t.like(bad?.diag, {
    ...{ severity: 'fail', verdict: 'not-reproduced' },
    check: {
      what: 'the <echo> & "more"',
      expected: 'a\n',
      observed: 'b\u0000',
      source: 'scenario',
      ok: false,
    },
  });
  t.regex(String(bad?.diag.message), /^the <echo> & "more": expected/);
});

test('no outcome: a plan of nothing', (t) => {
  t.is(formatTap([]), 'TAP version 14\n1..0\n');
});
