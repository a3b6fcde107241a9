/** Guards over this very process, and over another. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { diagnose } from '../../src/diagnose/diagnose.js';
import { guard, SocketLeakError } from '../../src/diagnose/guard.js';
import { tcpState } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import { Program } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { awaitEvents, connected, drain, listening, tcp } from '../fixture/sockets.js';
import { noNamespace, noTool, testUnless } from '../world/ability.js';
import { languages, leaking } from './servers.js';

const { pid } = process;

/** A connection whose peer has closed. */
function halfClosed(owned: sys.Descriptors): number {
  const { client, server } = connected(owned);
  owned.close(client);
  return server;
}

test('nothing left: nothing thrown, and nothing waited for', async (t) => {
  const g = guard({ settleMs: 60_000 });
  {
    using owned = new sys.Descriptors();
    connected(owned);
  }
  await g.check();
  t.pass();
});

test('left in CLOSE_WAIT: thrown, with cause and age', async (t) => {
  const owned = ownedBy(t);
  const g = guard({ settleMs: 50 });
  const { client, server } = connected(owned);
  owned.close(client);
  drain(server);
  const error = await t.throwsAsync(g.check(), { instanceOf: SocketLeakError });
  t.like(error?.sockets, [{ pid, fd: server, state: 'CLOSE_WAIT', cause: 'not-closed' }]);
  t.is(error?.sockets.length, 1);
  t.true((error?.sockets[0]?.ageMs ?? -1) >= 0);
  t.regex(error?.message ?? '', /^1 socket was left\n {2}CLOSE_WAIT, not-closed: fd \d+, 127/);
  t.regex(error?.message ?? '', /for at least \d+ ms\n {4}where it was opened: run with --import/);
  owned.close(server);
  await g.check();
});

/** An end whose FIN is not yet acknowledged. Whoever is kept from the processor for 40 ms finds that it is, and begins anew. */
function halfClosing(owned: sys.Descriptors): number {
  const byte = new Uint8Array(1);
  for (;;) {
    const { client, server } = connected(owned);
    // Who has answered expects to answer again, and keeps its ACK back for 40 ms.
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      sys.write(from, byte);
      sys.read(to, byte);
    }
    sys.shutdown(client, sys.SHUT_WR);
    if (tcpState(client) === 'FIN_WAIT1') return client;
    for (const fd of [client, server]) owned.close(fd);
  }
}

test('a FIN whose ACK is delayed is waited for, whatever the patience', async (t) => {
  const owned = ownedBy(t);
  const g = guard({ settleMs: 1 });
  const client = halfClosing(owned);
  const error = await t.throwsAsync(g.check(), { instanceOf: SocketLeakError });
  t.true(error?.sockets.some(({ fd, state }) => fd === client && state === 'FIN_WAIT2'));
});

test('left in FIN_WAIT2, as a ghost, and in the accept queue', async (t) => {
  const owned = ownedBy(t);
  const g = guard({ settleMs: 50 });
  const half = connected(owned);
  sys.shutdown(half.client, sys.SHUT_WR);
  const gone = connected(owned);
  sys.setOption(gone.client, 'SO_LINGER', { on: true, seconds: 0 });
  owned.close(gone.client);
  const { address, port } = listening(owned);
  const queued = tcp(owned);
  sys.connect(queued, { address, port });
  owned.close(queued);
  const error = await t.throwsAsync(g.check(), { instanceOf: SocketLeakError });
  const causes = error?.sockets.map(({ cause }) => cause).sort();
  t.deepEqual(causes, ['eof-unread', 'ghost', 'never-accepted', 'peer-never-closes']);
});

test('what was there before does not count', async (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const { address, port } = listening(owned);
  const queued = tcp(owned);
  sys.connect(queued, { address, port });
  const g = guard({ settleMs: 20 });
  owned.close(client);
  drain(server);
  owned.close(queued);
  await g.check();
  t.pass();
});

test('what had only begun to connect before does not count either', async (t) => {
  const owned = ownedBy(t);
  const { fd, address, port } = listening(owned);
  // To the server it is no connection until data comes; to the client it is one.
  sys.setOption(fd, 'TCP_DEFER_ACCEPT', 10);
  const client = tcp(owned);
  sys.connect(client, { address, port });
  const g = guard({ settleMs: 20 });
  sys.write(client, 'data');
  awaitEvents(fd, sys.POLLIN);
  owned.close(client);
  await g.check();
  t.pass();
});

test('what passes is waited for, by looking', async (t) => {
  const g = guard({ settleMs: 10_000 });
  const server = createServer((socket) => {
    socket.resume();
    // It answers late: for a while the connection is half closed.
    socket.on('end', () => setTimeout(() => socket.end(), 100));
  });
  server.listen({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(client, 'connect');
  client.end();
  const start = performance.now();
  await g.check();
  t.true(performance.now() - start < 9000);
  client.destroy();
  server.close();
});

testUnless(languages[0]?.missing, 'another process', async (t) => {
  const [language] = languages;
  if (language === undefined) return t.fail();
  const own = guard({ settleMs: 20 });
  const { program } = await leaking(t, ownedBy(t), language, 'not-closed');
  // The client's half is ours: it waits for the server.
  await t.throwsAsync(own.check(), { message: /FIN_WAIT2, peer-never-closes/ });
  await guard({ pid: program.pid, settleMs: 20 }).check();
});

test('a clock of the test that stands still holds nobody up', async (t) => {
  const owned = ownedBy(t);
  const g = guard({ settleMs: 20 });
  drain(halfClosed(owned));
  const { performance: real } = globalThis;
  const stood = real.now();
  Object.defineProperty(globalThis, 'performance', {
    ...{ configurable: true, writable: true },
    value: { now: () => stood },
  });
  try {
    await t.throwsAsync(g.check(), { instanceOf: SocketLeakError });
    const { sockets } = await diagnose({ pids: [pid], settleMs: 20 });
    t.true(sockets.length > 0);
  } finally {
    Object.defineProperty(globalThis, 'performance', {
      ...{ configurable: true, writable: true },
      value: real,
    });
  }
});

const ELSEWHERE = `
import socket, subprocess, sys
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
listener = socket.create_server(('127.0.0.1', 0))
for line in sys.stdin:
    socket.create_connection(listener.getsockname()).close()
    print('waits', flush=True)
`;

testUnless(
  noNamespace ?? noTool('python3'),
  'in another network namespace: what waited for accept() before does not count',
  async (t) => {
    const program = new Program(t, ['unshare', '--net', 'python3', '-c', ELSEWHERE]);
    const waits = async (times: number) => {
      program.type('\n');
      await program.shows('stdout', new RegExp(`^(waits\n){${times}}$`));
    };
    await waits(1);
    const g = guard({ pid: program.pid, settleMs: 20 });
    await g.check();
    await waits(2);
    const error = await t.throwsAsync(g.check(), { instanceOf: SocketLeakError });
    t.like(error?.sockets, [{ pid: program.pid, cause: 'never-accepted' }]);
    t.is(error?.sockets.length, 1);
    t.notRegex(error?.message ?? '', /closewait\/register/);
    program.signal('SIGKILL');
    await program.end();
    await g.check();
  },
);

for (const [what, options, says] of [
  ['pid 0', { pid: 0 }, /not a process id/],
  ['a time below zero', { settleMs: -1 }, /^settleMs must be/],
  ['a time that is none', { settleMs: Number.NaN }, /^settleMs must be/],
] as const) {
  test(`refused: ${what}`, (t) => {
    t.throws(() => guard(options), { instanceOf: RangeError, message: says });
  });
}

test('refused: a process that is not there', (t) => {
  t.throws(() => guard({ pid: 2 ** 22 + 1 }), { code: 'ENOENT' });
});
