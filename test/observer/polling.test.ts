import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { DestroyObserver } from '../../src/observer/destroy.js';
import { Feed } from '../../src/observer/feed.js';
import { Polling, type StateChange, type Subject, spin } from '../../src/observer/polling.js';
import { SockDiag } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import { World } from '../../src/world/world.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { linkLocal } from '../fixture/link-local.js';
import { perFamily } from '../fixture/per-family.js';
import { awaitEvents, connected, families, tcp } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';
import { noNamespace, noOtherUser, testUnless } from '../world/ability.js';

const DESTROY = new URL('../../src/observer/destroy.js', import.meta.url).href;
const POLLING = new URL('../../src/observer/polling.js', import.meta.url).href;
const SYS = new URL('../../src/syscall/sys.js', import.meta.url).href;
const DEADLINE_MS = 10_000;

/** The changes up to the first that satisfies `last`. */
async function changesUntil(
  polling: Polling,
  last: (change: StateChange) => boolean,
): Promise<StateChange[]> {
  const deadline = setTimeout(() => void polling.stop(), DEADLINE_MS);
  const seen: StateChange[] = [];
  for await (const change of polling) {
    seen.push(change);
    if (last(change)) break;
  }
  clearTimeout(deadline);
  return seen;
}

const statesOf = (changes: readonly StateChange[], subject: Subject) =>
  changes.filter((change) => change.subject === subject).map(({ state }) => state);

perFamily('a close seen from both ends, by descriptor and by address', async (t, family) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned, family);
  const [local, remote] = [sys.getsockname(client), sys.getpeername(client)];
  const byFd = { fd: server };
  const byTuple = { local, remote };
  await using polling = Polling.start({ subjects: [byFd, byTuple] });
  polling.look();
  const closing = process.hrtime.bigint();
  sys.shutdown(client, sys.SHUT_WR);
  awaitEvents(server, sys.POLLRDHUP);
  polling.look();
  const changes = await changesUntil(
    polling,
    ({ subject, state }) => subject === byTuple && state === 'FIN_WAIT2',
  );
  sys.close(owned.release(client));
  polling.unwatch(byFd);
  sys.close(owned.release(server));
  changes.push(...(await changesUntil(polling, ({ state }) => state === 'TIME_WAIT')));
  t.deepEqual(statesOf(changes, byFd), ['ESTABLISHED', 'CLOSE_WAIT']);
  // FIN_WAIT1 lasts until the ACK comes: a moment.
  t.deepEqual(
    statesOf(changes, byTuple).filter((state) => state !== 'FIN_WAIT1'),
    ['ESTABLISHED', 'FIN_WAIT2', 'TIME_WAIT'],
  );
  t.is(changes[0]?.latenessNs, undefined);
  const seen = changes.find(({ state }) => state === 'CLOSE_WAIT');
  t.like(seen, { source: 'polling', via: 'TCP_INFO', subject: byFd });
  const { tNs = 0n, latenessNs = 0 } = seen ?? {};
  t.true(tNs > closing, 'seen after it happened');
  t.true(tNs - BigInt(latenessNs) <= closing, 'and it may have happened as early as it did');
});

test('ticks come by themselves', async (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const looks: bigint[] = [];
  await using polling = Polling.start({ everyMs: 50, onLook: (beganNs) => looks.push(beganNs) });
  const subject = { fd: server };
  polling.watch(subject);
  const changes: StateChange[] = [];
  for await (const change of polling) {
    changes.push(change);
    if (change.state === 'ESTABLISHED') sys.shutdown(client, sys.SHUT_WR);
    if (change.state === 'CLOSE_WAIT') break;
  }
  t.deepEqual(statesOf(changes, subject), ['ESTABLISHED', 'CLOSE_WAIT']);
  await until(
    () => looks.length >= 4,
    () => `${looks.length} looks`,
  );
  // One that is late may be followed by the next at once, and that by none before its time. A timer counts whole ms.
  for (const [i, beganNs] of looks.slice(2).entries()) {
    t.true(beganNs - (looks[i] ?? 0n) >= 49_000_000n, `${looks}`);
  }
});

test('a descriptor that is none ends its watch with the reason; the others go on', async (t) => {
  const owned = ownedBy(t);
  const { server } = connected(owned);
  const file = owned.own(sys.open('/dev/null', sys.O_RDONLY | sys.O_CLOEXEC));
  await using polling = Polling.start({
    subjects: [{ fd: 1_000_000 }, { fd: file }, { fd: server }],
  });
  const changes = await changesUntil(polling, ({ state }) => state === 'ESTABLISHED');
  t.deepEqual(
    changes.map(({ state, error }) => state ?? error?.code),
    ['EBADF', 'ENOTSOCK', 'ESTABLISHED'],
  );
  polling.look();
  await polling.stop();
  t.deepEqual(await changesUntil(polling, () => false), []);
});

test('a connection nobody has is CLOSE', async (t) => {
  const [local, remote] = [1, 2].map((port) => ({ address: '127.0.0.1', port }));
  if (local === undefined || remote === undefined) return t.fail();
  await using polling = Polling.start({ subjects: [{ local, remote }] });
  const [change] = await changesUntil(polling, () => true);
  t.like(change, { state: 'CLOSE', via: 'sock_diag' });
});

test('a reader who is slow loses changes, and can tell', async (t) => {
  const { client, server } = connected(ownedBy(t));
  await using polling = Polling.start({ subjects: [{ fd: client }, { fd: server }], limit: 1 });
  polling.look();
  t.is(polling.dropped, 1);
});

test('an interval or a limit that is none is refused', (t) => {
  for (const limit of [-1, Number.NaN]) {
    t.throws(() => Polling.start({ limit }), { instanceOf: RangeError });
  }
  for (const everyMs of [0, -1, Number.NaN, 2 ** 31]) {
    t.throws(() => Polling.start({ everyMs }), { instanceOf: RangeError });
  }
});

testUnless(noNamespace, "another namespace's connection, through its sock_diag", async (t) => {
  await using world = await World.open('namespace');
  const actor = await world.actor('both ends');
  using owned = new sys.Descriptors();
  using diag = new SockDiag(await actor.socket(...SockDiag.socket));
  const open = async () =>
    owned.own(await actor.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  const [listener, client] = [await open(), await open()];
  await actor.bind(listener, { address: '127.0.0.1', port: 0 });
  await actor.listen(listener, 1);
  await actor.connect(client, sys.getsockname(listener));
  const subject = { local: sys.getsockname(client), remote: sys.getpeername(client) };
  await using polling = Polling.start({ subjects: [subject], diag });
  const [change] = await changesUntil(polling, () => true);
  t.is(change?.state, 'ESTABLISHED');
});

testUnless(noNamespace, 'a connection of a link, by the scope in its addresses', async (t) => {
  const { actor, one } = await linkLocal(t);
  using diag = new SockDiag(await actor.socket(...SockDiag.socket));
  const subject = { local: sys.getsockname(one.client), remote: sys.getpeername(one.client) };
  await using polling = Polling.start({ subjects: [subject], diag });
  const [change] = await changesUntil(polling, () => true);
  t.is(change?.state, 'ESTABLISHED');
  const elsewhere = { ...subject.remote, address: `fe80::5%${one.scope + 1}` };
  t.throws(() => polling.watch({ ...subject, remote: elsewhere }), {
    message: /^two interfaces: /,
  });
});

test('spin() sees a state come, and says how late it can be', async (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  // By the time that this thread has had a processor it has been spinning for a while, on a busy machine too.
  const worker = new Worker(
    `import { readFileSync } from 'node:fs';
     import { parentPort, workerData } from 'node:worker_threads';
     const { SYS, pid, client } = workerData;
     const sys = await import(SYS);
     const ticks = () => {
       const [, stat] = readFileSync('/proc/self/task/' + pid + '/stat', 'latin1').split(') ');
       const [user, system] = stat.split(' ').slice(11);
       return Number(user) + Number(system);
     };
     parentPort.postMessage('ready');
     for (const enough = ticks() + 10; ticks() < enough; );
     sys.shutdown(client, sys.SHUT_WR);`,
    { eval: true, workerData: { SYS, pid: process.pid, client } },
  );
  const ended = once(worker, 'exit');
  await once(worker, 'message');
  const seen = spin(server, 'CLOSE_WAIT', 6 * DEADLINE_MS);
  await ended;
  t.true(seen.reached);
  t.deepEqual(
    seen.changes.map(({ state }) => state),
    ['ESTABLISHED', 'CLOSE_WAIT'],
  );
  const [first, last] = seen.changes;
  t.is(first?.latenessNs, undefined);
  t.true((last?.latenessNs ?? 0) > 0 && (last?.latenessNs ?? 0) <= seen.longestGapNs);
  t.true(seen.looks > 1000, `${seen.looks} looks`);
});

test('spin() ends at its deadline, and at what is no TCP socket', (t) => {
  const owned = ownedBy(t);
  const { server } = connected(owned);
  const seen = spin(server, 'CLOSE_WAIT', 5);
  t.false(seen.reached);
  t.true(seen.elapsedNs >= 5e6);
  t.is(spin(server, 'ESTABLISHED', 0).looks, 1);
  const datagram = owned.own(sys.socket(sys.AF_INET, sys.SOCK_DGRAM | sys.SOCK_CLOEXEC));
  t.throws(() => spin(-1, 'CLOSE', 5), { code: 'EBADF' });
  t.throws(() => spin(datagram, 'CLOSE', 5), { instanceOf: sys.SyscallError });
});

for (const family of families) {
  testUnless(noNamespace, `the kernel tells of each socket's end, ${family.name}`, async (t) => {
    await using world = await World.open('namespace');
    await using observer = await DestroyObserver.start(await world.actor('destroy'));
    const actor = await world.actor('both ends');
    using owned = new sys.Descriptors();
    const open = async () =>
      owned.own(await actor.socket(family.domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    const [listener, client] = [await open(), await open()];
    await actor.bind(listener, { address: family.loopback, port: 0 });
    await actor.listen(listener, 1);
    await actor.connect(client, sys.getsockname(listener));
    const accepted = owned.own((await actor.accept(listener)).fd);
    const fds = [client, accepted, listener];
    const cookies = new Set(fds.map((fd) => sys.getOption(fd, 'SO_COOKIE')));
    const before = process.hrtime.bigint();
    for (const fd of fds) await actor.close(owned.release(fd));
    const deadline = setTimeout(() => void observer.stop(), DEADLINE_MS);
    const states: string[] = [];
    for await (const { tNs, source, socket } of observer) {
      t.is(source, 'sock_diag');
      t.true(tNs > before);
      if (cookies.delete(socket.cookie)) states.push(socket.state);
      if (cookies.size === 0) break;
    }
    clearTimeout(deadline);
    t.deepEqual(states, ['CLOSE', 'CLOSE', 'CLOSE']);
    t.is(observer.overruns + observer.dropped, 0);
    await observer.stop();
    await observer.stop();
  });
}

test('what each needs: nothing here', (t) => {
  for (const { available, reason } of [Polling.availability(), DestroyObserver.availability()]) {
    t.deepEqual({ available, reason }, { available: true, reason: undefined });
  }
});

testUnless(noOtherUser, 'a plain user may hear of the ends of sockets too', async (t) => {
  const script = `
    const { DestroyObserver } = await import(${JSON.stringify(DESTROY)});
    process.stdout.write(JSON.stringify(DestroyObserver.availability()));`;
  const { stdout } = spawnSync(
    'setpriv',
    [
      '--bounding-set=-all',
      '--inh-caps=-all',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ],
    { encoding: 'utf8' },
  );
  t.is(JSON.parse(stdout).available, true);
});

test('a feed hands on in order, ends, and throws what it was ended with', async (t) => {
  const feed = new Feed<{ n: number }>(3);
  for (const n of [1, 2, 3, 4]) feed.push({ n });
  t.is(feed.dropped, 1);
  for await (const { n } of feed) {
    t.is(n, 1);
    break;
  }
  const read: number[] = [];
  const failure = new Error('the end');
  await t.throwsAsync(
    async () => {
      for await (const { n } of feed) {
        read.push(n);
        if (n === 3) setImmediate(() => feed.push({ n: 5 }));
        if (n === 5) feed.end(failure);
      }
    },
    { is: failure },
  );
  t.deepEqual(read, [2, 3, 5], 'a reader who left goes on where it was');
});

test('of several readers each event goes to one, and the end to all', async (t) => {
  const feed = new Feed<{ n: number }>(3);
  const read: number[] = [];
  const reader = async () => {
    for await (const { n } of feed) read.push(n);
  };
  const readers = [reader(), reader(), reader()];
  feed.push({ n: 1 });
  setImmediate(() => {
    feed.push({ n: 2 });
    feed.end();
  });
  await Promise.all(readers);
  t.deepEqual(read, [1, 2]);
});

for (const [title, onChange, code] of [
  ['what a listener throws is thrown', "() => { throw new Error('not so'); }", 1],
  ['a listener that throws nothing', '() => setTimeout(() => process.exit(0), 5)', 0],
] as const) {
  test(`nobody reads: ${title}`, (t) => {
    const script = `
      const { Polling } = await import(${JSON.stringify(POLLING)});
      Polling.start({ subjects: [{ fd: 0 }], onChange: ${onChange} });`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 6 * DEADLINE_MS,
    });
    t.is(status, code);
    t.is(/Error: not so/.test(stderr), code === 1);
  });
}

test('a socket that never connected', async (t) => {
  const fd = tcp(ownedBy(t));
  t.deepEqual(
    spin(fd, 'CLOSE', 5).changes.map(({ state }) => state),
    ['CLOSE'],
  );
});
