import test from 'ava';
import fc from 'fast-check';
import { internetChecksum, verifyChecksum } from '../../src/tcp/checksum.js';
import type { LinkType, NotSegment } from '../../src/tcp/segment.js';

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

for (const { name, parts, expected } of [
  { name: 'nothing', parts: [], expected: 0xffff },
  // RFC 1071, section 3: the sum of these is ddf2.
  { name: "RFC 1071's example", parts: ['0001f203f4f5f6f7'], expected: 0xffff - 0xddf2 },
  { name: "RFC 1071's example in two parts", parts: ['0001f203', 'f4f5f6f7'], expected: 0x220d },
  { name: 'an odd byte, which counts as the high one', parts: ['0001f2'], expected: 0x0dfe },
  { name: 'a carry that carries again', parts: ['ffffffff0001'], expected: 0xfffe },
  { name: 'as much as a packet can hold', parts: ['ffff'.repeat(32_767)], expected: 0 },
  {
    name: 'a header with its checksum',
    parts: ['45000039628a40004006da327f0000017f000001'],
    expected: 0,
  },
]) {
  test(`the checksum of ${name}`, (t) => {
    t.is(internetChecksum(...parts.map(bytesOf)), expected);
  });
}

/** Captured on lo: an ACK out of TIME_WAIT, which the kernel sums up itself, and data, whose sum it leaves to the card. */
const ETHERNET = `${'00'.repeat(12)}0800`;
const ACK =
  '450000340000400040063cc27f0000017f000001dfc6ac05b1294df2518d49618010004089970000' +
  '0101080a173c3488a289dabe';
const DATA =
  '45000039628a40004006da327f0000017f000001dfc6ac05b1294dec518d495b80180040fe2d0000' +
  '0101080a173c3423a289da59746573740a';
/** Captured behind a veth pair without transmit offload: the reset that a SYN to a closed port draws. */
const RST6 =
  '6001ad6d00140640fd00f000019600000000000000000001fd00f000019600000000000000000002' +
  '00099c4000000000000000015014000036540000';

/** Writes hex over hex, at a byte offset. */
const patch = (hex: string, at: number, value: string) =>
  hex.slice(0, 2 * at) + value + hex.slice(2 * at + value.length);

const verdicts: {
  name: string;
  bytes: string;
  ethernet?: true;
  expected: 'correct' | 'incorrect' | NotSegment;
}[] = [
  { name: "the kernel's own sum", bytes: ACK, expected: 'correct' },
  { name: 'the same in a frame', bytes: ETHERNET + ACK, ethernet: true, expected: 'correct' },
  {
    name: 'the same, padded by the card',
    bytes: `${ETHERNET + ACK}ffff`,
    ethernet: true,
    expected: 'correct',
  },
  { name: "the kernel's own sum over IPv6", bytes: RST6, expected: 'correct' },
  { name: 'a sum left to the card', bytes: DATA, expected: 'incorrect' },
  { name: "another hop count in IPv4's header", bytes: patch(ACK, 8, '3f'), expected: 'incorrect' },
  { name: 'another hop count over IPv6', bytes: patch(RST6, 7, '3f'), expected: 'correct' },
  { name: 'another address', bytes: patch(RST6, 23, '02'), expected: 'incorrect' },
  { name: 'another flag', bytes: patch(ACK, 33, '11'), expected: 'incorrect' },
  { name: 'a last byte too few', bytes: ACK.slice(0, -2), expected: 'truncated' },
  { name: 'nothing', bytes: '', expected: 'truncated' },
  { name: 'UDP', bytes: patch(ACK, 9, '11'), expected: 'not-tcp' },
  { name: 'a fragment', bytes: patch(ACK, 6, '2000'), expected: 'fragment' },
  { name: 'ARP', bytes: `${'00'.repeat(12)}0806`, ethernet: true, expected: 'not-ip' },
  { name: 'no room for a TCP header', bytes: patch(ACK, 2, '0027'), expected: 'malformed' },
];

for (const { name, bytes, ethernet, expected } of verdicts) {
  test(`${name}: ${expected}`, (t) => {
    const linkType = ethernet ? 'ethernet' : 'raw';
    t.is(verifyChecksum(bytesOf(bytes), { linkType }), expected);
  });
}

test('one bit anywhere in a segment makes it incorrect', (t) => {
  for (const [hex, start] of [
    [ACK, 20],
    [RST6, 40],
  ] as const) {
    const bytes = bytesOf(hex);
    for (let bit = 8 * start; bit < 8 * bytes.length; bit++) {
      const changed = bytes.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      t.is(verifyChecksum(changed, { linkType: 'raw' }), 'incorrect', `bit ${bit}`);
    }
  }
});

test('never throws', (t) => {
  const linkType = fc.constantFrom<LinkType>('ethernet', 'raw');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120, size: 'max' }), linkType, (bytes, link) => {
      t.is(typeof verifyChecksum(bytes, { linkType: link }), 'string');
    }),
    { numRuns: 1000 },
  );
});
