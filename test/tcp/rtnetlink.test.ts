import test from 'ava';
import fc from 'fast-check';
import { NLMSGHDR_SIZE } from '../../src/tcp/netlink.js';
import * as route from '../../src/tcp/rtnetlink.js';
import { fromC, noCompiler, numbersOf, valuesOf, withCompiler } from '../fixture/headers.js';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** What follows the header, which is checked by itself. */
const bodyOf = (bytes: Uint8Array) => hexOf(bytes.subarray(NLMSGHDR_SIZE));

const ZERO_IFINFOMSG = '00'.repeat(16);

// Each was accepted by Linux 6.18, and did what it says: test/world.
for (const { name, bytes, type, flags, body } of [
  {
    name: 'a veth pair whose second end goes elsewhere',
    bytes: route.encodeNewVeth(
      7,
      { name: 'a', linkAddress: '02:00:00:00:00:01' },
      { name: 'eth0', netns: 21 },
    ),
    type: route.RTM_NEWLINK,
    flags: 0x605,
    body:
      ZERO_IFINFOMSG +
      '0600030061000000' + // IFLA_IFNAME
      '0a00010002000000000100' +
      '00' + // IFLA_ADDRESS
      '3c001280' + // IFLA_LINKINFO
      '090001007665746800000000' + // IFLA_INFO_KIND
      '2c000280' +
      '28000100' +
      ZERO_IFINFOMSG + // IFLA_INFO_DATA, VETH_INFO_PEER
      '0900030065746830' +
      '00000000' +
      '08001c0015000000', // IFLA_NET_NS_FD
  },
  {
    name: 'a link to set up',
    bytes: route.encodeSetLink(7, { index: 3, up: true }),
    type: route.RTM_NEWLINK,
    flags: 0x5,
    body: '00000000030000000100000001000000',
  },
  {
    name: 'a link to set down',
    bytes: route.encodeSetLink(7, { index: 3, up: false }),
    type: route.RTM_NEWLINK,
    flags: 0x5,
    body: '00000000030000000000000001000000',
  },
  {
    name: 'a link that is to send nothing of its own accord',
    bytes: route.encodeSetLink(7, { index: 3, arp: false, generateAddress: false }),
    type: route.RTM_NEWLINK,
    flags: 0x5,
    body: '00000000030000008000000080000000' + '10001a80' + '0c000a80' + '0500080001000000',
  },
  {
    name: 'the question about a link',
    bytes: route.encodeGetLink(7, 'lo'),
    type: route.RTM_GETLINK,
    flags: 0x1,
    body: `${ZERO_IFINFOMSG}070003006c6f0000`,
  },
  {
    name: 'an IPv4 address',
    bytes: route.encodeNewAddress(7, { index: 3, address: '10.0.0.1', prefixLength: 30 }),
    type: route.RTM_NEWADDR,
    flags: 0x605,
    body: '021e000003000000' + '080002000a000001' + '080001000a000001',
  },
  {
    name: 'an IPv6 address, without a search for duplicates',
    bytes: route.encodeNewAddress(7, { index: 3, address: 'fd00::1', prefixLength: 64 }),
    type: route.RTM_NEWADDR,
    flags: 0x605,
    body: `0a40020003000000${['0200', '0100'].map((type) => `1400${type}fd${'00'.repeat(14)}01`).join('')}`,
  },
  {
    name: 'a neighbour for good',
    bytes: route.encodeNewNeighbour(7, {
      index: 3,
      address: '10.0.0.2',
      linkAddress: '02:00:00:00:00:0A',
    }),
    type: route.RTM_NEWNEIGH,
    flags: 0x605,
    body: '020000000300000080000000' + '080001000a000002' + '0a00020002000000000a0000',
  },
]) {
  test(`encodes ${name}`, (t) => {
    const header = new DataView(bytes.buffer, bytes.byteOffset);
    t.is(header.getUint32(0, true), bytes.length);
    t.is(header.getUint16(4, true), type);
    t.is(header.getUint16(6, true), flags);
    t.is(header.getUint32(8, true), 7);
    t.is(bodyOf(bytes), body);
  });
}

const veth = (name: string, linkAddress?: string) => () =>
  route.encodeNewVeth(1, { name: 'a' }, { name, ...(linkAddress && { linkAddress }) });
const address = (text: string, prefixLength: number) => () =>
  route.encodeNewAddress(1, { index: 1, address: text, prefixLength });

for (const { does, call, error } of [
  { does: 'an empty name', call: veth(''), error: RangeError },
  { does: 'a name of 16 bytes', call: veth('sixteen-bytes-16'), error: RangeError },
  { does: 'a name of 8 letters and 16 bytes', call: veth('é'.repeat(8)), error: RangeError },
  { does: 'a name with a slash', call: veth('a/b'), error: RangeError },
  { does: 'a name with a NUL, which would end it early', call: veth('a\0b'), error: RangeError },
  { does: 'a name with a blank', call: veth('a b'), error: RangeError },
  { does: 'the name of a folder', call: veth('..'), error: RangeError },
  { does: 'a link address cut short', call: veth('b', '02:00:00:00:00'), error: TypeError },
  {
    does: 'a link address in other letters',
    call: veth('b', '02:00:00:00:00:0g'),
    error: TypeError,
  },
  { does: 'no address', call: address('localhost', 8), error: TypeError },
  { does: 'a prefix longer than the address', call: address('10.0.0.1', 33), error: RangeError },
  { does: 'a negative prefix', call: address('::1', -1), error: RangeError },
  { does: 'a prefix in parts', call: address('::1', 1.5), error: RangeError },
  {
    does: 'a neighbour without an address',
    call: () =>
      route.encodeNewNeighbour(1, {
        index: 1,
        address: '10.0.0',
        linkAddress: '02:00:00:00:00:01',
      }),
    error: TypeError,
  },
]) {
  test(`refuses ${does}`, (t) => {
    t.throws(call, { instanceOf: error });
  });
}

const LO = `${'00000403'}${'01000000'}${'49000100'}${'00000000'}`;
for (const { name, hex, expected } of [
  {
    name: 'lo, as Linux 6.18 begins to tell of it',
    hex: `${LO}070003006c6f0000${'0800040000000100'}${'0a0001000000000000000000'}`,
    expected: {
      index: 1,
      name: 'lo',
      flags: route.IFF_UP | route.IFF_RUNNING | 0x8 | 0x10000,
      mtu: 65536,
      linkAddress: '00:00:00:00:00:00',
    },
  },
  {
    name: 'a link of which nothing more is told',
    hex: LO,
    expected: { index: 1, name: '', flags: 0x10049, mtu: undefined, linkAddress: undefined },
  },
  {
    name: 'an MTU of an unknown length, and unknown attributes',
    hex: `${LO}0600040000010000${'0500ff3f01000000'}`,
    expected: { index: 1, name: '', flags: 0x10049, mtu: undefined, linkAddress: undefined },
  },
  { name: 'a link cut short', hex: LO.slice(2), expected: undefined },
  { name: 'nothing', hex: '', expected: undefined },
]) {
  test(`decodes ${name}`, (t) => {
    t.deepEqual(route.decodeLink(Buffer.from(hex, 'hex')), expected);
  });
}

const FD00 = `fd${'00'.repeat(14)}01`;
for (const { name, hex, expected } of [
  {
    name: 'the route to an IPv6 address of the host, as Linux 6.18 begins to tell of it',
    hex: `0a800000ff02000200000000${'08000f00ff000000'}${'14000100'}${FD00}`,
    expected: 'fd00::1',
  },
  {
    name: 'one to an IPv4 address',
    hex: '02200000ff02000200000000080001000a000001',
    expected: '10.0.0.1',
  },
  { name: 'one to a network', hex: `0a400000fe0200010000000014000100${FD00}`, expected: undefined },
  { name: 'one without a destination', hex: '0a000000ff02000200000000', expected: undefined },
  {
    name: 'a destination of another length',
    hex: '0a200000ff02000200000000080001000a000001',
    expected: undefined,
  },
  { name: 'a route cut short', hex: '0a800000ff020002', expected: undefined },
]) {
  test(`decodes ${name}`, (t) => {
    t.is(route.decodeLocalRoute(Buffer.from(hex, 'hex')), expected);
  });
}

test('random bytes decode to a link or a route, or to none', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      route.decodeLink(bytes);
      route.decodeLocalRoute(bytes);
    }),
  );
  t.pass();
});

withCompiler(`numbers and layout are those of the headers${noCompiler}`, (t) => {
  const { IFINFOMSG_SIZE, IFADDRMSG_SIZE, NDMSG_SIZE, RTMSG_SIZE, ...numbers } = numbersOf(route);
  const { VETH_INFO_PEER, IFF_UP, IFF_RUNNING, IFF_NOARP, ...others } = numbers;
  t.deepEqual(valuesOf('linux/rtnetlink.h', Object.keys(others)), others);
  t.deepEqual(valuesOf('linux/veth.h', ['VETH_INFO_PEER']), { VETH_INFO_PEER });
  const flagsOfLink = { IFF_UP, IFF_RUNNING, IFF_NOARP };
  t.deepEqual(valuesOf('linux/if.h', Object.keys(flagsOfLink)), flagsOfLink);
  const { index, flags, change } = route.ifinfomsg;
  const seen = fromC(
    ['linux/rtnetlink.h'],
    `printf("%zu %zu %zu %zu %zu %zu %zu %zu %zu", sizeof(struct ifinfomsg), sizeof(struct ifaddrmsg),
      sizeof(struct ndmsg), offsetof(struct ifinfomsg, ifi_index),
      offsetof(struct ifinfomsg, ifi_flags), offsetof(struct ifinfomsg, ifi_change),
      sizeof(struct rtmsg), offsetof(struct rtmsg, rtm_family), offsetof(struct rtmsg, rtm_type));`,
  );
  const { family, type } = route.rtmsg;
  const links = [IFINFOMSG_SIZE, IFADDRMSG_SIZE, NDMSG_SIZE, index, flags, change];
  t.is(seen, [...links, RTMSG_SIZE, family, type].join(' '));
});
