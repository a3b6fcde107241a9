import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const JUNK = fileURLToPath(new URL('./junk.js', import.meta.url));

// A run is repeated with CLOSEWAIT_SEED=n; more of them with CLOSEWAIT_RUNS.
const seed = process.env['CLOSEWAIT_SEED'] ?? String(Math.floor(Math.random() * 2 ** 31));
const runs = process.env['CLOSEWAIT_RUNS'] ?? '150';

test('whatever it is given, a call throws a TypeError or a RangeError with a code, its own error, or works', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const log = join(directory, 'call');
  t.log(`seed ${seed}`);
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [JUNK, seed, runs, log], {
    cwd: directory,
    encoding: 'utf8',
    timeout: 100_000,
    killSignal: 'SIGKILL',
  });
  const during = readFileSync(log, 'utf8').trim();
  t.is(signal, null, `seed ${seed}: killed during ${during}\n${stderr}`);
  t.is(status, 0, `seed ${seed}: ${stderr || during}`);
  t.regex(stdout, new RegExp(`^\\d+ functions, seed ${seed}\n$`));
});
