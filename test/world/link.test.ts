import { randomBytes } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import { tcpInfo, tcpState } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import type { Match } from '../../src/world/fault.js';
import { type LinkedNetwork, Network } from '../../src/world/network.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from './ability.js';
import { type Actor, connectHosts, listenOn, socketOn, tcpCounters, versions } from './hosts.js';

interface Stage {
  readonly network: LinkedNetwork;
  readonly link: LinkedNetwork['link'];
  readonly fds: sys.Descriptors;
}

/** A test with two hosts and a link of its own. */
const linked = (title: string, run: (t: ExecutionContext, stage: Stage) => Promise<void>): void =>
  testUnless(noNamespace, title, async (t) => {
    await using network = await Network.open({ link: true });
    using fds = new sys.Descriptors();
    await run(t, { network, link: network.link, fds });
    t.is(network.link.lost, 0);
  });

const reaches = (fd: number, state: string) =>
  until(
    () => tcpState(fd) === state,
    () => `wanted ${state}, is in ${tcpState(fd)}`,
  );

/** A write that a signal interrupts (one that stops the process, and one that has it go on, will) has written a part. */
async function writeAll({ actor, fd }: Actor, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += await actor.write(fd, bytes.subarray(at));
}

async function readAll({ actor, fd }: Actor, length: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let left = length; left > 0; ) {
    const buffer = Buffer.alloc(65536);
    const n = await actor.read(fd, buffer);
    if (n === 0) break;
    parts.push(buffer.subarray(0, n));
    left -= n;
  }
  return Buffer.concat(parts);
}

for (const version of versions) {
  linked(`a megabyte each way over IPv${version}, unharmed`, async (t, { network, fds }) => {
    const { client, server } = await connectHosts(fds, network, version);
    const bytes = randomBytes(1 << 20);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      const reading = readAll(to, bytes.length);
      await writeAll(from, bytes);
      t.true((await reading).equals(bytes));
      const counters = await tcpCounters(to.actor);
      t.is(counters['InCsumErrors'], 0);
      t.true((counters['InSegs'] ?? 0) >= bytes.length / 1460);
    }
  });
}

linked('the first FIN is lost: FIN_WAIT1 until it is sent again', async (t, stage) => {
  const { link, fds, network } = stage;
  const { client, server } = await connectHosts(fds, network);
  const lost = link.drop({ from: 'client', flags: 'F', nth: 1 });
  const again = link.watch({ from: 'client', flags: 'F', nth: 2 });
  // What is sent again waits until both ends have been looked at.
  link.pause();
  await client.actor.shutdown(client.fd, sys.SHUT_WR);
  const { from, segment, tNs } = await lost.hit;
  t.is(from, 'client');
  t.is(segment.flags, 'F.');
  t.is(tcpState(client.fd), 'FIN_WAIT1');
  t.is(tcpState(server.fd), 'ESTABLISHED');
  link.resume();
  t.true((await again.hit).tNs > tNs);
  await reaches(client.fd, 'FIN_WAIT2');
  await reaches(server.fd, 'CLOSE_WAIT');
  // Once, or more often where this process had no processor for seconds.
  const { totalRetrans = 0 } = tcpInfo(client.fd);
  t.true(totalRetrans >= 1);
  await until(
    () => lost.matched === 1 + totalRetrans,
    () => `${lost.matched} FINs were sent, ${totalRetrans} of them again`,
  );
  t.is(lost.applied, 1);
});

linked('the SYN+ACK is lost: SYN_SENT until it is sent again', async (t, stage) => {
  const { link, fds, network } = stage;
  const listener = await listenOn(fds, network.server);
  const lost = link.drop({ flags: 'S.', nth: 1 });
  link.pause('server');
  const actor = await network.client.actor('client');
  const fd = await socketOn(fds, actor);
  const connecting = actor.connect(fd, listener.address);
  t.is((await lost.hit).from, 'server');
  t.is(tcpState(fd), 'SYN_SENT');
  link.resume('server');
  await connecting;
  t.is(tcpState(fd), 'ESTABLISHED');
  t.true(lost.matched >= 2);
  t.is(lost.applied, 1);
});

linked('every ACK to the last FIN is lost: LAST_ACK, until it is not', async (t, stage) => {
  const { link, fds, network } = stage;
  const { client, server } = await connectHosts(fds, network);
  await client.actor.shutdown(client.fd, sys.SHUT_WR);
  await reaches(server.fd, 'CLOSE_WAIT');
  await reaches(client.fd, 'FIN_WAIT2');
  using lost = link.drop({ from: 'client' });
  await server.actor.shutdown(server.fd, sys.SHUT_WR);
  await lost.hit;
  t.is(tcpState(server.fd), 'LAST_ACK');
  lost.remove();
  await reaches(server.fd, 'CLOSE');
});

linked('both close while the world is stopped: CLOSING', async (t, stage) => {
  const { link, fds, network } = stage;
  const { client, server } = await connectHosts(fds, network);
  link.pause();
  const fins = [
    link.watch({ from: 'client', flags: 'F' }),
    link.watch({ from: 'server', flags: 'F' }),
  ];
  await client.actor.shutdown(client.fd, sys.SHUT_WR);
  await server.actor.shutdown(server.fd, sys.SHUT_WR);
  await Promise.all(fins.map(({ hit }) => hit));
  t.is(tcpState(client.fd), 'FIN_WAIT1');
  t.is(tcpState(server.fd), 'FIN_WAIT1');
  t.true(link.held >= 2);
  link.resume('client');
  await reaches(server.fd, 'CLOSING');
  t.is(tcpState(client.fd), 'FIN_WAIT1');
  link.resume();
  // The descriptor of a connection in TIME_WAIT reads CLOSE.
  await reaches(client.fd, 'CLOSE');
  await reaches(server.fd, 'CLOSE');
  t.is(link.held, 0);
});

linked('a delayed FIN comes late, and not before', async (t, { link, fds, network }) => {
  const { client, server } = await connectHosts(fds, network);
  const late = link.delay({ from: 'client', flags: 'F' }, 50);
  const reading = server.actor.read(server.fd, new Uint8Array(1));
  const closing = client.actor.shutdown(client.fd, sys.SHUT_WR);
  const { tNs } = await late.hit;
  // In the same turn of the loop: no timer has run since.
  t.is(tcpState(client.fd), 'FIN_WAIT1');
  await closing;
  t.is(await reading, 0);
  // A timer of Node's counts whole milliseconds, and may begin within one.
  t.true(process.hrtime.bigint() - tNs >= 49_000_000n);
  await reaches(client.fd, 'FIN_WAIT2');
});

linked('a duplicate is told of by the receiver, and read once', async (t, stage) => {
  const { link, fds, network } = stage;
  const { client, server } = await connectHosts(fds, network);
  const twice = link.duplicate({ from: 'client', payload: true, nth: 1 });
  await client.actor.write(client.fd, 'once');
  await twice.hit;
  t.is((await readAll(server, 4)).toString(), 'once');
  // RFC 2883: the second copy is reported by a D-SACK.
  await until(
    () => (tcpInfo(client.fd).dsackDups ?? 0) >= 1,
    () => JSON.stringify(tcpInfo(client.fd)),
  );
});

linked('a segment is overtaken by the next, and read in order', async (t, stage) => {
  const { link, fds, network } = stage;
  const { client, server } = await connectHosts(fds, network);
  sys.setOption(client.fd, 'TCP_NODELAY', true);
  const overtaken = link.reorder({ from: 'client', payload: true, nth: 1 });
  const next = link.watch({ from: 'client', payload: true, nth: 2 });
  link.pause('client');
  const { actor, fd } = client;
  // One after the other, without a turn of the loop between them: what is sent again would overtake, too.
  await Promise.all([actor.write(fd, 'one '), actor.write(fd, 'two')]);
  t.is((await overtaken.hit).segment.payloadLength, 4);
  t.is((await next.hit).segment.payloadLength, 3);
  t.true(link.held >= 2);
  link.resume('client');
  t.is((await readAll(server, 7)).toString(), 'one two');
  t.is(tcpInfo(server.fd).rcvOoopack, 1);
  t.is(link.held, 0);
});

linked(
  'a cut link: ETIMEDOUT after TCP_USER_TIMEOUT; mended, it carries again',
  async (t, stage) => {
    const { link, fds, network } = stage;
    const first = await connectHosts(fds, network);
    sys.setOption(first.client.fd, 'TCP_USER_TIMEOUT', 300);
    link.cut();
    await first.client.actor.write(first.client.fd, 'lost');
    await t.throwsAsync(first.client.actor.read(first.client.fd, new Uint8Array(1)), {
      code: 'ETIMEDOUT',
    });
    t.is(tcpState(first.server.fd), 'ESTABLISHED');
    link.mend();
    const second = await connectHosts(fds, network);
    await second.client.actor.write(second.client.fd, 'found');
    t.is((await readAll(second.server, 5)).toString(), 'found');
  },
);

linked('the first fault that means a segment decides; all of them count it', async (t, stage) => {
  const { link, fds, network } = stage;
  const { client, server } = await connectHosts(fds, network);
  const all = link.watch({ payload: true });
  const lost = link.drop({ payload: true, count: 1 });
  const never = link.duplicate({ payload: true, count: 1 });
  await client.actor.write(client.fd, 'x');
  t.is((await readAll(server, 1)).toString(), 'x');
  t.is(lost.applied, 1);
  t.true(never.matched >= 2);
  t.is(never.applied, 0);
  t.is(all.applied, all.matched);
  t.is(all.matched, lost.matched);
});

const wrong: readonly {
  does: string;
  match: object;
  error: typeof TypeError | typeof RangeError;
}[] = [
  { does: 'an unknown host', match: { from: 'peer' }, error: RangeError },
  { does: 'an unknown flag', match: { flags: 'X' }, error: RangeError },
  { does: 'no flag', match: { flags: '' }, error: RangeError },
  { does: 'flags as a number', match: { flags: 1 }, error: RangeError },
  { does: 'a payload by its length', match: { payload: 5 }, error: TypeError },
  { does: 'the zeroth', match: { nth: 0 }, error: RangeError },
  { does: 'a half', match: { nth: 1.5 }, error: RangeError },
  { does: 'none', match: { count: 0 }, error: RangeError },
  { does: 'a field that is none', match: { flag: 'F' }, error: TypeError },
  { does: 'flags alone', match: 'F' as unknown as object, error: TypeError },
];

linked('what becomes of a match later is not looked at', async (t, { link, network, fds }) => {
  const match = { flags: 'S', from: 'client' } as const;
  using fault = link.watch(match);
  Object.assign(match, { flags: 5 });
  await connectHosts(fds, network);
  t.true(fault.applied >= 1);
});

linked('what can match nothing is refused', async (t, { link }) => {
  for (const { does, match, error } of wrong)
    t.throws(() => link.drop(match as Match), { instanceOf: error }, does);
  for (const ms of [-1, Number.NaN, 2 ** 31])
    t.throws(() => link.delay({}, ms), { instanceOf: RangeError });
  t.throws(() => link.delay({}, '1' as never), { instanceOf: TypeError });
  for (const from of ['peer', 'toString'] as unknown as 'client'[])
    t.throws(() => link.pause(from), { instanceOf: RangeError });
});

testUnless(
  noNamespace,
  'a link that is closed takes nothing more, and nobody waits for it',
  async (t) => {
    await using network = await Network.open({ link: true });
    const { link } = network;
    const never = link.drop();
    const removed = link.drop();
    removed.remove();
    removed.remove();
    await Promise.all([link.close(), link.close()]);
    await t.throwsAsync(never.hit, { message: 'the link is closed' });
    await t.throwsAsync(removed.hit, { message: /removed/ });
    t.throws(() => link.drop(), { message: 'the link is closed' });
    t.throws(() => link.resume(), { message: 'the link is closed' });
    t.is(link.lost, 0);
  },
);

testUnless(noNamespace, 'a link whose host is gone fails, and says so', async (t) => {
  await using network = await Network.open({ link: true });
  const never = network.link.drop();
  await network.client.namespace.close();
  await t.throwsAsync(never.hit, { message: /^the link has failed: recv.* ENETDOWN/ });
  t.throws(() => network.link.drop(), { message: /the link has failed/ });
});
