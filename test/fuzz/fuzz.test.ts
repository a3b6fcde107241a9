import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const FUZZ = fileURLToPath(new URL('./fuzz.js', import.meta.url));

function fuzz(...args: string[]) {
  return spawnSync(process.execPath, [FUZZ, ...args], {
    encoding: 'utf8',
    timeout: 110_000,
    killSignal: 'SIGKILL',
  });
}

// A hundredth of what `npm run fuzz` does. A run is repeated with CLOSEWAIT_SEED=n.
test('no decoder throws or hangs, whatever bytes it is given', (t) => {
  const seed = process.env['CLOSEWAIT_SEED'] ?? String(Math.floor(Math.random() * 2 ** 31));
  const { status, stdout, stderr } = fuzz('--executions', '200', '--seed', seed);
  t.is(stderr, '', `seed ${seed}`);
  t.is(status, 0, stdout);
  t.regex(stdout, new RegExp(`^seed ${seed}: \\d{4,} executions, \\d{4,} characters`, 'm'));
});

test('and changed bytes reach code that the first ones did not', (t) => {
  const { stdout } = fuzz('--executions', '1000', '--seed', '1', '--only', 'frame, ethernet');
  t.regex(stdout, /code \d{3,} \+ [1-9]\d* characters, corpus 2 \+ [1-9]/);
});

for (const args of [
  ['--executions', '0'],
  ['--seed', 'x'],
  ['--only', 'nothing'],
]) {
  test(`fuzz ${args.join(' ')}: refused`, (t) => {
    const { status, stderr } = fuzz(...args);
    t.is(status, 1);
    t.regex(stderr, /RangeError: --/);
  });
}
