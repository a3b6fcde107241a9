import { AF_INET, AF_INET6, type Endpoint, formatAddress } from './address.js';

/** A TCP option (RFC 9293 section 3.2, RFC 7323, RFC 2018, RFC 7413). */
export type TcpOption =
  | { readonly kind: 'eol' }
  | { readonly kind: 'nop' }
  | { readonly kind: 'mss'; readonly value: number }
  /** `value` is the shift count, not the factor. */
  | { readonly kind: 'wscale'; readonly value: number }
  | { readonly kind: 'sackOK' }
  /** Sequence numbers as sent: `[left edge, right edge)`. */
  | { readonly kind: 'sack'; readonly blocks: readonly (readonly [number, number])[] }
  | { readonly kind: 'timestamps'; readonly value: number; readonly echoReply: number }
  /** An empty cookie is a request for one. */
  | { readonly kind: 'fastopen'; readonly cookie: Uint8Array }
  /** A kind without a decoder here, or a known one of a length it cannot have. */
  | { readonly kind: 'unknown'; readonly number: number; readonly data: Uint8Array };

/** One TCP segment. `payload`, option cookies and data share the frame's memory. */
export interface Segment {
  readonly version: 4 | 6;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly sequence: number;
  readonly acknowledgment: number;
  /** As tcpdump spells them, in its order: F S R P . U E W, so `S.` is SYN+ACK; none is `none`. */
  readonly flags: string;
  /** As sent, before scaling. */
  readonly window: number;
  readonly urgent: number;
  readonly options: readonly TcpOption[];
  /** Set where the option list breaks off: a length under 2 or past the header's end. */
  readonly badOptions: boolean;
  /** Bytes of payload the segment had on the wire. */
  readonly payloadLength: number;
  /** The captured part of the payload: shorter than `payloadLength` when the capture cut it. */
  readonly payload: Uint8Array;
}

/** Why a frame is not a segment. */
export type NotSegment =
  /** The frame ends before its headers do. */
  | 'truncated'
  /** Not IPv4 or IPv6: ARP, a VLAN tag, an IP version that contradicts the frame. */
  | 'not-ip'
  | 'not-tcp'
  /** Part of a packet; a segment can be told only from the whole. */
  | 'fragment'
  /** A length field contradicts itself: IHL or data offset under 5, headers past the packet's end. */
  | 'malformed';

export interface DecodeFrameOptions {
  /** `ethernet` starts with an Ethernet II header, as on lo, veth and TAP; `raw` with IP (TUN). */
  readonly linkType: LinkType;
  /** How long the frame was, where a capture cut it short: what is over 64 KiB does not say so itself. Left out: as long as it is. */
  readonly wireLength?: number;
}

export type LinkType = 'ethernet' | 'raw';

export type DecodedFrame =
  | { readonly segment: Segment; readonly reason?: undefined }
  | { readonly segment?: undefined; readonly reason: NotSegment };

/** The part of a frame that is TCP. */
export interface Packet {
  readonly version: 4 | 6;
  readonly source: string;
  readonly destination: string;
  /** Where the TCP header starts. */
  readonly start: number;
  /** Where the packet ended on the wire; the capture may end earlier, Ethernet padding later. */
  readonly end: number;
}

export const ETHERNET_HEADER = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_IPV6 = 0x86dd;
export const IPPROTO_TCP = 6;
export const TCP_HEADER = 20;

/** Flag characters by bit, lowest first. */
export const FLAGS: readonly string[] = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'];

/** Whether flags begin a connection: a SYN that acknowledges nothing. It may offer ECN, `SEW` (RFC 3168, section 6.1.1). */
export function isInitialSyn(flags: string): boolean {
  return flags.includes('S') && !/[.RF]/.test(flags);
}

/** Decodes a captured frame down to its TCP segment, or says why it has none. Never throws. */
export function decodeFrame(bytes: Uint8Array, options: DecodeFrameOptions): DecodedFrame {
  const packet = locateTcp(bytes, options);
  if (typeof packet === 'string') return { reason: packet };
  const segment = decodeTcp(bytes, packet);
  return typeof segment === 'string' ? { reason: segment } : { segment };
}

/** Finds TCP in a captured frame, or says why there is none. Its header has not been looked at. Never throws. */
export function locateTcp(
  bytes: Uint8Array,
  { linkType, wireLength = bytes.length }: DecodeFrameOptions,
): Packet | NotSegment {
  return linkType === 'ethernet'
    ? decodeEthernet(bytes, wireLength)
    : decodeIp(bytes, 0, wireLength);
}

function decodeEthernet(bytes: Uint8Array, wireLength: number): Packet | NotSegment {
  if (bytes.length < ETHERNET_HEADER) return 'truncated';
  switch (u16(bytes, 12)) {
    case ETHERTYPE_IPV4:
      return decodeIp(bytes, ETHERNET_HEADER, wireLength, 4);
    case ETHERTYPE_IPV6:
      return decodeIp(bytes, ETHERNET_HEADER, wireLength, 6);
    default:
      return 'not-ip';
  }
}

function decodeIp(
  bytes: Uint8Array,
  start: number,
  wireLength: number,
  expected?: 4 | 6,
): Packet | NotSegment {
  if (start >= bytes.length) return 'truncated';
  const version = u8(bytes, start) >> 4;
  if (expected !== undefined && version !== expected) return 'not-ip';
  if (version === 4) return decodeIpv4(bytes, start, wireLength);
  if (version === 6) return decodeIpv6(bytes, start, wireLength);
  return 'not-ip';
}

function decodeIpv4(bytes: Uint8Array, start: number, wireLength: number): Packet | NotSegment {
  if (start + 20 > bytes.length) return 'truncated';
  const headerLength = (u8(bytes, start) & 0xf) * 4;
  // 0 is a packet over 64 KiB, not yet cut to size by segmentation offload (BIG TCP).
  const totalLength = u16(bytes, start + 2) || wireLength - start;
  if (headerLength < 20 || totalLength < headerLength) return 'malformed';
  if ((u16(bytes, start + 6) & 0x3fff) !== 0) return 'fragment';
  if (u8(bytes, start + 9) !== IPPROTO_TCP) return 'not-tcp';
  return {
    version: 4,
    source: formatAddress(bytes, start + 12, AF_INET),
    destination: formatAddress(bytes, start + 16, AF_INET),
    start: start + headerLength,
    end: start + totalLength,
  };
}

function decodeIpv6(bytes: Uint8Array, start: number, wireLength: number): Packet | NotSegment {
  if (start + 40 > bytes.length) return 'truncated';
  // 0 is a jumbo payload (RFC 2675), or again BIG TCP.
  const payloadLength = u16(bytes, start + 4) || wireLength - start - 40;
  const end = start + 40 + payloadLength;
  let next = u8(bytes, start + 6);
  let offset = start + 40;
  while (next !== IPPROTO_TCP) {
    if (next === 44) return 'fragment';
    // Hop-by-Hop, Routing, Destination Options, Mobility count in 8 bytes, AH in 4 (RFC 4302).
    const isOptions = next === 0 || next === 43 || next === 60 || next === 135;
    if (!isOptions && next !== 51) return 'not-tcp';
    if (offset + 2 > bytes.length) return 'truncated';
    next = u8(bytes, offset);
    const length = u8(bytes, offset + 1);
    offset += isOptions ? (length + 1) * 8 : (length + 2) * 4;
    if (offset > end) return 'malformed';
  }
  return {
    version: 6,
    source: formatAddress(bytes, start + 8, AF_INET6),
    destination: formatAddress(bytes, start + 24, AF_INET6),
    start: offset,
    end,
  };
}

function decodeTcp(bytes: Uint8Array, packet: Packet): Segment | NotSegment {
  const { version, source, destination, start, end } = packet;
  if (start + TCP_HEADER > end) return 'malformed';
  if (start + TCP_HEADER > bytes.length) return 'truncated';
  const headerEnd = start + (u8(bytes, start + 12) >> 4) * 4;
  if (headerEnd < start + TCP_HEADER || headerEnd > end) return 'malformed';
  if (headerEnd > bytes.length) return 'truncated';
  const bits = u8(bytes, start + 13);
  return {
    version,
    source: { address: source, port: u16(bytes, start) },
    destination: { address: destination, port: u16(bytes, start + 2) },
    sequence: u32(bytes, start + 4),
    acknowledgment: u32(bytes, start + 8),
    flags: FLAGS.filter((_, bit) => (bits & (1 << bit)) !== 0).join('') || 'none',
    window: u16(bytes, start + 14),
    urgent: u16(bytes, start + 18),
    ...decodeOptions(bytes.subarray(start + TCP_HEADER, headerEnd)),
    payloadLength: end - headerEnd,
    payload: bytes.subarray(headerEnd, Math.min(end, bytes.length)),
  };
}

function decodeOptions(bytes: Uint8Array): Pick<Segment, 'options' | 'badOptions'> {
  const options: TcpOption[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const number = u8(bytes, offset);
    if (number === 0) {
      options.push({ kind: 'eol' });
      break;
    }
    if (number === 1) {
      options.push({ kind: 'nop' });
      offset++;
      continue;
    }
    const length = u8(bytes, offset + 1);
    if (length < 2 || offset + length > bytes.length) return { options, badOptions: true };
    options.push(decodeOption(number, bytes.subarray(offset + 2, offset + length)));
    offset += length;
  }
  return { options, badOptions: false };
}

function decodeOption(number: number, data: Uint8Array): TcpOption {
  if (number === 2 && data.length === 2) return { kind: 'mss', value: u16(data, 0) };
  if (number === 3 && data.length === 1) return { kind: 'wscale', value: u8(data, 0) };
  if (number === 4 && data.length === 0) return { kind: 'sackOK' };
  if (number === 5 && data.length > 0 && data.length % 8 === 0) {
    const blocks: [number, number][] = [];
    for (let at = 0; at < data.length; at += 8) blocks.push([u32(data, at), u32(data, at + 4)]);
    return { kind: 'sack', blocks };
  }
  if (number === 8 && data.length === 8) {
    return { kind: 'timestamps', value: u32(data, 0), echoReply: u32(data, 4) };
  }
  if (number === 34) return { kind: 'fastopen', cookie: data };
  return { kind: 'unknown', number, data };
}

function u8(bytes: Uint8Array, offset: number): number {
  return bytes[offset] ?? 0;
}

function u16(bytes: Uint8Array, offset: number): number {
  return (u8(bytes, offset) << 8) | u8(bytes, offset + 1);
}

function u32(bytes: Uint8Array, offset: number): number {
  return ((u16(bytes, offset) << 16) | u16(bytes, offset + 2)) >>> 0;
}
