// What is in the bytes of an option: what the kernel does not read back for us, and answers shorter or longer than usual.
import * as address from '../../src/syscall/option-address-codec.js';
import * as codec from '../../src/syscall/option-codec.js';
import * as sys from '../../src/syscall/sys.js';
import { test } from '../fixture/descriptors.js';
import { fromC, noCompiler, withCompiler } from '../fixture/headers.js';

const bytes = (hex: string): Uint8Array =>
  new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const padded = (hex: string, length: number): Uint8Array => {
  const all = new Uint8Array(length);
  all.set(bytes(hex));
  return all;
};

interface Row<T> {
  readonly name: string;
  readonly codec: codec.Codec<T, never>;
  readonly bytes: Uint8Array;
  readonly value: T;
  /** Only what the kernel writes: encoding gives other bytes. */
  readonly oneWay?: true;
}
const row = <T>(
  name: string,
  of: codec.Codec<T, never>,
  raw: Uint8Array,
  value: T,
  oneWay?: true,
): Row<unknown> =>
  ({ name, codec: of, bytes: raw, value, ...(oneWay && { oneWay }) }) as Row<unknown>;

const group = 'ef ff 07 07';
const loopback = '7f 00 00 01';
const group6 = 'ff12 0000 0000 0000 0000 0000 0000 0007';
const sockaddr = `0200 0000 ${group} 0000 0000 0000 0000`;
const sockaddr6 = `0a00 0000 0000 0000 ${group6} 0000 0000`;

const rows: Row<unknown>[] = [
  row('int', codec.int, bytes('fe ff ff ff'), -2),
  row('int of one byte', codec.int, bytes('07'), 7, true),
  row('int that is longer', codec.int, bytes('07000000 09000000'), 7, true),
  row('int of nothing', codec.int, bytes(''), 0, true),
  row('flag', codec.flag, bytes('01000000'), true),
  row('flag of another number', codec.flag, bytes('40000000'), true, true),
  row('networkInt', codec.networkInt, bytes('00000102'), 258),
  row('u32', codec.u32, bytes('ffffffff'), 4_294_967_295),
  row('u64', codec.u64, bytes('ffffffff ffffffff'), 2n ** 64n - 1n),
  row('linger', codec.linger, bytes('01000000 05000000'), { on: true, seconds: 5 }),
  row('timeval', codec.timeval, bytes('0100000000000000 20a1070000000000'), 1.5),
  row('credentials', codec.credentials, bytes('02000000 ffffffff 01000000'), {
    pid: 2,
    uid: 4_294_967_295,
    gid: 1,
  }),
  row('portRange', codec.portRange, bytes('409c 4a9c'), { low: 40_000, high: 40_010 }),
  row('text', codec.text, bytes('7265 6e6f'), 'reno'),
  row('text up to its NUL', codec.text, bytes('6c6f 0000 7878'), 'lo', true),
  row('txtime', codec.txtime, bytes('0b000000 02000000'), { clock: 11, flags: 2 }),
  row('fields cut short', codec.txtime, bytes('0b000000 0200'), { clock: 11, flags: 0 }, true),
  row(
    'fields that are longer',
    codec.txtime,
    bytes('0b000000 02000000 03'),
    { clock: 11, flags: 2 },
    true,
  ),
  row('list', codec.listOf(codec.u32), bytes('01000000 02000000'), [1, 2]),
  row('list of none', codec.listOf(codec.u32), bytes(''), []),
  row('list with half an element', codec.listOf(codec.u32), bytes('01000000 0200'), [1], true),
  row('repairOptions', codec.repairOptions, bytes('02000000 e8030000'), [{ code: 2, value: 1000 }]),
  row('dmabufTokens', codec.dmabufTokens, bytes('01000000 03000000'), [{ start: 1, count: 3 }]),
  row(
    'zerocopyReceive',
    codec.zerocopyReceive,
    bytes('0000000000000000 00100000 05000000 06000000 98ffffff'),
    { length: 4096, recvSkipHint: 5, inq: 6, err: -104 },
    true,
  ),
  row('controls', codec.controls, bytes('1400000000000000 00000000 02000000 40000000 00000000'), [
    { level: 0, type: 2, data: bytes('40000000') },
  ]),
  row(
    'controls cut short',
    codec.controls,
    bytes('1400000000000000 00000000 02000000 40'),
    [],
    true,
  ),

  row('membership', address.membership, bytes(`${group} ${loopback} 01000000`), {
    group: '239.255.7.7',
    address: '127.0.0.1',
    interface: 1,
  }),
  row(
    'multicastInterface',
    address.multicastInterface,
    bytes(loopback),
    { address: '127.0.0.1' },
    true,
  ),
  row('sourceMembership', address.sourceMembership, bytes(`${group} ${loopback} 7f000002`), {
    group: '239.255.7.7',
    address: '127.0.0.1',
    source: '127.0.0.2',
  }),
  row(
    'sourceFilter',
    address.sourceFilter,
    bytes(`${group} ${loopback} 01000000 01000000 7f000002`),
    {
      group: '239.255.7.7',
      address: '127.0.0.1',
      mode: 1,
      sources: ['127.0.0.2'],
    },
  ),
  row(
    'sourceFilter with more than there was room for',
    address.sourceFilter,
    bytes(`${group} ${loopback} 01000000 09000000 7f000002 7f00`),
    { group: '239.255.7.7', address: '127.0.0.1', mode: 1, sources: ['127.0.0.2'] },
    true,
  ),
  row('membership6', address.membership6, bytes(`${group6} 01000000`), {
    group: 'ff12::7',
    interface: 1,
  }),
  row('groupMembership', address.groupMembership, padded(`01000000 00000000 ${sockaddr}`, 136), {
    group: '239.255.7.7',
    interface: 1,
  }),
  row(
    'groupMembership, IPv6',
    address.groupMembership,
    padded(`01000000 00000000 ${sockaddr6}`, 136),
    {
      group: 'ff12::7',
      interface: 1,
    },
  ),
  row(
    'groupMembership of no family',
    address.groupMembership,
    new Uint8Array(136),
    { group: '', interface: 0 },
    true,
  ),
  row('packetInfo6', address.packetInfo6, bytes(`${group6} 02000000`), {
    address: 'ff12::7',
    interface: 2,
  }),
  row('pathMtu', address.pathMtu, bytes(`${sockaddr6} 00050000`), {
    address: 'ff12::7',
    port: 0,
    mtuBytes: 1280,
  }),
  row('flowLabel', address.flowLabel, bytes(`${group6} 00012345 00 ff 0100 0a00 0600 00000000`), {
    address: 'ff12::7',
    label: 0x12345,
    action: 0,
    share: 255,
    flags: 1,
    expiresS: 10,
    lingerS: 6,
  }),
  row('md5Key', address.md5Key, keyed(0, 0, 0), { address: '239.255.7.7', key: bytes('6b 65 79') }),
  row('md5Key of a network on an interface', address.md5Key, keyed(3, 8, 2), {
    address: '239.255.7.7',
    key: bytes('6b 65 79'),
    prefixLength: 8,
    interface: 2,
  }),
];

function keyed(flags: number, prefix: number, index: number): Uint8Array {
  const all = padded(sockaddr, 216);
  all.set([flags, prefix, 3, 0, index], 128);
  all.set(bytes('6b 65 79'), 136);
  return all;
}

for (const { name, codec: of, bytes: raw, value, oneWay } of rows) {
  test(`${name}: ${raw.length} bytes`, (t) => {
    t.deepEqual(of.decode(raw), value);
    if (oneWay === undefined) t.deepEqual(of.encode(value), raw);
    // Bytes of a larger buffer mean the same.
    const inside = new Uint8Array(raw.length + 16);
    inside.set(raw, 8);
    t.deepEqual(of.decode(inside.subarray(8, 8 + raw.length)), value);
  });
}

test('a struct with addresses that is cut short is a RangeError or a TypeError, not a guess', (t) => {
  for (const { name, codec: of, bytes: raw, oneWay } of rows.slice(
    rows.findIndex((r) => r.name === 'membership'),
  )) {
    if (oneWay || name.startsWith('md5Key') || name.startsWith('group')) continue;
    const error = t.throws(() => of.decode(raw.subarray(0, 3)), undefined, name);
    t.true(error instanceof RangeError || error instanceof TypeError, name);
  }
});

test('a question has room for the answer', (t) => {
  const about = { group: 'ff12::7', interface: 1 };
  const asked = address.groupFilter.ask?.(about) ?? new Uint8Array();
  t.is(asked.length, address.groupFilter.capacity);
  t.is(new DataView(asked.buffer).getUint32(140, true), 64);
  t.true(address.isOfIPv6(asked));
  t.is(address.sourceFilter.ask?.({ group: '239.255.7.7' }).length, address.sourceFilter.capacity);
  t.is(address.flowLabel.ask?.({ flags: sys.IPV6_FL_F_REMOTE }).length, address.flowLabel.capacity);
});

withCompiler(`structs are as long as the headers say${noCompiler}`, (t) => {
  const sizes: [struct: string, length: number][] = [
    ['linger', codec.linger.capacity],
    ['timeval', codec.timeval.capacity],
    ['ip_mreqn', address.membership.capacity],
    ['ip_mreq_source', address.sourceMembership.capacity],
    ['ipv6_mreq', address.membership6.capacity],
    ['group_req', address.groupMembership.capacity],
    ['group_source_req', address.groupSource.capacity],
    ['in6_pktinfo', address.packetInfo6.capacity],
    ['ip6_mtuinfo', address.pathMtu.capacity],
    ['tcp_md5sig', address.md5Key.capacity],
    ['tcp_repair_window', codec.repairWindow.capacity],
    ['tcp_zerocopy_receive', codec.zerocopyReceive.capacity],
    ['in6_flowlabel_req', address.flowLabel.capacity],
    ['sock_txtime', codec.txtime.capacity],
  ];
  const kernel = [
    ...['in6_flowlabel_req', 'in6_pktinfo', 'ip6_mtuinfo', 'sock_txtime'],
    ...['tcp_repair_window', 'tcp_zerocopy_receive'],
  ];
  const sizeOf = (headers: string[], mine: (struct: string) => boolean): string => {
    const prints = sizes
      .filter(([struct]) => mine(struct))
      .map(([struct]) => `printf("${struct} %d\\n", (int)sizeof(struct ${struct}));`);
    return fromC(headers, prints.join('\n'));
  };
  const theirs =
    sizeOf(
      ['sys/socket.h', 'sys/time.h', 'netinet/in.h', 'netinet/tcp.h'],
      (each) => !kernel.includes(each),
    ) +
    sizeOf(['linux/ipv6.h', 'linux/tcp.h', 'linux/net_tstamp.h'], (each) => kernel.includes(each));
  t.deepEqual(theirs.trim().split('\n').sort(), sizes.map((each) => each.join(' ')).sort());
});

test('a time-out of less than the kernel can tell is its shortest, and not none', (t) => {
  t.deepEqual(codec.timeval.decode(codec.timeval.encode(1e-9)), 1e-6);
  t.deepEqual(codec.timeval.decode(codec.timeval.encode(0)), 0);
});
