import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ava from 'ava';
import { scratch } from '../driver/programs.js';
import { noWorld } from '../world/ability.js';
import { CLI, closewait, finished, PACKAGE } from './closewait.js';
import { commandOnFile, HEAD, runFile } from './scenario-file.js';

const test = ava.serial;
const NODE = process.execPath;
const runs = noWorld === undefined ? test : test.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;
const MINE = 'test/fixture/scenarios/mine.ts';
runs(`the example of twenty lines, as TypeScript, is reproduced${why}`, (t) => {
  const lines = readFileSync(join(PACKAGE, MINE), 'utf8').split('\n');
  t.true(lines.length < 30);
  const { code, stdout, stderr } = closewait('run', MINE, '--json');
  t.is(stderr, '');
  t.like(JSON.parse(stdout), { scenario: 'kept-open', verdict: 'reproduced', ok: true });
  t.is(code, 0);
});

runs(`a scenario of a file goes together with those of the catalogue${why}`, (t) => {
  const { code, stdout } = closewait('run', 'close-wait', MINE, '--driver', 'raw', '--jobs', '1');
  t.is(code, 0, stdout);
  t.regex(stdout, /^reproduced close-wait .*\nreproduced kept-open .*\n2 reproduced in .*\n$/);
});

runs(`compare takes a file of one scenario${why}`, (t) => {
  const { code, stdout, stderr } = closewait('compare', MINE, '--json');
  t.is(stderr, '');
  const { scenario, records } = JSON.parse(stdout);
  t.is(scenario, 'kept-open');
  t.deepEqual(
    records.map(({ driver, verdict }: Record<string, string>) => [driver, verdict]),
    [
      ['raw', 'reproduced'],
      ['libuv', 'reproduced'],
    ],
  );
  t.is(code, 0);
});

runs(`compare refuses a file of several, and what they leave counts${why}`, (t) => {
  const several = `${HEAD} export const [a, b] = ['a', 'b'].map((name) => scenario(name, () => {}));`;
  const refused = commandOnFile(t, 'compare', 'mine.mjs', several);
  t.is(refused.code, 2);
  t.is(refused.stdout, '');
  t.regex(
    refused.stderr,
    /mine\.mjs exports several scenarios \(a, b\): compare takes a file of one/,
  );

  const leaves = `${HEAD} export const a = scenario('a', () => void sys.socket(sys.AF_INET, sys.SOCK_STREAM));`;
  const left = commandOnFile(t, 'compare', 'mine.mjs', leaves, '--json');
  t.regex(left.stderr, /left open by a scenario: fd \d+ socket/);
  t.is(left.code, 1);
});

const strips = process.features as { readonly typescript?: string | false };
const without = strips.typescript ? test.skip : test;

without('TypeScript where neither Node nor a tsx reads it: exit 3, and what to do', (t) => {
  const folder = scratch(t);
  cpSync(join(PACKAGE, MINE), join(folder, 'mine.ts'));
  const { code, stdout, stderr } = finished([NODE, CLI, 'run', 'mine.ts'], { cwd: folder });
  t.is(code, noWorld === undefined ? 3 : code);
  t.is(stdout, '');
  t.regex(stderr, /mine\.ts is TypeScript, which Node \S+ does not read: .*22\.18.*tsx/);
});

const wrongFiles: { title: string; name: string; text: string; says: RegExp[] }[] = [
  {
    title: 'a file without a scenario',
    name: 'a.mjs',
    text: 'export const a = 1;',
    says: [/a\.mjs exports no scenario/],
  },
  {
    title: 'a syntax error',
    name: 'a.mjs',
    text: '\nexport const = 1;',
    says: [/a\.mjs cannot be loaded: SyntaxError: Unexpected token '='/],
  },
  {
    title: 'an error while it is loaded',
    name: 'a.mjs',
    text: '\n\nthrow new Error("no");',
    says: [/a\.mjs cannot be loaded: Error: no \(a\.mjs:3\)/],
  },
  {
    title: 'a field that is none, one that is missing, a state that is none',
    name: 'a.mjs',
    text: `export default { name: 'a', title: 'b', summary: 'c', segements: [], run() {},
      path: { client: ['FINWAIT2'], sever: [] } };`,
    says: [
      /the export "default" is no scenario:/,
      /^ {2}source is missing$/m,
      /^ {2}segements is no field: there are name, title, .*segments/m,
      /^ {2}path\.client\[0\] must be a TCP state .*received "FINWAIT2"$/m,
      /^ {2}path\.sever is no field: there are client, server$/m,
    ],
  },
];

for (const { title, name, text, says } of wrongFiles) {
  runs(`usage: ${title}: exit 2, said on stderr${why}`, (t) => {
    const { code, stdout, stderr } = runFile(t, name, text);
    t.is(code, 2, stderr);
    t.is(stdout, '');
    for (const each of says) t.regex(stderr, each);
    t.notRegex(stderr, /^\s+at /m);
  });
}

const SAME = `export const a = scenario('same', () => {});\nexport const b = scenario('same', () => {});`;
const wrongValues: [title: string, text: string, says: RegExp][] = [
  [
    'a setting of the whole machine',
    `export const a = { ...scenario('a', () => {}), sysctls: { 'kernel/hostname': 'x' } };`,
    /sysctls\["kernel\/hostname"\] must be a path below \/proc\/sys, in net\//,
  ],
  [
    'no driver at all',
    `export const a = { ...scenario('a', () => {}), drivers: [] };`,
    /drivers must be left out or name one at least/,
  ],
  [
    'a proof that is not on the way',
    `export const a = { ...scenario('a', () => {}), proof: { client: 'CLOSING' } };`,
    /proof\.client is CLOSING, which path\.client does not go through/,
  ],
  ['two of one name', SAME, /two scenarios are called same/],
];

for (const [what, text, says] of wrongValues) {
  runs(`usage: ${what}: exit 2, said on stderr${why}`, (t) => {
    const { code, stdout, stderr } = runFile(t, 'mine.mjs', HEAD + text);
    t.is(code, 2, stderr);
    t.is(stdout, '');
    t.regex(stderr, says);
  });
}

runs(
  `a setting that the kernel refuses is that scenario's failure, and nobody else's${why}`,
  (t) => {
    const text = `${HEAD}
    const sysctls = { 'net/ipv4/tcp_fin_timeout': 'soon' };
    export const wrong = { ...scenario('wrong', () => {}), sysctls };
    export const right = scenario('right', async () => {});\n`;
    const { code, stdout } = runFile(t, 'mine.mjs', text, '--jobs', '1');
    t.regex(
      stdout,
      /^not-reproduced wrong .*tcp_fin_timeout cannot be set to "soon": .*EINVAL.*$/m,
    );
    t.regex(stdout, /^reproduced right /m);
    t.is(code, 1);
  },
);

runs(`usage: a file that is not there${why}`, (t) => {
  const { code, stderr } = closewait('run', './nowhere.ts');
  t.is(code, 2);
  t.regex(stderr, /there is no file \.\/nowhere\.ts/);
});

// An author's mistakes.

interface Mistake {
  readonly title: string;
  readonly story: string;
  readonly verdict: 'reproduced' | 'not-reproduced';
  readonly reason?: RegExp;
  readonly stderr?: RegExp;
  /** --timeout, where the run is to be ended by it. */
  readonly timeout?: string;
}

const mistakes: Mistake[] = [
  {
    title: 'a wait that never comes',
    story: `({ reach }) => reach({ client: 'TIME_WAIT' }, { deadlineMs: 200 })`,
    verdict: 'not-reproduced',
    reason: /^expected client in TIME_WAIT within 0\.2 s; .*ESTABLISHED/,
  },
  {
    title: 'a throw in the middle',
    story: `() => {\n  undefined.foo();\n}`,
    verdict: 'not-reproduced',
    reason: /^Cannot read properties of undefined \(reading 'foo'\) \(mine\.mjs:17\)$/,
  },
  {
    title: 'something that is no error thrown',
    story: `() => { throw 'tantrum'; }`,
    verdict: 'not-reproduced',
    reason: /^tantrum$/,
  },
  {
    title: 'an act that is not awaited',
    story: `async ({ client }) => { client.shutdown('SHUT_RD'); }`,
    verdict: 'not-reproduced',
    reason: /^not awaited: client\.shutdown\(\)$/,
  },
  {
    title: 'an act that is not awaited and fails',
    story: `async ({ client, server }) => { client.getOption('SO_NONE'); await server.send('x'); }`,
    verdict: 'not-reproduced',
    reason: /^not awaited: client\.getOption\(\)$/,
  },
  {
    title: 'a promise of its own that nobody awaits',
    story: `async () => { Promise.reject(new Error('mine')); }`,
    verdict: 'reproduced',
    stderr: /^closewait: an error that nobody awaited: Error: mine at .*mine\.mjs:16/m,
  },
  {
    title: 'an error in a callback',
    story: `() => new Promise((done) => setTimeout(() => { done(); throw new Error('late'); }))`,
    verdict: 'reproduced',
    stderr: /^closewait: an error that nobody awaited: Error: late at /m,
  },
  {
    title: 'a descriptor left open',
    story: `async () => { sys.socket(sys.AF_INET, sys.SOCK_STREAM); }`,
    verdict: 'reproduced',
    stderr: /^closewait: left open by a scenario: fd \d+ socket:\[\d+\]$/m,
  },
  {
    title: 'a file and a namespace left open',
    story: `async () => { openSync('/etc/passwd'); await World.open('namespace'); }`,
    verdict: 'reproduced',
    stderr: /^closewait: left open by a scenario: fd \d+ \/etc\/passwd, fd \d+ net:\[\d+\]$/m,
  },
  {
    title: 'a process left running',
    story: `async () => { spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).unref(); }`,
    verdict: 'reproduced',
    stderr: /^closewait: left running by a scenario, and ended: sleep \(pid \d+\)$/m,
  },
  {
    title: 'nothing thrown as an error',
    story: `() => { throw undefined; }`,
    verdict: 'not-reproduced',
    reason: /^undefined$/,
  },
  {
    title: 'a run that never ends',
    story: `() => new Promise(() => {})`,
    verdict: 'not-reproduced',
    reason: /^the scenario has not ended within 1 s$/,
    timeout: '1',
  },
  {
    title: 'a call that never returns',
    story: `({ client }) => client.receive()`,
    verdict: 'not-reproduced',
    reason: /^the scenario has not ended within 1 s$/,
    timeout: '1',
  },
];

for (const { title, story, verdict, reason, stderr, timeout = '60' } of mistakes) {
  runs(`a mistake: ${title}: said, exit 1${why}`, (t) => {
    const text = `${HEAD}export const mine = scenario('mine', ${story});\n`;
    const ended = runFile(t, 'mine.mjs', text, '--timeout', timeout, '--json');
    const record = JSON.parse(ended.stdout);
    t.is(record.verdict, verdict, record.reason);
    if (reason) t.regex(record.reason, reason);
    if (stderr) t.regex(ended.stderr, stderr);
    else t.is(ended.stderr, '');
    t.is(ended.code, 1);
  });
}

runs(`what is left open is told in the order of its numbers, and not as text${why}`, (t) => {
  const text = `${HEAD}export const a = scenario('a', () => { while (openSync('/etc/passwd') < 100); });\n`;
  const { code, stderr } = runFile(t, 'mine.mjs', text);
  const fds = [...stderr.matchAll(/\bfd (\d+) /g)].map(([, fd]) => Number(fd));
  t.is(fds.at(-1), 100);
  t.deepEqual(
    fds,
    fds.toSorted((a, b) => a - b),
  );
  t.is(code, 1);
});

/** What is refused without waiting for it, or has held nothing. */
const slips: Record<string, readonly [story: string, says: RegExp]> = {
  end: [
    `({ reach }) => reach({ cleint: 'CLOSE' })`,
    /^reach\(\) knows client and server, not cleint/,
  ],
  state: [
    `({ reach }) => reach({ client: 'FINWAIT2' })`,
    /^the state of the client must be a TCP /,
  ],
  none: [`({ reach }) => reach({})`, /^reach\(\) must name an end and its state/],
  deadline: [
    `({ reach }) => reach({ client: 'CLOSE' }, { deadlineMs: Infinity })`,
    /^deadlineMs must be a number of milliseconds from 0 to \d+, received Infinity/,
  ],
  timer: [`({ timer }) => timer('client', 'fin')`, /^a timer is one of off, on, .*, not fin/],
  act: [`({ fails }) => fails('it', 'EPIPE', () => {})`, /^fails\(\) takes the promise of an act/],
  map: [
    `async ({ expect }) => { expect('it', new Map([[1, 2]]), new Map()); }`,
    /^it: expected "Map\(1\) \{ 1 => 2 \}", observed "Map\(0\) \{\}" \(scenario\)$/,
  ],
  nan: [`async ({ expect }) => { expect('it', NaN, null); }`, /^it: expected "NaN", observed null/],
};

runs(`an author's slips are refused at once, each with its own words${why}`, (t) => {
  const stories = Object.entries(slips).map(
    ([name, [story]]) => `export const ${name} = scenario('${name}', ${story});\n`,
  );
  const ended = runFile(t, 'mine.mjs', HEAD + stories.join(''), '--json');
  const records = JSON.parse(ended.stdout) as { scenario: string; reason: string }[];
  t.is(records.length, stories.length);
  for (const { scenario, reason } of records) t.regex(reason, slips[scenario]?.[1] ?? /^$/);
  t.is(ended.code, 1);
});

runs(`a moment that does not come is said: nothing was held against what it expects${why}`, (t) => {
  const text = `${HEAD}
    const story = scenario('mine', ({ moment }) => moment('opne'));
    export const mine = { ...story, expected: { open: { client: { owned: true } } } };\n`;
  const { code, stdout } = runFile(t, 'mine.mjs', text, '--json');
  t.is(
    JSON.parse(stdout).reason,
    'moment "open": expected "comes", observed "never came" (scenario)',
  );
  t.is(code, 1);
});

for (const { title, text, says } of [
  {
    title: 'process.exit(0) in a scenario',
    text: `${HEAD}export const mine = scenario('mine', () => process.exit(0));\n`,
    says: /^closewait: a file has ended the command, by process\.exit\(0\) at .*mine\.mjs:16/m,
  },
  {
    title: 'process.exit(0) while the file is loaded',
    text: 'process.exit(0);',
    says: /^closewait: a file has ended the command, by process\.exit\(0\) at .*mine\.mjs:1/m,
  },
  {
    title: 'a file that never ends loading',
    text: 'await new Promise(() => {});',
    says: /^closewait: a file waits for what never comes: nothing is going on any more$/m,
  },
]) {
  runs(`a mistake: ${title}: it is no success, and said${why}`, (t) => {
    const { code, stdout, stderr } = runFile(t, 'mine.mjs', text);
    t.is(stdout, '');
    t.regex(stderr, says);
    t.is(code, 1);
  });
}

runs(`a timer left running does not keep the command alive; it is said${why}`, (t) => {
  const text = `${HEAD}export const mine = scenario('mine', () => { setInterval(() => {}, 1e6); });\n`;
  const { code, stdout, stderr } = runFile(t, 'mine.mjs', text);
  t.is(code, 0, stdout);
  t.regex(stderr, /^closewait: ended what a scenario left going on: Timeout$/m);
});

runs(`one scenario's mistake does not touch another's run${why}`, (t) => {
  const text = `${HEAD}
    export const wrong = scenario('wrong', () => new Promise(() => {}));
    export const right = scenario('right', async () => {});\n`;
  const { code, stdout } = runFile(t, 'mine.mjs', text, '--timeout', '5', '--jobs', '2');
  t.regex(stdout, /^reproduced right .*\nnot-reproduced wrong .*\n1 reproduced, 1 not-reproduced/);
  t.is(code, 1);
});
