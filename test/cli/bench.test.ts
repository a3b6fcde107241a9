import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Comparison } from '../../src/experiment/bench-compare.js';
import type { BenchRecord } from '../../src/experiment/bench-record.js';
import { until } from '../../src/observer/until.js';
import { test } from '../fixture/descriptors.js';
import { noOtherUser, noUserNamespace, noWorld } from '../world/ability.js';
import { CLI, closewait, finished } from './closewait.js';

const runs = noWorld === undefined ? test : test.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;

const bench = (...args: string[]) => closewait('bench', ...args);

function scratch(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

for (const [title, args, says] of [
  ['an unknown mode', ['--mode', 'nope'], /no mode "nope": there are client-first/],
  ['an unknown driver', ['--driver', 'node'], /no driver "node": there are c, raw/],
  ['no cycles', ['-n', '0'], /-n must be an integer/],
  ['a file that is not there', ['--compare', '/nonexistent/b.json'], /b\.json: ENOENT/],
  ['a file that is no benchmark', ['--compare', '/proc/self/status'], /no JSON/],
  ['a page that cannot be written', ['--html', '/nonexistent/b.html'], /b\.html: ENOENT/],
  ['a bound below 1', ['--bound', '0.5'], /--bound/],
  ['an argument', ['abort'], /too many arguments/],
] as const) {
  test(`usage: ${title}: exit 2, said on stderr`, (t) => {
    const { code, stdout, stderr } = bench(...args);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
    t.notRegex(stderr, /^\s+at /m);
  });
}

test('bench --help: on stdout, exit 0', (t) => {
  const { code, stdout } = bench('--help');
  t.is(code, 0);
  t.regex(stdout, /^Usage: closewait bench \[options\]/);
  for (const option of ['--mode', '--driver', '-n', '--json', '--compare', '--html', '--scale']) {
    t.true(stdout.includes(option), option);
  }
});

runs(`bench --json: every driver in a mode, whole and without a fault${why}`, (t) => {
  const { code, stdout, stderr } = bench('--mode', 'http', 'abort', '-n', '60', '--json');
  const { modes, doubts, cycles, ok } = JSON.parse(stdout) as BenchRecord;
  t.is(code, 0, stderr);
  t.true(ok);
  t.is(cycles, 60);
  t.deepEqual(
    modes.map(({ mode }) => mode),
    ['abort', 'http'],
  );
  for (const { drivers, kind, costs } of modes) {
    t.deepEqual(
      drivers.map(({ driver }) => driver),
      ['c', 'raw', 'raw-composite', 'libuv', 'program'],
    );
    for (const each of drivers) {
      t.is(each.cycles, 60);
      t.deepEqual(each.faults, []);
      t.is(each.socketsLeft, 0);
      const { p50Us, p90Us, p99Us, p999Us, maxUs, ratioToC, cyclesPerSecond } = each;
      t.true(p50Us > 0 && p50Us <= p90Us && p90Us <= p99Us && p99Us <= p999Us && p999Us <= maxUs);
      t.true(ratioToC > 0 && cyclesPerSecond > 0);
      t.is(each.timeWait.client, 0);
      t.is(each.timeWait.server > 0, kind === 'graceful');
      t.is(
        each.bars.reduce((sum, [, count]) => sum + count, 0),
        60,
      );
    }
    t.is(drivers[0]?.ratioToC, 1);
    t.true(costs !== undefined && costs.kernelUs > 0);
  }
  t.true(doubts.some((doubt) => doubt.startsWith('too few samples: 60')));
});

runs(`bench: as text; only what was asked for, against C all the same${why}`, (t) => {
  const { code, stdout } = bench('--mode', 'abort', '--driver', 'raw-composite', '-n', '20');
  t.is(code, 0);
  t.regex(stdout, /^abort: close\(\) with SO_LINGER/m);
  t.regex(stdout, /^ {2}raw-composite .* us /m);
  t.notRegex(stdout, /^ {2}(c|raw|libuv|program) /m);
  t.regex(stdout, /control: C \/ C/);
});

runs(`bench --compare: a regression beyond the bound is exit 1${why}`, (t) => {
  const file = join(scratch(t), 'before.json');
  const args = ['--mode', 'abort', '--driver', 'raw-composite', '-n', '100', '--json'];
  const first = bench(...args);
  t.is(first.code, 0, first.stderr);
  const before = JSON.parse(first.stdout) as BenchRecord;
  // As if it had been twenty times as fast.
  const modes = before.modes.map((mode) => ({
    ...mode,
    drivers: mode.drivers.map((each) => ({
      ...each,
      ratios: each.ratios.map((ratio) => ratio / 20),
    })),
  }));
  writeFileSync(file, JSON.stringify({ ...before, modes }));
  const { code, stdout } = bench(...args, '--compare', file);
  const { comparison } = JSON.parse(stdout) as { comparison: Comparison };
  t.deepEqual(
    comparison.changes.map(({ mode, driver, verdict }) => [mode, driver, verdict]),
    [['abort', 'raw-composite', 'regression']],
  );
  t.is(code, 1);
  const text = bench(...args.slice(0, -1), '--compare', file, '--bound', '100');
  t.is(text.code, 0);
  t.regex(text.stdout, /no regression beyond 100 x/);
});

runs(`bench --html: the page has a bar for each of the data${why}`, (t) => {
  const file = join(scratch(t), 'bench.html');
  const { code, stdout } = bench(
    '--mode',
    'abort',
    '--driver',
    'c',
    '-n',
    '50',
    '--json',
    '--html',
    file,
  );
  t.is(code, 0);
  const { modes } = JSON.parse(stdout) as BenchRecord;
  const [c] = modes[0]?.drivers ?? [];
  const page = readFileSync(file, 'utf8');
  const drawn = c?.bars.filter(([fromUs]) => fromUs <= c.p999Us * 1.05).length ?? 0;
  t.is(page.split('<rect class="bar"').length - 1, drawn);
});

runs(`bench --scale: a curve, and each point was held in CLOSE_WAIT${why}`, (t) => {
  const { code, stdout } = bench(
    ...['--mode', 'abort', '--driver', 'c', '-n', '5', '--json', '--scale', '50', '200'],
  );
  t.is(code, 0);
  const { scale } = JSON.parse(stdout) as BenchRecord;
  t.deepEqual(
    scale?.map(({ connections, processes }) => [connections, processes]),
    [
      [50, 1],
      [200, 1],
    ],
  );
  t.true(scale?.every(({ closeUs }) => closeUs > 0));
});

runs(`bench --scale: what cannot be held is said, and what was measured is not lost${why}`, (t) => {
  const limited = ['sh', '-c', 'ulimit -n 200 && exec "$@"', 'sh', process.execPath, CLI];
  const flags = ['--mode', 'abort', '--driver', 'c', '-n', '5', '--json', '--scale', '20', '500'];
  const { code, stdout, stderr } = finished([...limited, 'bench', ...flags]);
  t.is(code, 3, stderr);
  t.regex(stderr, /^closewait: 500 in CLOSE_WAIT: crowd ended with 1$/m);
  t.notRegex(stderr, /^\s+at /m);
  const { modes, scale } = JSON.parse(stdout) as BenchRecord;
  t.is(modes[0]?.drivers[0]?.cycles, 5);
  t.deepEqual(
    scale?.map(({ connections }) => connections),
    [20],
  );
});

runs(`bench, interrupted: what was measured so far, exit 130${why}`, async (t) => {
  const child = spawn(process.execPath, [CLI, 'bench', '-n', '10000000', '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const exited = once(child, 'close');
  // It says which mode it is at.
  await once(child.stderr, 'data');
  child.kill('SIGINT');
  const [code] = await exited;
  t.is(code, 130);
  const { interrupted, modes, doubts } = JSON.parse(stdout) as BenchRecord;
  t.true(interrupted);
  t.is(modes.length, 1, 'only the one that had begun');
  t.true(doubts.some((doubt) => doubt.startsWith('interrupted')));
});

runs(`bench --scale, interrupted: what was held so far, exit 130${why}`, async (t) => {
  // Minutes of them: it cannot come to its end before the signal comes.
  const points = [20, ...new Array<number>(2000).fill(5000)];
  const flags = ['--mode', 'abort', '--driver', 'c', '-n', '5', '--json', '--scale'];
  const child = spawn(process.execPath, [CLI, 'bench', ...flags, ...points.map(String)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const isFirst = !stderr.includes('5000 in CLOSE_WAIT');
    stderr += text;
    if (isFirst && stderr.includes('5000 in CLOSE_WAIT')) child.kill('SIGINT');
  });
  const [code] = await once(child, 'close');
  t.is(code, 130);
  t.regex(stderr, /^closewait: interrupted: /m);
  const { interrupted, scale = [] } = JSON.parse(stdout) as BenchRecord;
  t.true(interrupted);
  const held = scale.map(({ connections }) => connections);
  const begun = stderr.match(/ in CLOSE_WAIT\.\.\./g)?.length ?? 0;
  // The last of them is missing, unless it had been held when the signal came.
  t.true(held.length === begun - 1 || held.length === begun, `${held.length} of ${begun}`);
  t.deepEqual(held, points.slice(0, held.length));
  t.is(held[0], 20);
});

runs(
  `bench: a driver whose program ends is a fault, and costs nobody what was measured${why}`,
  async (t) => {
    const child = spawn(
      process.execPath,
      [CLI, 'bench', '--mode', 'abort', '--driver', 'program', '-n', '10000000', '--json'],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    t.teardown(() => child.kill('SIGKILL'));
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    const exited = once(child, 'close');
    const program = await until(
      () =>
        descendantsOf(child.pid as number).find((pid) =>
          proc(`${pid}/cmdline`).includes('--processes'),
        ),
      (pid) => pid !== undefined,
      { deadlineMs: 30_000 },
    );
    process.kill(Number(program), 'SIGKILL');
    const [code] = await exited;
    t.is(code, 1);
    const { ok, modes, interrupted } = JSON.parse(stdout) as BenchRecord;
    t.false(ok);
    t.false(interrupted);
    t.deepEqual(modes[0]?.drivers[0]?.faults, [
      { what: 'stopped: teardown was ended by signal 9', count: 1 },
    ]);
  },
);

/** What is in a file of /proc; nothing where its process or thread has just ended. */
function proc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'latin1');
  } catch {
    return '';
  }
}

/** The children of a process, whichever of its threads has started them, and theirs: a plain user's command starts itself again. */
function descendantsOf(pid: number | string): string[] {
  const children = tasksOf(pid)
    .flatMap((tid) => proc(`${pid}/task/${tid}/children`).split(' '))
    .filter(Boolean);
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

/** The threads of a process; none where it has just ended. */
function tasksOf(pid: number | string): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

const plain = noOtherUser ?? noUserNamespace;
(plain === undefined ? test : test.skip)(
  `bench as a plain user${plain === undefined ? '' : ` (${plain})`}`,
  (t) => {
    const asUser = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
    const args = ['bench', '--mode', 'client-first', '-n', '30', '--json'];
    const { code, stdout, stderr } = finished([...asUser, process.execPath, CLI, ...args], {
      env: { HOME: '/tmp' },
    });
    t.is(code, 0, `${stderr}${stdout}`);
    const { world, modes } = JSON.parse(stdout) as BenchRecord;
    t.is(world.kind, 'namespace');
    t.is(modes[0]?.drivers.length, 5);
  },
);
