import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import {
  type Holder,
  holdersOf,
  socketsOf,
  type Thread,
  threadsOf,
} from '../../src/observer/process.js';
import { programColumn } from '../../src/report/netstat.js';
import * as sys from '../../src/syscall/sys.js';
import { compiled, scratch } from '../driver/programs.js';

const MODULE = new URL('../../src/observer/process.js', import.meta.url).href;

test('a socket of this process', (t) => {
  const fd = socket(t);
  const inode = inodeOf(fd);
  t.true(Number.isInteger(inode) && inode > 0);
  const { holders, incomplete } = holdersOf([inode], { pids: [process.pid] });
  t.deepEqual(incomplete, []);
  t.like(holders.get(inode)?.[0], {
    pid: process.pid,
    fd,
    comm: readFileSync('/proc/self/comm', 'utf8').trimEnd(),
  });
  t.is(holders.get(inode)?.length, 1);
});

test('one socket, several holders: in order of pid and fd', async (t) => {
  const fd = socket(t);
  const inode = inodeOf(fd);
  // Enough descriptors for 10 to come before 9 if they were compared as text.
  const stdio = Array.from({ length: 12 }, (_, i) =>
    i < 3 ? 'pipe' : i === 9 || i === 10 ? fd : 'ignore',
  );
  const children = [start(t, 'cat', [], { stdio }), start(t, 'cat', [], { stdio })];
  for (const child of children) await callOf(child, 'read');
  const pids = children.map(pidOf).sort((a, b) => a - b);

  const { holders } = holdersOf([inode]);
  const seen = holders.get(inode) ?? [];
  t.deepEqual(
    seen.filter(({ pid }) => pids.includes(pid)).map(({ pid, fd }) => [pid, fd]),
    pids.flatMap((pid) => [
      [pid, 9],
      [pid, 10],
    ]),
  );
  t.true(seen.some(({ pid }) => pid === process.pid));
  t.deepEqual(
    seen,
    seen.toSorted((a, b) => a.pid - b.pid || a.fd - b.fd),
  );
});

test('inodes nobody holds have an empty entry; no inodes, no scan', (t) => {
  t.deepEqual(
    holdersOf([0, 4294967295], { pids: [process.pid] }).holders,
    new Map([
      [0, []],
      [4294967295, []],
    ]),
  );
  t.deepEqual(holdersOf([]), { holders: new Map(), incomplete: [] });
});

test('processes that have gone are left out without a word; by themselves they are an error', async (t) => {
  const child = start(t, 'true');
  await once(child, 'close');
  t.deepEqual(holdersOf([1], { pids: [pidOf(child)] }), {
    holders: new Map([[1, []]]),
    incomplete: [],
  });
  t.throws(() => socketsOf(pidOf(child)), { code: 'ENOENT' });
  t.throws(() => threadsOf(pidOf(child)), { code: 'ENOENT' });
});

for (const pid of [0, -1, 1.5, Number.NaN]) {
  test(`refused as a process id: ${typeof pid} ${pid}`, (t) => {
    const expected = { instanceOf: RangeError, message: `not a process id: ${pid}` };
    t.throws(() => socketsOf(pid), expected);
    t.throws(() => threadsOf(pid), expected);
    t.throws(() => holdersOf([1], { pids: [pid] }), expected);
  });
}
test('refused as a process id: text', (t) => {
  t.throws(() => socketsOf('1' as never), { instanceOf: TypeError });
});
test('scans while processes come and go', async (t) => {
  const inode = inodeOf(socket(t));
  const ends = Array.from({ length: 60 }, () =>
    once(start(t, 'sh', ['-c', 'true; true']), 'close'),
  );
  let running = true;
  const all = Promise.all(ends).then(() => {
    running = false;
  });
  while (running) {
    t.true(
      holdersOf([inode])
        .holders.get(inode)
        ?.some(({ pid }) => pid === process.pid),
    );
    await new Promise(setImmediate);
  }
  await all;
});

const names = [
  '/usr/sbin/server',
  '/usr/sbin/a_very_long_name_of_a_server',
  './server_linux.out',
  'dir/server',
  '/with a/space in it',
  'worker: 10.0.0.1/24 idle',
  '-bash',
  '',
  '/',
  '/ends/',
  '한글이름서버',
];

const netstat = spawnSync('netstat', ['--version']).error === undefined;
(netstat ? test : test.skip)(
  `programColumn is netstat's${netstat ? '' : ' (skipped: no netstat)'}`,
  async (t) => {
    const rows = new Map<string, string>();
    for (const argv0 of names) {
      const fd = socket(t);
      sys.bind(fd, { address: '127.0.0.1', port: 0 });
      sys.listen(fd, 1);
      const child = start(t, 'sleep', ['1000'], {
        argv0,
        stdio: ['ignore', 'ignore', 'ignore', fd],
      });
      await callOf(child, 'clock_nanosleep');
      const inode = inodeOf(fd);
      const { port } = sys.getsockname(fd);
      sys.close(fd);
      const [holder] = holdersOf([inode], { pids: [pidOf(child)] }).holders.get(inode) ?? [];
      rows.set(`127.0.0.1:${port}`, holder ? programColumn(holder) : 'not found');
    }
    const table = spawnSync('netstat', ['-ltnp'], { encoding: 'utf8' }).stdout.split('\n');
    for (const [address, column] of rows) {
      const row = table.find((line) => line.includes(`${address} `)) ?? '';
      // What is left of a character cut in two, and the padding, are not part of the comparison.
      t.is(
        row.slice(row.indexOf('LISTEN') + 12).replace(/\uFFFD*\s*$/, ''),
        column.trimEnd(),
        address,
      );
    }
  },
);

test('a thread blocked in a call: its number, name and arguments', async (t) => {
  const child = start(t, 'cat');
  const thread = await callOf(child, 'read');
  t.like(thread, { tid: pidOf(child), comm: 'cat', state: 'S', reason: undefined });
  t.is(thread.syscall?.args.length, 6);
  t.is(thread.syscall?.args[0], 0n);
  t.is(typeof thread.wchan, 'string');
});

test('a thread that runs', async (t) => {
  const child = start(t, 'sh', ['-c', 'while :; do :; done']);
  const [thread] = await observed(
    () => threadsOf(pidOf(child)),
    ([first]) => first?.reason === 'running' && first.state === 'R' && first.comm !== 'node',
  );
  t.deepEqual(thread, { tid: pidOf(child), comm: 'sh', state: 'R', reason: 'running' });
});

test('every thread of a process, in order', (t) => {
  const tids = threadsOf(process.pid).map(({ tid }) => tid);
  t.is(tids[0], process.pid);
  t.true(tids.length > 4, 'V8 and libuv have threads of their own');
  t.deepEqual(
    tids,
    tids.toSorted((a, b) => a - b),
  );
});

test('a zombie: its one thread, no call, no sockets', async (t) => {
  const pid = await zombie(t);
  const [thread, ...more] = threadsOf(pid);
  t.deepEqual(more, []);
  t.like(thread, { tid: pid, state: 'Z', syscall: undefined, wchan: undefined });
  t.deepEqual(socketsOf(pid), []);
});

for (const comm of [') R 1 (', 'a b', '((()))', 'line\nline', '\\n', '']) {
  test(`a process named ${JSON.stringify(comm)}`, async (t) => {
    const fd = socket(t);
    const script = 'printf %s "$1" > /proc/$$/comm; read line';
    const child = start(t, 'sh', ['-c', script, 'sh', comm], {
      stdio: ['pipe', 'pipe', 'pipe', fd],
    });
    const thread = await callOf(child, 'read');
    const { holders } = holdersOf([inodeOf(fd)], { pids: [pidOf(child)] });
    t.is(holders.get(inodeOf(fd))?.[0]?.program, 'sh');
    // An empty write changes nothing, so the old name stays.
    t.is(thread.comm, comm === '' ? 'sh' : comm);
    t.is(holders.get(inodeOf(fd))?.[0]?.comm, thread.comm);
    t.is(thread.state, 'S');
  });
}

const compiler = spawnSync('cc', ['--version']).error === undefined;
(compiler ? test : test.skip)(
  `a process whose first thread has ended${compiler ? '' : ' (skipped: no C compiler)'}`,
  async (t) => {
    const child = start(t, compiled(scratch(t), 'leaderless'));
    if (child.stdout) await once(child.stdout, 'data');
    // pthread_join() returns a moment before the kernel is done with the thread.
    await observed(() => threadsOf(pidOf(child)), isZombie);
    const inodes = socketsOf(pidOf(child)).map(({ inode }) => inode);
    const listeners = readFileSync('/proc/net/tcp', 'latin1').split('\n');
    t.is(
      inodes.filter((inode) =>
        listeners.some((row) => row.includes(` 0A `) && row.includes(` ${inode} `)),
      ).length,
      1,
    );
  },
);

const NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
const reachable = spawnSync('env', [...NOBODY, 'test', '-r', fileURLToPath(MODULE)]).status === 0;
const asNobody = reachable ? test : test.skip;
const because = reachable ? '' : ' (skipped: needs root, setpriv and a checkout others may read)';

asNobody(`a plain user: what cannot be read is counted, with the reason${because}`, async (t) => {
  const fd = socket(t);
  const inode = inodeOf(fd);
  const child = start(t, 'cat', [], { stdio: ['pipe', 'pipe', 'pipe', fd] });
  await callOf(child, 'read');
  const pid = pidOf(child);
  const seen = nobody(`
    const {holders, incomplete} = m.holdersOf([${inode}], {pids: [${pid}, ${process.pid}, process.pid]});
    const code = (() => { try { m.socketsOf(${pid}); } catch (error) { return error.code; } })();
    return {holders: holders.get(${inode}), incomplete, code, threads: m.threadsOf(${pid}),
      everywhere: m.holdersOf([${inode}]).incomplete};
  `);
  t.deepEqual(seen.holders, []);
  const [refused, ...more] = seen.incomplete;
  t.regex(refused ?? '', /^EACCES: 2 processes of other users/);
  t.deepEqual(more, []);
  t.is(seen.code, 'EACCES');
  t.regex(seen.everywhere[0] ?? '', /^EACCES: \d+ processes of other users/);
  const [thread] = seen.threads;
  t.like(thread, { tid: pid, comm: 'cat', state: 'S', syscall: undefined });
  t.regex(thread?.reason ?? '', /^EACCES: needs the same user/);
});

asNobody(`a plain user: zombies and kernel threads are no gap${because}`, async (t) => {
  const seen = nobody(`return m.holdersOf([1], {pids: [2, ${await zombie(t)}]})`);
  t.is(readFileSync('/proc/2/cmdline', 'utf8'), '', 'a kernel thread here');
  t.deepEqual(seen.incomplete, []);
});

asNobody(`a plain user sees its own processes${because}`, (t) => {
  const seen = nobody(`
    const {createServer} = await import('node:net');
    const server = createServer().listen(0);
    const inode = Math.max(...m.socketsOf(process.pid).map(({inode}) => inode));
    const holders = m.holdersOf([inode]).holders.get(inode);
    server.close();
    return {pid: process.pid, holders};
  `);
  t.like(seen.holders[0], { pid: seen.pid, program: 'node' });
});

asNobody(`a /proc that hides processes is told${because}`, (t) => {
  const seen = nobody('return m.holdersOf([1])', [
    'unshare',
    '-m',
    'sh',
    '-c',
    'mount -t proc -o hidepid=invisible proc /proc && exec "$@"',
    'sh',
  ]);
  t.deepEqual(seen.incomplete, [
    'processes of other users are hidden (/proc is mounted with hidepid)',
  ]);
});

/** What the bodies below return, each its own part of it. */
interface Seen {
  readonly holders: Holder[];
  readonly incomplete: string[];
  readonly everywhere: string[];
  readonly threads: Thread[];
  readonly code: string;
  readonly pid: number;
}

/** Runs the body of an async function on the module as uid 65534 and returns what it returns. */
function nobody(body: string, within: string[] = []): Seen {
  const script = `
    const m = await import(${JSON.stringify(MODULE)});
    const result = await (async () => {${body}})();
    console.log(JSON.stringify(result, (_, value) => typeof value === 'bigint' ? String(value) : value));`;
  const [file = '', ...args] = [
    ...within,
    ...NOBODY,
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ];
  const { stdout, stderr, status } = spawnSync(file, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

function socket(t: ExecutionContext): number {
  // Close-on-exec: the children of other tests must not hold it too.
  const fd = sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC, 0);
  const inode = inodeOf(fd);
  t.teardown(() => {
    // Closed by its own test, its number may be another test's by now.
    if (socketsOf(process.pid).some((each) => each.fd === fd && each.inode === inode))
      sys.close(fd);
  });
  return fd;
}

function inodeOf(fd: number): number {
  const found = socketsOf(process.pid).find((each) => each.fd === fd);
  if (found === undefined) throw new Error(`${fd} is no socket`);
  return found.inode;
}

function start(
  t: ExecutionContext,
  file: string,
  args: string[] = [],
  options: SpawnOptions = {},
): ChildProcess {
  const child = spawn(file, args, options);
  const closed = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  return child;
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the program did not start');
  return child.pid;
}

/** Waits until the first thread of the child sleeps in this system call: a loader that waits for a disk is in state D. */
async function callOf(child: ChildProcess, name: string): Promise<Thread> {
  // Who was stopped and goes on sleeps on in another call (restart_syscall(2)).
  const names = name === 'clock_nanosleep' ? [name, 'restart_syscall'] : [name];
  const [thread] = await observed(
    () => threadsOf(pidOf(child)),
    ([first]) =>
      names.includes(first?.syscall?.name ?? '') && first?.state === 'S' && first.comm !== 'node',
  );
  if (thread === undefined) throw new Error('no thread');
  return thread;
}

const isZombie = ([first]: Thread[]): boolean => first?.state === 'Z';

/** A process that has ended and that its parent does not wait for. */
async function zombie(t: ExecutionContext): Promise<number> {
  const script = 'exec 3<&0; (read line <&3) & echo $!; exec sleep 1000';
  const parent = start(t, 'sh', ['-c', script]);
  if (parent.stdout === null) throw new Error('no output');
  const [line] = await once(parent.stdout, 'data');
  const pid = Number(line);
  // The shell would take the child's end; sleep does not.
  await callOf(parent, 'clock_nanosleep');
  parent.stdin?.end();
  await observed(() => threadsOf(pid), isZombie);
  return pid;
}

async function observed<T>(look: () => T, wanted: (seen: T) => boolean): Promise<T> {
  const end = performance.now() + 20_000;
  for (;;) {
    const seen = look();
    if (wanted(seen)) return seen;
    if (performance.now() > end) {
      throw new Error(
        `last seen: ${JSON.stringify(seen, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
