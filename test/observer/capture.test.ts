import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { Capture, type Frame } from '../../src/observer/capture.js';
import { UnavailableError } from '../../src/observer/unavailable-error.js';
import * as sys from '../../src/syscall/sys.js';
import { visit } from '../../src/world/visit.js';
import { World } from '../../src/world/world.js';
import { type Family, families, ipv4 } from '../fixture/sockets.js';
import { noNamespace, noOtherUser, testUnless } from '../world/ability.js';

const CAPTURE = new URL('../../src/observer/capture.js', import.meta.url).href;
const SYS = new URL('../../src/syscall/sys.js', import.meta.url).href;
const DEADLINE_MS = 10_000;

const noTun = ((): string | undefined => {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return;
  } catch (error) {
    return (error as Error).message;
  }
})();

const inNamespace = (title: string, run: (t: ExecutionContext) => Promise<void>): void =>
  testUnless(noNamespace, title, run);

/** A sender between two UDP sockets of a world: what it has sent has arrived, and lo's taps have seen it. */
async function datagrams(world: World, owned: sys.Descriptors, { domain, loopback }: Family) {
  const actor = await world.actor('datagrams');
  const open = async () => owned.own(await actor.socket(domain, sys.SOCK_DGRAM | sys.SOCK_CLOEXEC));
  const [from, to] = [await open(), await open()];
  await actor.bind(to, { address: loopback, port: 0 });
  const address = sys.getsockname(to);
  return (data: string | Uint8Array): void => {
    sys.sendto(from, data, 0, address);
    sys.recv(to, new Uint8Array(1));
  };
}

/** Runs ip(8) in a world. */
async function ip(world: World, ...args: string[]): Promise<void> {
  using _inside = await visit(world);
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

const carries =
  (text: string) =>
  ({ bytes }: Frame): boolean =>
    Buffer.from(bytes).includes(text);

for (const family of families) {
  inNamespace(`each frame of lo is seen once, ${family.name}`, async (t) => {
    await using world = await World.open('namespace');
    await using capture = await Capture.start(await world.actor('capture'));
    using owned = new sys.Descriptors();
    const send = await datagrams(world, owned, family);
    const texts = Array.from({ length: 20 }, (_, i) => `datagram ${i};`);
    for (const text of texts) send(text);
    t.true(await capture.until((frames) => frames.length >= texts.length, DEADLINE_MS));
    await capture.stop();
    for (const text of texts) t.is(capture.frames.filter(carries(text)).length, 1, text);
    t.is(capture.dropped, 0);
    t.true(capture.frames.every(({ segment }) => segment === undefined));
  });

  inNamespace(`the segments of a connection, in order, ${family.name}`, async (t) => {
    await using world = await World.open('namespace');
    await using capture = await Capture.start(await world.actor('capture'));
    const actor = await world.actor('both ends');
    using owned = new sys.Descriptors();
    const open = async () =>
      owned.own(await actor.socket(family.domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    const [listener, client] = [await open(), await open()];
    await actor.bind(listener, { address: family.loopback, port: 0 });
    await actor.listen(listener, 1);
    const server = sys.getsockname(listener);
    await actor.connect(client, server);
    const accepted = owned.own((await actor.accept(listener)).fd);
    await actor.write(client, 'hello');
    await actor.read(accepted, new Uint8Array(16));
    sys.setOption(accepted, 'SO_LINGER', { on: true, seconds: 0 });
    await actor.close(owned.release(accepted));
    const flags = () => capture.frames.map(({ segment }) => segment?.flags);
    t.true(await capture.until(() => flags().at(-1)?.includes('R') ?? false, DEADLINE_MS));
    await capture.stop();
    t.deepEqual(flags(), ['S', 'S.', '.', 'P.', '.', 'R.']);
    const [syn, , , data] = capture.frames.map(({ segment }) => segment);
    t.is(syn?.version, family.domain === sys.AF_INET ? 4 : 6);
    t.deepEqual(syn?.destination, server);
    t.is(Buffer.from(data?.payload ?? []).toString(), 'hello');
  });
}

inNamespace('time stamps lie between sending and receiving, within clockErrorNs', async (t) => {
  await using world = await World.open('namespace');
  await using capture = await Capture.start(await world.actor('capture'));
  using owned = new sys.Descriptors();
  const send = await datagrams(world, owned, ipv4);
  const spans = Array.from({ length: 20 }, (_, i) => {
    const sent = process.hrtime.bigint();
    send(`${i}`);
    return { sent, received: process.hrtime.bigint() };
  });
  t.true(await capture.until((frames) => frames.length >= spans.length, DEADLINE_MS));
  await capture.stop();
  t.true(capture.clockErrorNs > 0n && capture.clockErrorNs < 1_000_000n, `${capture.clockErrorNs}`);
  for (const [i, { sent, received }] of spans.entries()) {
    const at = capture.frames[i]?.monotonicNs ?? 0n;
    t.true(at >= sent - capture.clockErrorNs, `${i}: ${sent - at} ns before it was sent`);
    t.true(at <= received + capture.clockErrorNs, `${i}: ${at - received} ns after its receipt`);
  }
  const stamps = capture.frames.map(({ realtimeNs }) => realtimeNs);
  t.deepEqual(
    stamps,
    [...stamps].sort((a, b) => Number(a - b)),
  );
});

inNamespace('frames that found no room are counted', async (t) => {
  await using world = await World.open('namespace');
  await using capture = await Capture.start(await world.actor('capture'));
  using owned = new sys.Descriptors();
  const send = await datagrams(world, owned, ipv4);
  // This loop does not let the capture's results in: only the socket's own buffer takes them.
  const sent = 2000;
  const large = new Uint8Array(8000);
  for (let i = 0; i < sent; i++) send(large);
  await capture.stop();
  t.true(capture.dropped > 0);
  t.is(capture.frames.length + capture.dropped, sent);
});

inNamespace('a frame as large as lo allows is whole', async (t) => {
  await using world = await World.open('namespace');
  await using capture = await Capture.start(await world.actor('capture'));
  using owned = new sys.Descriptors();
  const send = await datagrams(world, owned, ipv4);
  const largest = 65_507;
  send(Buffer.alloc(largest, 'x'));
  t.true(
    await capture.until((frames) => frames.some(({ bytes }) => bytes.length > 0), DEADLINE_MS),
  );
  await capture.stop();
  // lo's MTU is 65536: an IPv4 datagram of 65535 bytes is one frame.
  t.deepEqual(
    capture.frames.map(({ bytes }) => bytes.length),
    [14 + 20 + 8 + largest],
  );
});

inNamespace('what was sent before stop() is there after it; stop() twice is once', async (t) => {
  await using world = await World.open('namespace');
  await using capture = await Capture.start(await world.actor('capture'));
  using owned = new sys.Descriptors();
  const send = await datagrams(world, owned, ipv4);
  for (let i = 0; i < 10; i++) send(`${i}`);
  await capture.stop();
  t.is(capture.frames.length, 10);
  await capture.stop();
  send('after');
  t.is(capture.frames.length, 10);
});

inNamespace('until() says false at its deadline, and when the capture stops', async (t) => {
  await using world = await World.open('namespace');
  await using capture = await Capture.start(await world.actor('capture'));
  t.false(await capture.until(() => false, 1));
  for (const deadlineMs of [Number.POSITIVE_INFINITY, 2 ** 31, -1, Number.NaN]) {
    await t.throwsAsync(
      capture.until(() => false, deadlineMs),
      { instanceOf: RangeError },
    );
  }
  const waiting = capture.until(() => false, 600_000);
  await capture.stop();
  t.false(await waiting);
});

inNamespace('an interface that is not there: ENODEV, and nothing stays open', async (t) => {
  await using world = await World.open('namespace');
  for (const name of ['eth9', '', 'a name that is too long', 'lo\0']) {
    const starting = Capture.start(await world.actor('capture'), name);
    await t.throwsAsync(starting, { code: 'ENODEV' }, JSON.stringify(name));
  }
});

inNamespace('a name is not taken for the one it begins with', async (t) => {
  await using world = await World.open('namespace');
  const name = 'fifteen-letters';
  await ip(world, 'link', 'add', name, 'up', 'type', 'veth');
  await (await Capture.start(await world.actor('capture'), name)).stop();
  const starting = Capture.start(await world.actor('capture'), `${name}-more`);
  await t.throwsAsync(starting, { code: 'ENODEV' });
});

testUnless(noNamespace ?? noTun, 'an interface without Ethernet headers is refused', async (t) => {
  await using world = await World.open('namespace');
  await ip(world, 'tuntap', 'add', 'tun0', 'mode', 'tun');
  const starting = Capture.start(await world.actor('capture'), 'tun0');
  await t.throwsAsync(starting, {
    instanceOf: UnavailableError,
    message: 'tun0 has no Ethernet headers (link type 65534)',
  });
});

inNamespace('a limit that limits nothing is refused', async (t) => {
  await using world = await World.open('namespace');
  for (const limit of [{ frames: Number.NaN }, { bytes: -1 }]) {
    const starting = Capture.start(await world.actor('capture'), 'lo', { limit });
    await t.throwsAsync(starting, { instanceOf: RangeError }, JSON.stringify(limit));
  }
});

inNamespace('a length to which nothing can be cut is refused', async (t) => {
  await using world = await World.open('namespace');
  for (const snaplen of [0, -1, 1.5, 2 ** 31]) {
    const starting = Capture.start(await world.actor('capture'), 'lo', { snaplen });
    await t.throwsAsync(starting, { instanceOf: RangeError }, `${snaplen}`);
  }
});

testUnless(noOtherUser, 'without CAP_NET_RAW: EPERM', async (t) => {
  const script = `
    const { Capture } = await import(${JSON.stringify(CAPTURE)});
    const { Actor } = await import(${JSON.stringify(SYS)});
    const told = await Capture.start(await Actor.start()).catch(({ code, syscall }) => ({ code, syscall }));
    process.stdout.write(JSON.stringify(told));`;
  const { stdout } = spawnSync(
    'setpriv',
    ['--bounding-set', '-net_raw', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  t.deepEqual(JSON.parse(stdout), { code: 'EPERM', syscall: 'socket' });
});
