import { type Endpoint, parseAddress } from './address.js';
import {
  type Check,
  checkString,
  checkUnsigned,
  integer,
  invalidValue,
  listOf,
  mustBe,
} from './argument.js';
import { internetChecksum, pseudoHeader } from './checksum.js';
import {
  ETHERNET_HEADER,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  FLAGS,
  IPPROTO_TCP,
  TCP_HEADER,
  type TcpOption,
} from './segment.js';

/** A segment to be put on a wire. What is left out is 0 or empty. */
export interface OutgoingSegment {
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly sequence?: number;
  readonly acknowledgment?: number;
  /** As tcpdump spells them, in any order: F S R P . U E W, so `S.` is SYN+ACK; `none` or nothing is none. */
  readonly flags?: string;
  /** As it stands in the header: unscaled. */
  readonly window?: number;
  readonly urgent?: number;
  /** Filled up to a multiple of 4 bytes with zeros, which end the list. Bytes are taken as they are, sense or not. */
  readonly options?: readonly TcpOption[] | Uint8Array;
  readonly payload?: Uint8Array;
}

export interface EncodeSegmentOptions {
  /** The addresses of an Ethernet II header, 6 bytes each. Left out: the frame starts with IP, as on a TUN. */
  readonly ethernet?: { readonly source: Uint8Array; readonly destination: Uint8Array };
  /** Makes TCP's checksum a wrong one. */
  readonly badChecksum?: boolean;
}

const HOP_LIMIT = 64;
const DONT_FRAGMENT = 0x4000;
const MOST_OPTION_BYTES = 40;
/** What the 16-bit length of IPv4 (header included) and of IPv6 (header excluded) can say. */
const MOST_PACKET_BYTES = 0xffff;

/**
 * Encodes a segment as a frame with right checksums; the reverse of `decodeFrame`. What is told is put in as told,
 * sense or not: flags that contradict each other, options where none belong.
 *
 * Throws a TypeError for what is no address, two addresses of different families or a flag there is not, a RangeError for
 * a number that does not fit its field and for more options (40 bytes) or payload than a packet has room for.
 */
export function encodeSegment(
  segment: OutgoingSegment,
  { ethernet, badChecksum = false }: EncodeSegmentOptions = {},
): Uint8Array {
  const [source, destination] = addressesOf(segment);
  const options = encodeOptions(segment.options ?? []);
  const payload = segment.payload ?? new Uint8Array();
  const ipStart = ethernet === undefined ? 0 : ETHERNET_HEADER;
  const ipHeader = source.length === 4 ? 20 : 40;
  const tcpHeader = TCP_HEADER + options.length;
  const tcpLength = tcpHeader + payload.length;
  const start = ipStart + ipHeader;
  // IPv6 does not count its own header.
  check('a packet', tcpLength + (source.length === 4 ? ipHeader : 0), MOST_PACKET_BYTES);

  const bytes = new Uint8Array(start + tcpLength);
  if (ethernet !== undefined) encodeEthernet(bytes, ethernet, source.length === 4);
  if (source.length === 4) encodeIpv4(bytes, ipStart, source, destination, ipHeader + tcpLength);
  else encodeIpv6(bytes, ipStart, source, destination, tcpLength);
  encodeTcpHeader(new DataView(bytes.buffer, start), segment, tcpHeader);
  bytes.set(options, start + TCP_HEADER);
  bytes.set(payload, start + tcpHeader);
  const sum = internetChecksum(pseudoHeader(source, destination, tcpLength), bytes.subarray(start));
  // One bit: all of them inverted, 0 would become 0xffff, which counts as the same.
  new DataView(bytes.buffer, start).setUint16(16, badChecksum ? sum ^ 1 : sum);
  return bytes;
}

/** Flags in the order and spelling of the decoder. Throws a TypeError for one there is not. */
export function spellFlags(flags: string): string {
  checkString('flags', flags);
  if (flags === 'none') return flags;
  for (const flag of flags) {
    if (!FLAGS.includes(flag)) throw invalidValue(`not a TCP flag: '${flag}' in '${flags}'`);
  }
  return FLAGS.filter((flag) => flags.includes(flag)).join('') || 'none';
}

function addressesOf({ source, destination }: OutgoingSegment): [Uint8Array, Uint8Array] {
  const [from, to] = [source, destination].map(({ address }) => {
    const bytes = parseAddress(address);
    if (bytes === undefined) throw invalidValue(`not an IP address: ${address}`);
    return bytes;
  }) as [Uint8Array, Uint8Array];
  if (from.length === to.length) return [from, to];
  throw invalidValue(`addresses of two families: ${source.address}, ${destination.address}`);
}

function encodeEthernet(
  bytes: Uint8Array,
  { source, destination }: NonNullable<EncodeSegmentOptions['ethernet']>,
  isIpv4: boolean,
): void {
  for (const address of [source, destination]) {
    if (address.length !== 6) throw invalidValue(`${address.length} bytes for a link address`);
  }
  bytes.set(destination, 0);
  bytes.set(source, 6);
  new DataView(bytes.buffer).setUint16(12, isIpv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
}

function encodeIpv4(
  bytes: Uint8Array,
  start: number,
  source: Uint8Array,
  destination: Uint8Array,
  totalLength: number,
): void {
  const view = new DataView(bytes.buffer, start, 20);
  view.setUint8(0, 0x45);
  view.setUint16(2, totalLength);
  view.setUint16(6, DONT_FRAGMENT);
  view.setUint8(8, HOP_LIMIT);
  view.setUint8(9, IPPROTO_TCP);
  bytes.set(source, start + 12);
  bytes.set(destination, start + 16);
  view.setUint16(10, internetChecksum(bytes.subarray(start, start + 20)));
}

function encodeIpv6(
  bytes: Uint8Array,
  start: number,
  source: Uint8Array,
  destination: Uint8Array,
  payloadLength: number,
): void {
  const view = new DataView(bytes.buffer, start, 40);
  view.setUint8(0, 0x60);
  view.setUint16(4, payloadLength);
  view.setUint8(6, IPPROTO_TCP);
  view.setUint8(7, HOP_LIMIT);
  bytes.set(source, start + 8);
  bytes.set(destination, start + 24);
}

function encodeTcpHeader(view: DataView, segment: OutgoingSegment, headerLength: number): void {
  const { source, destination, sequence = 0, acknowledgment = 0, window = 0, urgent = 0 } = segment;
  view.setUint16(0, check('source port', source.port, 0xffff));
  view.setUint16(2, check('destination port', destination.port, 0xffff));
  view.setUint32(4, check('sequence', sequence, 0xffff_ffff));
  view.setUint32(8, check('acknowledgment', acknowledgment, 0xffff_ffff));
  view.setUint8(12, (headerLength / 4) << 4);
  view.setUint8(13, encodeFlags(segment.flags ?? ''));
  view.setUint16(14, check('window', window, 0xffff));
  view.setUint16(18, check('urgent', urgent, 0xffff));
}

function encodeFlags(text: string): number {
  const flags = spellFlags(text);
  return FLAGS.reduce((bits, flag, bit) => (flags.includes(flag) ? bits | (1 << bit) : bits), 0);
}

function encodeOptions(options: readonly TcpOption[] | Uint8Array): Uint8Array {
  const bytes = ArrayBuffer.isView(options) ? [...options] : options.flatMap(encodeOption);
  check('the length of the options', bytes.length, MOST_OPTION_BYTES);
  const padded = new Uint8Array((bytes.length + 3) & ~3);
  padded.set(bytes);
  return padded;
}

const checkBytes: Check = (what, value) => {
  if (!(value instanceof Uint8Array)) throw mustBe(what, 'a Uint8Array', value);
};
const checkWord = integer(0, 0xffff_ffff);

/** What each kind of option has besides its name. */
const OPTION_FIELDS: Readonly<Record<TcpOption['kind'], Readonly<Record<string, Check>>>> = {
  eol: {},
  nop: {},
  mss: { value: integer(0, 0xffff) },
  wscale: { value: integer(0, 0xff) },
  sackOK: {},
  sack: { blocks: listOf(listOf(checkWord)) },
  timestamps: { value: checkWord, echoReply: checkWord },
  fastopen: { cookie: checkBytes },
  unknown: { number: integer(0, 0xff), data: checkBytes },
};

/** Refuses what is no list of TCP options. */
export const checkOptions: Check = listOf((what, option) => {
  const { kind } = (option ?? {}) as Partial<TcpOption>;
  if (typeof kind !== 'string' || !Object.hasOwn(OPTION_FIELDS, kind)) {
    throw mustBe(what, `an option of kind ${Object.keys(OPTION_FIELDS).join(', ')}`, option);
  }
  for (const [name, check] of Object.entries(OPTION_FIELDS[kind])) {
    check(`${what}.${name}`, Reflect.get(option as TcpOption, name));
  }
});

/** Kind, length, data; two kinds are a byte alone. */
function encodeOption(option: TcpOption): number[] {
  switch (option.kind) {
    case 'eol':
      return [0];
    case 'nop':
      return [1];
    case 'mss':
      return [2, 4, ...bigEndian('mss', option.value, 2)];
    case 'wscale':
      return [3, 3, check('wscale', option.value, 0xff)];
    case 'sackOK':
      return [4, 2];
    case 'sack': {
      const edges = option.blocks.flat().flatMap((edge) => bigEndian('a SACK edge', edge, 4));
      return [5, 2 + edges.length, ...edges];
    }
    case 'timestamps':
      return [
        8,
        10,
        ...bigEndian('a timestamp', option.value, 4),
        ...bigEndian('an echo reply', option.echoReply, 4),
      ];
    case 'fastopen':
      return [34, 2 + option.cookie.length, ...option.cookie];
    case 'unknown':
      return [
        check('the kind of an option', option.number, 0xff),
        2 + option.data.length,
        ...option.data,
      ];
  }
}

function bigEndian(name: string, value: number, length: 2 | 4): number[] {
  check(name, value, 2 ** (8 * length) - 1);
  const bytes = [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
  return bytes.slice(4 - length);
}

function check(name: string, value: number, most: number): number {
  checkUnsigned(name, value, most);
  return value;
}
