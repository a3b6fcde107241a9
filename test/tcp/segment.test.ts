import test from 'ava';
import fc from 'fast-check';
import { decodeFrame, type NotSegment, type Segment } from '../../src/tcp/segment.js';

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

/** Captured on lo with tcpdump: a SYN, 5 bytes of data, a SYN over IPv6. */
const SYN =
  '00000000000000000000000008004500003c628840004006da317f0000017f000001dfc6ac05b129' +
  '4deb00000000a002ffd7fe3000000204ffd70402080a173c3423000000000103030a';
const DATA =
  '000000000000000000000000080045000039628a40004006da327f0000017f000001dfc6ac05b129' +
  '4dec518d495b80180040fe2d00000101080a173c3423a289da59746573740a';
const SYN6 =
  '00000000000000000000000086dd600b0e2000280640000000000000000000000000000000010000' +
  '0000000000000000000000000001e73ee321b6fd9e2a00000000a002ffc4003000000204ffc40402' +
  '080a3f89df59000000000103030a';

/** IPv4 and TCP parts of SYN, to be put together otherwise. */
const ETHERNET = SYN.slice(0, 28);
const IP = SYN.slice(28, 68);
const TCP = SYN.slice(68);
const IP6 = SYN6.slice(28, 108);
const TCP6 = SYN6.slice(108);

/** Writes hex over hex, at a byte offset. */
const patch = (hex: string, at: number, value: string) =>
  hex.slice(0, 2 * at) + value + hex.slice(2 * at + value.length);

/** An IPv6 packet of SYN6's segment behind extension headers. */
const behind = (first: string, extensions: string) =>
  patch(patch(IP6, 6, first), 4, (40 + extensions.length / 2).toString(16).padStart(4, '0')) +
  extensions +
  TCP6;

const synOptions: Segment['options'] = [
  { kind: 'mss', value: 65_495 },
  { kind: 'sackOK' },
  { kind: 'timestamps', value: 389_821_475, echoReply: 0 },
  { kind: 'nop' },
  { kind: 'wscale', value: 10 },
];

const syn: Segment = {
  version: 4,
  source: { address: '127.0.0.1', port: 57_286 },
  destination: { address: '127.0.0.1', port: 44_037 },
  sequence: 2_972_274_155,
  acknowledgment: 0,
  flags: 'S',
  window: 65_495,
  urgent: 0,
  options: synOptions,
  badOptions: false,
  payloadLength: 0,
  payload: new Uint8Array(0),
};

const syn6: Segment = {
  ...syn,
  version: 6,
  source: { address: '::1', port: 59_198 },
  destination: { address: '::1', port: 58_145 },
  sequence: 3_070_074_410,
  window: 65_476,
  options: [
    { kind: 'mss', value: 65_476 },
    { kind: 'sackOK' },
    { kind: 'timestamps', value: 1_066_000_217, echoReply: 0 },
    { kind: 'nop' },
    { kind: 'wscale', value: 10 },
  ],
};

/** SYN with 20 other option bytes. */
const withOptions = (hex: string) => ETHERNET + IP + TCP.slice(0, 40) + hex.padEnd(40, '0');

const segments: { name: string; bytes: string; raw?: true; expected: Partial<Segment> }[] = [
  { name: 'a SYN', bytes: SYN, expected: syn },
  { name: 'a SYN without Ethernet', bytes: IP + TCP, raw: true, expected: syn },
  { name: 'a SYN over IPv6', bytes: SYN6, expected: syn6 },
  { name: 'a SYN over IPv6 without Ethernet', bytes: IP6 + TCP6, raw: true, expected: syn6 },
  {
    name: 'data',
    bytes: DATA,
    expected: {
      flags: 'P.',
      acknowledgment: 1_368_213_851,
      options: [
        { kind: 'nop' },
        { kind: 'nop' },
        { kind: 'timestamps', value: 389_821_475, echoReply: 2_726_943_321 },
      ],
      payloadLength: 5,
      payload: bytesOf('746573740a'),
    },
  },
  { name: 'Ethernet padding after the packet', bytes: `${SYN}ffffffff`, expected: syn },
  {
    name: 'data the capture cut short',
    bytes: DATA.slice(0, -6),
    expected: { payloadLength: 5, payload: bytesOf('7465') },
  },
  {
    name: 'IPv4 options',
    bytes: `${ETHERNET}${patch(patch(IP, 0, '46'), 2, '0040')}01010101${TCP}`,
    expected: syn,
  },
  { name: 'total length 0', bytes: ETHERNET + patch(IP, 2, '0000') + TCP, expected: syn },
  { name: 'payload length 0', bytes: patch(IP6, 4, '0000') + TCP6, raw: true, expected: syn6 },
  {
    name: 'hop-by-hop, destination and routing headers',
    bytes: behind('00', `3c${'00'.repeat(7)}2b${'00'.repeat(7)}0601${'00'.repeat(14)}`),
    raw: true,
    expected: syn6,
  },
  {
    name: 'an authentication header, which counts in 4 bytes',
    bytes: behind('33', `0604${'00'.repeat(22)}`),
    raw: true,
    expected: syn6,
  },
  {
    name: 'all eight flags',
    bytes: patch(SYN, 47, 'ff'),
    expected: { flags: 'FSRP.UEW' },
  },
  { name: 'no flags', bytes: patch(SYN, 47, '00'), expected: { flags: 'none' } },
  {
    name: 'two SACK blocks, then end of options',
    bytes: withOptions('051200000001000000020000000300000004'),
    expected: {
      options: [
        {
          kind: 'sack',
          blocks: [
            [1, 2],
            [3, 4],
          ],
        },
        { kind: 'eol' },
      ],
    },
  },
  {
    name: 'a Fast Open cookie and a request for one',
    bytes: withOptions('22060102030422020000'),
    expected: {
      options: [
        { kind: 'fastopen', cookie: bytesOf('01020304') },
        { kind: 'fastopen', cookie: bytesOf('') },
        { kind: 'eol' },
      ],
    },
  },
  {
    name: 'an unknown option, and known ones of impossible lengths',
    bytes: withOptions('1e04aabb020300030204030508050300'),
    expected: {
      options: [
        { kind: 'unknown', number: 30, data: bytesOf('aabb') },
        { kind: 'unknown', number: 2, data: bytesOf('00') },
        { kind: 'unknown', number: 3, data: bytesOf('') },
        { kind: 'unknown', number: 4, data: bytesOf('05') },
        { kind: 'unknown', number: 8, data: bytesOf('030000') },
        { kind: 'eol' },
      ],
      badOptions: false,
    },
  },
  {
    name: 'an option length of 1',
    bytes: withOptions('01020101'),
    expected: { options: [{ kind: 'nop' }], badOptions: true },
  },
  {
    name: 'an option longer than the header',
    bytes: withOptions('0101fe14'),
    expected: { options: [{ kind: 'nop' }, { kind: 'nop' }], badOptions: true },
  },
  {
    name: 'an option kind without its length',
    bytes: withOptions(`${'01'.repeat(19)}02`),
    expected: {
      options: Array.from({ length: 19 }, () => ({ kind: 'nop' }) as const),
      badOptions: true,
    },
  },
];

for (const { name, bytes, raw, expected } of segments) {
  test(`decodes ${name}`, (t) => {
    const { segment } = decodeFrame(bytesOf(bytes), { linkType: raw ? 'raw' : 'ethernet' });
    t.truthy(segment);
    t.deepEqual({ ...segment, ...expected }, { ...segment } as Segment);
  });
}

for (const { name, frame, raw } of [
  { name: 'IPv4', frame: ETHERNET + patch(IP, 2, '0000') + TCP },
  { name: 'IPv6', frame: patch(IP6, 4, '0000') + TCP6, raw: true },
]) {
  test(`${name}, over 64 KiB and cut short: its payload is as long as the wire had it`, (t) => {
    const bytes = bytesOf(frame);
    const { segment } = decodeFrame(bytes, {
      linkType: raw ? 'raw' : 'ethernet',
      wireLength: bytes.length + 200_000,
    });
    t.like(segment, { payloadLength: 200_000, payload: new Uint8Array() });
  });
}

const refusals: { name: string; bytes: string; raw?: true; reason: NotSegment }[] = [
  { name: 'nothing', bytes: '', reason: 'truncated' },
  { name: 'nothing, raw', bytes: '', raw: true, reason: 'truncated' },
  { name: 'an Ethernet header alone', bytes: ETHERNET, reason: 'truncated' },
  { name: 'ARP', bytes: `${ETHERNET.slice(0, 24)}0806${IP}`, reason: 'not-ip' },
  { name: 'a VLAN tag', bytes: `${ETHERNET.slice(0, 24)}8100${IP}`, reason: 'not-ip' },
  { name: 'IPv6 said, IPv4 sent', bytes: `${ETHERNET.slice(0, 24)}86dd${IP}`, reason: 'not-ip' },
  { name: 'IP version 5', bytes: patch(IP, 0, '55'), raw: true, reason: 'not-ip' },
  { name: 'UDP', bytes: ETHERNET + patch(IP, 9, '11') + TCP, reason: 'not-tcp' },
  { name: 'UDP over IPv6', bytes: patch(IP6, 6, '11') + TCP6, raw: true, reason: 'not-tcp' },
  { name: 'ICMPv6', bytes: patch(IP6, 6, '3a') + TCP6, raw: true, reason: 'not-tcp' },
  { name: 'a first fragment', bytes: patch(SYN, 20, '2000'), reason: 'fragment' },
  { name: 'a later fragment', bytes: patch(SYN, 20, '0010'), reason: 'fragment' },
  {
    name: 'an IPv6 fragment',
    bytes: behind('2c', `06${'00'.repeat(7)}`),
    raw: true,
    reason: 'fragment',
  },
  { name: 'IHL under 5', bytes: patch(SYN, 14, '44'), reason: 'malformed' },
  { name: 'IHL past the total length', bytes: patch(SYN, 16, '0013'), reason: 'malformed' },
  {
    name: 'a total length inside the TCP header',
    bytes: patch(SYN, 16, '0020'),
    reason: 'malformed',
  },
  { name: 'a data offset under 5', bytes: patch(SYN, 46, '40'), reason: 'malformed' },
  { name: 'a data offset past the packet', bytes: patch(SYN, 46, 'f0'), reason: 'malformed' },
  {
    name: 'an extension header past the packet',
    bytes: behind('00', '06ff'),
    raw: true,
    reason: 'malformed',
  },
  {
    name: 'an extension header cut short',
    bytes: patch(IP6, 6, '00'),
    raw: true,
    reason: 'truncated',
  },
];

for (const { name, bytes, raw, reason } of refusals) {
  test(`${name}: ${reason}`, (t) => {
    const decoded = decodeFrame(bytesOf(bytes), { linkType: raw ? 'raw' : 'ethernet' });
    t.deepEqual(decoded, { reason });
  });
}

for (const [name, frame] of [
  ['IPv4', SYN],
  ['IPv6', SYN6],
] as const) {
  test(`${name}: every prefix of a frame without payload is truncated`, (t) => {
    const bytes = bytesOf(frame);
    for (let length = 0; length < bytes.length; length++) {
      const decoded = decodeFrame(bytes.subarray(0, length), { linkType: 'ethernet' });
      t.deepEqual(decoded, { reason: 'truncated' }, `${length} bytes`);
    }
  });
}

test('never throws, and never reaches outside the frame', (t) => {
  const mutated = fc
    .tuple(
      fc.constantFrom(SYN, DATA, SYN6),
      fc.array(fc.tuple(fc.nat(93), fc.nat(255)), { maxLength: 6 }),
      fc.nat(94),
    )
    .map(([hex, changes, length]) => {
      const bytes = bytesOf(hex);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes.subarray(0, length);
    });
  const linkType = fc.constantFrom('ethernet', 'raw');
  const frame = fc.oneof(mutated, fc.uint8Array({ maxLength: 120, size: 'max' }));
  fc.assert(
    fc.property(frame, linkType, (bytes, link) => {
      const { segment, reason } = decodeFrame(bytes, { linkType: link });
      t.true((segment === undefined) !== (reason === undefined));
      if (segment === undefined) return;
      t.true(segment.payload.length <= segment.payloadLength);
      t.true(segment.payload.length <= bytes.length - 20);
    }),
    { numRuns: 2000 },
  );
});
