import test from 'ava';
import fc from 'fast-check';
import { bpfRecordSize, decodeBpfRing, decodePerfRing, type Samples } from '../../src/tcp/ring.js';

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

/** Captured on Linux 6.18: sys_exit of munmap, as this library's program wrote it; pgoff is not looked at. */
const EXIT =
  'ba010000000000001000000000000000' + '0000000000000000'; /* ID 442, call 16 (ioctl), result 0 */
const BPF = `3000000003000000${'4334ae4b4c050000786e0000786e00000000000001000000'}${EXIT}`;
/** The same with a namespace. */
const BPF_NETNS = BPF.replace('786e000000000000010000', '786e0000f9ffffef010000');
/** Captured on Linux 6.18: a sample with TID, TIME, CPU, RAW; its raw bytes are padded to 28. */
const PERF_EXIT = 'ba010001786e0000100000000000000000000000000000000000000000';
const PERF = `09000000010040${'00'}786e0000786e00001bc6007d4c05000001000000000000001c000000${PERF_EXIT.slice(0, 56)}`;
/** perf_event_open(2): header, u64 id, u64 lost, and a sample_id this library does not ask for. */
const LOST = '02000000000018000100000000000000d902000000000000';

const sample = {
  tNs: 5_825_245_361_219n,
  pid: 28_280,
  tid: 28_280,
  cpu: 1,
  record: bytesOf(EXIT),
};
const perfSample = { ...sample, tNs: 5_826_072_856_091n, record: bytesOf(PERF_EXIT.slice(0, 56)) };

interface Row {
  readonly name: string;
  readonly bytes: string;
  readonly expected: Samples;
}

const none: Samples = { samples: [], lost: 0 };
const bpf: readonly Row[] = [
  { name: 'nothing', bytes: '', expected: none },
  { name: 'two records', bytes: BPF + BPF, expected: { samples: [sample, sample], lost: 0 } },
  {
    name: 'a record with a namespace',
    bytes: BPF_NETNS,
    expected: { samples: [{ ...sample, netns: 4_026_531_833 }], lost: 0 },
  },
  {
    name: 'a discarded record is passed over',
    bytes: BPF.replace('30000000', '30000040') + BPF,
    expected: { samples: [sample], lost: 0 },
  },
  {
    name: 'a record still being written',
    bytes: BPF + BPF.replace('30000000', '30000080'),
    expected: {
      samples: [sample],
      lost: 0,
      malformed: 'BPF ring record at byte 56: still being written',
    },
  },
  {
    name: 'a header cut short',
    bytes: `${BPF}300000`,
    expected: {
      samples: [sample],
      lost: 0,
      malformed: 'BPF ring record at byte 56: header cut short',
    },
  },
  {
    name: 'a record cut short',
    bytes: BPF.slice(0, -2),
    expected: { ...none, malformed: 'BPF ring record at byte 0: length 48 past the end' },
  },
  {
    name: 'a record shorter than what comes before a tracepoint',
    bytes: `1700000000000000${'00'.repeat(24)}`,
    expected: { ...none, malformed: 'BPF ring record at byte 0: length 23 under 24' },
  },
];
const perf: readonly Row[] = [
  { name: 'nothing', bytes: '', expected: none },
  {
    name: 'two samples',
    bytes: PERF + PERF,
    expected: { samples: [perfSample, perfSample], lost: 0 },
  },
  {
    name: 'losses are counted',
    bytes: LOST + PERF + LOST,
    expected: { samples: [perfSample], lost: 2 * 729 },
  },
  {
    name: 'records of other types are passed over',
    bytes: `${'05000000000010000000000000000000'}${PERF}`,
    expected: { samples: [perfSample], lost: 0 },
  },
  {
    name: 'a header cut short',
    bytes: `${PERF}0900`,
    expected: {
      samples: [perfSample],
      lost: 0,
      malformed: 'perf record at byte 64: header cut short',
    },
  },
  {
    name: 'a record that says it is shorter than its header',
    bytes: '0900000001000700',
    expected: { ...none, malformed: 'perf record at byte 0: size 7 under 8' },
  },
  {
    name: 'a record cut short',
    bytes: PERF.slice(0, -2),
    expected: { ...none, malformed: 'perf record at byte 0: size 64 past the end' },
  },
  {
    name: 'a sample whose raw part says it is longer than the sample',
    bytes: PERF.replace('1c000000', '1d000000'),
    expected: { ...none, malformed: 'perf record at byte 0: raw size 29 past its record' },
  },
  {
    name: 'a sample too short for a raw part',
    bytes: '0900000001000800',
    expected: { ...none, malformed: 'perf record at byte 0: raw size 8 past its record' },
  },
];

for (const { name, bytes, expected } of bpf) {
  test(`BPF ring: ${name}`, (t) => t.deepEqual(decodeBpfRing(bytesOf(bytes)), expected));
}
for (const { name, bytes, expected } of perf) {
  test(`perf ring: ${name}`, (t) => t.deepEqual(decodePerfRing(bytesOf(bytes)), expected));
}

for (const [length, size] of [
  [0, 8],
  [1, 16],
  [8, 16],
  [48, 56],
  [0xc000_0030, 56],
] as const) {
  test(`a BPF record of length 0x${length.toString(16)} takes ${size} bytes`, (t) => {
    t.is(bpfRecordSize(length), size);
  });
}

for (const [name, decode, seed] of [
  ['BPF', decodeBpfRing, bytesOf(BPF + BPF)],
  ['perf', decodePerfRing, bytesOf(LOST + PERF + PERF)],
] as const) {
  test(`${name} ring: no bytes make it throw, and nothing is read past the end`, (t) => {
    const mutations = fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 8 });
    fc.assert(
      fc.property(mutations, fc.nat(seed.length), (changes, length) => {
        const bytes = seed.slice(0, length);
        for (const [at, value] of changes) if (at < length) bytes[at] = value;
        const { samples } = decode(bytes);
        return samples.every(({ record }) => record.byteOffset + record.length <= length);
      }),
      { numRuns: 3000 },
    );
    t.pass();
  });
}
