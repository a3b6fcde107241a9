/** Everything that gives foreign bytes a meaning, and bytes to begin with. */

import { namesGoSection } from '../../src/diagnose/elf.js';
import { TextFrames } from '../../src/diagnose/frames.js';
import { maxFrom } from '../../src/diagnose/limits.js';
import { mountsIn } from '../../src/diagnose/mounts.js';
import { decodeRecord } from '../../src/diagnose/source.js';
import { parseBench } from '../../src/experiment/bench-compare.js';
import { parseEpollInterest } from '../../src/observer/epoll.js';
import { socketTypes, tableTypes } from '../../src/observer/iterator-types.js';
import { parseStat } from '../../src/observer/proc.js';
import { socketInode } from '../../src/observer/process.js';
import { decodeControl } from '../../src/syscall/message.js';
import * as sys from '../../src/syscall/sys.js';
import { formatAddress, parseScopedAddress } from '../../src/tcp/address.js';
import { Btf } from '../../src/tcp/btf.js';
import { verifyChecksum } from '../../src/tcp/checksum.js';
import { decodeFamily } from '../../src/tcp/ethtool.js';
import { encodeDump } from '../../src/tcp/inet-diag.js';
import { decodeTcpInfo, tcpInfoFields } from '../../src/tcp/info.js';
import {
  decodeText,
  encodeAttributes,
  findAttribute,
  NetlinkCursor,
} from '../../src/tcp/netlink.js';
import {
  blockLength,
  decodeBlock,
  decodePacketLength,
  decodePacketStatistics,
} from '../../src/tcp/packet-ring.js';
import { decodeBpfRing, decodePerfRing } from '../../src/tcp/ring.js';
import { decodeLink, decodeLocalRoute, formatLinkAddress } from '../../src/tcp/rtnetlink.js';
import { decodeFrame } from '../../src/tcp/segment.js';
import { quote } from '../../src/tcp/segment-line.js';
import { SocketTable } from '../../src/tcp/socket-table.js';
import { decoderOf, parseFormat, portPlaces } from '../../src/tcp/tracepoint.js';

export interface Target {
  readonly seeds: readonly Uint8Array[];
  /** May throw what `refuses` matches, and nothing else. */
  run(bytes: Uint8Array): unknown;
  readonly refuses?: RegExp;
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytesOf = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value, 'latin1'));
const hex = (value: string): Uint8Array =>
  Uint8Array.from(Buffer.from(value.replace(/\s/g, ''), 'hex'));
const zeroes = (length: number): Uint8Array => new Uint8Array(length);

/** 32-bit numbers, then more bytes. */
function words(numbers: readonly number[], ...rest: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(
    Buffer.concat([new Uint8Array(Uint32Array.from(numbers).buffer), ...rest]),
  );
}

const ipv4 = hex(`
  4500 0034 0001 4000 4006 0000 7f00 0001 7f00 0001
  1f90 c001 0000 0001 0000 0002 8018 0200 0000 0000 0101 080a 0000 0001 0000 0002`);
const ipv6 = hex(`
  6000 0000 0018 0640 0000 0000 0000 0000 0000 0000 0000 0001 0000 0000 0000 0000 0000 0000 0000 0001
  1f90 c001 0000 0001 0000 0000 6002 0200 0000 0000 0204 05b4`);
const ethernet = (type: string, packet: Uint8Array): Uint8Array =>
  Uint8Array.from(Buffer.concat([hex(`020000000001 020000000002 ${type}`), packet]));

const field = (type: string, name: string, offset: number, size: number): string =>
  `\tfield:${type} ${name};\toffset:${offset};\tsize:${size};\tsigned:0;\n`;
const FORMAT = `name: inet_sock_set_state
ID: 1400
format:
${field('unsigned short', 'common_type', 0, 2)}
${field('const void *', 'skaddr', 8, 8)}${field('int', 'oldstate', 16, 4)}${field('int', 'newstate', 20, 4)}${field('__u16', 'sport', 24, 2)}${field('__u16', 'dport', 26, 2)}${field('__u16', 'family', 28, 2)}${field('__u16', 'protocol', 30, 2)}${field('__u8', 'saddr[4]', 32, 4)}${field('__u8', 'daddr[4]', 36, 4)}${field('__u8', 'saddr_v6[16]', 40, 16)}${field('__u8', 'daddr_v6[16]', 56, 16)}
print fmt: "family=%s", __print_symbolic(REC->family, { 2, "AF_INET" }, { 10, "AF_INET6" })
`;
const format = parseFormat(FORMAT);
const decodeHit = format && decoderOf(format);
if (decodeHit === undefined) throw new Error('no decoder for the format above');

// Two sockets' worth of a struct inet_diag_msg, in messages of their own, and the end of the dump.
const diag = words([72 + 16, 20 | (2 << 16), 1, 0, 0x0a01_0102], zeroes(68));
const done = words([20, 3 | (2 << 16), 1, 0, 0]);

// A struct `sock` of one int `x`.
const types = [
  [1, 0x0100_0000, 4, 0x0100_0020],
  [5, 0x0400_0001, 4, 3, 1, 0],
];
const btf = words(
  [0x0001_eb9f, 24, 0, 40, 40, 10, ...types.flat()],
  bytesOf('\0int\0sock\0x\0'.slice(0, 12)),
);

/** Each way to look at all there is. */
const all = (value: Iterable<unknown>): unknown[] => [...value];

const names = Object.keys(sys.socketOptions) as sys.SocketOptionName[];

// What `closewait/register` writes: a stack, and a socket that was opened there.
const record = `${JSON.stringify({ id: 1, stack: 'Error\n    at f (file:///a/b.js:1:2)' })}
${JSON.stringify({
  ...{ inode: 7, fd: 5, kind: 'client', stack: 1, events: [['connect', 1]], flowing: null },
  ...{ allowHalfOpen: false, paused: false, readableEnded: false, writableEnded: false },
  ...{ destroyed: false },
})}
`;

// An ELF header whose sections begin behind it; the only one names ".go.buildinfo".
const elf = Buffer.concat([hex('7f454c460201'), zeroes(160), bytesOf('\0.go.buildinfo\0')]);
elf.writeBigUInt64LE(64n, 0x28);
elf.writeBigUInt64LE(166n, 64 + 0x18);
elf.writeBigUInt64LE(15n, 64 + 0x20);

export const targets: Record<string, Target> = {
  address: {
    seeds: [zeroes(16), bytesOf('::ffff:127.0.0.1'), bytesOf('fe80::1%2'), bytesOf('127.0.0.1')],
    run: (bytes) => [
      formatAddress(bytes, 0, 2),
      formatAddress(bytes, 0, 10),
      parseScopedAddress(text(bytes)),
    ],
  },
  bench: {
    seeds: [
      bytesOf(
        '{"modes": [{"mode": "m", "drivers": [{"driver": "c", "ratios": [], "roundsUs": [1]}]}]}',
      ),
    ],
    run: (bytes) => parseBench(text(bytes)),
    refuses: /^TypeError: it is /,
  },
  btf: {
    seeds: [btf],
    run: (bytes) => {
      const parsed = Btf.parse(bytes);
      const members = [parsed?.offsetOf('sock', 'x.y'), parsed?.functionId('f')];
      return [members, parsed && socketTypes(parsed), parsed && tableTypes(parsed)];
    },
  },
  control: { seeds: [words([20, 0, 1, 1, 7], zeroes(4))], run: decodeControl },
  dirents: {
    seeds: [words([1, 0, 2, 0, 0x0400_0018], bytesOf('a\0\0\0'))],
    run: sys.decodeDirents,
    refuses: /^(TypeError|RangeError)/,
  },
  epoll: {
    seeds: [bytesOf('tfd:        5 events:       19 data: 5  pos:0 ino:2a sdev:8\n')],
    run: (bytes) => parseEpollInterest(3, text(bytes)),
  },
  ethtool: { seeds: [words([0x0201], encodeAttributes([]))], run: decodeFamily },
  executable: {
    seeds: [Uint8Array.from(elf)],
    // As read(2) has it: nothing beyond the end.
    run: (bytes) =>
      namesGoSection((position, length) => {
        if (!Number.isSafeInteger(position)) throw new Error(`read at ${position}`);
        return Buffer.from(bytes.subarray(position, position + length));
      }),
  },
  'frame, ethernet': {
    seeds: [ethernet('0800', ipv4), ethernet('86dd', ipv6)],
    run: (bytes) => [
      decodeFrame(bytes, { linkType: 'ethernet' }),
      verifyChecksum(bytes, { linkType: 'ethernet' }),
    ],
  },
  'frame, raw': {
    seeds: [ipv4, ipv6],
    run: (bytes) => [
      decodeFrame(bytes, { linkType: 'raw' }),
      verifyChecksum(bytes, { linkType: 'raw' }),
    ],
  },
  inspector: {
    seeds: [bytesOf('\x81\x02{}\x81\x7e\0\x04null'), hex('817f 00000000 00000002 7b7d')],
    run: (bytes) => new TextFrames().push(bytes),
    refuses: /^RangeError: a frame of \d+ bytes$/,
  },
  limits: {
    seeds: [bytesOf('Max open files            1024                 4096                 files\n')],
    run: (bytes) => maxFrom(text(bytes)),
    refuses: /^Error: no "Max open files" in limits/,
  },
  link: {
    seeds: [words([0, 3, 0x1_0043, 0, 0x0003_0009], bytesOf('eth0\0\0\0\0'))],
    run: (bytes) => [decodeLink(bytes), decodeLocalRoute(bytes), formatLinkAddress(bytes)],
  },
  mountinfo: {
    seeds: [bytesOf('40 30 0:4 net:[4026532] /run/netns/a\\040b rw shared:9 - nsfs nsfs rw\n')],
    run: (bytes) => mountsIn(text(bytes)),
  },
  netlink: {
    seeds: [encodeDump({ family: 2, states: 0xfff, sequence: 1 }), done],
    run: (bytes) => {
      const cursor = new NetlinkCursor(bytes);
      while (cursor.next()) {
        cursor.errno();
        cursor.explanation();
        findAttribute(bytes, cursor.offset, cursor.end, 1);
      }
      return decodeText(bytes);
    },
  },
  options: {
    seeds: [zeroes(4), zeroes(28), zeroes(104), zeroes(256)],
    // The first byte chooses: an option decodes what the kernel wrote for it.
    run: (bytes) => {
      const name = names[(bytes[0] ?? 0) % names.length] ?? 'SO_LINGER';
      return sys.socketOptions[name].codec.decode(bytes.subarray(1));
    },
    refuses: /^(TypeError|RangeError)/,
  },
  'packet ring': {
    seeds: [
      words([1, 48, 1, 1, 48, 200, 0, 0, 0, 0, 0, 0, 0, 1, 2, 60, 60, 1, 0x52_0042], zeroes(200)),
    ],
    run: (bytes) => [
      decodeBlock(bytes),
      blockLength(bytes),
      decodePacketStatistics(bytes),
      decodePacketLength(bytes),
    ],
  },
  quote: { seeds: [bytesOf('test\n')], run: quote },
  record: { seeds: [bytesOf(record)], run: (bytes) => decodeRecord(text(bytes), 1) },
  'ring, bpf': {
    seeds: [words([40, 0], zeroes(40)), words([0x4000_0008, 0, 0, 0])],
    run: decodeBpfRing,
  },
  'ring, perf': {
    seeds: [words([9, 44 << 16, 1, 1, 5, 0, 0, 0, 8, 1, 2]), words([2, 24 << 16, 0, 0, 3, 0])],
    run: decodePerfRing,
  },
  sockaddr: {
    seeds: [
      zeroes(28),
      hex('0a00 1f90'),
      hex('0200 1f90 7f000001 0000000000000000'),
      bytesOf('\x01\0/a\0'),
    ],
    run: (bytes) => sys.decodeAddress(bytes),
  },
  'socket link': {
    seeds: [bytesOf('socket:[12345]')],
    run: (bytes) => {
      // In memory that is longer, as a page of links is.
      const words = new Uint32Array(2 + (bytes.length >> 2));
      const page = new Uint8Array(words.buffer);
      page.set(bytes);
      return socketInode({ words, bytes: page, start: 0, length: bytes.length });
    },
  },
  sockets: {
    seeds: [Uint8Array.from(Buffer.concat([diag, diag, done])), done],
    run: (bytes) => {
      const table = new SocketTable([bytes]);
      return [all(table), table.state, table.timerMs, table.cookie, table.complete];
    },
  },
  stat: {
    seeds: [bytesOf(`1 (a) b) S ${'1 '.repeat(30)}`)],
    run: (bytes) => parseStat(text(bytes)),
    refuses: /^Error: stat is cut short/,
  },
  tcpInfo: {
    seeds: [zeroes(104), zeroes(280), Uint8Array.of(1)],
    run: (bytes) => {
      const info = decodeTcpInfo(bytes);
      return [info.state, ...tcpInfoFields.map(({ name }) => Reflect.get(info, name))];
    },
    refuses: /^RangeError: struct tcp_info must have a state, received no bytes$/,
  },
  'tracepoint format': {
    seeds: [bytesOf(FORMAT)],
    run: (bytes) => {
      const parsed = parseFormat(text(bytes));
      return parsed && [portPlaces(parsed), decoderOf(parsed)?.(zeroes(72))];
    },
  },
  'tracepoint record': {
    seeds: [zeroes(72), words([0, 0, 1, 0, 1, 2, 0, (6 << 16) | 2], zeroes(40))],
    run: decodeHit,
  },
};
