import test from 'ava';
import { until } from '../../src/observer/until.js';

test('it looks until it is so', async (t) => {
  let looks = 0;
  t.is(
    await until(
      () => ++looks,
      (seen) => seen === 3,
      { deadlineMs: 10_000 },
    ),
    3,
  );
  t.is(looks, 3);
});

test('at the deadline it returns what was seen last', async (t) => {
  let looks = 0;
  const seen = await until(
    () => ++looks,
    () => false,
    { deadlineMs: 1 },
  );
  t.true(looks > 0);
  t.is(seen, looks);
});

test('a signal ends it with its reason', async (t) => {
  const over = new AbortController();
  const options = { deadlineMs: 10_000, signal: over.signal };
  const looking = until(
    () => undefined,
    () => false,
    options,
  );
  over.abort(new Error('enough'));
  await t.throwsAsync(looking, { message: 'enough' });
});

test('what a look throws ends it', async (t) => {
  const look = (): never => {
    throw new Error('blind');
  };
  await t.throwsAsync(
    until(look, () => true, { deadlineMs: 10_000 }),
    { message: 'blind' },
  );
});
