import test from 'ava';
import { maxFrom } from '../../src/diagnose/limits.js';
import { fullInMs, perMinute, Trend } from '../../src/diagnose/trend.js';

const HEAD = 'Limit                     Soft Limit           Hard Limit           Units     \n';

for (const [what, text, expected] of [
  [
    'a number',
    `${HEAD}Max open files            1024                 1048576              files`,
    1024,
  ],
  [
    'none',
    `${HEAD}Max open files            unlimited            unlimited            files`,
    Infinity,
  ],
  ['0', `${HEAD}Max open files            0                    0                    files`, 0],
] as const) {
  test(`RLIMIT_NOFILE of /proc/PID/limits: ${what}`, (t) => t.is(maxFrom(text), expected));
}

for (const [what, text] of [
  ['nothing', ''],
  ['cut short', `${HEAD}Max open files            `],
  ['no number', `${HEAD}Max open files            many                 many                 files`],
] as const) {
  test(`limits that say ${what} are an error`, (t) => {
    t.throws(() => maxFrom(text), { message: /no "Max open files"/ });
  });
}

function trendOf(...values: number[]): Trend {
  const trend = new Trend();
  for (const [second, value] of values.entries()) trend.add(second * 1000, value);
  return trend;
}

test('growth is not known before three samples', (t) => {
  t.is(trendOf().perMs, undefined);
  t.is(trendOf(1, 2).perMs, undefined);
  t.is(perMinute(undefined), null);
});

test('growth is the slope of the line that fits best', (t) => {
  t.is(perMinute(trendOf(0, 1, 2).perMs), 60);
  t.is(perMinute(trendOf(5, 5, 5).perMs), 0);
  t.is(perMinute(trendOf(6, 4, 2).perMs), -120);
  // By hand: mean x 1.5, mean y 4; sum((x - 1.5)(y - 4)) = 13, sum((x - 1.5)^2) = 5.
  t.is(perMinute(trendOf(0, 3, 5, 8).perMs), 156);
});

test('only the last 60 samples count', (t) => {
  const trend = trendOf(...Array.from({ length: 100 }, (_, i) => (i < 40 ? i * 1000 : 7)));
  t.is(perMinute(trend.perMs), 0);
});

test('when it is full: the room by the growth, and never where it does not grow', (t) => {
  t.is(fullInMs(100, 0.01), 10_000);
  t.is(fullInMs(0, 0.01), 0);
  t.is(fullInMs(-3, 0.01), 0);
  t.is(fullInMs(100, 0), null);
  t.is(fullInMs(100, -1), null);
  t.is(fullInMs(100, undefined), null);
  t.is(fullInMs(Infinity, 1), null);
});

test('a trend of zeros is over', (t) => {
  t.true(trendOf(0, 0).isZero);
  t.false(trendOf(0, 1, 0).isZero);
});
