import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { encodePcapng } from '../../src/report/pcapng.js';
import { AF_INET, AF_INET6, formatAddress } from '../../src/tcp/address.js';
import { verifyChecksum } from '../../src/tcp/checksum.js';
import { decodeFrame, type Segment, type TcpOption } from '../../src/tcp/segment.js';
import { encodeSegment, type OutgoingSegment } from '../../src/tcp/segment-encode.js';

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const ethernet = { source: bytesOf('020000000001'), destination: bytesOf('020000000002') };
const ends: OutgoingSegment = {
  source: { address: '192.0.2.1', port: 1111 },
  destination: { address: '192.0.2.2', port: 80 },
};

const decoded = (bytes: Uint8Array, linkType: 'ethernet' | 'raw' = 'raw'): Segment => {
  const { segment, reason } = decodeFrame(bytes, { linkType });
  if (segment === undefined) throw new Error(reason);
  return segment;
};

test("the kernel's own frame, byte for byte", (t) => {
  // Captured on lo: an ACK out of TIME_WAIT, which the kernel sums up itself.
  const hex =
    `${'00'.repeat(12)}0800` +
    '450000340000400040063cc27f0000017f000001dfc6ac05b1294df2518d49618010004089970000' +
    '0101080a173c3488a289dabe';
  const none = bytesOf('000000000000');
  const again = encodeSegment(decoded(bytesOf(hex), 'ethernet'), {
    ethernet: { source: none, destination: none },
  });
  t.is(hexOf(again), hex);
});

test('all that is left out is zero', (t) => {
  // c000 + 0201 + c000 + 0202 + 0006 + 0014 + 0457 + 0050 + 5000 is d8c5 with its carry.
  const [checksum, urgent] = ['273a', '0000'];
  t.is(
    hexOf(encodeSegment(ends).subarray(20)),
    `04570050${'00000000'.repeat(2)}50000000${checksum}${urgent}`,
  );
});

for (const { name, options, expected } of [
  { name: 'nothing', options: [], expected: '' },
  {
    name: 'what a SYN has',
    options: [
      { kind: 'mss', value: 1460 },
      { kind: 'sackOK' },
      { kind: 'timestamps', value: 1, echoReply: 0xffff_ffff },
      { kind: 'nop' },
      { kind: 'wscale', value: 7 },
    ],
    expected: '020405b40402080a00000001ffffffff01030307',
  },
  {
    name: 'two SACK blocks, filled up',
    options: [
      {
        kind: 'sack',
        blocks: [
          [1, 2],
          [0xffff_fffe, 4],
        ],
      },
    ],
    expected: '05120000000100000002fffffffe000000040000',
  },
  {
    name: 'a cookie, and a request for one',
    options: [
      { kind: 'fastopen', cookie: bytesOf('01020304') },
      { kind: 'fastopen', cookie: bytesOf('') },
    ],
    expected: '2206010203042202',
  },
  {
    name: 'one without a decoder, then the end',
    options: [{ kind: 'unknown', number: 254, data: bytesOf('aabb') }, { kind: 'eol' }],
    expected: 'fe04aabb00000000',
  },
  { name: 'bytes without sense', options: bytesOf('02010101fe'), expected: '02010101fe000000' },
  { name: 'as many as fit', options: bytesOf('01'.repeat(40)), expected: '01'.repeat(40) },
] as { name: string; options: TcpOption[] | Uint8Array; expected: string }[]) {
  test(`encodes options: ${name}`, (t) => {
    const bytes = encodeSegment({ ...ends, options });
    t.is(hexOf(bytes.subarray(40)), expected);
    t.is((bytes[32] ?? 0) >> 4, 5 + expected.length / 8);
  });
}

for (const { flags, bits } of [
  { flags: '', bits: 0 },
  { flags: 'none', bits: 0 },
  { flags: 'S', bits: 0x02 },
  { flags: '.S', bits: 0x12 },
  { flags: 'FSRP.UEW', bits: 0xff },
]) {
  test(`encodes flags '${flags}'`, (t) => {
    t.is(encodeSegment({ ...ends, flags })[33], bits);
  });
}

const v6 = { address: '::1', port: 1 };
for (const { does, segment, ethernet, error } of [
  { does: 'a name for an address', segment: { source: { address: 'localhost', port: 1 } } },
  { does: 'two families', segment: { source: v6 } },
  { does: 'a flag there is not', segment: { flags: 'SX' } },
  { does: 'a link address of 5 bytes', ethernet: { source: new Uint8Array(5) } },
  {
    does: 'a port',
    segment: { source: { address: '192.0.2.1', port: 65_536 } },
    error: RangeError,
  },
  { does: 'a negative number', segment: { sequence: -1 }, error: RangeError },
  { does: 'a number past 32 bits', segment: { acknowledgment: 2 ** 32 }, error: RangeError },
  { does: 'half a number', segment: { window: 0.5 }, error: RangeError },
  { does: 'an urgent pointer past 16 bits', segment: { urgent: 65_536 }, error: RangeError },
  { does: '41 bytes of options', segment: { options: new Uint8Array(41) }, error: RangeError },
  {
    does: 'a segment size past 16 bits',
    segment: { options: [{ kind: 'mss', value: 65_536 }] },
    error: RangeError,
  },
  {
    does: 'an option kind past 8 bits',
    segment: { options: [{ kind: 'unknown', number: 256, data: new Uint8Array() }] },
    error: RangeError,
  },
  {
    does: 'too much payload for IPv4',
    segment: { payload: new Uint8Array(65_496) },
    error: RangeError,
  },
  {
    does: 'too much payload for IPv6',
    segment: { source: v6, destination: v6, payload: new Uint8Array(65_516) },
    error: RangeError,
  },
] as {
  does: string;
  segment?: Partial<OutgoingSegment>;
  ethernet?: { source: Uint8Array };
  error?: typeof RangeError;
}[]) {
  test(`refuses ${does}`, (t) => {
    const link = { source: new Uint8Array(6), destination: new Uint8Array(6), ...ethernet };
    const instanceOf = error ?? TypeError;
    t.throws(() => encodeSegment({ ...ends, ...segment }, { ethernet: link }), { instanceOf });
  });
}

for (const [name, end, most] of [
  ['IPv4', ends.source, 65_495],
  ['IPv6', v6, 65_515],
] as const) {
  test(`the largest packet of ${name} is whole`, (t) => {
    const payload = new Uint8Array(most).fill(0xa5);
    const bytes = encodeSegment({ source: end, destination: end, payload });
    t.is(verifyChecksum(bytes, { linkType: 'raw' }), 'correct');
    t.deepEqual(decoded(bytes).payload, payload);
  });
}

const u32 = fc.nat(0xffff_ffff);
const u16 = fc.nat(0xffff);
const port = u16;
const data = (maxLength: number) => fc.uint8Array({ maxLength });

/** What the decoder can tell: an option whose kind and length have another meaning is none of `unknown`. */
const anyOption: fc.Arbitrary<TcpOption> = fc.oneof(
  fc.record({ kind: fc.constant('nop' as const) }),
  fc.record({ kind: fc.constant('mss' as const), value: u16 }),
  fc.record({ kind: fc.constant('wscale' as const), value: fc.nat(255) }),
  fc.record({ kind: fc.constant('sackOK' as const) }),
  fc.record({
    kind: fc.constant('sack' as const),
    blocks: fc.array(fc.tuple(u32, u32), { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('timestamps' as const), value: u32, echoReply: u32 }),
  fc.record({ kind: fc.constant('fastopen' as const), cookie: data(16) }),
  fc.record({
    kind: fc.constant('unknown' as const),
    number: fc.integer({ min: 35, max: 255 }),
    data: data(10),
  }),
);

const fits = (options: readonly TcpOption[]): boolean => {
  try {
    return encodeSegment({ ...ends, options }).length > 0;
  } catch {
    return false;
  }
};

/** Options that fill the header to its end, as the decoder hands them out. */
const anyOptions = fc
  .array(anyOption, { maxLength: 5 })
  .filter(fits)
  .map((options) => {
    // Zeros read as the list's end; these do not.
    const filled: TcpOption[] = [...options];
    while (decoded(encodeSegment({ ...ends, options: filled })).options.length > filled.length) {
      filled.push({ kind: 'nop' });
    }
    return filled;
  });

const address = (version: 4 | 6) =>
  version === 4
    ? fc.uint8Array({ minLength: 4, maxLength: 4 }).map((b) => formatAddress(b, 0, AF_INET))
    : fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => formatAddress(b, 0, AF_INET6));

const anySegment: fc.Arbitrary<Segment> = fc
  .constantFrom(4 as const, 6 as const)
  .chain((version) =>
    fc.record({
      version: fc.constant(version),
      source: fc.record({ address: address(version), port }),
      destination: fc.record({ address: address(version), port }),
      sequence: u32,
      acknowledgment: u32,
      flags: fc
        .subarray(['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'])
        .map((flags) => flags.join('') || 'none'),
      window: u16,
      urgent: u16,
      options: anyOptions,
      badOptions: fc.constant(false),
      payload: data(64),
    }),
  )
  .map((segment) => ({ ...segment, payloadLength: segment.payload.length }));

test('what is encoded is what is decoded', (t) => {
  fc.assert(
    fc.property(anySegment, fc.boolean(), (segment, framed) => {
      const bytes = encodeSegment(segment, framed ? { ethernet } : {});
      const linkType = framed ? 'ethernet' : 'raw';
      t.deepEqual(decoded(bytes, linkType), segment);
      t.is(verifyChecksum(bytes, { linkType }), 'correct');
      const bad = encodeSegment(segment, { badChecksum: true });
      t.is(verifyChecksum(bad, { linkType: 'raw' }), 'incorrect');
      t.deepEqual(decoded(bad), segment);
    }),
    { numRuns: 500 },
  );
});

/** Segments of every kind, a third of them with a wrong checksum. */
const samples = fc
  .sample(fc.tuple(anySegment, fc.nat(2)), { numRuns: 100, seed: 9293 })
  .map(([segment, third]) => ({ segment, badChecksum: third === 0 }));

/** What a tool says of the samples, a line each. */
function ask(t: ExecutionContext, program: string, ...args: readonly string[]): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'segments.pcapng');
  const frames = samples.map(({ segment, badChecksum }) => ({
    timeNs: 0n,
    bytes: encodeSegment(segment, { ethernet, badChecksum }),
  }));
  writeFileSync(
    file,
    encodePcapng(frames, { interfaces: [{ name: 'wire', linkType: 'ethernet' }] }),
  );
  const { status, stdout, stderr } = spawnSync(program, [...args, '-r', file], {
    encoding: 'utf8',
    env: { ...process.env, HOME: directory },
  });
  t.is(status, 0, stderr);
  return stdout.replace(/\n$/, '').split('\n');
}

function needs(program: string) {
  const installed = spawnSync(program, ['--version']).error === undefined;
  return installed
    ? { run: test, suffix: '' }
    : { run: test.skip, suffix: ` (needs ${program}: not installed)` };
}

const tcpdump = needs('tcpdump');
tcpdump.run(`tcpdump finds the checksums as they were meant${tcpdump.suffix}`, (t) => {
  const text = ask(t, 'tcpdump', '-n', '-t', '-vv').join('\n');
  const verdicts = [...text.matchAll(/, cksum 0x[0-9a-f]+ \((correct|incorrect)/g)];
  t.deepEqual(
    verdicts.map(([, verdict]) => verdict),
    samples.map(({ badChecksum }) => (badChecksum ? 'incorrect' : 'correct')),
  );
  t.notRegex(text, /bad cksum/);
});

const tshark = needs('tshark');
tshark.run(`tshark reads the numbers as they were meant${tshark.suffix}`, (t) => {
  const fields = ['tcp.seq_raw', 'tcp.ack_raw', 'tcp.window_size_value', 'tcp.len'];
  const lines = ask(
    t,
    'tshark',
    ...['-o', 'tcp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE', '-T', 'fields'],
    ...[...fields, 'tcp.checksum.status', 'ip.checksum.status'].flatMap((field) => ['-e', field]),
  );
  t.deepEqual(
    lines.map((line) => line.split('\t')),
    samples.map(({ segment, badChecksum }) => [
      ...[segment.sequence, segment.acknowledgment, segment.window, segment.payloadLength].map(
        String,
      ),
      badChecksum ? '0' : '1',
      segment.version === 4 ? '1' : '',
    ]),
  );
});
