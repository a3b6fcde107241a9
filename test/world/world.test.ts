import { existsSync, readFileSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { SockDiag, snapshot } from '../../src/observer/sock-diag.js';
import { tcpInfo } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import { privilege, World } from '../../src/world/world.js';
import { HeldNamespaces, namespacesOf } from '../experiment/traces.js';
import { test } from '../fixture/descriptors.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from './ability.js';

const FIN_TIMEOUT = 'net/ipv4/tcp_fin_timeout';
const RTO_MIN = 'net/ipv4/tcp_rto_min_us';
const HOST = namespacesOf(process.pid)[0] ?? '';

const inNamespaces = (title: string, run: (t: ExecutionContext) => Promise<void>): void =>
  testUnless(noNamespace, title, run);

/** Starts to listen inside; the descriptor is the caller's. */
async function listenIn(actor: sys.Actor, port = 0): Promise<{ fd: number; port: number }> {
  const fd = await actor.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC);
  await actor.bind(fd, { address: '127.0.0.1', port });
  await actor.listen(fd, 1);
  return { fd, port: (await actor.getsockname(fd)).port };
}

async function listenersOf(actor: sys.Actor): Promise<number[]> {
  using diag = new SockDiag(await actor.socket(...SockDiag.socket));
  return [...diag.snapshot({ states: ['LISTEN'] })].map(({ local }) => local.port);
}

async function read(actor: sys.Actor, path: string): Promise<string> {
  const fd = await actor.open(path, sys.O_RDONLY | sys.O_CLOEXEC);
  const buffer = new Uint8Array(64);
  const length = await actor.read(fd, buffer);
  await actor.close(fd);
  return Buffer.from(buffer.subarray(0, length)).toString().trim();
}

inNamespaces('two worlds and the host do not see each other', async (t) => {
  await using one = await World.open('namespace');
  await using other = await World.open('namespace');
  const [a, b] = [await one.actor('a'), await other.actor('b')];
  using fds = new sys.Descriptors();
  const first = await listenIn(a);
  fds.own(first.fd);
  t.deepEqual(await listenersOf(a), [first.port]);
  t.deepEqual(await listenersOf(b), []);

  const client = fds.own(await b.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  await t.throwsAsync(b.connect(client, { address: '127.0.0.1', port: first.port }), {
    code: 'ECONNREFUSED',
  });

  // The same address, free in the other world.
  fds.own((await listenIn(b, first.port)).fd);
  t.deepEqual(await listenersOf(b), [first.port]);
  const inside = sys.getOption(first.fd, 'SO_COOKIE');
  t.false([...snapshot()].some(({ cookie }) => cookie === inside));
});

inNamespaces('a new world has lo up, with IPv4 and IPv6, and nothing else', async (t) => {
  await using world = await World.open('namespace');
  const actor = await world.actor('lo');
  using fds = new sys.Descriptors();
  for (const [domain, address] of [
    [sys.AF_INET, '127.0.0.1'],
    [sys.AF_INET6, '::1'],
  ] as const) {
    const listener = fds.own(await actor.socket(domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    await actor.bind(listener, { address, port: 0 });
    await actor.listen(listener, 1);
    const client = fds.own(await actor.socket(domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    await actor.connect(client, await actor.getsockname(listener));
    t.is((await actor.getpeername(client)).address, address);
  }
  t.is((await listenersOf(actor)).length, 2);
});

inNamespaces('a setting is written inside, and nowhere else', async (t) => {
  await using one = await World.open('namespace');
  await using other = await World.open('namespace');
  const [a, b] = [await one.actor('a'), await other.actor('b')];
  const host = readFileSync(`/proc/sys/${FIN_TIMEOUT}`, 'utf8').trim();
  const fresh = await read(b, `/proc/sys/${FIN_TIMEOUT}`);
  await one.setSysctl(FIN_TIMEOUT, '7');
  t.is(await read(a, `/proc/sys/${FIN_TIMEOUT}`), '7');
  t.is(await read(b, `/proc/sys/${FIN_TIMEOUT}`), fresh);
  t.is(readFileSync(`/proc/sys/${FIN_TIMEOUT}`, 'utf8').trim(), host);
});

const isPatient = existsSync(`/proc/sys/${RTO_MIN}`);
testUnless(
  noNamespace ?? (isPatient ? undefined : `needs ${RTO_MIN}, of Linux 6.11`),
  'a new world sends nothing again that a busy machine has not delivered yet',
  async (t) => {
    await using world = await World.open('namespace');
    const actor = await world.actor('patient');
    using fds = new sys.Descriptors();
    const { fd: listener } = await listenIn(actor);
    fds.own(listener);
    const client = fds.own(await actor.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    await actor.connect(client, await actor.getsockname(listener));
    const { rtoUs = 0 } = tcpInfo(client);
    t.true(rtoUs >= 1_000_000, `${rtoUs} us`);
  },
);

inNamespaces('a setting that is none, or is not taken, is an error with its errno', async (t) => {
  await using world = await World.open('namespace');
  const missing = world.setSysctl('net/ipv4/tcp_no_such_thing', '1');
  await t.throwsAsync(missing, { code: 'ENOENT', message: /tcp_no_such_thing/ });
  await t.throwsAsync(world.setSysctl(FIN_TIMEOUT, 'soon'), { code: 'EINVAL' });
});

test('a host world refuses to change a setting', async (t) => {
  const host = readFileSync(`/proc/sys/${FIN_TIMEOUT}`, 'utf8');
  await using world = await World.open('host');
  t.is(world.kind, 'host');
  await t.throwsAsync(world.setSysctl(FIN_TIMEOUT, '7'), { message: /belongs to the host/ });
  t.is(readFileSync(`/proc/sys/${FIN_TIMEOUT}`, 'utf8'), host);
});

test('actors of a host world are in the network of this process', async (t) => {
  await using world = await World.open('host');
  const actor = await world.actor('here');
  const tid = await actor.gettid();
  t.true(namespacesOf(process.pid).every((name) => name === HOST));
  t.true(readFileSync(`/proc/self/task/${tid}/comm`, 'utf8').startsWith('here'));
});

inNamespaces('a world is gone when it is closed: threads, namespace, twice is once', async (t) => {
  const world = await World.open('namespace');
  const actor = await world.actor('inside');
  await world.actor('another');
  using namespaces = new HeldNamespaces();
  namespaces.hold(process.pid);
  const [namespace = ''] = namespaces.names;
  t.regex(namespace, /^net:\[\d+\]$/);
  const ours = `${namespace} kept by ${process.pid}`;
  await until(
    () => namespaces.kept.join() === ours,
    () => namespaces.kept.join(', '),
  );

  await Promise.all([world.close(), world.close()]);
  await world.close();
  await until(
    () => namespaces.kept.length === 0,
    () => namespaces.kept.join(', '),
  );
  await t.throwsAsync(actor.gettid());
});

inNamespaces('a call that blocks in a world does not keep it from closing', async (t) => {
  const world = await World.open('namespace');
  const actor = await world.actor('blocked');
  const { fd } = await listenIn(actor);
  const accepting = t.throwsAsync(actor.accept(fd), { name: 'AbortError' });
  await world.close();
  await accepting;
  sys.close(fd);
});

inNamespaces('a closed world takes no more actors', async (t) => {
  const world = await World.open('namespace');
  await world.close();
  await t.throwsAsync(world.actor('late'), { message: /closed/ });
  await t.throwsAsync(world.setSysctl(FIN_TIMEOUT, '7'), { message: /closed/ });
});

test('the privilege of this process is told from its user and its user namespace', (t) => {
  const map = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
  const expected =
    process.geteuid?.() !== 0
      ? 'plain'
      : map.join(' ') === '0 0 4294967295'
        ? 'root'
        : 'user-namespace';
  t.is(privilege(), expected);
});
