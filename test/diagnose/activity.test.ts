/** What is said of a process's threads: by a table, and of programs that are stopped, blocked or all taken. */
import { activityOf, type Question } from '../../src/diagnose/activity.js';
import { diagnose } from '../../src/diagnose/diagnose.js';
import type { ThreadReport } from '../../src/diagnose/process.js';
import { threadsOf } from '../../src/observer/process.js';
import * as sys from '../../src/syscall/sys.js';
import { Program } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { until } from '../fixture/until.js';
import { testUnless } from '../world/ability.js';
import { type Language, languages, leaking, reaches } from './servers.js';

const thread = (values: Partial<ThreadReport>): ThreadReport => {
  return { tid: 7, comm: 'x', state: 'S', ...values };
};
const asked: Question = { fd: 5, watches: null, what: 'the descriptor', isAwaited: true };
const watched = [{ epfd: 3, events: 'EPOLLIN' }];
const BUSY = 'at this moment no thread waits in epoll_wait(3): its event loop is busy or blocked';
const WATCHED = 'an event loop (epoll 3) watches the descriptor for EPOLLIN';

for (const { name, threads, question, says } of [
  {
    name: 'a reader',
    threads: [thread({ call: 'read', fd: 5 })],
    says: ['thread 7 waits in read(5)'],
  },
  {
    name: 'a reader of another',
    threads: [thread({ call: 'read', fd: 6 })],
    says: ['no thread waits for the descriptor'],
  },
  { name: 'poll() may wait for it', threads: [thread({ call: 'poll' })], says: [] },
  { name: 'a call that cannot be seen', threads: [thread({ reason: 'EACCES: ...' })], says: [] },
  {
    name: 'nobody has to wait',
    threads: [thread({ call: 'nanosleep' })],
    question: { isAwaited: false },
    says: [],
  },
  {
    name: 'nobody accepts',
    threads: [thread({ call: 'nanosleep' })],
    question: { what: 'the listener' },
    says: ['no thread of pid 9 waits in accept()', 'no thread waits for the listener'],
  },
  {
    name: 'an event loop that turns',
    threads: [thread({ call: 'epoll_pwait', fd: 3 })],
    question: { watches: watched },
    says: [WATCHED],
  },
  {
    name: 'an event loop that runs',
    threads: [thread({ state: 'R', reason: 'running' }), thread({ call: 'futex' })],
    question: { watches: watched },
    says: [WATCHED, BUSY],
  },
  {
    name: 'one event loop of two',
    threads: [thread({ call: 'epoll_wait', fd: 4 })],
    question: { watches: [...watched, { epfd: 4, events: 'EPOLLIN' }] },
    says: [WATCHED, 'an event loop (epoll 4) watches the descriptor for EPOLLIN'],
  },
  {
    name: 'an event loop that poll() may wait for',
    threads: [thread({ call: 'poll' })],
    question: { watches: watched },
    says: [WATCHED],
  },
  {
    name: 'an event loop within another',
    threads: [thread({ call: 'epoll_wait', fd: 4 })],
    question: { watches: [{ epfd: 3, events: 'EPOLLIN', nested: true }] },
    says: [WATCHED],
  },
  {
    name: 'no event loop watches',
    threads: [thread({ call: 'epoll_wait', fd: 3 })],
    question: { watches: [] },
    says: [
      'no event loop of the process watches the descriptor',
      'no thread waits for the descriptor',
    ],
  },
  {
    name: 'stopped',
    threads: [thread({ state: 'T', reason: 'EACCES: ...' })],
    says: ['pid 9 is stopped: it does nothing until SIGCONT'],
  },
  {
    name: 'traced',
    threads: [thread({ state: 't', call: 'poll' })],
    says: ['pid 9 is stopped by a tracer, such as a debugger'],
  },
  {
    name: 'one thread of two stopped',
    threads: [thread({ state: 'T', call: 'poll' }), thread({ call: 'poll' })],
    says: [],
  },
  { name: 'no threads', threads: [], question: { isAwaited: false }, says: [] },
] as const satisfies readonly {
  name: string;
  threads: readonly ThreadReport[];
  question?: Partial<Question>;
  says: readonly string[];
}[]) {
  test(`activity: ${name}`, (t) => {
    const process = { pid: 9, comm: 'x', threads };
    t.deepEqual(activityOf(process, { ...asked, ...question }), [...says]);
  });
}

const named = (name: string): Language => languages.find((each) => each.name === name) as Language;
const C = named('C');

testUnless(C.missing, 'a stopped process: the evidence says so, whatever the cause', async (t) => {
  const { program } = await leaking(t, ownedBy(t), C, 'eof-unread');
  const { pid } = program;
  program.signal('SIGSTOP');
  await until(
    () => threadsOf(pid).every(({ state }) => state === 'T'),
    () => JSON.stringify(threadsOf(pid)),
  );
  const { sockets } = await diagnose({ pids: [pid], settleMs: 100 });
  const [socket] = sockets;
  t.is(socket?.cause, 'eof-unread');
  t.true(socket?.evidence.includes(`pid ${pid} is stopped: it does nothing until SIGCONT`));
  program.signal('SIGCONT');
});

const BLOCKED = `
const { readSync, writeSync } = require('node:fs');
const server = require('node:net').createServer().listen(0, '127.0.0.1', () => {
  // Once the event loop has polled: libuv tells the kernel then what it watches.
  setImmediate(() => {
    writeSync(1, 'port ' + server.address().port + '\\n');
    readSync(0, Buffer.alloc(1));
  });
});
`;

test('a Node process whose main thread is blocked: its event loop is named', async (t) => {
  const owned = ownedBy(t);
  const program = new Program(t, [process.execPath, '-e', BLOCKED]);
  const [, port] = await program.shows('stdout', /^port (\d+)\n/m);
  const client = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  sys.connect(client, { address: '127.0.0.1', port: Number(port) });
  const ends = { local: sys.getpeername(client), remote: sys.getsockname(client) };
  owned.close(client);
  await reaches(ends, 'CLOSE_WAIT');
  const { sockets } = await diagnose({ pids: [program.pid], settleMs: 100 });
  t.is(sockets[0]?.cause, 'never-accepted');
  t.regex(
    sockets[0]?.evidence.join('\n') ?? '',
    /watches the listener for EPOLLIN\nat this moment no thread waits in epoll_wait\(\d+\): its event loop is busy or blocked/,
  );
});
