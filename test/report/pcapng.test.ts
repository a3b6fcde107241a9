import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { encodePcapng, type PcapngFrame, type PcapngOptions } from '../../src/report/pcapng.js';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** An Ethernet frame of a type for local experiments (IEEE 802), so that no dissector looks in. */
const frame = (payload: number) =>
  new Uint8Array([...Array<number>(12).fill(0), 0x88, 0xb5, ...Array<number>(payload).fill(0xab)]);

const lo: PcapngOptions = { interfaces: [{ name: 'lo', linkType: 'ethernet' }] };

const SECTION = '0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000';
const INTERFACE =
  '0100000028000000' +
  '0100000000000000' +
  '020002006c6f0000' +
  '0900010009000000' +
  '00000000' +
  '28000000';

for (const { name, frames, options, expected } of [
  { name: 'no frames', frames: [], options: lo, expected: SECTION + INTERFACE },
  {
    name: 'every text of the section, raw IP',
    frames: [],
    options: {
      interfaces: [{ name: '', linkType: 'raw' }],
      ...{ hardware: 'h', os: 'os', application: 'app' },
    },
    expected:
      '0a0d0d0a380000004d3c2b1a01000000ffffffffffffffff' +
      '0200010068000000' +
      '030002006f730000' +
      '0400030061707000' +
      '00000000' +
      '38000000' +
      '0100000024000000' +
      '6500000000000000' +
      '02000000' +
      '0900010009000000' +
      '00000000' +
      '24000000',
  },
  {
    name: 'a frame that was cut short, with a comment',
    frames: [
      {
        timeNs: 0x1122334455667788n,
        bytes: Uint8Array.of(1, 2, 3),
        originalLength: 60,
        comment: 'FIN',
      },
    ],
    options: lo,
    expected:
      SECTION +
      INTERFACE +
      '0600000030000000' +
      '00000000' +
      '44332211' +
      '88776655' +
      '03000000' +
      '3c000000' +
      '01020300' +
      '0100030046494e00' +
      '00000000' +
      '30000000',
  },
] as { name: string; frames: PcapngFrame[]; options: PcapngOptions; expected: string }[]) {
  test(`encodes ${name}`, (t) => {
    t.is(hexOf(encodePcapng(frames, options)), expected);
  });
}

test('a frame of an interface that is not there is refused', (t) => {
  const one = { timeNs: 0n, bytes: frame(0), interface: 1 };
  t.throws(() => encodePcapng([one], lo), { instanceOf: RangeError, message: 'no interface 1' });
});

test('a text past 64 KiB is cut between characters', (t) => {
  const bytes = encodePcapng([{ timeNs: 0n, bytes: frame(0), comment: '€'.repeat(30_000) }], lo);
  const start = SECTION.length / 2 + INTERFACE.length / 2;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start);
  t.is(view.getUint16(44, true), 1);
  t.is(view.getUint16(46, true), 0xffff);
  t.is(
    new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(start + 48).subarray(0, 0xffff))
      .length,
    21_845,
  );
});

test('blocks fill the file: each length is stated twice and is a multiple of 4', (t) => {
  const anyFrame = fc.record(
    {
      timeNs: fc.bigInt({ min: 0n, max: 2n ** 63n }),
      bytes: fc.uint8Array({ maxLength: 100, size: 'max' }),
      comment: fc.string(),
    },
    { requiredKeys: ['timeNs', 'bytes'] },
  );
  fc.assert(
    fc.property(fc.array(anyFrame), (frames) => {
      const bytes = encodePcapng(frames as PcapngFrame[], lo);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const types: number[] = [];
      let offset = 0;
      while (offset < bytes.length) {
        types.push(view.getUint32(offset, true));
        const length = view.getUint32(offset + 4, true);
        t.is(length % 4, 0);
        t.is(view.getUint32(offset + length - 4, true), length);
        offset += length;
      }
      t.is(offset, bytes.length);
      t.deepEqual(types, [0x0a0d0d0a, 1, ...frames.map(() => 6)]);
    }),
  );
});

const frames: PcapngFrame[] = [
  { timeNs: 1_700_000_000_000_000_001n, bytes: frame(46), comment: 'first; 첫째' },
  { timeNs: 1_700_000_000_999_999_999n, bytes: frame(47), originalLength: 1500, interface: 1 },
];

/** Runs a program over a file of the frames and gives what it printed. */
function read(t: ExecutionContext, program: string, args: (file: string) => string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'frames.pcapng');
  const counted = { timeNs: 1_700_000_001_000_000_000n, received: 1 };
  const eth0 = { name: 'eth0', linkType: 'ethernet', statistics: counted } as const;
  const interfaces = [...lo.interfaces, eth0];
  const options = { interfaces, hardware: 'x86_64', os: 'Linux', application: 'closewait test' };
  writeFileSync(file, encodePcapng(frames, options));
  const { status, stdout, stderr } = spawnSync(program, args(file));
  t.is(status, 0, String(stderr));
  return String(stdout);
}

function needs(program: string) {
  const installed = spawnSync(program, ['--version']).error === undefined;
  return installed
    ? { run: test, suffix: '' }
    : { run: test.skip, suffix: ` (needs ${program}: not installed)` };
}

const tcpdump = needs('tcpdump');
tcpdump.run(`tcpdump reads time to the nanosecond, and both lengths${tcpdump.suffix}`, (t) => {
  const printed = read(t, 'tcpdump', (file) => ['-n', '-e', '-tt', '--nano', '-r', file]);
  const lines = printed
    .trimEnd()
    .split('\n')
    .filter((one) => /^\d/.test(one));
  t.is(lines.length, 2);
  t.regex(lines[0] ?? '', /^1700000000\.000000001 .*\blength 60\b/);
  t.regex(lines[1] ?? '', /^1700000000\.999999999 .*\blength 1500\b/);
});

const tshark = needs('tshark');
tshark.run(`tshark reads every field${tshark.suffix}`, (t) => {
  const fields = [
    'frame.time_epoch',
    'frame.len',
    'frame.cap_len',
    'frame.interface_name',
    'frame.comment',
    'eth.type',
  ];
  const printed = read(t, 'tshark', (file) => [
    ...['-r', file, '-T', 'fields'],
    ...fields.flatMap((field) => ['-e', field]),
  ]);
  t.deepEqual(
    printed
      .trimEnd()
      .split('\n')
      .map((one) => one.split('\t')),
    [
      ['1700000000.000000001', '60', '60', 'lo', 'first; 첫째', '0x88b5'],
      ['1700000000.999999999', '1500', '61', 'eth0', '', '0x88b5'],
    ],
  );
});

const capinfos = needs('capinfos');
capinfos.run(`capinfos finds the section whole${capinfos.suffix}`, (t) => {
  const printed = read(t, 'capinfos', (file) => ['-M', file]);
  t.regex(printed, /File type:\s+pcapng/);
  t.regex(printed, /Number of packets:\s+2\b/);
  t.regex(printed, /Capture hardware:\s+x86_64/);
  t.regex(printed, /Capture oper-sys:\s+Linux/);
  t.regex(printed, /Capture application:\s+closewait test/);
  t.regex(printed, /Number of interfaces in file:\s+2\b/);
  t.regex(printed, /Time precision = nanoseconds \(9\)/);
});
