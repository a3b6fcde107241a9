import { readdirSync, readFileSync } from 'node:fs';
import ava from 'ava';
import type { RunRecord } from '../../src/experiment/record.js';
import { TracepointObserver } from '../../src/observer/tracepoint.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import { driversOf } from '../../src/scenario/scenario.js';
import { Program } from '../driver/programs.js';
import { Traces } from '../experiment/traces.js';
import { until } from '../fixture/until.js';
import { noNamespace, noTool, noWorld, testUnless } from '../world/ability.js';
import { CLI, closewait, finished } from './closewait.js';

const test = ava.serial;
const NODE = process.execPath;
const runs = noWorld === undefined ? test : test.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;

const fast = catalogue.filter(({ slow }) => slow !== true);
const names = fast.map(({ name }) => name);

const wrong: { title: string; args: string[]; says: RegExp }[] = [
  { title: 'no jobs', args: ['--jobs', '0'], says: /--jobs takes a number from 1 to 1000000/ },
  { title: 'half a job', args: ['--jobs', '1.5'], says: /--jobs takes a number .*, not "1.5"/ },
  { title: 'no repetition', args: ['--repeat', '0'], says: /--repeat takes a number/ },
  { title: 'negative time', args: ['--timeout', '-1'], says: /--timeout takes a number/ },
  {
    title: 'another IP version',
    args: ['--family', '5'],
    says: /no IP version "5": it is 4, 6 or both/,
  },
  {
    title: 'another reporter',
    args: ['--reporter', 'dot'],
    says: /no reporter "dot": it is tap or junit/,
  },
  {
    title: 'a reporter and --json',
    args: ['--reporter', 'tap', '--json'],
    says: /--reporter is a format/,
  },
  {
    title: 'a reporter and --format',
    args: ['close-wait', '--reporter', 'tap', '--format', 'ladder'],
    says: /--reporter is a format of its own/,
  },
  {
    title: '--format of two runs of one scenario',
    args: ['close-wait', '--driver', 'raw', '--family', 'both', '--format', 'ladder'],
    says: /--format is for one run of one scenario/,
  },
  {
    title: '--pcap of no name',
    args: ['close-wait', '--pcap', ''],
    says: /--pcap takes the name of a file, not ""/,
  },
  {
    title: 'a letter wrong',
    args: ['clse-wait'],
    says: /no scenario "clse-wait" \(did you mean close-wait\?\)/,
  },
];

for (const { title, args, says } of wrong) {
  test(`usage: ${title}: exit 2, said on stderr`, (t) => {
    const { code, stdout, stderr } = closewait('run', ...args);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
    t.notRegex(stderr, /^\s+at /m);
  });
}

runs(`run --fast: a line for each fast scenario, and how many came out how${why}`, (t) => {
  const { code, stdout, stderr } = closewait('run', '--fast');
  // What cannot be seen is said once, and not for each of them; who has tracepoints sees it all.
  const { available } = TracepointObserver.availability();
  t.regex(stderr, available ? /^$/ : /^(?:closewait: not seen: .*\n)+$/);
  t.is(new Set(stderr.split('\n')).size, stderr.split('\n').length);
  const lines = stdout.trimEnd().split('\n');
  t.deepEqual(
    lines
      .slice(0, -1)
      .map((line) => line.split(' ')[1])
      .sort(),
    [...names].sort(),
  );
  t.regex(lines.at(-1) ?? '', /^\d+ reproduced(, \d+ skipped)? in \d+\.\d s$/, stdout);
  t.is(code, 0, stdout);
});

runs(`run --json: records in the order of the catalogue, whatever ends first${why}`, (t) => {
  const { code, stdout } = closewait('run', '--fast', '--jobs', '3', '--json');
  const records = JSON.parse(stdout) as RunRecord[];
  const others = records.filter(({ ok }) => !ok);
  t.deepEqual(
    others.map(({ scenario, reason, checks }) => [
      scenario,
      reason,
      checks.filter(({ ok }) => !ok),
    ]),
    [],
  );
  t.is(code, 0);
  t.deepEqual(
    records.map(({ scenario }) => scenario),
    names,
  );
});

runs(`run --driver all --family both: a run for each${why}`, (t) => {
  const args = ['run', 'close-wait', '--driver', 'all', '--family', 'both', '--json'];
  const records = JSON.parse(closewait(...args).stdout) as {
    driver: string;
    family: number;
    ok: boolean;
  }[];
  const closeWait = catalogue.find(({ name }) => name === 'close-wait');
  t.deepEqual(
    records.map(({ driver, family }) => `${driver} ${family}`),
    (closeWait ? driversOf(closeWait) : []).flatMap((driver) => [`${driver} 4`, `${driver} 6`]),
  );
  t.true(records.every(({ ok }) => ok));
});

runs(`run --repeat: told once, counted each time${why}`, (t) => {
  const args = ['run', 'close-wait', '--driver', 'raw', '--repeat', '5', '--jobs', '4'];
  const { code, stdout } = closewait(...args);
  t.is(code, 0, stdout);
  t.regex(stdout, /^reproduced close-wait [^\n]*\n5 reproduced in \d+\.\d s\n$/);
});

runs(`run --timeout: a run that takes longer is ended, and says so${why}`, (t) => {
  const { code, stdout } = closewait('run', 'fin-wait2-expiry', '--timeout', '1', '--json');
  const { verdict, reason } = JSON.parse(stdout);
  t.is(verdict, 'not-reproduced');
  t.is(reason, 'the scenario has not ended within 1 s');
  t.is(code, 1);
});

runs(`run --jobs: a summary with what did not come out, exit 1${why}`, (t) => {
  // libuv's listeners have SO_REUSEADDR: what the second is about is not there, however fast the machine is.
  const args = ['close-wait', 'server-first', '--driver', 'libuv', '--jobs', '2'];
  const { code, stdout } = closewait('run', ...args);
  t.regex(stdout, /\n1 reproduced, 1 not-reproduced in \d+\.\d s\n$/);
  t.is(code, 1);
});

const noScript = noTool('script');
const onTerminal = noScript === undefined && noWorld === undefined ? test : test.skip;

onTerminal(`run: on a terminal, how far it is${noScript ? ` (${noScript})` : why}`, (t) => {
  const line = `${NODE} ${CLI} run close-wait close-wait --driver raw --jobs 1`;
  const { code, stdout } = finished(['script', '-qec', line, '/dev/null'], {
    env: { TERM: 'xterm' },
  });
  t.is(code, 0);
  const shown = stdout.split('\r\x1b[K');
  t.true(shown.includes('0/2: close-wait'));
  t.true(shown.includes('1/2: close-wait'));
  t.regex(shown.at(-1) ?? '', /^2 reproduced in /);
  const redirected = `${line} 2>/dev/null`;
  const quiet = finished(['script', '-qec', redirected, '/dev/null'], { env: { TERM: 'xterm' } });
  t.false(quiet.stdout.includes('0/2'));
  const dumb = finished(['script', '-qec', line, '/dev/null'], { env: { TERM: 'dumb' } });
  t.is(dumb.code, 0);
  t.false(dumb.stdout.includes('\x1b'));
});

/** How many of the cast's threads a process has. */
function acting(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).filter((tid) => {
    try {
      return readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8') === 'server\n';
    } catch {
      return false; // it ended since
    }
  }).length;
}

testUnless(noNamespace, 'run: Ctrl-C ends all that is going on; nothing is left', async (t) => {
  const traces = new Traces();
  // Each takes a minute: none is over before the last has begun.
  const scenarios = Array(4).fill('time-wait-expiry') as string[];
  const program = new Program(t, traces.marked([NODE, CLI, 'run', ...scenarios, '--jobs', '4']));
  await until(
    () => acting(program.pid) === 4,
    () => `${acting(program.pid)} act`,
  );
  program.signal('SIGINT');
  t.is(await program.end(), 130);
  t.is(program.stdout, '');
  await t.notThrowsAsync(traces.gone());
});
