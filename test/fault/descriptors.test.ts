/** No descriptor to be had (EMFILE): at each that is opened, what a user is told, and that nothing is left open. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { CLI } from '../cli/closewait.js';
import { noNamespace } from '../world/ability.js';

const EXHAUST = fileURLToPath(new URL('./exhaust.js', import.meta.url));

/** A command that may have few descriptors. */
function limited(descriptors: number, ...command: string[]) {
  const sh = ['-c', `ulimit -n ${descriptors} && exec "$@"`, 'sh', process.execPath, ...command];
  return spawnSync('sh', sh, { encoding: 'utf8', timeout: 110_000, killSignal: 'SIGKILL' });
}

interface Try {
  readonly spare: number;
  readonly said: string;
  readonly left: readonly string[];
}

interface Row {
  readonly what: string;
  /** What is said first, with none to spare. */
  readonly says: string | RegExp;
  /** And with more. */
  readonly also?: RegExp;
  readonly step?: number;
  readonly skipped?: string | undefined;
}

const NO_NAMESPACE =
  /^SyscallError: openat EMFILE: too many open files \(\/proc\/thread-self\/ns\/net\)$/;

const rows: Row[] = [
  { what: 'actor', says: 'done' },
  { what: 'snapshot', says: 'SyscallError: socket EMFILE: too many open files' },
  {
    what: 'spawn',
    says: 'SyscallError: pipe2 EMFILE: too many open files (/bin/true)',
    also: /clone/,
  },
  { what: 'diagnose', says: /^\w*Error: .*EMFILE: too many open files/ },
  ...[
    { what: 'capture', says: 'SyscallError: socket EMFILE: too many open files' },
    { what: 'world', says: NO_NAMESPACE, also: /socket EMFILE/ },
    { what: 'network', says: NO_NAMESPACE, also: /socket EMFILE/ },
    { what: 'iterator', says: 'SyscallError: bpf EMFILE: too many open files' },
    { what: 'tracepoints', says: /EMFILE.*tracing/, also: /bpf EMFILE/ },
    // A run goes on without an observer that cannot look, and says so.
    {
      what: 'run, raw',
      says: NO_NAMESPACE,
      also: /^inconclusive; .*; tracepoint: .*EMFILE/,
      step: 3,
    },
    { what: 'run, program', says: NO_NAMESPACE, also: /^inconclusive; .*EMFILE/, step: 6 },
  ].map((row) => ({ ...row, skipped: noNamespace })),
];

for (const { what, says, also = /^/, step = 1, skipped } of rows) {
  const run = skipped === undefined ? test.serial : test.serial.skip;
  const why = skipped === undefined ? '' : ` (skipped: ${skipped})`;
  run(`descriptors run out at any moment of: ${what}${why}`, (t) => {
    // Enough for Node to load all modules at once; what is left of them is used up before anything is tried.
    const { status, stdout, stderr } = limited(256, EXHAUST, what, `${step}`);
    t.is(stderr, '');
    t.is(status, 0, stdout);
    const tries = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Try);
    const [first] = tries;
    if (typeof says === 'string') t.is(first?.said, says);
    else t.regex(first?.said ?? '', says);
    t.true(
      tries.some(({ said }) => also.test(said)),
      stdout,
    );
    for (const each of tries.slice(0, -1)) t.regex(each.said, /EMFILE: too many open files/);
    for (const { spare, left } of tries) t.deepEqual(left, [], `with ${spare} to spare`);
  });
}

for (const command of ['run', 'diagnose', 'bench', 'states']) {
  test.serial(`closewait ${command}, with descriptors for nothing: one line, exit 3`, (t) => {
    const { status, stdout, stderr } = limited(24, CLI, command);
    t.is(status, 3);
    t.is(stdout, '');
    t.regex(stderr, /^closewait: EMFILE: too many open files, .*\n$/);
  });
}
