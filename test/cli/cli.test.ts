import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import ava from 'ava';
import { catalogue } from '../../src/scenario/catalogue.js';
import { driversOf } from '../../src/scenario/scenario.js';
import { Program, scratch } from '../driver/programs.js';
import { noNamespace, noOtherUser, noTool, noWorld } from '../world/ability.js';
import { CLI, closewait, finished, PACKAGE } from './closewait.js';

const test = ava.serial;
const NODE = process.execPath;
const COLOUR = '\x1b[';

const oneLine = /^closewait: [^\n]+\n$/;

// What comes out.

const wrong: { title: string; args: string[]; says: RegExp }[] = [
  { title: 'no command', args: [], says: /Usage: closewait/ },
  { title: 'an unknown command', args: ['walk'], says: /unknown command 'walk'/ },
  {
    title: 'an unknown command and --help',
    args: ['walk', '--help'],
    says: /unknown command 'walk'/,
  },
  { title: 'help for an unknown one', args: ['help', 'walk'], says: /^error: .* 'walk'\n\(--help/ },
  { title: 'an unknown option', args: ['run', '--loud'], says: /unknown option '--loud'/ },
  { title: 'an option of another command', args: ['list', '--pcap', 'x'], says: /'--pcap'/ },
  { title: 'an unknown scenario', args: ['run', 'nap'], says: /no scenario "nap".*closewait list/ },
  {
    title: 'one of two scenarios unknown',
    args: ['run', 'close-wait', 'nap', '--json'],
    says: /no scenario "nap"/,
  },
  {
    title: 'an unknown driver',
    args: ['run', 'close-wait', '--driver', 'taxi'],
    says: /no driver "taxi": it is raw or libuv or program/,
  },
  { title: 'a driver left out', args: ['run', '--driver'], says: /argument missing/ },
  { title: 'an unknown state', args: ['states', '--state', 'ASLEEP'], says: /no state "ASLEEP"/ },
  {
    title: 'a state of another spelling',
    args: ['states', '--state', 'CLOSE-WAIT'],
    says: /no state "CLOSE-WAIT"; spelled as in netstat/,
  },
  { title: 'an argument too many', args: ['list', 'all'], says: /too many arguments/ },
  {
    title: 'an unknown format',
    args: ['run', 'close-wait', '--format', 'opera'],
    says: /no format "opera": it is story, ladder, transitions, ndjson/,
  },
  {
    title: '--format of two scenarios',
    args: ['run', 'close-wait', 'fin-wait2-expiry', '--format', 'ladder'],
    says: /--format shows one scenario/,
  },
  {
    title: '--format and --json',
    args: ['run', 'close-wait', '--format', 'ladder', '--json'],
    says: /--json is a format of its own/,
  },
  {
    title: '--pcap of no scenario',
    args: ['run', '--pcap', 'x.pcapng'],
    says: /--pcap takes the capture of one scenario/,
  },
  {
    title: '--pcap of two scenarios',
    args: ['run', 'close-wait', 'fin-wait2-expiry', '--pcap', 'x.pcapng'],
    says: /--pcap takes the capture of one scenario/,
  },
];

for (const { title, args, says } of wrong) {
  test(`usage: ${title}: exit 2, said on stderr`, (t) => {
    const { code, stdout, stderr } = closewait(...args);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
    t.notRegex(stderr, /^\s+at /m);
  });
}

for (const command of ['', 'run', 'list', 'observers', 'states', 'diagnose', 'server', 'client']) {
  test(`--help: ${command || 'closewait'}: on stdout, exit 0`, (t) => {
    const { code, stdout, stderr } = closewait(...command.split(' ').filter(Boolean), '--help');
    t.is(code, 0);
    t.regex(stdout, new RegExp(`^Usage: closewait ${command}`));
    t.is(stderr, '');
  });
}

test('--version is that of the package', (t) => {
  const { version } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));
  const { code, stdout, stderr } = closewait('--version');
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `${version}\n`, stderr: '' });
});

test('--help names every command and the exit codes', (t) => {
  const { stdout } = closewait('--help');
  for (const command of ['run', 'list', 'observers', 'states', 'diagnose', 'server', 'client']) {
    t.regex(stdout, new RegExp(`^  ${command}\\b`, 'm'));
  }
  t.regex(stdout, /0 as expected, 1 .*, 2 usage, 3 cannot run here/);
});

test('list: a line for each scenario; as JSON, an object', (t) => {
  const { code, stdout, stderr } = closewait('list');
  t.is(code, 0);
  t.is(stderr, '');
  const lines = stdout.trimEnd().split('\n');
  t.deepEqual(
    lines.map((line) => line.split(' ')[0]),
    catalogue.map(({ name }) => name),
  );
  const rows = JSON.parse(closewait('list', '--json').stdout) as Record<string, unknown>[];
  t.deepEqual(
    rows,
    catalogue.map((scenario) => {
      const { name, title, source, summary } = scenario;
      return { name, title, source, summary, drivers: driversOf(scenario) };
    }),
  );
});

test('states: the sockets of this namespace and who holds them; the state filter', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  t.teardown(() => server.close());
  const { code, stdout } = closewait('states');
  t.is(code, 0);
  t.regex(stdout, /^Active Internet connections \(servers and established\)\nProto Recv-Q/);
  t.regex(stdout, new RegExp(`127.0.0.1:${port} .*LISTEN +${process.pid}/`));
  t.false(stdout.includes(COLOUR));

  const rows = JSON.parse(closewait('states', '--json', '--state', 'LISTEN').stdout) as {
    state: string;
    local: { address: string; port: number };
    holders: { pid: number }[];
  }[];
  t.true(rows.every(({ state }) => state === 'LISTEN'));
  const isOwn = ({ local }: (typeof rows)[0]) =>
    local.address === '127.0.0.1' && local.port === port;
  const own = rows.find(isOwn);
  t.is(own?.holders.map(({ pid }) => pid).join(), `${process.pid}`);
  const others = closewait('states', '--json', '--state', 'CLOSE_WAIT', 'LAST_ACK').stdout;
  t.false(JSON.parse(others).some(isOwn));
});

// What runs.

const runs = noWorld === undefined ? test : test.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;

for (const driver of ['program', 'raw']) {
  runs(`run close-wait --driver ${driver} --json: one object, reproduced, exit 0${why}`, (t) => {
    const { code, stdout, stderr } = closewait('run', 'close-wait', '--driver', driver, '--json');
    t.is(stderr, '');
    const record = JSON.parse(stdout);
    t.like(record, { scenario: 'close-wait', driver, ok: true, verdict: 'reproduced' });
    t.is(record.world.kind, 'namespace');
    t.deepEqual(Object.keys(record.ends), ['client', 'server']);
    t.true(Array.isArray(record.ends.client.path) && Array.isArray(record.ends.server.path));
    t.true(record.ends.server.path.includes('CLOSE_WAIT'));
    for (const list of ['checks', 'events', 'observers']) t.true(record[list].length > 0, list);
    const states = record.checks
      .filter(({ source }: { source: string }) => source === 'TCP_INFO')
      .map(({ observed }: { observed: string }) => observed);
    t.deepEqual(states, ['ESTABLISHED', 'ESTABLISHED', 'CLOSE_WAIT']);
    t.is(code, 0);
  });
}

runs(`run: an array for no name and for several, in order${why}`, (t) => {
  const names = (text: string) =>
    JSON.parse(text).map((each: { scenario: string }) => each.scenario);
  const all = closewait('run', '--json', '--fast');
  t.is(all.code, 0);
  t.deepEqual(
    names(all.stdout),
    catalogue.filter(({ slow }) => slow !== true).map(({ name }) => name),
  );
  const two = closewait('run', 'close-wait', 'close-wait', '--driver', 'raw', '--json');
  t.deepEqual(names(two.stdout), ['close-wait', 'close-wait']);
});

runs(`run: a scenario that the driver cannot act is left out of all, and says why${why}`, (t) => {
  const { code, stdout } = closewait(
    ...['run', 'close-wait', 'fin-wait2-expiry', '--driver', 'program'],
  );
  t.is(code, 0);
  t.regex(stdout, /^reproduced close-wait \(program, .*\)$/m);
  t.regex(stdout, /^skipped fin-wait2-expiry \(program\): driver program cannot express .+$/m);
});

test('run: a scenario that cannot run on the host is skipped, with the reason', (t) => {
  const { code, stdout } = closewait('run', 'fin-wait2-expiry', '--host-network', '--json');
  t.is(code, 0);
  const record = JSON.parse(stdout);
  t.like(record, { verdict: 'skipped', ok: true });
  t.regex(record.reason, /^needs a network namespace of its own/);
});

runs(
  `run --pause: waits for Enter at each moment; the end of input is Enter too${why}`,
  async (t) => {
    const program = new Program(t, [
      ...[NODE, CLI, 'run', 'close-wait', '--driver', 'raw', '--pause', '--json'],
    ]);
    const moments = ['connected', 'exchanged', 'close-wait', 'cured'];
    for (const [i, moment] of moments.entries()) {
      await program.shows('stderr', new RegExp(`^closewait: ${moment}: .*press Enter\n$`, 'm'));
      t.is(program.stderr.trimEnd().split('\n').length, i + 1);
      if (moment === 'close-wait') program.endInput();
      else if (i < 2) program.type('\n');
    }
    t.is(await program.end(), 0);
    t.is(JSON.parse(program.stdout).verdict, 'reproduced');
  },
);

// A plain user's command leaves the signal to the one inside, which has it from the terminal.
const direct = noNamespace === undefined ? test : test.skip;

direct(`run --pause: Ctrl-C ends it${noNamespace ? ` (${noNamespace})` : ''}`, async (t) => {
  const program = new Program(t, [NODE, CLI, 'run', 'close-wait', '--driver', 'raw', '--pause']);
  await program.shows('stderr', /connected: .*press Enter\n$/);
  program.signal('SIGINT');
  t.is(await program.end(), 130);
  t.regex(program.stderr, /closewait: interrupted\n$/);
});

runs(`run: for a person, without a terminal, without colours${why}`, (t) => {
  const { code, stdout, stderr } = closewait('run', 'close-wait');
  t.is(code, 0);
  t.is(stderr, '');
  t.false(stdout.includes(COLOUR));
  const parts = [
    /^close-wait: /,
    /Input message\(Q to quit\): test\nMessage from server: test\n/,
    /Flags \[S\], seq \d+, win \d+, options \[mss .*\], length 0\n/,
    /Flags \[P\.\], seq 1:6, ack 1, .*length 5\n/,
    /Flags \[F\.\], seq 6, ack 6, /,
    / FIN_WAIT2 {3}- +\n/,
    / CLOSE_WAIT {2}\d+\/closewait-\w+ *\n/,
    /cause: not-closed/,
    /waits in clock_nanosleep/,
    /the call that is missing: \S+:\d+\n/,
    /TIME_WAIT {3}- +\n/,
    /74 65 73 74 0a/,
    /\nreproduced close-wait \(program, (\d+) of \1 checks\)\n$/,
  ];
  let at = 0;
  for (const part of parts) {
    const found = part.exec(stdout.slice(at));
    t.truthy(found, `${part} after ${JSON.stringify(stdout.slice(Math.max(0, at - 80), at))}`);
    at += found === null || part.source.startsWith('^') ? 0 : found.index + found[0].length - 1;
  }
});

const script = noTool('script');
const colours = script === undefined && noWorld === undefined ? test : test.skip;
const onTerminal = (env: NodeJS.ProcessEnv) =>
  finished(['script', '-qec', `${NODE} ${CLI} run close-wait --driver raw`, '/dev/null'], { env });

colours(
  `run: colours on a terminal, none with NO_COLOR${script === undefined ? why : ` (${script})`}`,
  (t) => {
    const coloured = onTerminal({ TERM: 'xterm' });
    t.is(coloured.code, 0);
    t.true(coloured.stdout.includes(COLOUR));
    const plain = onTerminal({ TERM: 'xterm', NO_COLOR: '1' });
    t.is(plain.code, 0);
    t.false(plain.stdout.includes(COLOUR));
    t.regex(plain.stdout, /reproduced close-wait/);
  },
);

for (const args of ['run close-wait --driver raw', 'run close-wait --json', 'list', '--help']) {
  runs(`${args} | true: a reader that has seen enough is no error${why}`, (t) => {
    const pipe = `${NODE} ${CLI} ${args} | true; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = finished(['bash', '-c', pipe]);
    t.is(stdout, '0\n');
    t.is(stderr, '');
  });
}

for (const args of ['run close-wait --driver raw', 'list --json', 'states']) {
  runs(`${args} > /dev/full: one line, exit 3${why}`, (t) => {
    const { code, stderr } = finished(['bash', '-c', `${NODE} ${CLI} ${args} > /dev/full`]);
    t.regex(stderr, /^closewait: .*ENOSPC.*$/m);
    t.notRegex(stderr, /^\s+at /m);
    t.is(code, 3);
  });
}

// The packets.

runs(`--pcap to a place that cannot be written: one line, exit 3${why}`, (t) => {
  const file = join(scratch(t), 'no', 'such', 'directory');
  const { code, stderr } = closewait('run', 'close-wait', '--driver', 'raw', '--pcap', file);
  t.is(code, 3);
  t.regex(stderr, oneLine);
  t.regex(stderr, /is not written: ENOENT/);
});

direct(`--reporter and --pcap: both${noNamespace ? ` (${noNamespace})` : ''}`, (t) => {
  const args = ['run', 'close-wait', '--driver', 'raw', '--reporter', 'tap', '--pcap'];
  const { code, stdout, stderr } = closewait(...args, join(scratch(t), 'run.pcapng'));
  t.is(code, 0, stderr);
  t.regex(stdout, /^ok 1 - close-wait/m);
  t.regex(stderr, /\b11 packets in /);
});

const capped = noOtherUser === undefined ? test : test.skip;
const notCapped = noOtherUser === undefined ? '' : ` (${noOtherUser})`;

capped(`without CAP_NET_RAW: no capture, said; --pcap refuses, exit 3${notCapped}`, (t) => {
  const file = join(scratch(t), 'run.pcapng');
  const command = ['setpriv', '--bounding-set', '-net_raw', NODE, CLI, 'run', 'close-wait'];
  const blind = finished([...command, '--json']);
  t.is(blind.code, 0, blind.stderr);
  const record = JSON.parse(blind.stdout);
  t.is(record.verdict, 'reproduced');
  const capture = record.observers.find(({ name }: { name: string }) => name === 'capture');
  t.like(capture, { available: false });
  t.regex(capture.reason, /CAP_NET_RAW|EPERM/);
  t.regex(finished(command).stdout, /^not seen: capture: .*(CAP_NET_RAW|EPERM)/m);

  const refused = finished([...command, '--pcap', file]);
  t.is(refused.code, 3);
  t.regex(refused.stderr, /^closewait: \S+ is not written: no capture: /m);
  t.false(existsSync(file));
});

// Where it cannot run.

test('the addon is missing: one line that says what to do, exit 3', (t) => {
  const directory = scratch(t);
  cpSync(join(PACKAGE, 'dist', 'src'), join(directory, 'dist', 'src'), { recursive: true });
  cpSync(join(PACKAGE, 'package.json'), join(directory, 'package.json'));
  symlinkSync(join(PACKAGE, 'node_modules'), join(directory, 'node_modules'));
  const cli = join(directory, 'dist', 'src', 'cli.js');
  for (const args of [
    ['run', 'close-wait'],
    ['run', '--json'],
    ['run', 'close-wait', '--host-network'],
    ['states'],
    ['server', '0'],
    ['client', '127.0.0.1', '1'],
  ]) {
    const { code, stdout, stderr } = finished([NODE, cli, ...args]);
    t.is(code, 3, args.join(' '));
    t.is(stdout, '');
    t.regex(stderr, oneLine);
    t.regex(stderr, /there is no closewait\.node: .*npm run build:native/);
  }
  t.is(finished([NODE, cli, '--help']).code, 0);
  t.is(finished([NODE, cli, 'list']).code, 0);
});

test('another platform: importing works, using says ERR_UNSUPPORTED_PLATFORM, exit 3', (t) => {
  const elsewhere = join(scratch(t), 'elsewhere.mjs');
  writeFileSync(elsewhere, `Object.defineProperty(process, 'platform', { value: 'darwin' });\n`);
  const node = [NODE, '--import', elsewhere];
  for (const args of [['run', 'close-wait'], ['states'], ['server', '0']]) {
    const { code, stdout, stderr } = finished([...node, CLI, ...args]);
    t.is(code, 3, args.join(' '));
    t.is(stdout, '');
    t.regex(stderr, /^closewait: closewait makes Linux system calls .*; this is darwin on \w+\n$/);
  }
  t.is(finished([...node, CLI, '--help']).code, 0);
  t.is(finished([...node, CLI, 'list']).code, 0);

  const importing = `
    const { snapshot, tcpInfo } = await import('closewait');
    const sys = await import('closewait/syscall');
    const codes = [];
    for (const use of [() => snapshot(), () => tcpInfo(0), () => sys.close(0)]) {
      try { use(); } catch ({ code }) { codes.push(code); }
    }
    await sys.Actor.start().catch(({ code }) => codes.push(code));
    console.log(JSON.stringify(codes));`;
  const used = finished([...node, '--input-type=module', '-e', importing]);
  t.is(used.stderr, '');
  t.deepEqual(JSON.parse(used.stdout), Array(4).fill('ERR_UNSUPPORTED_PLATFORM'));
});

test('the command is executable as the package names it', (t) => {
  const { bin } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));
  t.is(join(PACKAGE, bin.closewait), CLI);
  t.regex(readFileSync(CLI, 'utf8'), /^#!\/usr\/bin\/env node\n/);
  t.is(spawnSync(NODE, [CLI, '--help']).status, 0);
});
