/** `closewait diagnose` as its users start it: what is in sight, what is not, and the exit code. */
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { CLI, closewait, finished, PACKAGE } from '../cli/closewait.js';
import { Program, scratch, whyNoTrace } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { noNamespace, noOtherUser, noTool, testUnless } from '../world/ability.js';
import { languages, leaking } from './servers.js';

const C =
  languages[0] ??
  (() => {
    throw new Error('no languages');
  })();
const noCompiler = C.missing;

for (const [title, args, says] of [
  ['a pid that is none', ['--pid', 'init'], /not a number: init/],
  ['pid 0', ['--pid', '0'], /not a process id: 0/],
  ['a port that is none', ['--port', '70000'], /not a port: 70000/],
  ['an unknown state', ['--state', 'CLOSE-WAIT'], /no state "CLOSE-WAIT"; spelled as in netstat/],
  ['a time that is none', ['--settle', '1s'], /not a number: 1s/],
  ['all and some', ['--all', '--pid', '1'], /not both/],
  ['stacks of nobody in particular', ['--stacks'], /named: give their pids/],
  ['an argument', ['1234'], /too many arguments/],
] as const) {
  test(`usage: ${title}: exit 2, said on stderr`, (t) => {
    const { code, stdout, stderr } = closewait('diagnose', ...args);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
  });
}

test('--help says what is looked at without options', (t) => {
  const { code, stdout } = closewait('diagnose', '--help');
  t.is(code, 0);
  t.regex(stdout, /Without --pid and --all: this network namespace/);
});

testUnless(noCompiler, 'a leak: exit 1; as JSON the contract, as text the same', async (t) => {
  const { program, port } = await leaking(t, ownedBy(t), C, 'not-closed');
  const { pid } = program;
  const { code, stdout, stderr } = closewait('diagnose', '--pid', String(pid), '--json');
  t.is(code, 1);
  t.is(stderr, '');
  const { sockets, counts, incomplete } = JSON.parse(stdout);
  t.like(sockets, [
    {
      ...{
        pid,
        comm: 'leaky_server',
        state: 'CLOSE_WAIT',
        recvQ: 0,
        sendQ: 0,
        cause: 'not-closed',
      },
      local: { address: '127.0.0.1', port },
      remote: { address: '127.0.0.1' },
      holders: [{ pid, fd: sockets[0].fd }],
    },
  ]);
  t.is(typeof sockets[0].ageMs, 'number');
  t.like(counts, { sockets: 1, leaks: 1, 'not-closed': 1 });
  t.true(Array.isArray(incomplete));

  const text = closewait('diagnose', '--pid', String(pid), '--state', 'CLOSE_WAIT').stdout;
  t.regex(text, /^1 leak, 1 suspicious socket: 1 not-closed\n/);
  t.regex(
    text,
    new RegExp(`^leaky_server \\(pid ${pid}, native\\)\n  1 thread in read\\(0\\)`, 'm'),
  );
  t.regex(text, /^ {4}=> The end of the stream was read and close\(\) never came\./m);

  t.is(closewait('diagnose', '--pid', String(pid), '--port', '1').code, 0);
  t.is(closewait('diagnose', '--pid', String(pid), '--state', 'LAST_ACK').code, 0);
  t.is(closewait('diagnose', '--port', String(port), '--state', 'CLOSE_WAIT').code, 1);
});

testUnless(noCompiler, 'still sending: listed, exit 0', async (t) => {
  const { program } = await leaking(t, ownedBy(t), C, 'still-sending');
  const { code, stdout } = closewait('diagnose', '--pid', String(program.pid), '--settle', '100');
  t.is(code, 0);
  t.regex(stdout, /^0 leaks, 1 suspicious socket: 1 still-sending\n/);
});

test('a process that is not there: exit 3, and why', (t) => {
  // The largest pid the kernel allows itself is 2^22.
  const { code, stdout, stderr } = closewait('diagnose', '--pid', String(2 ** 22 + 1), '--json');
  t.is(code, 3);
  t.regex(stderr, /^closewait: not seen: pid 4194305: no such process$/m);
  t.deepEqual(JSON.parse(stdout).sockets, []);
  t.regex(JSON.parse(stdout).incomplete.join('\n'), /^pid 4194305: no such process$/m);
});

/** The command in a copy of the package that any user can read. */
function installed(t: ExecutionContext): string {
  const directory = scratch(t);
  chmodSync(directory, 0o755);
  for (const path of ['dist/src', 'package.json', 'build/Release/closewait.node']) {
    mkdirSync(join(directory, path, '..'), { recursive: true });
    cpSync(join(PACKAGE, path), join(directory, path), { recursive: true });
  }
  symlinkSync(join(PACKAGE, 'node_modules'), join(directory, 'node_modules'));
  return join(directory, 'dist', 'src', 'cli.js');
}

const PLAIN = 'setpriv --reuid 65534 --regid 65534 --clear-groups'.split(' ');

testUnless(
  noOtherUser ?? noCompiler,
  "another user's process: what is seen without its descriptors, and what is not",
  async (t) => {
    const { program, port } = await leaking(t, ownedBy(t), C, 'not-closed');
    const diagnose = [...PLAIN, process.execPath, installed(t), 'diagnose', '--json'];
    const asked = finished([...diagnose, '--pid', String(program.pid)]);
    t.is(asked.code, 3, asked.stderr);
    const { sockets, incomplete } = JSON.parse(asked.stdout);
    t.deepEqual(sockets, []);
    t.regex(incomplete.join('\n'), new RegExp(`^pid ${program.pid}: EACCES`, 'm'));

    // sock_diag tells everybody of every socket; only its holder stays unknown.
    const all = finished([...diagnose, '--port', String(port), '--state', 'CLOSE_WAIT']);
    t.is(all.code, 1, all.stderr);
    const seen = JSON.parse(all.stdout);
    t.like(seen.sockets, [{ pid: null, holders: [], cause: 'not-closed', uid: 0 }]);
    t.regex(seen.incomplete.join('\n'), /may not be read: EACCES.*1 sockets are listed without/);
  },
);

testUnless(noOtherUser ?? noCompiler, 'a plain user: its own processes in full', async (t) => {
  const directory = scratch(t);
  chmodSync(directory, 0o755);
  const plain = {
    ...C,
    command: (u: ExecutionContext, cause: 'not-closed') => {
      const [file = '', ...rest] = C.command(u, cause);
      const copy = join(directory, 'leaky_server');
      cpSync(file, copy);
      return [...PLAIN, copy, ...rest];
    },
  };
  const { program } = await leaking(t, ownedBy(t), plain as typeof C, 'not-closed');
  const cli = installed(t);
  const { code, stdout, stderr } = finished([
    ...[...PLAIN, process.execPath, cli, 'diagnose', '--json', '--pid', String(program.pid)],
  ]);
  t.is(code, 1, stderr);
  t.like(JSON.parse(stdout).sockets, [
    { pid: program.pid, cause: 'not-closed', runtime: 'native', uid: 65534 },
  ]);
});

const ELSEWHERE = `
import socket, sys
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
connection, _ = listener.accept()
client.close()
connection.recv(1)
print('port', listener.getsockname()[1], flush=True)
sys.stdin.read()
`;

testUnless(
  noNamespace ?? noTool('python3'),
  'a process in another network namespace: by --pid and by --all, not by default',
  async (t) => {
    const inside = 'ip link set lo up && exec python3 -c "$0"';
    const program = new Program(t, ['unshare', '--net', 'sh', '-c', inside, ELSEWHERE]);
    const [, port = ''] = await program.shows('stdout', /^port (\d+)\n/m);
    const here = ['diagnose', '--port', port, '--state', 'CLOSE_WAIT', '--json'];
    // Others may have a socket of the same number.
    const ofProgram = (stdout: string): unknown[] =>
      JSON.parse(stdout).sockets.filter(({ pid }: { pid: number }) => pid === program.pid);
    t.deepEqual(ofProgram(closewait(...here).stdout), []);
    for (const where of [['--pid', String(program.pid)], ['--all']]) {
      const { code, stdout } = closewait(...here, ...where);
      t.is(code, 1, where[0]);
      const [found, ...more] = ofProgram(stdout);
      t.deepEqual(more, [], where[0]);
      t.like(found, { pid: program.pid, cause: 'not-closed', runtime: 'python' }, where[0]);
    }
  },
);

testUnless(
  noCompiler ?? noTool('gdb'),
  '--stacks: said beforehand, read, and the process goes on',
  async (t) => {
    const { program } = await leaking(t, ownedBy(t), C, 'not-closed');
    const { code, stdout, stderr } = finished([
      ...[process.execPath, CLI, 'diagnose', '--stacks', '--pid', String(program.pid), '--json'],
    ]);
    t.is(code, 1, stderr);
    t.regex(stderr, /^closewait: `[^`]+` for pid \d+ stops it by ptrace/m);
    const [{ stacks }] = JSON.parse(stdout).processes;
    t.regex(stacks.text ?? stacks.reason, /\bmain\b/);
    program.endInput();
    t.is(await program.end(), 0);
  },
);

testUnless(
  noCompiler ?? whyNoTrace(),
  'nobody is signalled, traced or written to: what it calls, as strace sees it',
  async (t) => {
    const { program } = await leaking(t, ownedBy(t), C, 'not-closed');
    const log = join(scratch(t), 'log');
    const acts = [
      ...['kill', 'tkill', 'tgkill', 'rt_sigqueueinfo', 'rt_tgsigqueueinfo', 'pidfd_send_signal'],
      ...['ptrace', 'process_vm_writev', 'shutdown', 'setsockopt', 'connect', 'execve', 'openat'],
    ];
    const trace = ['strace', '-f', '-o', log, '-e', `trace=${acts.join()}`, '--'];
    const diagnose = [process.execPath, CLI, 'diagnose', '--json', '--pid', String(program.pid)];
    const { code, stderr } = finished([...trace, ...diagnose]);
    t.is(code, 1, stderr);
    const calls = readFileSync(log, 'utf8').match(/^\d+ +\w+\(.*/gm) ?? [];
    t.true(calls.some((call) => call.includes(`openat(AT_FDCWD, "/proc/${program.pid}`)));
    const acting = calls.filter((call) => {
      if (/^\d+ +openat\(/.test(call)) return /"\/proc\/.*O_(WRONLY|RDWR)/.test(call);
      return !/^\d+ +execve\(/.test(call);
    });
    t.deepEqual(acting, []);
    t.is(calls.filter((call) => /^\d+ +execve\(.* = 0$/.test(call)).length, 1, 'node alone');
  },
);
