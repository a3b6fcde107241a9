/** A kernel that has not what it takes, or no room: seccomp refuses the call, and this is what a user is told. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { diagnose } from '../../src/index.js';
import { syscallName } from '../../src/syscall/sys.js';
import { CLI, finished } from '../cli/closewait.js';
import { compiled, scratch } from '../driver/programs.js';
import { installed, noPlainUser, PLAIN } from '../fixture/installed.js';
import { noNamespace, noTool, noUserNamespace, testUnless } from '../world/ability.js';

const numberOf = (name: string): number => {
  const found = Array.from({ length: 1000 }, (_, i) => i).find((i) => syscallName(i) === name);
  if (found === undefined) throw new Error(`no system call is named ${name}`);
  return found;
};

type Errno = keyof typeof constants.errno;

interface Row {
  readonly title: string;
  readonly refused: Readonly<Record<string, Errno>>;
  readonly command: readonly string[];
  readonly code: number;
  readonly says: { readonly stdout?: RegExp; readonly stderr?: RegExp };
  readonly skipped?: string | undefined;
}

const raw = ['run', 'close-wait', '--driver', 'raw'];

const rows: Row[] = [
  {
    title: 'neither BPF nor perf: the run goes on, and says what it does not see',
    refused: { bpf: 'ENOSYS', perf_event_open: 'ENOSYS' },
    command: raw,
    code: 0,
    says: { stdout: /^not seen: tracepoint: bpf ENOSYS: function not implemented$/m },
    skipped: noNamespace,
  },
  {
    title: 'neither BPF nor perf: `observers` has both reasons',
    refused: { bpf: 'ENOSYS', perf_event_open: 'ENOSYS' },
    command: ['observers', '--json'],
    code: 0,
    says: { stdout: /"bpf: bpf ENOSYS: [^"]*; perf: perf_event_open ENOSYS: [^"]*"/ },
    skipped: noNamespace,
  },
  {
    title: 'no BPF: the tracepoints go by perf, and `observers` says why',
    refused: { bpf: 'ENOSYS' },
    command: ['observers', '--json'],
    code: 0,
    says: { stdout: /"via": ?"perf"[^}]*"not by bpf: bpf ENOSYS: / },
    skipped: noNamespace,
  },
  {
    title: 'no more namespaces: on the loopback of the host, and said',
    refused: { unshare: 'ENOSPC' },
    command: raw,
    code: 0,
    says: {
      stderr:
        /^closewait: no network namespace here \(unshare ENOSPC: .*; see sysctl user\.max_net_namespaces .*\); on the host's loopback/,
    },
    skipped: noNamespace,
  },
  // Before Linux 5.9 there is no close_range, and before 5.11 it does not know CLOSE_RANGE_CLOEXEC.
  ...(['ENOSYS', 'EINVAL'] as const).flatMap((errno) =>
    [[], ['--driver', 'libuv'], ['--server', 'true']].map((flags) => ({
      title: `${errno} where a program is started, run ${flags.join(' ')}: it cannot run here`,
      refused: { close_range: errno },
      command: ['run', 'close-wait', ...flags],
      code: 3,
      says: {
        stdout: /^$/,
        stderr: /^closewait: close_range E\w+: .*; starting programs takes Linux 5\.11\b.*\n$/,
      },
      skipped: noNamespace,
    })),
  ),
  // Those of a kernel, or of a seccomp profile, that is older than the call.
  ...(
    [
      ['pidfd_getfd', '5\\.6', ['run', 'close-wait']],
      ['pidfd_getfd', '5\\.6', ['run', 'close-wait', '--driver', 'libuv']],
      ['pidfd_send_signal', '5\\.1', ['run', 'close-wait']],
    ] as const
  ).map(([name, version, command]) => ({
    title: `no ${name}, ${command.join(' ')}: since when there is one`,
    refused: { [name]: 'ENOSYS' as const },
    command,
    code: 3,
    says: {
      stdout: /^$/,
      stderr: new RegExp(`^closewait: ${name} ENOSYS: .*; \\w.* takes Linux ${version}, or .*\\n$`),
    },
    skipped: noNamespace,
  })),
  {
    title: 'ENFILE for a socket',
    refused: { socket: 'ENFILE' },
    command: ['states'],
    code: 3,
    says: {
      stderr:
        /^closewait: socket ENFILE: too many open files in system; .* raise sysctl fs\.file-max\n$/,
    },
  },
  {
    title: 'ENOMEM where netlink is asked',
    refused: { sendto: 'ENOMEM' },
    command: ['states'],
    code: 3,
    says: {
      stderr:
        /^closewait: sendto ENOMEM: cannot allocate memory \(sock_diag, fd \d+\); .* try again\n$/,
    },
  },
  ...['states', 'diagnose'].map((command) => ({
    title: `ENOBUFS where netlink answers, ${command}`,
    refused: { recvfrom: 'ENOBUFS' } as const,
    command: [command],
    code: 3,
    says: {
      stderr:
        /^closewait: recvfrom ENOBUFS: no buffer space available \(sock_diag, fd \d+\); .* try again\n$/,
    },
  })),
  {
    title: 'ENOBUFS where netlink answers a run: that, and not what it leads to',
    refused: { recvfrom: 'ENOBUFS' },
    command: raw,
    code: 3,
    says: { stderr: /^(?:closewait: .*\brecvfrom ENOBUFS: no buffer space available\b.*\n)+$/ },
  },
];

for (const { title, refused, command, code, says, skipped } of rows) {
  testUnless(skipped ?? noTool('cc'), title, async (t) => {
    const filter = Object.entries(refused).map(
      ([name, errno]) => `${numberOf(name)}=${constants.errno[errno]}`,
    );
    const refuse = compiled(scratch(t), 'refuse');
    const ended = finished([refuse, ...filter, '--', process.execPath, CLI, ...command]);
    t.is(ended.code, code, ended.stderr);
    if (says.stdout !== undefined) t.regex(ended.stdout, says.stdout);
    if (says.stderr !== undefined) t.regex(ended.stderr, says.stderr);
    t.notRegex(ended.stderr, /^\s+at /m);
  });
}

testUnless(
  noNamespace ?? noTool('cc'),
  'no more namespaces, and a network with nothing up: it cannot run here',
  async (t) => {
    const refuse = [
      compiled(scratch(t), 'refuse'),
      `${numberOf('unshare')}=${constants.errno.ENOSPC}`,
    ];
    const command = ['unshare', '--net', ...refuse, '--', process.execPath, CLI, ...raw];
    const { code, stdout, stderr } = finished(command);
    t.is(stdout, '');
    t.regex(
      stderr,
      /^closewait: no network namespace here \(unshare ENOSPC: .*\), and the loopback interface is down .*\n$/,
    );
    t.is(code, 3);
  },
);

for (const [errno, because] of [
  ['EPERM', 'a seccomp filter or a security module forbids it'],
  ['ENOSPC', 'user.max_user_namespaces'],
] as const) {
  testUnless(
    noPlainUser ?? noUserNamespace ?? noTool('cc'),
    `clone makes a namespace for a plain user, but unshare is ${errno}: in that one, and said`,
    async (t) => {
      const folder = scratch(t);
      const refuse = compiled(folder, 'refuse');
      chmodSync(folder, 0o755);
      const filter = `${numberOf('unshare')}=${constants.errno[errno]}`;
      const cli = join(installed(t), 'dist', 'src', 'cli.js');
      const command = [...PLAIN, refuse, filter, '--', process.execPath, cli, ...raw];
      const { code, stdout, stderr } = finished(command);
      t.regex(stdout, /^reproduced close-wait /m);
      t.regex(
        stderr,
        new RegExp(
          `^closewait: no network namespace here \\(unshare ${errno}: [^)]*${because}\\); on the loopback of the one made for this command instead\\n$`,
        ),
      );
      t.is(code, 0);
    },
  );
}

const LISTENS = `
  const { createServer } = require('node:net');
  createServer().listen(0, '127.0.0.1', () => console.log('listens'));
`;

// As Yama has it for a user's processes (kernel.yama.ptrace_scope), the ones that this user has not started.
testUnless(
  noTool('cc'),
  'where no descriptor may be copied, sockets of other protocols are no reason',
  async (t) => {
    // Its standard streams are Unix sockets.
    const server = spawn(process.execPath, ['-e', LISTENS]);
    t.teardown(() => server.kill('SIGKILL'));
    await once(server.stdout, 'data');
    const refuse = compiled(scratch(t), 'refuse');
    const filter = `${numberOf('pidfd_getfd')}=${constants.errno.EPERM}`;
    const command = [process.execPath, CLI, 'diagnose', '--pid', String(server.pid)];
    const { code, stdout, stderr } = finished([refuse, filter, '--', ...command]);
    t.is(stderr, '');
    t.regex(stdout, /^0 leaks, 0 suspicious sockets$/m);
    t.is(code, 0);
  },
);

testUnless(
  noNamespace,
  'namespaces that disappear while they are diagnosed are no error',
  async (t) => {
    // Processes in namespaces of their own, one after the other; a dot for each that has ended.
    const churn = spawn('sh', ['-c', 'while unshare --net true; do printf .; done'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let gone = 0;
    churn.stdout.on('data', (dots: Buffer) => (gone += dots.length));
    const ended = once(churn, 'close');
    try {
      while (gone < 50) {
        const { incomplete } = await diagnose({ settleMs: 0 });
        t.deepEqual(
          incomplete.filter((reason) => /ENOENT|ESRCH/.test(reason)),
          [],
        );
        await new Promise(setImmediate);
      }
    } finally {
      churn.kill('SIGKILL');
      await ended;
    }
  },
);

testUnless(
  noNamespace,
  'packets that find no room are said, when the run has been told',
  async (t) => {
    const ended = finished([process.execPath, CLI, ...raw, '--pcap', '/dev/full']);
    t.is(ended.code, 3, ended.stderr);
    t.is(
      ended.stderr,
      'closewait: /dev/full is not written: ENOSPC: no space left on device, write\n',
    );
    t.regex(ended.stdout, /^reproduced close-wait/m);
  },
);

test('a document of which there is room for a part is no success', (t) => {
  const file = join(scratch(t), 'list.json');
  // What is left of a full disk; without the signal it would send a write beyond it fails.
  const little = 'trap "" XFSZ; ulimit -f 1; file=$1; shift; "$@" >"$file"';
  const ended = finished(['sh', '-c', little, 'sh', file, process.execPath, CLI, 'list', '--json']);
  t.is(ended.stderr, 'closewait: standard output: EFBIG: file too large, write\n');
  t.is(ended.code, 3);
  t.true(statSync(file).size > 0);
});

test('a full disk under stdout is named', (t) => {
  const ended = finished(['sh', '-c', '"$@" >/dev/full', 'sh', process.execPath, CLI, 'list']);
  t.is(ended.code, 3);
  t.is(ended.stderr, 'closewait: standard output: ENOSPC: no space left on device, write\n');
});

test('a page that finds no room is said when all that was measured has been printed', (t) => {
  const quick = ['-n', '20', '--mode', 'client-first', '--driver', 'c', 'raw'];
  const ended = finished([
    process.execPath,
    CLI,
    'bench',
    ...quick,
    '--html',
    '/dev/full',
    '--json',
  ]);
  t.is(ended.code, 3);
  t.regex(
    ended.stderr,
    /^closewait: \/dev\/full is not written: ENOSPC: no space left on device, write$/m,
  );
  t.like(JSON.parse(ended.stdout), { modes: [{ mode: 'client-first' }] });
});
