/** The command as a plain user has it: in namespaces of its own, or where they are forbidden on the host's loopback. */
import { chmodSync, constants, copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { RunRecord } from '../../src/experiment/record.js';
import { Program, scratch } from '../driver/programs.js';
import { Traces } from '../experiment/traces.js';
import { installed, noPlainUser, PLAIN } from '../fixture/installed.js';
import { until } from '../fixture/until.js';
import { noOtherUser, noUserNamespace, testUnless } from '../world/ability.js';
import { CLI, finished } from './closewait.js';

const isRoot = process.geteuid?.() === 0;
// Root's rights stay behind in the namespace that forbids, before the program starts.
const FORBID =
  'echo 0 > /proc/sys/user/max_user_namespaces && echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"';
const DROP = 'setpriv --ambient-caps=-all --inh-caps=-all --bounding-set=-all'.split(' ');
const cannot = noPlainUser;

/** The command, where any user can run it. */
const commandIn = (t: ExecutionContext): string => join(installed(t), 'dist', 'src', 'cli.js');

const run = (cli: string, ...args: string[]): string[] => [process.execPath, cli, 'run', ...args];

testUnless(
  cannot ?? noUserNamespace,
  'a plain user: close-wait in namespaces of its own',
  async (t) => {
    const cli = commandIn(t);
    for (const driver of ['program', 'raw']) {
      const command = [...PLAIN, ...run(cli, 'close-wait', '--driver', driver, '--json')];
      const { code, stdout, stderr } = finished(command);
      t.is(stderr, '');
      const record = JSON.parse(stdout);
      t.is(record.reason, undefined);
      t.like(record, {
        verdict: 'reproduced',
        driver,
        world: { kind: 'namespace', privilege: 'user-namespace' },
      });
      const unseen = record.observers.filter(({ available }: { available: boolean }) => !available);
      t.deepEqual(
        unseen.map(({ name }: { name: string }) => name),
        ['tracepoint'],
      );
      t.regex(unseen[0].reason, /EPERM/);
      t.is(code, 0);
    }
  },
);

testUnless(
  cannot ?? noUserNamespace,
  'a plain user: a command as the server, that closes and that leaks',
  async (t) => {
    const cli = commandIn(t);
    const app = (options: string): string =>
      `${process.execPath} -e 'require("net").createServer({${options}}, (c) => c.on("data", (d) => c.write(d))).listen({port})'`;
    const command = [
      'normal',
      '--json',
      '--server',
      app(''),
      '--server',
      app('allowHalfOpen: true'),
    ];
    const { code, stdout, stderr } = finished([
      ...[...PLAIN, process.execPath, cli, 'compare', ...command],
    ]);
    t.is(stderr, '');
    t.is(code, 0);
    const [, closes, leaks] = JSON.parse(stdout).records;
    t.is(closes.reason, undefined);
    t.is(closes.verdict, 'reproduced');
    t.is(leaks.verdict, 'not-reproduced');
    t.regex(
      leaks.reason,
      /has not closed its end within 5 s: its socket is in CLOSE_WAIT, Recv-Q 0/,
    );
    t.like(leaks.left.sockets.at(-1), { end: 'server', state: 'CLOSE_WAIT' });
  },
);

testUnless(
  cannot ?? noUserNamespace,
  'a plain user: the whole catalogue but for the slow ones, and --pcap',
  async (t) => {
    const cli = commandIn(t);
    const all = finished([...PLAIN, ...run(cli, '--json', '--fast')]);
    const records: RunRecord[] = JSON.parse(all.stdout);
    const others = records.filter(({ verdict }) => verdict !== 'reproduced');
    t.deepEqual(
      others.map(({ scenario, verdict, reason }) => ({ scenario, verdict, reason })),
      [],
    );
    t.is(all.code, 0, all.stderr);

    const directory = scratch(t);
    chmodSync(directory, 0o777);
    const file = join(directory, 'run.pcapng');
    const captured = finished([
      ...PLAIN,
      ...run(cli, 'close-wait', '--driver', 'raw', '--pcap', file),
    ]);
    t.is(captured.code, 0, captured.stderr);
    t.true(existsSync(file));
  },
);

/** It says CLOSE_WAIT where a reset leads past it. */
const RESET = `export const reset = {
  name: 'reset', title: 'a title', source: 'tcp(7)', summary: 'A summary.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  resets: ['client'],
  async run({ client, server, reach }) {
    await client.connect(await server.listen());
    await server.accept();
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await client.abort();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
  },
};`;

testUnless(
  cannot ?? noUserNamespace,
  'a plain user: a state that no look fell into leaves it open whether it was there',
  async (t) => {
    const cli = commandIn(t);
    const file = join(scratch(t), 'reset.mjs');
    writeFileSync(file, RESET);
    chmodSync(join(file, '..'), 0o755);
    const { code, stdout } = finished([...PLAIN, ...run(cli, file, '--json')]);
    const { verdict, reason } = JSON.parse(stdout);
    t.is(verdict, 'inconclusive', reason);
    t.regex(reason, /^path of the server: expected .*CLOSE_WAIT.*, observed .* \(polling\)$/);
    t.is(code, 1);
  },
);

testUnless(
  cannot ?? noUserNamespace,
  'a plain user: exit codes come out of the namespaces',
  async (t) => {
    const cli = commandIn(t);
    const unwritable = finished([
      ...[...PLAIN, ...run(cli, 'close-wait', '--driver', 'raw'), '--pcap', '/proc/none'],
    ]);
    t.is(unwritable.code, 3);
    t.regex(unwritable.stderr, /^closewait: \/proc\/none is not written: [^\n]+\n$/);
  },
);

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
  testUnless(cannot ?? noUserNamespace, `a plain user: ${signal} leaves nothing`, async (t) => {
    const traces = new Traces();
    // It stays at its first moment: it is not over before the signal, however late that comes.
    const command = [...PLAIN, ...run(commandIn(t), 'close-wait', '--pause')];
    const program = new Program(t, traces.marked(command));
    await until(
      () => traces.processes().some(({ argv }) => argv[0] === 'closewait-server'),
      () => JSON.stringify(traces.processes()),
    );
    // A terminal's Ctrl-C reaches all in front of it.
    if (signal === 'SIGINT') {
      for (const { pid, argv } of traces.processes()) {
        if (argv.includes('run')) process.kill(pid, signal);
      }
    } else program.signal(signal);
    t.is(await program.end(), signal === 'SIGKILL' ? 'SIGKILL' : 130);
    await t.notThrowsAsync(traces.gone());
  });
}

testUnless(cannot, '--host-network: no namespace, and what cannot be seen is said', async (t) => {
  const { code, stdout } = finished([
    ...[...PLAIN, ...run(commandIn(t), 'close-wait', '--host-network', '--json')],
  ]);
  const record = JSON.parse(stdout);
  t.is(record.reason, undefined);
  t.like(record, { verdict: 'reproduced', world: { kind: 'host', privilege: 'plain' } });
  const unseen = record.observers.filter(({ available }: { available: boolean }) => !available);
  t.deepEqual(
    unseen.map(({ name }: { name: string }) => name),
    ['capture', 'tracepoint'],
  );
  t.regex(unseen[0].reason, /CAP_NET_RAW/);
  t.is(code, 0);
});

testUnless(
  cannot,
  'a Node that nobody may look into: that is said, and held against nobody',
  async (t) => {
    const cli = commandIn(t);
    const directory = scratch(t);
    chmodSync(directory, 0o755);
    const node = join(directory, 'node');
    // Where it may not be read, what executes it is not dumpable: its /proc/PID belongs to root (proc(5)).
    copyFileSync(process.execPath, node, constants.COPYFILE_FICLONE);
    chmodSync(node, 0o111);
    const ran = (...args: string[]): RunRecord =>
      JSON.parse(
        // setpriv itself could still read it.
        finished([...PLAIN, 'env', node, cli, 'run', ...args, '--host-network', '--json']).stdout,
      );
    const record = ran('close-wait', '--driver', 'program');
    t.is(record.reason, undefined);
    t.is(record.verdict, 'reproduced');
    t.true(record.checks.every(({ source }) => source !== 'process' && source !== 'TCP_INFO'));
    const reasons = new Map(record.observers.map(({ name, reason = '' }) => [name, reason]));
    t.regex(reasons.get('process') ?? '', /^EACCES: needs the same user and a dumpable process/);
    t.regex(reasons.get('TCP_INFO') ?? '', /CAP_SYS_PTRACE .*EACCES/);
    for (const story of ['close-under-blocked-read', 'node-ghost']) {
      const { verdict, reason = '' } = ran(story);
      t.is(verdict, 'inconclusive', reason);
      t.regex(reason, /^EACCES: /);
    }
  },
);

const ON_HOST = ['--host-network', '--driver', 'raw'];
const NOT_SEEN =
  /^closewait: not seen: capture: .*CAP_NET_RAW.*\nclosewait: not seen: tracepoint: .*EPERM.*\n$/;

testUnless(cannot, 'however it is told, what cannot be seen is said once on stderr', async (t) => {
  const cli = commandIn(t);
  for (const [command, ...args] of [
    ['run', 'close-wait', ...ON_HOST, '--format', 'ladder'],
    ['run', 'close-wait', ...ON_HOST, '--format', 'transitions'],
    ['run', 'close-wait', ...ON_HOST, '--format', 'ndjson'],
    ['run', 'close-wait', ...ON_HOST, '--reporter', 'tap'],
    ['run', 'close-wait', ...ON_HOST, '--reporter', 'junit'],
    ['run', 'close-wait', ...ON_HOST, '--repeat', '2'],
    // The second cannot run there: it has no eyes.
    ['run', 'close-wait', 'fin-wait2-expiry', 'abort', ...ON_HOST],
    ['compare', 'close-wait', '--host-network'],
  ] as const) {
    const what = [command, ...args].join(' ');
    const { code, stderr } = finished([...PLAIN, process.execPath, cli, command, ...args]);
    t.regex(stderr, NOT_SEEN, what);
    t.is(code, 0, what);
  }
});

testUnless(cannot, 'what cannot be seen is not said twice', async (t) => {
  const cli = commandIn(t);
  const story = finished([...PLAIN, ...run(cli, 'close-wait', ...ON_HOST)]);
  t.is(story.stderr, '');
  t.regex(story.stdout, /^not seen: capture: .*\nnot seen: tracepoint: .*$/m);
  for (const args of [['run'], ['compare']]) {
    const json = [...args, 'close-wait', '--host-network', '--json'];
    const { code, stderr } = finished([...PLAIN, process.execPath, cli, ...json]);
    t.is(stderr, '');
    t.is(code, 0);
  }
});

for (const { who, map, command, privilege } of [
  {
    who: 'a plain user',
    map: ['--map-user=1000', '--map-group=1000', '--keep-caps'],
    command: DROP,
    privilege: 'plain',
  },
  { who: 'root of a container', map: ['-r'], command: [], privilege: 'user-namespace' },
]) {
  testUnless(
    cannot ?? noUserNamespace,
    `${who} where namespaces are forbidden: on the host's loopback, said on stderr`,
    async (t) => {
      const cli = commandIn(t);
      const forbidden = [...PLAIN, 'unshare', '-U', ...map, 'sh', '-c', FORBID, 'sh', ...command];
      const { code, stdout, stderr } = finished([
        ...forbidden,
        ...run(cli, 'close-wait', '--json'),
      ]);
      const record = JSON.parse(stdout);
      t.is(record.reason, undefined);
      t.like(record, { verdict: 'reproduced', world: { kind: 'host', privilege } });
      t.regex(
        stderr,
        /^closewait: no .*namespace.*ENOSPC.*; see sysctl user\.max_net_namespaces .*; on the host's loopback instead\n$/,
      );
      const capture = record.observers.find(({ name }: { name: string }) => name === 'capture');
      t.like(capture, { available: false });
      t.is(code, 0);

      const expiry = finished([...forbidden, ...run(cli, 'fin-wait2-expiry')]);
      t.is(expiry.code, 0);
      t.regex(expiry.stdout, /^skipped fin-wait2-expiry \(raw\): needs a network namespace/);
    },
  );
}

for (const { most, kind, says } of [
  {
    most: 1,
    kind: 'host',
    says: /^closewait: no network namespace here \(unshare ENOSPC.*\); on the loopback of the one made for this command instead\n$/,
  },
  // The trial's own is freed only after the run has asked for its.
  { most: 2, kind: 'namespace', says: /^$/ },
]) {
  testUnless(
    cannot ?? noUserNamespace,
    `a plain user who may have ${most} network namespaces: with a capture`,
    async (t) => {
      const limit = `echo ${most} > /proc/sys/user/max_net_namespaces && exec "$@"`;
      const map = ['--map-user=1000', '--map-group=1000', '--keep-caps'];
      const limited = [...PLAIN, 'unshare', '-U', ...map, 'sh', '-c', limit, 'sh', ...DROP];
      const command = [...limited, ...run(commandIn(t), 'close-wait', '--driver', 'raw', '--json')];
      const { code, stdout, stderr } = finished(command);
      t.regex(stderr, says);
      const { observers, reason, ...record } = JSON.parse(stdout);
      t.is(reason, undefined);
      t.like(record, { verdict: 'reproduced', world: { kind, privilege: 'user-namespace' } });
      t.true(observers.find(({ name }: { name: string }) => name === 'capture').available);
      t.is(code, 0);
    },
  );
}

testUnless(isRoot ? noOtherUser : 'needs root', 'root: --host-network has a capture', async (t) => {
  const { code, stdout } = finished(run(CLI, 'close-wait', '--host-network', '--json'));
  const record = JSON.parse(stdout);
  t.like(record, { world: { kind: 'host', privilege: 'root' } });
  t.true(record.observers.every(({ available }: { available: boolean }) => available));
  // It sees everybody's packets there, and on a busy loopback may not keep up; it says so.
  const { verdict, reason = '' } = record;
  if (verdict === 'inconclusive') t.regex(reason, /\(capture\)$/);
  else t.is(verdict, 'reproduced', reason);
  t.is(code, verdict === 'reproduced' ? 0 : 1);
});

testUnless(
  isRoot ? cannot : 'the mount of a /proc takes root',
  'a plain user: diagnose --all where /proc hides the processes of others: exit 3',
  async (t) => {
    const hide = 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"';
    const command = ['unshare', '--net', '--mount', 'sh', '-c', hide, 'sh', ...PLAIN];
    const { code, stderr } = finished([
      ...command,
      ...[process.execPath, commandIn(t), 'diagnose', '--all'],
    ]);
    t.regex(stderr, /not seen: processes of other users are hidden/);
    t.is(code, 3);
  },
);
