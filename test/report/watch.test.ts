import test from 'ava';
import { duration, formatLines, formatScreen } from '../../src/report/watch.js';
import { group, tick } from '../fixture/tick.js';

const plain = (_style: string, text: string): string => text;
const styled = (style: string, text: string): string => `<${style}>${text}</>`;

test('plain lines: each says when, the whole of it', (t) => {
  t.is(
    formatLines(tick),
    `2026-01-02T03:04:05.678Z  6 leaks, 8 suspicious sockets, 1 not attributed yet
2026-01-02T03:04:05.678Z  app (pid 10): 24 of 1024 descriptors, +30 a minute, full in 33 min
2026-01-02T03:04:05.678Z  10        app              CLOSE_WAIT   not-closed         80        7        6         61 s      +30       120 min
2026-01-02T03:04:05.678Z  -         -                FIN_WAIT2    peer-never-closes  -         1        0         0 ms      -         -
2026-01-02T03:04:05.678Z  not seen: 2 processes may not be read: EACCES
`.replace('120 min', '2 h'),
  );
});

test('a screen is drawn over the one before, and no larger than the terminal', (t) => {
  const text = formatScreen(tick, plain, { columns: 40, rows: 5 });
  t.true(text.startsWith('\x1b[H'));
  t.true(text.endsWith('\x1b[J'));
  const lines = text.slice('\x1b[H'.length, -'\x1b[J'.length).split('\n');
  t.is(lines.pop(), '');
  t.is(lines.length, 4);
  for (const line of lines) {
    t.true(line.endsWith('\x1b[K'));
    t.true(line.length - '\x1b[K'.length <= 40, line);
  }
});

test('leaks that grow are red, others yellow', (t) => {
  const still = { ...group, perMinute: 0, fullInMs: null };
  const fine = { ...group, leak: false, cause: 'still-sending' as const };
  const text = formatScreen({ ...tick, groups: [group, still, fine] }, styled, {
    ...{ columns: 200, rows: 50 },
  });
  const rows = text.split('\n').filter((line) => line.includes('CLOSE_WAIT'));
  t.regex(rows[0] ?? '', /^<red>10 /);
  t.regex(rows[1] ?? '', /^<yellow>10 /);
  t.regex(rows[2] ?? '', /^10 /);
});

for (const [ms, expected] of [
  [0, '0 ms'],
  [999, '999 ms'],
  [1000, '1 s'],
  [119_000, '119 s'],
  [120_000, '2 min'],
  [7_199_000, '120 min'],
  [7_200_000, '2 h'],
  [172_800_000, '2 d'],
] as const) {
  test(`${ms} ms: ${expected}`, (t) => t.is(duration(ms), expected));
}
