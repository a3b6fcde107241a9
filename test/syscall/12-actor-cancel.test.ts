import * as sys from '../../src/syscall/sys.js';
import { actorOf, blockedIn, promptly } from '../fixture/actors.js';
import { descriptors, ownedBy, test } from '../fixture/descriptors.js';
import { awaitEvents, connected, ipv4, listening, tcp } from '../fixture/sockets.js';

type Cancelled = (
  actor: sys.Actor,
  options: sys.CallOptions,
  owned: sys.Descriptors,
) => Promise<unknown>;

/** A pipe that nobody writes to. */
const silent = (owned: sys.Descriptors): number =>
  sys.pipe2().map((fd) => owned.own(fd))[0] as number;

/** Writes until the kernel takes nothing more; how many bytes it took. */
function fill(fd: number): number {
  let taken = 0;
  try {
    for (;;) taken += sys.write(fd, new Uint8Array(1 << 20));
  } catch (error) {
    if ((error as sys.SyscallError).code !== 'EAGAIN') throw error;
    return taken;
  }
}

/**
 * A connection that takes nothing more, now and later: an ACK that is still on its way would free room for a byte. So all
 * that was sent is acknowledged, the rest waits for a window, and there is no room beside it.
 */
function full(owned: sys.Descriptors): number {
  const { client } = connected(owned);
  sys.fcntl(client, sys.F_SETFL, sys.O_NONBLOCK);
  while (fill(client) > 0) {
    while (sys.ioctl(client, sys.SIOCOUTQ) !== sys.ioctl(client, sys.SIOCOUTQNSD)) sys.poll([], 1);
  }
  sys.fcntl(client, sys.F_SETFL, 0);
  return client;
}

/** A listener whose queue is full: the next SYN is dropped, and connect() waits. */
function crowded(owned: sys.Descriptors): sys.SocketAddress {
  const { fd, address, port } = listening(owned, ipv4, 0);
  sys.connect(tcp(owned), { address, port });
  // connect() returns with the SYN+ACK; the queue is full with the ACK.
  awaitEvents(fd, sys.POLLIN);
  return { address, port };
}

const blocking: [call: string, in_: string[], make: Cancelled][] = [
  ['accept', ['accept'], (actor, o, owned) => actor.accept(listening(owned).fd, o)],
  ['accept4', ['accept4'], (actor, o, owned) => actor.accept4(listening(owned).fd, 0, o)],
  ['connect', ['connect'], (actor, o, owned) => actor.connect(tcp(owned), crowded(owned), o)],
  [
    'read',
    ['read'],
    (actor, o, owned) => actor.read(connected(owned).client, new Uint8Array(1), o),
  ],
  [
    'read of a pipe',
    ['read'],
    (actor, o, owned) => actor.read(silent(owned), new Uint8Array(1), o),
  ],
  ['readv', ['readv'], (actor, o, owned) => actor.readv(silent(owned), [new Uint8Array(1)], o)],
  [
    'recv',
    ['recvfrom'],
    (actor, o, owned) => actor.recv(connected(owned).client, new Uint8Array(1), 0, o),
  ],
  [
    'recvmsg',
    ['recvmsg'],
    (actor, o, owned) =>
      actor.recvmsg(connected(owned).client, { buffers: [new Uint8Array(1)] }, o),
  ],
  ['write', ['write'], (actor, o, owned) => actor.write(full(owned), 'x', o)],
  ['writev', ['writev'], (actor, o, owned) => actor.writev(full(owned), [Uint8Array.of(1)], o)],
  ['send', ['sendto'], (actor, o, owned) => actor.send(full(owned), 'x', 0, o)],
  [
    'sendmsg',
    ['sendmsg'],
    (actor, o, owned) => actor.sendmsg(full(owned), { data: [Uint8Array.of(1)] }, 0, o),
  ],
  [
    'poll',
    ['poll', 'ppoll'],
    (actor, o, owned) => actor.poll([{ fd: silent(owned), events: sys.POLLIN }], -1, o),
  ],
  [
    'epoll_wait',
    ['epoll_wait', 'epoll_pwait'],
    (actor, o, owned) => actor.epoll_wait(owned.own(sys.epoll_create1()), 1, -1, o),
  ],
  ['nanosleep', ['clock_nanosleep'], (actor, o) => actor.nanosleep(3600, o)],
];

for (const [call, names, make] of blocking) {
  test(`an AbortSignal ends a blocked ${call}`, async (t) => {
    const owned = ownedBy(t);
    const actor = await actorOf(t);
    const tid = await actor.gettid();
    const abort = new AbortController();
    const pending = make(actor, { signal: abort.signal }, owned);
    await blockedIn(tid, ...names);
    const before = descriptors();
    const reason = new Error('enough');
    abort.abort(reason);
    const error = await t.throwsAsync(promptly(pending), { instanceOf: sys.AbortError });
    t.is(error?.name, 'AbortError');
    t.is(Reflect.get(error ?? {}, 'code'), 'ABORT_ERR');
    t.is(error?.cause, reason);
    t.regex(error?.message ?? '', / was ended: its signal was aborted$/);
    t.deepEqual(descriptors(), before);
    t.is(await actor.gettid(), tid, 'the actor goes on');
  });

  test(`stop() ends a blocked ${call}`, async (t) => {
    const owned = ownedBy(t);
    const actor = await sys.Actor.start({ name: 'stopped' });
    const tid = await actor.gettid();
    const pending = make(actor, { signal: new AbortController().signal }, owned);
    await blockedIn(tid, ...names);
    const ending = t.throwsAsync(promptly(pending), { instanceOf: sys.AbortError });
    await actor.stop();
    t.regex((await ending)?.message ?? '', / was ended: actor stopped was stopped$/);
  });
}

test('waitid: an abort leaves the child to be waited for', async (t) => {
  const owned = ownedBy(t);
  const actor = await actorOf(t);
  const tid = await actor.gettid();
  const { pid, pidfd } = sys.spawn('/bin/sleep', { argv: ['sleep', '60'] });
  owned.own(pidfd);
  const abort = new AbortController();
  const waiting = actor.waitid(sys.P_PIDFD, pidfd, sys.WEXITED, { signal: abort.signal });
  await blockedIn(tid, 'waitid');
  abort.abort();
  await t.throwsAsync(promptly(waiting), { name: 'AbortError' });
  sys.pidfd_send_signal(pidfd, sys.SIGKILL);
  t.is(sys.waitid(sys.P_PIDFD, pidfd).pid, pid);
});

test('aborted before it was asked for: no call is made', async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const signal = AbortSignal.abort('over');
  const error = await t.throwsAsync(actor.write(client, 'x', { signal }), { name: 'AbortError' });
  t.is(error?.cause as unknown, 'over');
  t.is(actor.outstanding, 0);
  t.deepEqual(sys.poll([{ fd: server, events: sys.POLLIN }], 0), [{ fd: server, revents: 0 }]);
});

const abortingArguments: [
  what: string,
  call: (actor: sys.Actor, fd: number, abort: AbortController) => Promise<unknown>,
][] = [
  [
    'a message',
    (actor, fd, { abort, signal }) =>
      actor.recvmsg(
        fd,
        {
          get buffers() {
            abort();
            return [new Uint8Array(1)];
          },
        },
        0,
        { signal },
      ),
  ],
  [
    'an array',
    (actor, fd, { abort, signal }) => {
      const buffers = Object.defineProperty([new Uint8Array(1)], 0, {
        get() {
          abort();
          return new Uint8Array(1);
        },
      });
      return actor.readv(fd, buffers, { signal });
    },
  ],
];

for (const [what, call] of abortingArguments) {
  test(`aborted while its arguments are read, by ${what}: it ends`, async (t) => {
    const actor = await actorOf(t);
    const controller = new AbortController();
    const bound = { abort: () => controller.abort('read'), signal: controller.signal };
    const pending = call(actor, silent(ownedBy(t)), bound);
    const error = await t.throwsAsync(promptly(pending), { name: 'AbortError' });
    t.is(error?.cause as unknown, 'read');
  });
}

test('aborted while it waits its turn: it ends at once, the call before it goes on', async (t) => {
  const actor = await actorOf(t);
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const tid = await actor.gettid();
  const first = actor.read(server, new Uint8Array(1));
  const abort = new AbortController();
  const second = actor.write(server, 'never', { signal: abort.signal });
  const third = actor.write(server, 'third');
  await blockedIn(tid, 'read');
  abort.abort();
  await t.throwsAsync(promptly(second), { name: 'AbortError' });
  t.is(actor.outstanding, 2);
  sys.write(client, 'x');
  t.is(await promptly(first), 1);
  t.is(await promptly(third), 5);
  const buffer = Buffer.alloc(16);
  t.is(buffer.toString('latin1', 0, sys.read(client, buffer)), 'third');
});

test('aborted after it has ended: nothing', async (t) => {
  const actor = await actorOf(t);
  const abort = new AbortController();
  const tid = await actor.gettid({ signal: abort.signal });
  abort.abort();
  t.is(await actor.gettid(), tid);
});

test('one signal for many calls, on many actors, and no warning about its listeners', async (t) => {
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  t.teardown(() => process.off('warning', note));
  const owned = ownedBy(t);
  const abort = new AbortController();
  const pending: Promise<unknown>[] = [];
  for (let i = 0; i < 8; i++) {
    const actor = await actorOf(t);
    const tid = await actor.gettid();
    for (let j = 0; j < 4; j++) {
      pending.push(actor.read(silent(owned), new Uint8Array(1), { signal: abort.signal }));
    }
    await blockedIn(tid, 'read');
  }
  abort.abort();
  const settled = await promptly(Promise.allSettled(pending));
  t.is(settled.length, 32);
  t.deepEqual(warnings, []);
  for (const { status } of settled) t.is(status, 'rejected');
});

test('AbortSignal.timeout() is a deadline', async (t) => {
  const actor = await actorOf(t);
  const { fd } = listening(ownedBy(t));
  const error = await t.throwsAsync(
    promptly(actor.accept(fd, { signal: AbortSignal.timeout(20) })),
  );
  t.is(error?.name, 'AbortError');
  t.like(error?.cause, { name: 'TimeoutError' });
});

test('stop(): every queued call ends, and so does every later one; it is idempotent', async (t) => {
  const owned = ownedBy(t);
  const actor = await sys.Actor.start();
  const tid = await actor.gettid();
  const fd = silent(owned);
  const calls = Array.from({ length: 20 }, () => actor.read(fd, new Uint8Array(1)));
  const settled = Promise.allSettled(calls);
  await blockedIn(tid, 'read');
  await Promise.all([actor.stop(), actor.stop()]);
  for (const call of await promptly(settled)) {
    t.is(call.status, 'rejected');
    t.is(Reflect.get((call as PromiseRejectedResult).reason, 'name'), 'AbortError');
  }
  t.is(actor.outstanding, 0);
  await t.throwsAsync(actor.gettid(), { name: 'AbortError' });
  await actor.stop();
});

test('await using stops it', async (t) => {
  let actor: sys.Actor;
  {
    await using used = await sys.Actor.start();
    actor = used;
    await actor.gettid();
  }
  await t.throwsAsync(actor.gettid(), { name: 'AbortError' });
});

test('a write that was cut short says how much went', async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const abort = new AbortController();
  const writing = actor.write(client, new Uint8Array(64 << 20), { signal: abort.signal });
  // Before the first byte it would be no part of a write that ends. The last finds no room: nobody reads.
  t.is(awaitEvents(server, sys.POLLIN), sys.POLLIN);
  abort.abort();
  const sent = await promptly(writing);
  t.true(sent > 0 && sent < 64 << 20);
  sys.shutdown(client, sys.SHUT_WR);
  const buffer = new Uint8Array(1 << 20);
  let got = 0;
  for (let n = -1; n !== 0; got += n) n = sys.read(server, buffer);
  t.is(got, sent);
});
