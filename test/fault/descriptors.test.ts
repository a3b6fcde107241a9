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
    says: 'SyscallError: socketpair EMFILE: too many open files (/bin/true)',
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
    // Two hosts, and an observer of a kind in each: those of both, or none.
    {
      what: 'run, network',
      says: NO_NAMESPACE,
      also: /^(?:reproduced|inconclusive); .*EMFILE/,
      step: 3,
    },
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
    // What had too little to run says nothing of what it ran.
    for (const { said } of tries) t.notRegex(said, /^not-reproduced/);
    for (const { spare, left } of tries) t.deepEqual(left, [], `with ${spare} to spare`);
  });
}

/** The fewest descriptors with which this Node gets as far as the first line of the command. */
function fewest(): number {
  for (let descriptors = 12; descriptors < 64; descriptors++) {
    if (limited(descriptors, CLI, '--version').status === 0) return descriptors;
  }
  throw new Error('64 descriptors are not enough for --version');
}

/** How many more are tried: from 22 on Node loads modules one after the other, and a command comes further with as many. */
const MORE = 6;

for (const command of ['run', 'diagnose', 'bench', 'states']) {
  test.serial(`closewait ${command}, with hardly a descriptor: one line, exit 3`, (t) => {
    const least = fewest();
    let refused = 0;
    for (let descriptors = least; descriptors < least + MORE; descriptors++) {
      const { status, stdout, stderr } = limited(descriptors, CLI, command);
      const at = `${descriptors}: ${status}\n${stdout}${stderr}`;
      t.regex(stderr, /^(?:closewait: .*\n)*$/, at);
      if (status === 3 && /EMFILE: too many open files/.test(stdout + stderr)) refused++;
      // With enough for what it does, it does it; what it says of the host's sockets is their affair.
      else t.true(status === 0 || (status !== null && command === 'diagnose'), at);
    }
    t.true(refused > 0);
  });
}
