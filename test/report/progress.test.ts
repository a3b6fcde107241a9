import test from 'ava';
import { emptyTally, formatTally } from '../../src/report/outcome.js';
import { formatProgress } from '../../src/report/progress.js';

const tally = { ...emptyTally(), reproduced: 7, 'not-reproduced': 1, inconclusive: 1, skipped: 2 };

for (const { columns, expected } of [
  { columns: 80, expected: '11/40, 2 failed: close-wait, dup-fd' },
  { columns: 20, expected: '11/40, 2 failed: c…' },
  { columns: 1, expected: '…' },
]) {
  test(`progress in ${columns} columns`, (t) => {
    const line = formatProgress({ tally, total: 40, running: ['close-wait', 'dup-fd'] }, columns);
    t.is(line, expected);
  });
}

test('a tally names what there is', (t) => {
  t.is(
    formatTally(tally, 1234),
    '7 reproduced, 1 not-reproduced, 1 inconclusive, 2 skipped in 1.2 s',
  );
  t.is(formatTally(emptyTally(), 0), 'nothing was run in 0.0 s');
});
