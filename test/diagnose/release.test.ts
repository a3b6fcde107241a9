/** Remedies on real connections: what each does to both ends, and what they refuse. */
import { openSync } from 'node:fs';
import {
  CannotRelease,
  destroyConnection,
  findConnection,
  findTarget,
  releaseTarget,
} from '../../src/diagnose/release.js';
import { snapshot } from '../../src/observer/sock-diag.js';
import { tcpState } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import { formatEndpoint } from '../../src/tcp/address.js';
import { CLI } from '../cli/closewait.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { linkLocal } from '../fixture/link-local.js';
import { netAdmin, testWith } from '../fixture/privilege.js';
import {
  awaitEvents,
  connected,
  drain,
  families,
  ipv4,
  ipv6,
  listening,
  NONBLOCKING,
  tcp,
} from '../fixture/sockets.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from '../world/ability.js';

const { pid } = process;
const DEADLINE_MS = 5000;

for (const family of families) {
  test(`shutdown: CLOSE_WAIT of ${family.name} ends, the peer gets a FIN`, async (t) => {
    const owned = ownedBy(t);
    const { client, server } = connected(owned, family);
    sys.shutdown(client, sys.SHUT_WR);
    drain(server);
    const target = findTarget(pid, server);
    const local = sys.getsockname(server);
    t.like(target, { pid, fd: server, state: 'CLOSE_WAIT', local, holders: [{ pid, fd: server }] });
    const released = await releaseTarget(target, 'shutdown', DEADLINE_MS);
    t.like(released, { helped: true, before: 'CLOSE_WAIT', after: 'CLOSE' });
    t.deepEqual(released.stillHeld, [{ pid, fd: server }]);
    t.is(sys.read(client, Buffer.alloc(1)), 0);
  });

  test(`reset: CLOSE_WAIT of ${family.name} ends, the peer gets a RST`, async (t) => {
    const owned = ownedBy(t);
    const { client, server } = connected(owned, family);
    sys.shutdown(client, sys.SHUT_WR);
    awaitEvents(server, sys.POLLRDHUP);
    const released = await releaseTarget(findTarget(pid, server), 'reset', DEADLINE_MS);
    t.like(released, { helped: true, before: 'CLOSE_WAIT', after: 'CLOSE' });
    awaitEvents(client, sys.POLLIN);
    t.throws(() => sys.read(client, Buffer.alloc(1)), { code: 'ECONNRESET' });
  });
}

for (const how of ['shutdown', 'reset'] as const) {
  test(`${how}: a connection that nobody answers, SYN_SENT, ends`, async (t) => {
    const owned = ownedBy(t);
    const { fd } = listening(owned, ipv4, 0);
    const address = sys.getsockname(fd);
    // One may wait; the SYN of a second is passed over.
    sys.connect(tcp(owned), address);
    awaitEvents(fd, sys.POLLIN);
    const waiting = owned.own(sys.socket(sys.AF_INET, NONBLOCKING));
    t.throws(() => sys.connect(waiting, address), { code: 'EINPROGRESS' });
    const target = findTarget(pid, waiting);
    t.like(target, { state: 'SYN_SENT', remote: address });
    const released = await releaseTarget(target, how, DEADLINE_MS);
    t.like(released, { helped: true, before: 'SYN_SENT', after: 'CLOSE' });
  });
}

/** An end that has shut down its sending half, in FIN_WAIT2 by now. */
async function finWait2(owned: sys.Descriptors): Promise<number> {
  const { client } = connected(owned);
  sys.shutdown(client, sys.SHUT_WR);
  await until(
    () => tcpState(client) === 'FIN_WAIT2',
    () => tcpState(client),
  );
  return client;
}

test('shutdown does not help a held FIN_WAIT2: its FIN is out already', async (t) => {
  const client = await finWait2(ownedBy(t));
  const released = await releaseTarget(findTarget(pid, client), 'shutdown', 50);
  t.like(released, { helped: false, before: 'FIN_WAIT2', after: 'FIN_WAIT2' });
});

test('reset helps a held FIN_WAIT2', async (t) => {
  const client = await finWait2(ownedBy(t));
  const released = await releaseTarget(findTarget(pid, client), 'reset', DEADLINE_MS);
  t.like(released, { helped: true, before: 'FIN_WAIT2', after: 'CLOSE' });
});

test('lingering by 0 on a copy resets nothing: why reset disconnects', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const copy = owned.own(sys.dup(server));
  sys.setOption(copy, 'SO_LINGER', { on: true, seconds: 0 });
  owned.close(copy);
  t.is(tcpState(server), 'ESTABLISHED');
  t.is(tcpState(client), 'ESTABLISHED');
});

test('a socket held twice ends for both', async (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  sys.shutdown(client, sys.SHUT_WR);
  const copy = owned.own(sys.dup(server));
  const target = findTarget(pid, server);
  t.deepEqual(target.holders, [
    { pid, fd: server },
    { pid, fd: copy },
  ]);
  t.true((await releaseTarget(target, 'reset', DEADLINE_MS)).helped);
  t.is(tcpState(copy), 'CLOSE');
});

test('refused: a descriptor that leads elsewhere by now', async (t) => {
  const owned = ownedBy(t);
  const [first, second] = [connected(owned), connected(owned)];
  const target = findTarget(pid, first.server);
  sys.dup3(second.server, first.server, sys.O_CLOEXEC);
  const error = await t.throwsAsync(releaseTarget(target, 'reset', 1), {
    instanceOf: CannotRelease,
  });
  t.regex(error?.message ?? '', /is another socket by now/);
  t.is(tcpState(second.server), 'ESTABLISHED');
});

for (const [what, open, says] of [
  ['a file', () => openSync('/dev/null', 'r'), /is no TCP socket/],
  ['a UDP socket', () => sys.socket(sys.AF_INET, sys.SOCK_DGRAM), /is no TCP socket/],
  ['a Unix socket', () => sys.socket(sys.AF_UNIX, sys.SOCK_STREAM), /is no TCP socket/],
  ['a TCP socket without a connection', () => sys.socket(sys.AF_INET, sys.SOCK_STREAM), /CLOSE/],
] as const) {
  test(`refused: ${what}`, (t) => {
    const fd = ownedBy(t).own(open());
    t.throws(() => findTarget(pid, fd), { instanceOf: CannotRelease, message: says });
  });
}

test('refused: a listener', (t) => {
  const { fd } = listening(ownedBy(t));
  t.throws(() => findTarget(pid, fd), { instanceOf: CannotRelease, message: /listens/ });
});

test('refused: no such descriptor, no such process', (t) => {
  t.throws(() => findTarget(pid, 1 << 20), {
    instanceOf: CannotRelease,
    message: `pid ${pid} has no fd 1048576`,
  });
  t.throws(() => findTarget(2 ** 22 + 1, 0), {
    instanceOf: CannotRelease,
    message: 'no process 4194305',
  });
});

for (const family of families) {
  testWith(netAdmin)(`destroy: one ${family.name} connection by its endpoints`, async (t) => {
    const owned = ownedBy(t);
    const { client, server } = connected(owned, family);
    sys.shutdown(client, sys.SHUT_WR);
    drain(server);
    const [local, remote] = [sys.getsockname(server), sys.getpeername(server)];
    const row = await findConnection({ local, remote }, pid);
    t.like(row, { state: 'CLOSE_WAIT', local, remote });
    const released = await destroyConnection(row, DEADLINE_MS, pid);
    t.like(released, { helped: true, before: 'CLOSE_WAIT', after: 'CLOSE' });
    t.deepEqual(released.stillHeld, [{ pid, fd: server }]);
    t.false(snapshot({ states: ['CLOSE_WAIT'] }).cookie.includes(row.cookie));
    t.throws(() => sys.read(client, Buffer.alloc(1)), { code: 'ECONNRESET' });
  });
}

testWith(netAdmin)('destroy: a later socket of the same endpoints is spared', async (t) => {
  const { server } = connected(ownedBy(t));
  const [local, remote] = [sys.getsockname(server), sys.getpeername(server)];
  const row = await findConnection({ local, remote });
  const earlier = { ...row, cookie: row.cookie + 1n };
  await t.throwsAsync(destroyConnection(earlier, 1), { message: /^sock_destroy (ESTALE|ENOENT)/ });
  t.is(tcpState(server), 'ESTABLISHED');
});

test('an IPv4 connection of an IPv6 socket is found by its IPv4 addresses', async (t) => {
  const owned = ownedBy(t);
  const listener = owned.own(sys.socket(sys.AF_INET6, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  sys.bind(listener, { address: '::', port: 0 });
  sys.listen(listener, 1);
  const { port } = sys.getsockname(listener);
  const client = tcp(owned);
  sys.connect(client, { address: '127.0.0.1', port });
  owned.own(sys.accept(listener).fd);
  const [local, remote] = [{ address: '127.0.0.1', port }, sys.getsockname(client)];
  t.is((await findConnection({ local, remote })).local.address, '::ffff:127.0.0.1');
  const written = { ...local, address: '::FFFF:7F00:1' };
  t.is((await findConnection({ local: written, remote })).local.port, port);
});

testUnless(noNamespace, 'destroy: of two links, the one of the scope', async (t) => {
  const { actor, one, other } = await linkLocal(t);
  const owned = ownedBy(t);
  const [stdin, open] = sys.pipe2(sys.O_CLOEXEC);
  owned.own(stdin);
  owned.own(open);
  const nowhere = owned.own(sys.open('/dev/null', sys.O_WRONLY | sys.O_CLOEXEC));
  const inside = await actor.spawn('/bin/cat', { argv: ['cat'], stdio: [stdin, nowhere, nowhere] });
  owned.own(inside.pidfd);
  const [local, remote] = [sys.getsockname(one.server), sys.getpeername(one.server)];
  const bare = (end: sys.SocketAddress) => ({ ...end, address: 'fe80:0::5' });
  await t.throwsAsync(findConnection({ local: bare(local), remote: bare(remote) }, inside.pid), {
    message: /^2 sockets have these endpoints/,
  });
  const row = await findConnection({ local, remote: bare(remote) }, inside.pid);
  t.is(row.cookie, sys.getOption(one.server, 'SO_COOKIE'));
  const elsewhere = { ...remote, address: `fe80::5%${other.scope}` };
  await t.throwsAsync(findConnection({ local, remote: elsewhere }, inside.pid), {
    message: /^no socket has these endpoints/,
  });
  const released = await destroyConnection(row, DEADLINE_MS, inside.pid);
  t.like(released, { helped: true, after: 'CLOSE', stillHeld: [{ pid, fd: one.server }] });
  t.throws(() => sys.read(one.client, Buffer.alloc(1)), { code: 'ECONNRESET' });

  const ends = [sys.getsockname(other.server), sys.getpeername(other.server)];
  const argv = [
    'node',
    CLI,
    'release',
    '--yes',
    '--json',
    '--destroy',
    ...ends.map(formatEndpoint),
  ];
  const [output, stdout] = sys.pipe2(sys.O_CLOEXEC);
  owned.own(output);
  owned.own(stdout);
  const command = await actor.spawn(process.execPath, { argv, stdio: [nowhere, stdout, nowhere] });
  owned.own(command.pidfd);
  t.like(await actor.waitid(sys.P_PIDFD, command.pidfd), { code: sys.CLD_EXITED, status: 0 });
  t.is(tcpState(other.server), 'CLOSE');
  const told = Buffer.alloc(65_536);
  const { target } = JSON.parse(told.toString('utf8', 0, sys.read(output, told)));
  t.like(target, { local: ends[0], remote: ends[1] });
  owned.close(open);
  await actor.waitid(sys.P_PIDFD, inside.pidfd);
});

test('an IPv6 address is the same however it is written', async (t) => {
  const { client } = connected(ownedBy(t), ipv6);
  const [local, remote] = [sys.getsockname(client), sys.getpeername(client)];
  const written = { ...local, address: '0:0:0:0:0:0:0:1' };
  t.like(await findConnection({ local: written, remote }), { local, remote });
});

test('refused: endpoints of none, and of a listener', async (t) => {
  const { address, port } = listening(ownedBy(t));
  const local = { address, port };
  await t.throwsAsync(findConnection({ local, remote: { address, port: 1 } }), {
    instanceOf: CannotRelease,
    message: /no socket has these endpoints/,
  });
  await t.throwsAsync(findConnection({ local, remote: { address: '0.0.0.0', port: 0 } }), {
    instanceOf: CannotRelease,
    message: /it listens/,
  });
});
