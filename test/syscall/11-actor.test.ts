import { readFileSync } from 'node:fs';
import { tcpInfo } from '../../src/index.js';
import * as sys from '../../src/syscall/sys.js';
import { actorOf, blockedIn, promptly } from '../fixture/actors.js';
import { ownedBy, test, threads } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { awaitEvents, connected, listening, refusing, tcp } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';

perFamily('a conversation: each end on an actor of its own', async (t, family) => {
  const owned = ownedBy(t);
  const [server, client] = [await actorOf(t), await actorOf(t)];
  const listener = owned.own(await server.socket(family.domain, sys.SOCK_STREAM));
  await server.bind(listener, { address: family.loopback, port: 0 });
  await server.listen(listener, 1);
  const address = await server.getsockname(listener);
  const accepting = server.accept(listener);
  const fd = owned.own(await client.socket(family.domain, sys.SOCK_STREAM));
  await client.connect(fd, address);
  const accepted = await accepting;
  owned.own(accepted.fd);
  t.deepEqual({ address: accepted.address, port: accepted.port }, await client.getsockname(fd));
  t.deepEqual(await client.getpeername(fd), address);
  const buffer = new Uint8Array(8);
  const reading = server.read(accepted.fd, buffer);
  t.is(await client.write(fd, 'test\n'), 5);
  t.is(await reading, 5);
  t.is(Buffer.from(buffer).toString('latin1', 0, 5), 'test\n');
  const end = server.read(accepted.fd, buffer);
  await client.close(owned.release(fd));
  t.is(await end, 0);
  t.is(tcpInfo(accepted.fd).state, 'CLOSE_WAIT');
});

test('calls are made in the order they were asked for', async (t) => {
  const actor = await actorOf(t);
  const [from, to] = sys.pipe2().map((fd) => ownedBy(t).own(fd)) as [number, number];
  const order: number[] = [];
  const writes = Array.from({ length: 1000 }, (_, i) =>
    actor.write(to, Uint8Array.of(i & 255)).then(() => order.push(i)),
  );
  t.is(actor.outstanding, 1000);
  await Promise.all(writes);
  t.is(actor.outstanding, 0);
  const bytes = new Uint8Array(1000);
  t.is(sys.read(from, bytes), 1000);
  t.true(bytes.every((byte, i) => byte === (i & 255)));
  t.deepEqual(
    order,
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

test('many actors blocked at once, each answered by its own event', async (t) => {
  const owned = ownedBy(t);
  const pairs = await Promise.all(
    Array.from({ length: 32 }, async (_, i) => {
      const [from, to] = sys.pipe2().map((fd) => owned.own(fd)) as [number, number];
      const buffer = new Uint8Array(1);
      const actor = await actorOf(t, { name: `reader ${i}` });
      return { to, buffer, reading: actor.read(from, buffer) };
    }),
  );
  for (const [i, { to }] of [...pairs.entries()].reverse()) sys.write(to, Uint8Array.of(i));
  t.deepEqual(await Promise.all(pairs.map(({ reading }) => reading)), Array(32).fill(1));
  t.deepEqual(
    pairs.map(({ buffer }) => buffer[0]),
    Array.from({ length: 32 }, (_, i) => i),
  );
});

test('it is a thread of its own, and its name shows, 15 bytes of it', async (t) => {
  const before = threads().length;
  for (const [name, shown] of [
    ['server', 'server'],
    ['a name of many words', 'a name of many '],
    [undefined, 'actor'],
  ] as const) {
    const actor = await actorOf(t, name === undefined ? {} : { name });
    const tid = await actor.gettid();
    t.not(tid, process.pid);
    t.is(readFileSync(`/proc/self/task/${tid}/comm`, 'utf8'), `${shown}\n`);
    t.is(actor.name, name ?? 'actor');
  }
  t.is(threads().length, before + 3);
});

test('what is sent is copied when it is asked for', async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const data = Uint8Array.of(1, 2, 3);
  const writing = actor.write(client, data);
  data.fill(9);
  await writing;
  t.is(sys.read(server, data), 3);
  t.deepEqual([...data], [1, 2, 3]);
});

test('what comes back is written just before the promise settles, and only what came', async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const buffers = [new Uint8Array(2).fill(7), new Uint8Array(4).fill(7)];
  const tid = await actor.gettid();
  const reading = actor.readv(server, buffers);
  await blockedIn(tid, 'readv');
  sys.write(client, 'abc');
  t.is(await reading, 3);
  t.deepEqual(
    buffers.map((bytes) => [...bytes]),
    [
      [97, 98],
      [99, 7, 7, 7],
    ],
  );
});

for (const [what, receive] of [
  ['recv', (actor, fd, bytes, flags) => actor.recv(fd, bytes, flags)],
  [
    'recvmsg',
    async (actor, fd, bytes, flags) =>
      (await actor.recvmsg(fd, { buffers: [bytes.subarray(0, 100), bytes.subarray(100)] }, flags))
        .length,
  ],
] as const satisfies [
  string,
  (actor: sys.Actor, fd: number, bytes: Uint8Array, flags: number) => Promise<number>,
][]) {
  // tcp(7): TCP throws such bytes away, and they count. A buffer this long is no memory that malloc() has just cleared.
  test(`${what}() with MSG_TRUNC: bytes that TCP counts and does not write are not there`, async (t) => {
    const actor = await actorOf(t);
    const { client, server } = connected(ownedBy(t));
    sys.write(client, 'x'.repeat(1000));
    for (const flags of [sys.MSG_TRUNC | sys.MSG_PEEK, sys.MSG_TRUNC]) {
      const bytes = new Uint8Array(512).fill(0xaa);
      t.is(await receive(actor, server, bytes, flags), 512);
      t.true(
        bytes.every((byte) => byte === 0xaa),
        'the buffer is as it was',
      );
    }
    t.is(sys.ioctl(server, sys.SIOCINQ), 1000 - 512, 'they were thrown away');
  });
}

test('an error is the same as of the call itself', async (t) => {
  const actor = await actorOf(t);
  const direct = t.throws(() => sys.listen(-1, 1)) as sys.SyscallError;
  const error = (await t.throwsAsync(actor.listen(-1, 1))) as sys.SyscallError;
  t.true(error instanceof sys.SyscallError);
  t.is(error.message, direct.message);
  t.deepEqual({ ...error }, { ...direct });
});

for (const [what, change] of [
  ['that changed', { address: '192.0.2.1', port: 2 }],
  ['that is none any more', { address: 5, port: Symbol('port') }],
] as const) {
  test(`an error names the address that was asked for, not one ${what}`, async (t) => {
    const actor = await actorOf(t);
    const owned = ownedBy(t);
    const { address, port } = refusing(owned);
    const given = { address, port };
    const connecting = actor.connect(tcp(owned), given);
    const others = [actor.gettid(), actor.gettid()];
    Object.assign(given, change);
    t.like(await t.throwsAsync(promptly(connecting)), { code: 'ECONNREFUSED', address, port });
    t.is(new Set(await promptly(Promise.all(others))).size, 1);
    t.is(actor.outstanding, 0);
  });
}

test('an address that answers once: the error of the call is told, and so are the results of others', async (t) => {
  const actor = await actorOf(t);
  const owned = ownedBy(t);
  const { address, port } = refusing(owned);
  let asked = 0;
  const once = {
    address,
    get port() {
      if (asked++ > 0) throw new Error('asked twice');
      return port;
    },
  };
  const to = { data: [Uint8Array.of(1)], address: once };
  const calls = [
    actor.connect(tcp(owned), once),
    actor.sendmsg(tcp(owned), {
      get data() {
        asked = 0;
        return to.data;
      },
      address: once,
    }),
    ...Array.from({ length: 5 }, () => actor.gettid()),
  ];
  const settled = await promptly(Promise.allSettled(calls));
  t.is(Reflect.get((settled[0] as PromiseRejectedResult).reason, 'code'), 'ECONNREFUSED');
  t.is(Reflect.get((settled[1] as PromiseRejectedResult).reason, 'code'), 'EPIPE');
  t.true(settled.slice(2).every(({ status }) => status === 'fulfilled'));
  t.is(actor.outstanding, 0);
});

test('an answer that cannot be read rejects its own promise, and no other', async (t) => {
  const actor = await actorOf(t);
  const prototype = DataView.prototype;
  const { getBigInt64 } = prototype;
  t.teardown(() => Object.assign(prototype, { getBigInt64 }));
  const calls = [actor.clock_gettime(sys.CLOCK_MONOTONIC), actor.gettid()];
  Object.assign(prototype, {
    getBigInt64() {
      throw new Error('unreadable');
    },
  });
  const settled = await promptly(Promise.allSettled(calls));
  t.like(settled[0], { status: 'rejected', reason: { message: 'unreadable' } });
  t.is(settled[1]?.status, 'fulfilled');
  t.is(actor.outstanding, 0);
});

const loose = (actor: sys.Actor) =>
  actor as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;

test('arguments that do not fit reject, they do not throw', async (t) => {
  const actor = await actorOf(t);
  await t.throwsAsync(async () => loose(actor)['read']?.('x'), { instanceOf: TypeError });
  await t.throwsAsync(async () => loose(actor)['close']?.(2 ** 40), { instanceOf: RangeError });
  await t.throwsAsync(async () => loose(actor)['poll']?.('x', 0), { instanceOf: Error });
  const memory = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }]) as ArrayBuffer;
  const cutOff = new Uint8Array(memory, 0, 8);
  Reflect.get(memory, 'resize').call(memory, 4);
  await t.throwsAsync(actor.read(-1, cutOff), { code: 'ERR_INVALID_ARG_TYPE' });
  await t.throwsAsync(async () => loose(actor)['close']?.(-1, { signal: {} }), {
    instanceOf: TypeError,
    message: /^signal must be an AbortSignal/,
  });
  t.is(actor.outstanding, 0);
  await t.throwsAsync(actor.close(-1, { signal: undefined as unknown as AbortSignal }), {
    code: 'EBADF',
  });
});

test('optional arguments may be left out before the options', async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const { signal } = new AbortController();
  t.is(await actor.send(client, 'x', { signal }), 1);
  t.is(await actor.recv(server, new Uint8Array(4), sys.MSG_PEEK, { signal }), 1);
  t.is(await actor.recv(server, new Uint8Array(4), { signal }), 1);
});

test('an actor has every call of the module that makes one', async (t) => {
  const actor = loose(await actorOf(t));
  const notOnActors = new Set([
    // Not calls, or made of several.
    ...[
      'sequence',
      'decodeAddress',
      'decodeDirents',
      'encodeAddress',
      'errnoName',
      'errnoText',
      'getOption',
      'inet_ntop',
    ],
    ...['inet_pton', 'setOption', 'sleep', 'syscallName'],
    ...['AbortError', 'Descriptors', 'SyscallError'],
  ]);
  const calls = Object.entries(sys).filter(([, value]) => typeof value === 'function');
  t.deepEqual(
    calls.map(([name]) => name).filter((name) => typeof actor[name] !== 'function'),
    [...notOnActors].sort(),
  );
});

for (const [what, options] of [
  ['a name that is none', { name: 5 }],
  ['a namespace that is no number', { netns: '3' }],
  ['a fraction of a namespace', { netns: 1.5 }],
  ['a namespace past 31 bits', { netns: 2 ** 31 }],
  ['a negative namespace', { netns: -5 }],
  ['null for a name', { name: null }],
  ['null for options', null],
  ['a name in place of options', 'x'],
] as const) {
  test(`Actor.start() refuses ${what}`, async (t) => {
    const error = await t.throwsAsync(sys.Actor.start(options as unknown as sys.ActorOptions));
    t.regex(Reflect.get(error, 'code'), /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/);
  });
}

test('a buffer that is detached while a read is under way: the bytes go nowhere, nothing breaks', async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const tid = await actor.gettid();
  const buffer = new Uint8Array(1024);
  const reading = actor.read(server, buffer);
  await blockedIn(tid, 'read');
  const moved = structuredClone(buffer, { transfer: [buffer.buffer] });
  t.is(buffer.length, 0);
  sys.write(client, 'x'.repeat(1024));
  t.is(await promptly(reading), 1024);
  t.true(moved.every((byte) => byte === 0));
});

test('a buffer that shrinks while a read is under way takes what fits', async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const tid = await actor.gettid();
  const memory = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }]) as ArrayBuffer;
  const buffer = new Uint8Array(memory);
  const reading = actor.read(server, buffer);
  await blockedIn(tid, 'read');
  Reflect.get(memory, 'resize').call(memory, 4);
  sys.write(client, 'abcdefgh');
  t.is(await promptly(reading), 8);
  t.is(Buffer.from(buffer).toString(), 'abcd');
});

perFamily('the trap: a blocked read keeps the connection open after close()', async (t, family) => {
  const actor = await actorOf(t);
  const owned = ownedBy(t);
  const { client, server } = connected(owned, family);
  const tid = await actor.gettid();
  const buffer = new Uint8Array(8);
  const reading = actor.read(client, buffer);
  await blockedIn(tid, 'read');
  owned.close(client);
  t.deepEqual(sys.poll([{ fd: server, events: sys.POLLRDHUP }], 0), [{ fd: server, revents: 0 }]);
  t.is(tcpInfo(server).state, 'ESTABLISHED', 'no FIN yet');
  sys.write(server, 'late');
  t.is(await promptly(reading), 4, 'what comes later still goes to the reader');
  t.is(
    awaitEvents(server, sys.POLLRDHUP),
    sys.POLLRDHUP,
    'the FIN, now that the read has returned',
  );
  t.is(tcpInfo(server).state, 'CLOSE_WAIT');
});

test('and the way out of it: abort the read first', async (t) => {
  const actor = await actorOf(t);
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const tid = await actor.gettid();
  const abort = new AbortController();
  const reading = actor.read(client, new Uint8Array(8), { signal: abort.signal });
  await blockedIn(tid, 'read');
  abort.abort();
  await t.throwsAsync(promptly(reading), { name: 'AbortError' });
  owned.close(client);
  t.is(awaitEvents(server, sys.POLLRDHUP), sys.POLLRDHUP);
});

test('the kernel answers between the calls of the event loop: a read blocks nobody else', async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const reading = actor.read(server, new Uint8Array(1));
  let turns = 0;
  await until(
    () => ++turns > 20,
    () => `${turns} turns`,
  );
  sys.write(client, 'x');
  t.is(await promptly(reading), 1);
});

test('spawn() on an actor: the program dies with the thread', async (t) => {
  const owned = ownedBy(t);
  const actor = await sys.Actor.start();
  const { pid, pidfd } = await actor.spawn('/bin/sleep', { argv: ['sleep', '60'] });
  owned.own(pidfd);
  await actor.stop();
  t.deepEqual(sys.waitid(sys.P_PIDFD, pidfd), { pid, code: sys.CLD_KILLED, status: sys.SIGKILL });
});

test('a listener of the event loop and an actor do not meet: accept() of many, all there', async (t) => {
  const owned = ownedBy(t);
  const actor = await actorOf(t);
  const { fd: listener, ...address } = listening(owned, undefined, 64);
  const accepting = Array.from({ length: 64 }, () => actor.accept(listener));
  for (let i = 0; i < 64; i++) sys.connect(tcp(owned), address);
  const accepted = await promptly(Promise.all(accepting));
  for (const { fd } of accepted) owned.own(fd);
  t.is(new Set(accepted.map(({ fd }) => fd)).size, 64);
  t.is(new Set(accepted.map(({ port }) => port)).size, 64);
});
