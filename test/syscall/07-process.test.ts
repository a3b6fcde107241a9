import { readFileSync, readlinkSync } from 'node:fs';
import * as sys from '../../src/syscall/sys.js';
import { actorOf } from '../fixture/actors.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { runScript } from '../fixture/script.js';
import { connected, drain } from '../fixture/sockets.js';

test('clock_getres(): a tick for a coarse clock, at most that for others', (t) => {
  const tick = sys.clock_getres(sys.CLOCK_MONOTONIC_COARSE);
  t.is(tick, sys.clock_getres(sys.CLOCK_REALTIME_COARSE));
  // CONFIG_HZ is from 100 to 1000.
  t.true(tick >= 999_000n && tick <= 10_000_000n);
  t.true(sys.clock_getres(sys.CLOCK_MONOTONIC) <= tick);
});

test('clock_gettime(): nanoseconds, forward', (t) => {
  const before = process.hrtime.bigint();
  const now = sys.clock_gettime(sys.CLOCK_MONOTONIC);
  t.true(before <= now && now <= process.hrtime.bigint());
  const beforeMs = Date.now();
  const realtimeMs = Number(sys.clock_gettime(sys.CLOCK_REALTIME) / 1_000_000n);
  t.true(beforeMs <= realtimeMs && realtimeMs <= Date.now());
  t.true(sys.clock_gettime(sys.CLOCK_THREAD_CPUTIME_ID) > 0n);
});

test('nanosleep() and sleep(): as long as asked for', (t) => {
  for (const seconds of [0, 0.01, 0.9999999999e-2]) {
    const before = sys.clock_gettime(sys.CLOCK_MONOTONIC);
    sys.nanosleep(seconds);
    t.is(sys.sleep(seconds), 0);
    const tookNs = Number(sys.clock_gettime(sys.CLOCK_MONOTONIC) - before);
    t.true(tookNs >= 2e9 * seconds - 2, `${tookNs} ns`);
  }
  for (const seconds of [-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31 + 1]) {
    t.throws(() => sys.nanosleep(seconds), { instanceOf: RangeError, message: /^seconds must be/ });
    t.throws(() => sys.sleep(seconds), { instanceOf: RangeError, message: /^seconds must be/ });
  }
});

test('a fraction that rounds to a whole second is one', (t) => {
  sys.nanosleep(0.9999999999);
  t.is(sys.sleep(0), 0);
});

test('gettid(): of the main thread, the process', (t) => {
  t.is(sys.gettid(), process.pid);
});

test('pidfd_open() and pidfd_getfd(): a copy of a socket that a process holds', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const pidfd = owned.own(sys.pidfd_open(process.pid));
  const copy = owned.own(sys.pidfd_getfd(pidfd, client));
  t.is(sys.getOption(copy, 'SO_COOKIE'), sys.getOption(client, 'SO_COOKIE'));
  sys.write(copy, 'x');
  t.is(sys.read(server, new Uint8Array(8)), 1);
  t.throws(() => sys.pidfd_getfd(pidfd, 100_000), { code: 'EBADF' });
  const error = t.throws(() => sys.pidfd_open(2 ** 22 + 1)) as sys.SyscallError;
  t.is(error.code, 'ESRCH');
  t.is(error.path, 'pid 4194305');
});

/** Runs a program to its end and returns what it wrote. */
function output(
  owned: sys.Descriptors,
  path: string,
  options: Omit<sys.SpawnOptions, 'stdio'>,
): { text: string; exit: sys.Exit } {
  const [from, to] = sys.pipe2(sys.O_CLOEXEC).map((fd) => owned.own(fd)) as [number, number];
  const { pid, pidfd } = sys.spawn(path, { ...options, stdio: [from, to, to] });
  owned.own(pidfd);
  owned.close(to);
  const text = drain(from).toString();
  const exit = sys.waitid(sys.P_PIDFD, pidfd);
  if (exit.pid !== pid) throw new Error(`waited for ${pid}, got ${exit.pid}`);
  return { text, exit };
}

test('spawn() and waitid(): arguments, environment, output, exit code', (t) => {
  const script = 'echo "$0 $1 $WORD"; echo err >&2; exit 7';
  const { text, exit } = output(ownedBy(t), '/bin/sh', {
    argv: ['sh', '-c', script, 'name', '닫힘'],
    env: { WORD: 'w', NONE: undefined },
  });
  t.is(text, 'name 닫힘 w\nerr\n');
  t.is(exit.code, sys.CLD_EXITED);
  t.is(exit.status, 7);
});

test('spawn(): an empty environment is empty', (t) => {
  const { text } = output(ownedBy(t), '/usr/bin/env', { argv: ['env'], env: {} });
  t.is(text, '');
});

test('spawn(): no descriptor but the three is passed on', (t) => {
  const owned = ownedBy(t);
  const fd = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  t.is(sys.fcntl(fd, sys.F_GETFD), 0);
  const { text } = output(owned, '/bin/ls', { argv: ['ls', '/proc/self/fd'] });
  t.deepEqual(text.trim().split('\n'), ['0', '1', '2', '3'], '3 is the listing itself');
});

test('spawn(): descriptors that trade places', (t) => {
  const owned = ownedBy(t);
  const [from, to] = sys.pipe2(sys.O_CLOEXEC).map((fd) => owned.own(fd)) as [number, number];
  const { pidfd } = sys.spawn('/bin/readlink', {
    argv: ['readlink', '/proc/self/fd/0', '/proc/self/fd/2'],
    stdio: [2, to, 0],
  });
  owned.own(pidfd);
  owned.close(to);
  t.is(
    drain(from).toString(),
    [2, 0].map((fd) => `${readlinkSync(`/proc/self/fd/${fd}`)}\n`).join(''),
  );
  t.is(sys.waitid(sys.P_PIDFD, pidfd).status, 0);
});

test('spawn(): signals are at their defaults and none is blocked', (t) => {
  const { text } = output(ownedBy(t), '/bin/cat', {
    argv: ['cat', '/proc/self/status'],
    env: {},
  });
  for (const set of ['SigBlk', 'SigIgn', 'SigCgt']) {
    t.regex(text, new RegExp(`${set}:\t0{16}\n`));
  }
});

test('pidfd_send_signal() and waitid(): a child that a signal ended', (t) => {
  const owned = ownedBy(t);
  const { pid, pidfd } = sys.spawn('/bin/sleep', { argv: ['sleep', '60'] });
  owned.own(pidfd);
  t.deepEqual(sys.waitid(sys.P_PID, pid, sys.WEXITED | sys.WNOHANG), {
    pid: 0,
    code: 0,
    status: 0,
  });
  sys.pidfd_send_signal(pidfd, sys.SIGTERM);
  const exit = { pid, code: sys.CLD_KILLED, status: sys.SIGTERM };
  t.deepEqual(sys.waitid(sys.P_PID, pid, sys.WEXITED | sys.WNOWAIT), exit);
  t.deepEqual(sys.waitid(sys.P_PID, pid), exit, 'WNOWAIT left it there');
  const error = t.throws(() => sys.waitid(sys.P_PID, pid)) as sys.SyscallError;
  t.is(error.code, 'ECHILD');
  t.is(error.path, `pid ${pid}`);
  t.throws(() => sys.pidfd_send_signal(pidfd, sys.SIGTERM), { code: 'ESRCH' });
});

const cannot: [
  what: string,
  path: string,
  options: sys.SpawnOptions,
  code: string,
  step: string,
][] = [
  ['no program', '/no/such/program', { argv: ['x'] }, 'ENOENT', 'execve'],
  ['no right to run it', '/etc/passwd', { argv: ['x'] }, 'EACCES', 'execve'],
  ['a directory', '/', { argv: ['x'] }, 'EACCES', 'execve'],
  ['a closed descriptor', '/bin/true', { argv: ['x'], stdio: [0, 1, 100_000] }, 'EBADF', 'fcntl'],
  ['a closed latch', '/bin/true', { argv: ['x'], latch: 100_000 }, 'EBADF', 'read(latch)'],
];

for (const [what, path, options, code, step] of cannot) {
  test(`spawn(): ${what} is ${code} of ${step}, and leaves no child`, (t) => {
    const error = t.throws(() => sys.spawn(path, options)) as sys.SyscallError;
    t.is(error.code, code);
    t.is(error.syscall, step);
    t.is(error.path, path);
  });
}

test('spawn(): numbers of descriptors that were closed lead nowhere, whatever spawn opens meanwhile', (t) => {
  const closed = sys.pipe2(sys.O_CLOEXEC);
  for (const fd of closed) sys.close(fd);
  for (const fd of closed) {
    for (const place of [0, 1, 2]) {
      const stdio: [number, number, number] = [0, 1, 2];
      stdio[place] = fd;
      const error = t.throws(() =>
        sys.spawn('/bin/true', { argv: ['true'], stdio }),
      ) as sys.SyscallError;
      t.is(error.code, 'EBADF');
      t.is(error.syscall, 'fcntl');
    }
    t.throws(() => sys.spawn('/bin/true', { argv: ['true'], latch: fd }), { code: 'EBADF' });
  }
});

test('spawn(): while standard descriptors are closed, a program starts, and one that does not start is told', (t) => {
  const { stdout, stderr } = runScript(`
    const saved = [0, 1, 2].map((fd) => sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, 3));
    const how = (path, stdio) => {
      try {
        const { pid, pidfd } = sys.spawn(path, { argv: ['x'], stdio });
        sys.close(pidfd);
        return sys.waitid(sys.P_PID, pid).status;
      } catch ({ code, syscall }) {
        return syscall + ' ' + code;
      }
    };
    const ends = new Set();
    for (const closed of [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]) {
      for (const fd of closed) sys.close(fd);
      ends.add([how('/bin/true', saved), how('/no/such/program', saved), how('/bin/true', [0, 1, 2])].join());
      for (const fd of closed) sys.dup3(saved[fd], fd, 0);
    }
    console.log([...ends].join('; '));
  `);
  t.is(stderr, '');
  t.is(stdout, '0,execve ENOENT,fcntl EBADF\n');
});

const TRUE = '/bin/true';
const argv = ['x'];
const badSpawns: [what: string, path: unknown, options: unknown, error: RegExp][] = [
  ['a path with NUL', '/bin/true\0', { argv }, /^path must be a string without NUL/],
  ['a path that is no text', 7, { argv }, /^path must be/],
  ['no arguments', TRUE, {}, /^spawn: argv must be an array of strings, received undefined/],
  ['arguments as one text', TRUE, { argv: 'abc' }, /^spawn: argv must be an array of strings/],
  ['an argument with NUL', TRUE, { argv: ['a\0b'] }, /^spawn: argv\[0\] must be .* NUL/],
  ['an argument that is no text', TRUE, { argv: ['x', 1] }, /^spawn: argv\[1\] must be/],
  ['a hole among the arguments', TRUE, { argv: new Array(1) }, /^spawn: argv\[0\] must be/],
  ['a variable with NUL', TRUE, { argv, env: { A: 'b\0c' } }, /^spawn: env\.A must be .* NUL/],
  ['a variable that is no text', TRUE, { argv, env: { A: Symbol('a') } }, /^spawn: env\.A must be/],
  ['no environment', TRUE, { argv, env: null }, /^spawn: env must be an object of strings/],
  ['two descriptors', TRUE, { argv, stdio: [0, 1] }, /^spawn: stdio must be an array of three/],
  ['descriptors of no array', TRUE, { argv, stdio: {} }, /^spawn: stdio must be an array of three/],
  ['no descriptor', TRUE, { argv, stdio: [0, 'pipe', 2] }, /^spawn: stdio\[1\] must be an integer/],
  [
    'a fraction of one',
    TRUE,
    { argv, stdio: [0, 1, 1.5] },
    /^spawn: stdio\[2\] must be an integer/,
  ],
  ['a latch that is none', TRUE, { argv, latch: 'pipe' }, /^spawn: latch must be an integer/],
  ['a latch below 0', TRUE, { argv, latch: -1 }, /^spawn: latch must be/],
  ['one past 32 bits', TRUE, { argv, stdio: [0, 1, 2 ** 32 + 1] }, /^spawn: stdio\[2\] must be/],
  [
    'no options',
    TRUE,
    undefined,
    /^spawn: options must be \{argv: string\[\]\}, received undefined/,
  ],
  ['null for options', TRUE, null, /^spawn: options must be .* received null/],
];

for (const [what, path, options, message] of badSpawns) {
  test(`spawn() refuses ${what}`, (t) => {
    const error = t.throws(() => {
      const { pid, pidfd } = sys.spawn(path as string, options as sys.SpawnOptions);
      sys.close(pidfd);
      sys.waitid(sys.P_PID, pid);
    });
    t.regex(error.message, message);
    t.regex(Reflect.get(error, 'code'), /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/);
  });
}

const isRoot = process.getuid?.() === 0;

test('spawn() with newNet or newUser: namespaces of its own', (t) => {
  const owned = ownedBy(t);
  const links = (options: Partial<sys.SpawnOptions>) => {
    try {
      const argv = ['readlink', '/proc/self/ns/net', '/proc/self/ns/user'];
      return output(owned, '/bin/readlink', { argv, ...options })
        .text.trim()
        .split('\n');
    } catch (error) {
      // Where unprivileged user namespaces are forbidden: said, not replaced.
      if (!isRoot && (error as sys.SyscallError).code === 'EPERM') return undefined;
      throw error;
    }
  };
  const own = ['net', 'user'].map((kind) => readlinkSync(`/proc/self/ns/${kind}`));
  t.deepEqual(links({}), own);
  const user = links({ newUser: true, newNet: true });
  if (user !== undefined) {
    t.not(user[0], own[0]);
    t.not(user[1], own[1]);
  }
  if (isRoot) {
    const net = links({ newNet: true });
    t.not(net?.[0], own[0]);
    t.is(net?.[1], own[1]);
  }
});

if (isRoot) {
  test('spawn() with newPid: the first process of its own, and all end with it', async (t) => {
    const owned = ownedBy(t);
    const [read, write] = sys.pipe2(sys.O_CLOEXEC);
    for (const fd of [read, write]) owned.own(fd);
    const script = 'sleep 1000 & sleep 1000 & echo $$; exec sleep 1000';
    const child = sys.spawn('/bin/sh', {
      ...{ argv: ['sh', '-c', script], stdio: [0, write, 2], newPid: true },
    });
    owned.own(child.pidfd);
    owned.close(write);
    const text = new Uint8Array(16);
    t.is(Buffer.from(text.subarray(0, sys.read(read, text))).toString(), '1\n');
    sys.pidfd_send_signal(child.pidfd, sys.SIGKILL);
    t.is(sys.waitid(sys.P_PIDFD, child.pidfd).status, sys.SIGKILL);
    t.is(sys.read(read, text), 0, 'nobody holds the other end any more');
  });
}

if (isRoot) {
  test('spawn() by a thread whose children live in another pid namespace', async (t) => {
    const owned = ownedBy(t);
    const actor = await actorOf(t);
    await actor.unshare(sys.CLONE_NEWPID);
    const { pidfd } = await actor.spawn('/bin/sh', { argv: ['sh', '-c', 'exit 7'] });
    owned.own(pidfd);
    t.is((await actor.waitid(sys.P_PIDFD, pidfd)).status, 7);
  });
}

test('spawn() with newUser: the caller is 0 in there', (t) => {
  try {
    const argv = ['id', '-u'];
    t.is(output(ownedBy(t), '/usr/bin/id', { argv, newUser: true }).text, '0\n');
  } catch (error) {
    t.is((error as sys.SyscallError).code, 'EPERM', 'user namespaces are forbidden here');
  }
});

test('unshare() and setns() refuse what makes no sense', (t) => {
  t.throws(() => sys.unshare(1), { code: 'EINVAL' });
  t.throws(() => sys.setns(-1, sys.CLONE_NEWNET), { code: 'EBADF' });
  const [from] = sys.pipe2().map((fd) => ownedBy(t).own(fd)) as [number, number];
  t.throws(() => sys.setns(from, sys.CLONE_NEWNET), { code: 'EINVAL' });
});

test('syscallName(): as the number in /proc/self/syscall has it', (t) => {
  const running = readFileSync('/proc/self/syscall', 'utf8');
  t.is(sys.syscallName(Number.parseInt(running, 10)), 'read');
  t.is(sys.syscallName(-1), undefined);
  t.is(sys.syscallName(1e6), undefined);
});
