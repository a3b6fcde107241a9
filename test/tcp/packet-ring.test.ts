import { spawnSync } from 'node:child_process';
import test from 'ava';
import fc from 'fast-check';
import {
  BLOCK_STATUS_OFFSET,
  blockLength,
  decodeBlock,
  decodePacketLength,
  decodePacketStatistics,
  encodeRingRequest,
  PACKET_TIMESTAMP,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TPACKET_V3,
} from '../../src/tcp/packet-ring.js';

/**
 * A block that Linux 6.18 retired on its timer: the datagram "hello" from 127.0.0.1 and from ::1 to themselves, on lo,
 * cut to 60 bytes by the filter.
 */
const BLOCK = Buffer.from(
  '0200000030000000210000000200000030000000480100000100000000000000f13e036b911d1139f13e036b' +
    'e2ce023a88000000f13e036b803c023a2f0000002f0000000900002052006000000000000000000000000000' +
    '0000000000000000110008000100000004030006000000000000000000000000000000000000000000000000' +
    '00000000000000000000080045000021dd09400040115fc07f0000017f000001bd02bd02000dfe2068656c6c' +
    '6f0000000000000000000000f13e036be2ce023a3c0000004300000009000020520060000000000000000000' +
    '000000000000000000000000110086dd01000000040300060000000000000000000000000000000000000000' +
    '000000000000000000000000000086dd6005e9b5000d11400000000000000000000000000000000100000000' +
    '00000000000000000000000183258325000d0000',
  'hex',
);
const FIRST = 48;
const SECOND = FIRST + 136;

/** The block with some of its 32-bit words changed. */
function changed(words: Readonly<Record<number, number>>): Uint8Array {
  const bytes = Uint8Array.from(BLOCK);
  const view = new DataView(bytes.buffer);
  for (const [offset, value] of Object.entries(words)) view.setUint32(Number(offset), value, true);
  return bytes;
}

test('a block as the kernel filled it', (t) => {
  t.is(blockLength(BLOCK), BLOCK.length);
  const { packets, malformed } = decodeBlock(BLOCK);
  t.is(malformed, undefined);
  const [first, second] = packets;
  const common = { seconds: 1795374833, stamp: 'software', outgoing: false };
  t.deepEqual(packets, [
    { offset: FIRST + 82, length: 47, wireLength: 47, nanoseconds: 973225088, ...common },
    { offset: SECOND + 82, length: 60, wireLength: 67, nanoseconds: 973262562, ...common },
  ] as typeof packets);
  const frame = BLOCK.subarray(first?.offset, (first?.offset ?? 0) + (first?.length ?? 0));
  t.is(frame.subarray(-5).toString(), 'hello');
  t.is(BLOCK.readUInt16BE((second?.offset ?? 0) + 12), 0x86dd);
});

const table: ReadonlyArray<{
  name: string;
  bytes: Uint8Array;
  packets: number;
  malformed: RegExp;
}> = [
  { name: 'nothing', bytes: new Uint8Array(0), packets: 0, malformed: /header cut short/ },
  { name: 'half a header', bytes: BLOCK.subarray(0, 47), packets: 0, malformed: /cut short/ },
  { name: 'zeros', bytes: new Uint8Array(64), packets: 0, malformed: /version 0/ },
  { name: 'version 4', bytes: changed({ 0: 4 }), packets: 0, malformed: /version 4/ },
  {
    name: 'cut inside the second header',
    bytes: BLOCK.subarray(0, SECOND + 60),
    packets: 1,
    malformed: /packet 2 of 2 .*header past the end/,
  },
  {
    name: 'cut inside the second frame',
    bytes: BLOCK.subarray(0, SECOND + 100),
    packets: 1,
    malformed: /60 bytes past the end/,
  },
  {
    name: 'more packets than the list has',
    bytes: changed({ 12: 0xffff_ffff }),
    packets: 2,
    malformed: /packet 3? ?.*next packet at \+0/,
  },
  {
    name: 'a first packet inside the block header',
    bytes: changed({ 16: 4 }),
    packets: 0,
    malformed: /inside the block header/,
  },
  {
    name: 'a first packet far away',
    bytes: changed({ 16: 0xffff_fff0 }),
    packets: 0,
    malformed: /header past the end/,
  },
  {
    name: 'a next packet inside this one',
    bytes: changed({ [FIRST]: 16 }),
    packets: 1,
    malformed: /next packet at \+16/,
  },
  {
    name: 'a frame of 4 GiB',
    bytes: changed({ [FIRST + 12]: 0xffff_ffff }),
    packets: 0,
    malformed: /4294967295 bytes past the end/,
  },
];

for (const { name, bytes, packets, malformed } of table) {
  test(`malformed: ${name}`, (t) => {
    const block = decodeBlock(bytes);
    t.is(block.packets.length, packets);
    t.regex(block.malformed ?? '', malformed);
  });
}

test('a block without packets is none the worse', (t) => {
  t.deepEqual(decodeBlock(changed({ 12: 0 })), { packets: [] });
});

test('status bits that are unknown here change nothing; those of the stamp tell its source', (t) => {
  const stampOf = (status: number) =>
    decodeBlock(changed({ [FIRST + 20]: status })).packets[0]?.stamp;
  t.is(stampOf(0x1), 'copy');
  t.is(stampOf(0x2000_0001), 'software');
  t.is(stampOf(0x8000_0001), 'hardware');
  t.is(stampOf(0x1fff_ffff), 'copy');
  t.is(stampOf(0xffff_ffff), 'hardware');
});

test('the direction is the link-layer packet type', (t) => {
  const bytes = Uint8Array.from(BLOCK);
  bytes[FIRST + 58] = 4;
  t.deepEqual(
    decodeBlock(bytes).packets.map(({ outgoing }) => outgoing),
    [true, false],
  );
});

test('a length past the block is the block', (t) => {
  t.is(blockLength(changed({ 20: 1 << 30 })), BLOCK.length);
  t.is(blockLength(new Uint8Array(3)), 3);
});

test('any bytes: never throws, and no packet lies outside', (t) => {
  const anyBytes = fc.uint8Array({ maxLength: 400 });
  // Random bytes rarely get past the version: most runs damage a good block.
  const damaged = fc
    .array(fc.tuple(fc.nat(BLOCK.length - 1), fc.nat(255)), { maxLength: 8 })
    .map((writes) => {
      const bytes = Uint8Array.from(BLOCK);
      for (const [at, value] of writes) bytes[at] = value;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(anyBytes, damaged), (bytes) => {
      for (const { offset, length } of decodeBlock(bytes).packets) {
        t.true(offset + length <= bytes.length);
      }
      t.true(blockLength(bytes) <= Math.max(bytes.length, 3));
      decodePacketStatistics(bytes);
    }),
    { numRuns: 2000 },
  );
});

test('statistics, in the long and the short form', (t) => {
  const bytes = new Uint8Array(Uint32Array.of(7, 2, 1).buffer);
  t.deepEqual(decodePacketStatistics(bytes), { packets: 7, drops: 2, freezes: 1 });
  t.deepEqual(decodePacketStatistics(bytes.subarray(0, 8)), { packets: 7, drops: 2, freezes: 0 });
  t.deepEqual(decodePacketStatistics(bytes.subarray(0, 3)), { packets: 7, drops: 0, freezes: 0 });
});

test('the length of a packet, and none where it is cut short', (t) => {
  const bytes = new Uint8Array(Uint32Array.of(1, 1042, 60, 0, 0).buffer);
  t.is(decodePacketLength(bytes), 1042);
  t.is(decodePacketLength(bytes.subarray(0, 8)), 1042);
  t.is(decodePacketLength(bytes.subarray(0, 7)), undefined);
  t.is(decodePacketLength(new Uint8Array(0)), undefined);
});

const hasCompiler = spawnSync('cc', ['--version']).status === 0;
const withCompiler = hasCompiler ? test : test.skip;

withCompiler(
  `numbers and layouts are linux/if_packet.h's${hasCompiler ? '' : ' (needs cc: not installed)'}`,
  (t) => {
    const source = `
      #include <linux/if_packet.h>
      #include <stddef.h>
      #define IS(a, b) _Static_assert((a) == (b), #a)
      IS(TPACKET_V3, ${TPACKET_V3});
      IS(PACKET_TIMESTAMP, ${PACKET_TIMESTAMP});
      IS(TP_STATUS_KERNEL, ${TP_STATUS_KERNEL});
      IS(TP_STATUS_USER, ${TP_STATUS_USER});
      IS(TP_STATUS_TS_SOFTWARE, 0x20000000);
      IS(TP_STATUS_TS_RAW_HARDWARE, 0x80000000);
      IS(PACKET_OUTGOING, 4);
      IS(offsetof(struct tpacket_block_desc, hdr.bh1.block_status), ${BLOCK_STATUS_OFFSET});
      IS(offsetof(struct tpacket_block_desc, hdr.bh1.num_pkts), 12);
      IS(offsetof(struct tpacket_block_desc, hdr.bh1.offset_to_first_pkt), 16);
      IS(offsetof(struct tpacket_block_desc, hdr.bh1.blk_len), 20);
      IS(sizeof(struct tpacket_block_desc), 48);
      IS(offsetof(struct tpacket_auxdata, tp_len), 4);
      IS(offsetof(struct tpacket3_hdr, tp_sec), 4);
      IS(offsetof(struct tpacket3_hdr, tp_snaplen), 12);
      IS(offsetof(struct tpacket3_hdr, tp_len), 16);
      IS(offsetof(struct tpacket3_hdr, tp_status), 20);
      IS(offsetof(struct tpacket3_hdr, tp_mac), 24);
      IS(TPACKET3_HDRLEN, 68);
      IS(TPACKET_ALIGN(sizeof(struct tpacket3_hdr)) + offsetof(struct sockaddr_ll, sll_pkttype), 58);
      IS(sizeof(struct tpacket_req3), ${encodeRingRequest({ blockBytes: 4096, blocks: 1, retireMs: 1 }).length});`;
    const { status, stderr } = spawnSync('cc', ['-fsyntax-only', '-xc', '-'], { input: source });
    t.is(status, 0, String(stderr));
  },
);
