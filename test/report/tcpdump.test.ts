import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { encodePcapng, type PcapngFrame } from '../../src/report/pcapng.js';
import { TcpdumpFormatter } from '../../src/report/tcpdump.js';
import { decodeFrame } from '../../src/tcp/segment.js';

/** Two echo conversations on lo, IPv4 and IPv6, captured with tcpdump. */
const CAPTURED: readonly (readonly [bigint, string])[] = [
  [
    1795371067901998000n,
    '00000000000000000000000008004500003c628840004006da317f0000017f000001dfc6ac05b1294deb00000000a002ffd7fe3000000204ffd70402080a173c3423000000000103030a',
  ],
  [
    1795371067902016000n,
    '00000000000000000000000008004500003c0000400040063cba7f0000017f000001ac05dfc6518d495ab1294deca012ffcbfe3000000204ffd70402080aa289da59173c34230103030a',
  ],
  [
    1795371067902035000n,
    '000000000000000000000000080045000034628940004006da387f0000017f000001dfc6ac05b1294dec518d495b80100040fe2800000101080a173c3423a289da59',
  ],
  [
    1795371067902109000n,
    '000000000000000000000000080045000039628a40004006da327f0000017f000001dfc6ac05b1294dec518d495b80180040fe2d00000101080a173c3423a289da59746573740a',
  ],
  [
    1795371067902116000n,
    '000000000000000000000000080045000034b276400040068a4b7f0000017f000001ac05dfc6518d495bb1294df180100040fe2800000101080aa289da59173c3423',
  ],
  [
    1795371067902147000n,
    '000000000000000000000000080045000039b277400040068a457f0000017f000001ac05dfc6518d495bb1294df180180040fe2d00000101080aa289da59173c3423746573740a',
  ],
  [
    1795371067902150000n,
    '000000000000000000000000080045000034628b40004006da367f0000017f000001dfc6ac05b1294df1518d496080100040fe2800000101080a173c3423a289da59',
  ],
  [
    1795371067902176000n,
    '000000000000000000000000080045000034628c40004006da357f0000017f000001dfc6ac05b1294df1518d496080110040fe2800000101080a173c3423a289da59',
  ],
  [
    1795371067944361000n,
    '000000000000000000000000080045000034b278400040068a497f0000017f000001ac05dfc6518d4960b1294df280100040fe2800000101080aa289da84173c3423',
  ],
  [
    1795371068002488000n,
    '000000000000000000000000080045000034b279400040068a487f0000017f000001ac05dfc6518d4960b1294df280110040fe2800000101080aa289dabe173c3423',
  ],
  [
    1795371068002512000n,
    '0000000000000000000000000800450000340000400040063cc27f0000017f000001dfc6ac05b1294df2518d496180100040899700000101080a173c3488a289dabe',
  ],
  [
    1795371068102964000n,
    '00000000000000000000000086dd600b0e20002806400000000000000000000000000000000100000000000000000000000000000001e73ee321b6fd9e2a00000000a002ffc4003000000204ffc40402080a3f89df59000000000103030a',
  ],
  [
    1795371068102983000n,
    '00000000000000000000000086dd600efbee002806400000000000000000000000000000000100000000000000000000000000000001e321e73e2a7734efb6fd9e2ba012ffb8003000000204ffc40402080a4af723de3f89df590103030a',
  ],
  [
    1795371068102999000n,
    '00000000000000000000000086dd600b0e20002006400000000000000000000000000000000100000000000000000000000000000001e73ee321b6fd9e2b2a7734f080100040002800000101080a3f89df594af723de',
  ],
  [
    1795371068103086000n,
    '00000000000000000000000086dd600b0e20002506400000000000000000000000000000000100000000000000000000000000000001e73ee321b6fd9e2b2a7734f080180040002d00000101080a3f89df594af723de746573740a',
  ],
  [
    1795371068103092000n,
    '00000000000000000000000086dd600efbee002006400000000000000000000000000000000100000000000000000000000000000001e321e73e2a7734f0b6fd9e3080100040002800000101080a4af723de3f89df59',
  ],
  [
    1795371068103108000n,
    '00000000000000000000000086dd600efbee002506400000000000000000000000000000000100000000000000000000000000000001e321e73e2a7734f0b6fd9e3080180040002d00000101080a4af723de3f89df59746573740a',
  ],
  [
    1795371068103111000n,
    '00000000000000000000000086dd600b0e20002006400000000000000000000000000000000100000000000000000000000000000001e73ee321b6fd9e302a7734f580100040002800000101080a3f89df594af723de',
  ],
  [
    1795371068103124000n,
    '00000000000000000000000086dd600b0e20002006400000000000000000000000000000000100000000000000000000000000000001e73ee321b6fd9e302a7734f580110040002800000101080a3f89df594af723de',
  ],
  [
    1795371068144363000n,
    '00000000000000000000000086dd600efbee002006400000000000000000000000000000000100000000000000000000000000000001e321e73e2a7734f5b6fd9e3180100040002800000101080a4af724083f89df59',
  ],
  [
    1795371068203406000n,
    '00000000000000000000000086dd600efbee002006400000000000000000000000000000000100000000000000000000000000000001e321e73e2a7734f5b6fd9e3180110040002800000101080a4af724433f89df59',
  ],
  [
    1795371068203430000n,
    '00000000000000000000000086dd600b0e20002006400000000000000000000000000000000100000000000000000000000000000001e73ee321b6fd9e312a7734f680100040002800000101080a3f89dfbe4af72443',
  ],
];

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
const hex = (value: number, bytes: number) => value.toString(16).padStart(2 * bytes, '0');

interface Made {
  from?: number;
  to?: number;
  sequence?: number;
  acknowledgment?: number;
  flags?: number;
  options?: string;
  payload?: string;
  urgent?: number;
}

const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;

/** An IPv4 frame between 192.0.2.1 and 192.0.2.2, the lower port at .1; checksums stay 0. */
function frame(made: Made): string {
  const { from = 1111, to = 2222, sequence = 0, acknowledgment = 0, flags = ACK } = made;
  const { options = '', payload = '', urgent = 0 } = made;
  const length = 40 + (options.length + payload.length) / 2;
  const host = (port: number) => `c000020${port === 1111 ? 1 : 2}`;
  return (
    `${'00'.repeat(12)}0800` +
    `4500${hex(length, 2)}0000400040060000${host(from)}${host(to)}` +
    hex(from, 2) +
    hex(to, 2) +
    hex(sequence, 4) +
    hex(acknowledgment, 4) +
    hex(5 + options.length / 8, 1)[1] +
    `0${hex(flags, 1)}` +
    `02000000${hex(urgent, 2)}${options}${payload}`
  );
}

const back = { from: 2222, to: 1111 };

const conversations: { name: string; frames: string[] }[] = [
  {
    name: 'numbers that wrap around',
    frames: [
      frame({ sequence: 0xfffffffe, flags: SYN }),
      frame({ ...back, sequence: 0xffffffff, acknowledgment: 0xffffffff, flags: SYN | ACK }),
      frame({ sequence: 0xffffffff, acknowledgment: 0 }),
      frame({ sequence: 0xffffffff, acknowledgment: 0, flags: PSH | ACK, payload: 'aabbcc' }),
      frame({ ...back, sequence: 0, acknowledgment: 2, flags: FIN | ACK }),
      frame({ sequence: 2, acknowledgment: 1, flags: FIN | PSH | ACK, payload: 'aa' }),
    ],
  },
  {
    name: 'a conversation met in its middle, each way round',
    frames: [
      frame({ ...back, sequence: 5000, acknowledgment: 900, flags: PSH | ACK, payload: 'aa' }),
      frame({ sequence: 900, acknowledgment: 5001 }),
      frame({ ...back, sequence: 5001, acknowledgment: 900, flags: PSH | ACK, payload: 'bb' }),
    ],
  },
  {
    name: 'the same ports used again',
    frames: [
      frame({ sequence: 100, flags: SYN }),
      frame({ ...back, sequence: 300, acknowledgment: 101, flags: SYN | ACK }),
      frame({ sequence: 101, acknowledgment: 301 }),
      frame({ sequence: 7100, flags: SYN }),
      frame({ ...back, sequence: 7300, acknowledgment: 7101, flags: SYN | ACK }),
      frame({ sequence: 7101, acknowledgment: 7301 }),
    ],
  },
  {
    name: 'resets with and without an acknowledgment',
    frames: [
      frame({ sequence: 100, flags: SYN }),
      frame({ ...back, acknowledgment: 101, flags: RST | ACK }),
      frame({ sequence: 101, flags: RST }),
    ],
  },
  {
    name: 'a socket connected to itself',
    frames: [
      frame({ to: 1111, sequence: 100, flags: SYN }),
      frame({ to: 1111, sequence: 100, acknowledgment: 101, flags: SYN | ACK }),
      frame({ to: 1111, sequence: 101, acknowledgment: 101, flags: PSH | ACK, payload: 'aa' }),
    ],
  },
  {
    name: 'every flag, none, and urgent data',
    frames: [
      frame({ flags: 0xff, urgent: 5 }),
      frame({ flags: 0 }),
      frame({ flags: 0x20, urgent: 7, payload: 'aa' }),
      frame({ flags: SYN | 0xc0 }),
    ],
  },
  {
    name: 'SACK blocks relative to the end they are about',
    frames: [
      frame({ sequence: 100, flags: SYN, options: '020405b404020000' }),
      frame({ ...back, sequence: 300, acknowledgment: 101, flags: SYN | ACK }),
      frame({ ...back, sequence: 301, acknowledgment: 101, options: '0101050a0000006f00000079' }),
      frame({
        sequence: 101,
        acknowledgment: 301,
        options: '010105120000013600000140000001900000019a',
      }),
    ],
  },
  {
    name: 'SACK on the first segment seen',
    frames: [
      frame({ sequence: 101, acknowledgment: 301, options: '0101050a0000013600000140' }),
      frame({ sequence: 101, acknowledgment: 301, options: '0101050a0000013600000140' }),
    ],
  },
  {
    name: 'Fast Open: a cookie asked for and given',
    frames: [
      frame({ flags: SYN, options: '22020101' }),
      frame({ ...back, flags: SYN | ACK, options: '220a01020304050607080101' }),
    ],
  },
  {
    name: 'an option without a name, with and without data',
    frames: [frame({ options: 'c804aabb' }), frame({ options: 'c8020101' })],
  },
  {
    name: 'end of options',
    frames: [frame({ options: '020405b400000000' })],
  },
  {
    name: 'options that break off',
    frames: [
      frame({ options: '01020101' }),
      frame({ options: '02010101', payload: 'aabb' }),
      frame({ options: '0101fe14' }),
    ],
  },
];

const version = spawnSync('tcpdump', ['--version']);
const hasTcpdump = version.error === undefined;
const withTcpdump = hasTcpdump ? test : test.skip;
const suffix = hasTcpdump ? '' : ' (needs tcpdump: not installed)';

withTcpdump(`as tcpdump prints it: captured conversations${suffix}`, (t) => {
  compare(
    t,
    CAPTURED.map(([timeNs, bytes]) => ({ timeNs, bytes: bytesOf(bytes) })),
  );
});

for (const { name, frames } of conversations) {
  withTcpdump(`as tcpdump prints it: ${name}${suffix}`, (t) => {
    compare(
      t,
      frames.map((bytes, index) => ({
        timeNs: 1_700_000_000_000_000_999n + 999_999_999n * BigInt(index),
        bytes: bytesOf(bytes),
      })),
    );
  });
}

withTcpdump(`as tcpdump prints it: raw IP and another time zone${suffix}`, (t) => {
  const frames = CAPTURED.map(([timeNs, bytes]) => ({ timeNs, bytes: bytesOf(bytes.slice(28)) }));
  const zone = process.env['TZ'];
  process.env['TZ'] = 'Asia/Seoul';
  t.teardown(() => {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  });
  compare(t, frames, 'raw');
});

function compare(
  t: ExecutionContext,
  frames: readonly PcapngFrame[],
  linkType: 'ethernet' | 'raw' = 'ethernet',
): void {
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'frames.pcapng');
  writeFileSync(file, encodePcapng(frames, { interfaces: [{ name: 'lo', linkType }] }));
  const { status, stdout, stderr } = spawnSync('tcpdump', ['-n', '-r', file]);
  t.is(status, 0, String(stderr));
  const formatter = new TcpdumpFormatter();
  const lines = frames.map(({ timeNs, bytes }) => {
    const { segment } = decodeFrame(bytes, { linkType });
    return segment === undefined ? '' : formatter.format({ timeNs, segment });
  });
  t.deepEqual(lines, String(stdout).trimEnd().split('\n'));
}

test('one line, spelled out', (t) => {
  const [first] = CAPTURED;
  const { segment } = decodeFrame(bytesOf(first?.[1] ?? ''), { linkType: 'ethernet' });
  t.truthy(segment);
  if (segment === undefined || first === undefined) return;
  const line = new TcpdumpFormatter().format({ timeNs: first[0], segment });
  t.is(
    line.replace(/^\d\d:/, 'HH:'),
    'HH:11:07.901998 IP 127.0.0.1.57286 > 127.0.0.1.44037: Flags [S], seq 2972274155, win 65495, ' +
      'options [mss 65495,sackOK,TS val 389821475 ecr 0,nop,wscale 10], length 0',
  );
});
