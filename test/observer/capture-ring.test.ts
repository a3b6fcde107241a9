import { spawnSync } from 'node:child_process';
import { setImmediate as turn } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { Capture, type CaptureOptions } from '../../src/observer/capture.js';
import * as sys from '../../src/syscall/sys.js';
import type { PacketFilter } from '../../src/tcp/packet-filter.js';
import { World } from '../../src/world/world.js';
import { families, ipv4, ipv6 } from '../fixture/sockets.js';
import { noNamespace, noOtherUser, testUnless } from '../world/ability.js';

const CAPTURE = new URL('../../src/observer/capture.js', import.meta.url).href;
const UDP_HEADERS = 14 + 20 + 8;

interface Stage {
  readonly world: World;
  readonly actor: sys.Actor;
  readonly owned: sys.Descriptors;
  capture(options?: CaptureOptions): Promise<Capture>;
  /** A sender to a UDP port of its own, IPv4 unless told otherwise. What it has sent has arrived, and lo's taps have seen it. */
  datagrams(family?: (typeof families)[number]): Promise<Datagrams>;
}

interface Datagrams {
  readonly port: number;
  send(data: string | Uint8Array): void;
}

/** A test in a network namespace of its own, where nothing is on lo but what the test sends. */
const staged = (title: string, run: (t: ExecutionContext, stage: Stage) => Promise<void>): void =>
  testUnless(noNamespace, title, async (t) => {
    await using world = await World.open('namespace');
    using owned = new sys.Descriptors();
    const actor = await world.actor('traffic');
    await run(t, {
      world,
      actor,
      owned,
      capture: async (options) =>
        await Capture.start(await world.actor('capture'), 'lo', options ?? {}),
      datagrams: async ({ domain, loopback } = ipv4) => {
        const fd = owned.own(await actor.socket(domain, sys.SOCK_DGRAM | sys.SOCK_CLOEXEC));
        await actor.bind(fd, { address: loopback, port: 0 });
        const address = sys.getsockname(fd);
        const send = (data: string | Uint8Array): void => {
          sys.sendto(fd, data, 0, address);
          sys.recv(fd, new Uint8Array(1));
        };
        return { port: address.port, send };
      },
    });
  });

const texts = ({ frames }: Capture): string[] =>
  frames.map(({ bytes }) => Buffer.from(bytes).subarray(-4).toString('latin1'));

staged('the ring is the way in; flush() has every frame, once, both families', async (t, stage) => {
  await using capture = await stage.capture();
  t.is(capture.via, 'ring');
  t.is(capture.viaReason, undefined);
  const senders = await Promise.all(families.map((family) => stage.datagrams(family)));
  // On a machine that is slow each frame may get a block of its own: nobody reads the ring meanwhile, and there are 64.
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 25; i++) {
      for (const { send } of senders) send(String(round * 25 + i).padStart(4, '0'));
    }
    await capture.flush();
    t.is(capture.frames.length, (round + 1) * 50);
  }
  const numbers = Array.from({ length: 500 }, (_, i) => String(i).padStart(4, '0'));
  t.deepEqual(
    texts(capture),
    numbers.flatMap((text) => [text, text]),
  );
  t.true(capture.frames.every(({ outgoing }) => !outgoing));
  // Stamping is switched on in the background, sooner or later; once it is, it stays.
  while (capture.frames.at(-1)?.stamp !== 'software') {
    senders[0]?.send('more');
    await capture.flush();
  }
  const stamps = capture.frames.map(({ stamp }) => stamp);
  const switched = stamps.indexOf('software');
  t.true(stamps.every((stamp, i) => stamp === (i < switched ? 'copy' : 'software')));
  t.is(capture.dropped + capture.discarded, 0);
  t.deepEqual(capture.clockSteps, []);
});

staged(
  'drain() takes what the kernel has handed over, without a turn of the loop',
  async (t, stage) => {
    const ring = { blockBytes: 4096, blocks: 8, retireMs: 1000 };
    await using capture = await stage.capture({ ring });
    const { send } = await stage.datagrams();
    t.is(capture.drain(), 0);
    // 4096 bytes hold a few hundred bytes of headers and three of these: the fourth closes the block, if time has not.
    for (let i = 0; i < 4; i++) send(new Uint8Array(1000));
    const taken = capture.drain();
    t.true(taken > 0);
    t.is(capture.frames.length, taken);
  },
);

for (const [why, ring] of [
  ['blocks that are no pages', { blockBytes: 5000, blocks: 4, retireMs: 4 }],
  ['not asked for', false],
] as const) {
  staged(`without a ring (${why}) frames come by recvmsg, and it says so`, async (t, stage) => {
    await using capture = await stage.capture({ ring });
    t.is(capture.via, 'recvmsg');
    if (ring === false) t.is(capture.viaReason, undefined);
    else t.regex(capture.viaReason ?? '', /^no TPACKET_V3 ring: setsockopt EINVAL/);
    const senders = await Promise.all(families.map((family) => stage.datagrams(family)));
    const before = process.hrtime.bigint();
    for (const { send } of senders) for (let i = 0; i < 300; i++) send('recv');
    await capture.flush();
    t.deepEqual(texts(capture), new Array(600).fill('recv'));
    const now = process.hrtime.bigint();
    for (const { monotonicNs } of capture.frames) {
      t.true(monotonicNs >= before - capture.clockErrorNs);
      t.true(monotonicNs <= now + capture.clockErrorNs);
    }
    await capture.stop();
    t.is(capture.dropped, 0);
  });
}

staged('a tiny ring under a flood: memory stays, drops are counted', async (t, stage) => {
  await using capture = await stage.capture({
    ring: { blockBytes: 4096, blocks: 2, retireMs: 1 },
  });
  const { send } = await stage.datagrams();
  for (let i = 0; i < 5000; i++) send('lost');
  await capture.flush();
  t.true(capture.dropped > 4500, `${capture.dropped}`);
  t.true(capture.freezes > 0);
  t.is(capture.frames.length + capture.dropped, 5000);
  send('here');
  await capture.flush();
  t.is(texts(capture).at(-1), 'here', 'a ring that was full takes in again');
});

staged('what is kept has a limit; take() makes room', async (t, stage) => {
  await using capture = await stage.capture({ limit: { frames: 10 } });
  const { send } = await stage.datagrams();
  for (let i = 0; i < 25; i++) send('kept');
  await capture.flush();
  t.is(capture.frames.length, 10);
  t.is(capture.discarded, 15);
  t.is(capture.take().length, 10);
  t.is(capture.frames.length, 0);
  for (let i = 0; i < 10; i++) send('more');
  await capture.flush();
  t.deepEqual(texts(capture), new Array(10).fill('more'));
  t.is(capture.discarded, 15);
});

staged('the limit in bytes', async (t, stage) => {
  const size = UDP_HEADERS + 1000;
  await using capture = await stage.capture({ limit: { bytes: 3 * size + 1 } });
  const { send } = await stage.datagrams();
  for (let i = 0; i < 5; i++) send(new Uint8Array(1000));
  await capture.stop();
  t.is(capture.frames.length, 3);
  t.is(capture.discarded, 2);
});

staged('frames stay as they were when the ring goes round', async (t, stage) => {
  await using capture = await stage.capture({
    ring: { blockBytes: 4096, blocks: 2, retireMs: 1 },
  });
  const { send } = await stage.datagrams();
  for (let i = 0; i < 50; i++) {
    send(String(i).padStart(4, '0'));
    await capture.flush();
  }
  await capture.stop();
  t.deepEqual(
    texts(capture),
    Array.from({ length: 50 }, (_, i) => String(i).padStart(4, '0')),
  );
});

staged('snaplen cuts what is captured, not what is told of it', async (t, stage) => {
  await using byRing = await stage.capture({ snaplen: 60 });
  await using byRecvmsg = await stage.capture({ snaplen: 60, ring: false });
  const { send } = await stage.datagrams();
  for (const length of [1000, 1]) send(new Uint8Array(length));
  for (const capture of [byRing, byRecvmsg]) {
    await capture.flush();
    t.deepEqual(
      capture.frames.map(({ bytes, wireLength }) => [bytes.length, wireLength]),
      [
        [60, UDP_HEADERS + 1000],
        [UDP_HEADERS + 1, UDP_HEADERS + 1],
      ],
    );
  }
});

staged('hardware stamps where there is no such hardware: the kernel stamps', async (t, stage) => {
  await using capture = await stage.capture({ hardwareStamps: true });
  const { send } = await stage.datagrams();
  send('lo');
  await capture.flush();
  t.not(capture.frames[0]?.stamp, 'hardware');
});

/** A handshake with a listener of each family and a datagram of each, under a filter made of their ports. */
const filters: ReadonlyArray<{
  name: string;
  filter: (tcp4: number, udp6: number) => PacketFilter;
  expected: readonly string[];
}> = [
  { name: 'none', filter: () => ({}), expected: ['tcp4', 'tcp6', 'udp4', 'udp6'] },
  { name: 'TCP', filter: () => ({ protocol: 6 }), expected: ['tcp4', 'tcp6'] },
  { name: 'UDP', filter: () => ({ protocol: 17 }), expected: ['udp4', 'udp6'] },
  { name: '127.0.0.1', filter: () => ({ addresses: ['127.0.0.1'] }), expected: ['tcp4', 'udp4'] },
  { name: '::1', filter: () => ({ addresses: ['::1'] }), expected: ['tcp6', 'udp6'] },
  {
    name: 'an IPv4-mapped address',
    filter: () => ({ addresses: ['::ffff:127.0.0.1'] }),
    expected: ['tcp4', 'udp4'],
  },
  { name: 'others', filter: () => ({ addresses: ['127.0.0.2', '::2'] }), expected: [] },
  { name: 'no address', filter: () => ({ addresses: [] }), expected: [] },
  { name: 'a TCP port', filter: (tcp4) => ({ ports: [tcp4] }), expected: ['tcp4'] },
  { name: 'a UDP port', filter: (_, udp6) => ({ ports: [udp6] }), expected: ['udp6'] },
  {
    name: 'two ports',
    filter: (tcp4, udp6) => ({ ports: [tcp4, udp6] }),
    expected: ['tcp4', 'udp6'],
  },
  {
    name: 'two ports of TCP',
    filter: (tcp4, udp6) => ({ ports: [tcp4, udp6], protocol: 6 }),
    expected: ['tcp4'],
  },
  {
    name: 'a port, elsewhere',
    filter: (tcp4) => ({ ports: [tcp4], addresses: ['::1'] }),
    expected: [],
  },
  {
    name: 'a port among 500',
    filter: (tcp4) => ({ ports: [...Array.from({ length: 500 }, (_, i) => i + 1), tcp4] }),
    expected: ['tcp4'],
  },
  {
    name: 'an address among 100',
    filter: () => ({ addresses: [...Array.from({ length: 100 }, (_, i) => `fd00::${i}`), '::1'] }),
    expected: ['tcp6', 'udp6'],
  },
];

for (const { name, filter, expected } of filters) {
  staged(`the kernel filters: ${name}`, async (t, stage) => {
    const ports = new Map<number, string>();
    const listeners: number[] = [];
    for (const { domain, loopback } of families) {
      const fd = stage.owned.own(await stage.actor.socket(domain, sys.SOCK_STREAM));
      await stage.actor.bind(fd, { address: loopback, port: 0 });
      await stage.actor.listen(fd, 1);
      ports.set(sys.getsockname(fd).port, domain === sys.AF_INET ? 'tcp4' : 'tcp6');
      listeners.push(fd);
    }
    const [udp4, udp6] = [await stage.datagrams(ipv4), await stage.datagrams(ipv6)];
    ports.set(udp4.port, 'udp4').set(udp6.port, 'udp6');
    const [tcp4 = 0] = [...ports.keys()];
    await using capture = await stage.capture({ filter: filter(tcp4, udp6.port) });
    for (const fd of listeners) {
      const { address, port } = sys.getsockname(fd);
      const domain = address === ipv4.loopback ? sys.AF_INET : sys.AF_INET6;
      const client = stage.owned.own(await stage.actor.socket(domain, sys.SOCK_STREAM));
      await stage.actor.connect(client, { address, port });
      // The last of a handshake's segments has arrived when there is a connection to be taken.
      stage.owned.own((await stage.actor.accept(fd)).fd);
    }
    udp4.send('udp');
    udp6.send('udp');
    await capture.flush();
    const seen = capture.frames.map(({ bytes }) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const at = view.getUint16(12) === 0x0800 ? 34 : 54;
      return ports.get(view.getUint16(at)) ?? ports.get(view.getUint16(at + 2)) ?? 'unknown';
    });
    // A handshake is three frames.
    t.deepEqual(
      seen,
      expected.flatMap((what) => (what.startsWith('tcp') ? [what, what, what] : [what])),
    );
    t.is(capture.dropped, 0);
  });
}

staged('fragments have no ports to filter by, and pass', async (t, stage) => {
  const ifreq = new Uint8Array(40);
  ifreq.set(Buffer.from('lo'));
  new DataView(ifreq.buffer).setInt32(16, 1500, true);
  const fd = stage.owned.own(await stage.actor.socket(sys.AF_INET, sys.SOCK_DGRAM));
  await stage.actor.ioctl(fd, sys.SIOCSIFMTU, ifreq);
  for (const family of families) {
    const { port, send } = await stage.datagrams(family);
    const count = async (ports: number[]): Promise<number> => {
      await using capture = await stage.capture({ filter: { ports } });
      send(new Uint8Array(4000));
      await capture.flush();
      return capture.frames.length;
    };
    t.is(await count([port]), 3);
    // An IPv4 packet's first fragment has its ports; in IPv6 they are behind the fragment header even there.
    t.is(await count([port === 1 ? 2 : 1]), family === ipv4 ? 2 : 3);
  }
});

staged('another filter can be put in place as it goes', async (t, stage) => {
  await using capture = await stage.capture({ filter: { protocol: 6 } });
  const [one, two] = [await stage.datagrams(), await stage.datagrams()];
  one.send('none');
  capture.attachFilter({ ports: [two.port] });
  one.send('none');
  two.send('seen');
  await capture.flush();
  t.deepEqual(texts(capture), ['seen']);
  await capture.stop();
  t.throws(() => capture.attachFilter({}), { message: /stopped/ });
  t.is(capture.drain(), 0);
  await t.notThrowsAsync(capture.flush());
});

staged('a filter that can be none: refused, and nothing stays open', async (t, stage) => {
  for (const filter of [
    { addresses: ['localhost'] },
    { ports: [65_536] },
    { ports: [1.5] },
    { protocol: -1 },
    { ports: Array.from({ length: 2000 }, (_, i) => i) },
  ]) {
    await t.throwsAsync(
      stage.capture({ filter }),
      { any: true },
      JSON.stringify(filter).slice(0, 40),
    );
  }
});

staged('a ring that can be none: refused before the kernel is asked', async (t, stage) => {
  for (const ring of [
    { blockBytes: 4096, blocks: 0, retireMs: 1 },
    { blockBytes: 0, blocks: 1, retireMs: 1 },
    { blockBytes: 1 << 20, blocks: 1025, retireMs: 1 },
    { blockBytes: 4096, blocks: 1.5, retireMs: 1 },
    { blockBytes: 4096, blocks: 2, retireMs: -1 },
  ]) {
    const starting = stage.capture({ ring });
    await t.throwsAsync(starting, { instanceOf: RangeError }, JSON.stringify(ring));
  }
});

staged('an interface that goes down ends the capture with ENETDOWN', async (t, stage) => {
  await using capture = await stage.capture();
  const ifreq = new Uint8Array(40);
  ifreq.set(Buffer.from('lo'));
  const fd = stage.owned.own(await stage.actor.socket(sys.AF_INET, sys.SOCK_DGRAM));
  const { send } = await stage.datagrams();
  send('last');
  await stage.actor.ioctl(fd, sys.SIOCSIFFLAGS, ifreq);
  t.false(await capture.until(() => false, 10_000));
  await t.throwsAsync(capture.flush(), { code: 'ENETDOWN' });
  await t.throwsAsync(capture.stop(), { code: 'ENETDOWN' });
  await t.throwsAsync(capture.stop(), { code: 'ENETDOWN' });
});

staged('stop() while others wait: they are told', async (t, stage) => {
  await using capture = await stage.capture();
  const waiting = capture.until(() => false, 600_000);
  const flushing = capture.flush();
  await Promise.all([capture.stop(), capture.stop()]);
  t.false(await waiting);
  await t.notThrowsAsync(flushing);
  await turn();
});

staged('here it is available', async (t) => {
  const { available, reason, name } = Capture.availability();
  t.deepEqual({ available, reason, name }, { available: true, reason: undefined, name: 'capture' });
});

testUnless(noOtherUser, 'without CAP_NET_RAW it is not, and says why', async (t) => {
  const script = `
    const { Capture } = await import(${JSON.stringify(CAPTURE)});
    process.stdout.write(JSON.stringify(Capture.availability()));`;
  const { stdout } = spawnSync(
    'setpriv',
    ['--bounding-set', '-net_raw', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  const told = JSON.parse(stdout);
  t.is(told.available, false);
  t.regex(told.reason, /EPERM.*CAP_NET_RAW/);
});
