import { readFileSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { tcpState } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import { Namespace } from '../../src/world/namespace.js';
import { Network } from '../../src/world/network.js';
import { dropArriving } from '../../src/world/socket-fault.js';
import { World } from '../../src/world/world.js';
import { HeldNamespaces } from '../experiment/traces.js';
import { test } from '../fixture/descriptors.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from './ability.js';
import { addressOf, connectHosts, readOn, tcpCounters, versions } from './hosts.js';

const FIN_TIMEOUT = 'net/ipv4/tcp_fin_timeout';
const PORTS = 'net/ipv4/ip_local_port_range';

const inNamespaces = (title: string, run: (t: ExecutionContext) => Promise<void>): void =>
  testUnless(noNamespace, title, run);

for (const version of versions) {
  inNamespaces(`hosts speak TCP over IPv${version}, and see each other's address`, async (t) => {
    await using network = await Network.open();
    using fds = new sys.Descriptors();
    const { client, server, from } = await connectHosts(fds, network, version);
    t.is(from, addressOf(network.client, version));
    const { address } = await client.actor.getpeername(client.fd);
    t.is(address, addressOf(network.server, version));
    await client.actor.write(client.fd, 'test');
    t.is(await server.actor.read(server.fd, new Uint8Array(8)), 4);
    t.is((await tcpCounters(server.actor))['InCsumErrors'], 0);
  });

  inNamespaces(`both ends of a loopback world have its address of IPv${version}`, async (t) => {
    await using world = await World.open('namespace');
    using fds = new sys.Descriptors();
    const { client, from } = await connectHosts(fds, world, version);
    t.is(from, addressOf(world, version));
    t.is((await client.actor.getpeername(client.fd)).address, addressOf(world, version));
  });
}

inNamespaces('a host has lo besides eth0, and nothing else', async (t) => {
  await using network = await Network.open();
  const actor = await network.client.actor('look');
  const lines = (await readOn(actor, '/proc/thread-self/net/dev')).trim().split('\n').slice(2);
  const addresses = (await readOn(actor, '/proc/thread-self/net/if_inet6')).trim().split('\n');
  t.deepEqual(addresses.map((line) => line.split(' ').at(-1)).sort(), ['eth0', 'lo']);
  t.deepEqual(lines.map((line) => line.trim().split(':')[0]).sort(), ['eth0', 'lo']);
  using fds = new sys.Descriptors();
  const listener = fds.own(await actor.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  await actor.bind(listener, { address: '127.0.0.1', port: 0 });
  await actor.listen(listener, 1);
  const fd = fds.own(await actor.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  await t.notThrowsAsync(actor.connect(fd, await actor.getsockname(listener)));
});

for (const version of versions) {
  inNamespaces(`a handshake over IPv${version} is all there is on the wire`, async (t) => {
    await using network = await Network.open();
    using fds = new sys.Descriptors();
    const { client } = await connectHosts(fds, network, version);
    const devices = await readOn(client.actor, '/proc/thread-self/net/dev');
    const [, counts = ''] = /eth0:(.*)/.exec(devices) ?? [];
    const columns = counts.trim().split(/\s+/).map(Number);
    t.is(columns[1], 1, 'SYN+ACK received');
    t.is(columns[9], 2, 'SYN and ACK sent');
    // Nobody is told of groups either: those of every node are the only ones.
    const groups = (await readOn(client.actor, '/proc/thread-self/net/igmp6')).match(/eth0 +\S+/g);
    t.deepEqual(
      groups?.map((line) => line.split(/ +/)[1]),
      ['ff020000000000000000000000000001', 'ff010000000000000000000000000001'],
    );
  });
}

inNamespaces("a setting is one host's, and nobody else's", async (t) => {
  await using network = await Network.open();
  const here = readFileSync(`/proc/sys/${FIN_TIMEOUT}`, 'utf8');
  const [a, b] = [await network.client.actor('a'), await network.server.actor('b')];
  const before = await readOn(b, `/proc/sys/${FIN_TIMEOUT}`);
  await network.client.setSysctl(FIN_TIMEOUT, '7');
  await network.client.setSysctl(PORTS, '40000 40001');
  t.is(await readOn(a, `/proc/sys/${FIN_TIMEOUT}`), '7\n');
  t.is(await readOn(b, `/proc/sys/${FIN_TIMEOUT}`), before);
  t.is(readFileSync(`/proc/sys/${FIN_TIMEOUT}`, 'utf8'), here);
  using fds = new sys.Descriptors();
  const { client } = await connectHosts(fds, network);
  const { port } = await client.actor.getsockname(client.fd);
  t.true(port === 40000 || port === 40001);
});

for (const path of [
  'kernel/pid_max',
  'net/../kernel/pid_max',
  '../proc/sys/net/ipv4/tcp_fin_timeout',
  '/net/ipv4/tcp_fin_timeout',
  'net',
  'net//ipv4',
  '',
]) {
  inNamespaces(`a setting that is no namespace's own is refused: ${path}`, async (t) => {
    await using world = await World.open('namespace');
    await t.throwsAsync(world.setSysctl(path, '1'), { instanceOf: RangeError });
  });
}

inNamespaces('IPv6 that a namespace was born without is switched on', async (t) => {
  await using namespace = await Namespace.open();
  await namespace.setSysctl('net/ipv6/conf/all/disable_ipv6', '1');
  t.true(await namespace.enableIpv6());
  t.is(await namespace.getSysctl('net/ipv6/conf/lo/disable_ipv6'), '0');
  t.is(await namespace.getSysctl('net/ipv6/conf/default/disable_ipv6'), '0');
});

inNamespaces('a program that an actor starts lives on its host', async (t) => {
  await using network = await Network.open();
  using fds = new sys.Descriptors();
  const actor = await network.server.actor('shell');
  const [out, into] = await actor.pipe2(sys.O_CLOEXEC);
  fds.own(out);
  const { pidfd } = await actor.spawn('/bin/sh', {
    argv: ['sh', '-c', 'readlink /proc/self/ns/net'],
    stdio: [0, fds.own(into), 2],
  });
  fds.own(pidfd);
  fds.close(into);
  const buffer = new Uint8Array(64);
  const length = await actor.read(out, buffer);
  t.is(Buffer.from(buffer.subarray(0, length)).toString(), `net:[${network.server.inode}]\n`);
  await actor.waitid(sys.P_PIDFD, pidfd);
});

inNamespaces('twenty networks at once, each with addresses of its own', async (t) => {
  const networks = await Promise.all(
    Array.from({ length: 20 }, (_, i) => Network.open({ link: i % 2 === 0 })),
  );
  try {
    const hosts = networks.flatMap(({ client, server }) => [client, server]);
    for (const version of versions) {
      t.is(new Set(hosts.map((host) => addressOf(host, version))).size, hosts.length);
    }
    await Promise.all(
      networks.map(async (network) => {
        using fds = new sys.Descriptors();
        const { from } = await connectHosts(fds, network);
        t.is(from, addressOf(network.client));
      }),
    );
  } finally {
    await Promise.all(networks.map((network) => network.close()));
  }
});

inNamespaces('a network is gone when it is closed; twice is once', async (t) => {
  const network = await Network.open({ link: true });
  const { client, server } = network;
  const actor = await client.actor('inside');
  const blocked = t.throwsAsync(actor.nanosleep(1000), { name: 'AbortError' });
  await server.actor('inside');
  using namespaces = new HeldNamespaces();
  namespaces.hold(process.pid);
  for (const { inode } of [client, server]) t.true(namespaces.names.includes(`net:[${inode}]`));
  await until(
    () => namespaces.kept.length === namespaces.names.length,
    () => namespaces.kept.join(', '),
  );
  await Promise.all([network.close(), network.close()]);
  await network.close();
  await blocked;
  await until(
    () => namespaces.kept.length === 0,
    () => namespaces.kept.join(', '),
  );
  await t.throwsAsync(client.actor('late'), { message: /closed/ });
  await t.throwsAsync(server.setSysctl(FIN_TIMEOUT, '7'), { message: /closed/ });
});

test("the addresses of a host world are the host's", async (t) => {
  await using world = await World.open('host');
  t.deepEqual(world.addresses, { 4: '127.0.0.1', 6: '::1' });
  t.is(world.client, world);
  t.is(world.server, world);
});

inNamespaces('a deaf socket hears nothing until it does again', async (t) => {
  await using world = await World.open('namespace');
  using fds = new sys.Descriptors();
  const { client, server } = await connectHosts(fds, world);
  const deaf = dropArriving(server.fd);
  await client.actor.shutdown(client.fd, sys.SHUT_WR);
  t.is(tcpState(client.fd), 'FIN_WAIT1');
  t.is(tcpState(server.fd), 'ESTABLISHED');
  deaf[Symbol.dispose]();
  deaf[Symbol.dispose]();
  await until(
    () => tcpState(server.fd) === 'CLOSE_WAIT',
    () => tcpState(server.fd),
  );
  const gone = dropArriving(server.fd);
  fds.close(server.fd);
  t.notThrows(() => gone[Symbol.dispose]());
});
