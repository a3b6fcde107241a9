import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const SOAK = fileURLToPath(new URL('./soak.js', import.meta.url));

function soaked(...args: string[]) {
  return spawnSync(process.execPath, ['--expose-gc', SOAK, ...args], {
    encoding: 'utf8',
    timeout: 110_000,
    killSignal: 'SIGKILL',
  });
}

// A hundredth of what `npm run soak` does.
for (const part of ['raw', 'actors', 'aborts', 'workers', 'kills']) {
  test.serial(`soak: ${part} leaves nothing behind`, (t) => {
    const { status, stdout, stderr } = soaked('--scale', '0.01', '--only', part);
    t.is(stderr, '');
    t.is(status, 0, stdout);
    t.regex(
      stdout,
      new RegExp(`^(${part}, after \\d+: .*\n){4}${part}: \\d+ |^${part}: skipped: `),
    );
  });
}

for (const args of [
  ['--scale', '0'],
  ['--scale', 'x'],
  ['--only', 'nothing'],
]) {
  test(`soak ${args.join(' ')}: refused`, (t) => {
    const { status, stderr } = soaked(...args);
    t.is(status, 1);
    t.regex(stderr, /RangeError: --/);
  });
}
