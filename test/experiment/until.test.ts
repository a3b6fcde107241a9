import test from 'ava';
import { until } from '../../src/experiment/until.js';

test('it looks until it is so', async (t) => {
  let looks = 0;
  await until('a third look', () => [++looks === 3, looks], { deadlineMs: 10_000 });
  t.is(looks, 3);
});

test('what was seen last is in the message of a deadline', async (t) => {
  const looking = until('a timer', () => [false, ['on', 200]], { deadlineMs: 1 });
  await t.throwsAsync(looking, {
    message: 'expected a timer within 0.001 s, observed ["on",200]',
  });
});

test('a signal ends it with its reason', async (t) => {
  const over = new AbortController();
  const looking = until('never', () => [false, undefined], {
    deadlineMs: 10_000,
    signal: over.signal,
  });
  over.abort(new Error('enough'));
  await t.throwsAsync(looking, { message: 'enough' });
});
