import type { LinkType } from '../tcp/segment.js';

/** A captured frame. */
export interface PcapngFrame {
  /** CLOCK_REALTIME. */
  readonly timeNs: bigint;
  readonly bytes: Uint8Array;
  /** Length on the wire, where the capture cut the frame short. */
  readonly originalLength?: number;
  /** Shown by Wireshark beside the frame. */
  readonly comment?: string;
  /** The interface it was taken from, by its place among them. Left out: the first. */
  readonly interface?: number;
}

/** Where frames were taken from. */
export interface PcapngInterface {
  readonly name: string;
  readonly linkType: LinkType;
  /** Shown by Wireshark beside the interface: what is to be said of the capture as a whole. */
  readonly comment?: string;
  /** What the interface took in and had no room for, where that is known. */
  readonly statistics?: PcapngStatistics;
}

export interface PcapngOptions {
  readonly interfaces: readonly PcapngInterface[];
  /** The program that captured, with its version. */
  readonly application?: string;
  /** The machine, such as `x86_64`. */
  readonly hardware?: string;
  /** The operating system, such as `Linux 6.18`. */
  readonly os?: string;
}

/** Counts of one interface, in frames. */
export interface PcapngStatistics {
  /** When they were read, CLOCK_REALTIME. */
  readonly timeNs: bigint;
  readonly received: number;
  readonly dropped?: number;
}

/** Block types and options of draft-ietf-opsawg-pcapng, link types of the tcpdump.org registry. */
const SECTION_HEADER_BLOCK = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const INTERFACE_DESCRIPTION_BLOCK = 1;
const INTERFACE_STATISTICS_BLOCK = 5;
const ENHANCED_PACKET_BLOCK = 6;
const OPT_COMMENT = 1;
const SHB_HARDWARE = 2;
const SHB_OS = 3;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_TSRESOL = 9;
const ISB_IFRECV = 4;
const ISB_IFDROP = 5;
const NANOSECONDS = Uint8Array.of(9);
const LINK_TYPES: Readonly<Record<LinkType, number>> = { ethernet: 1, raw: 101 };

/** Encodes frames as one pcapng section with nanosecond time, little-endian. */
export function encodePcapng(frames: Iterable<PcapngFrame>, options: PcapngOptions): Uint8Array {
  const { interfaces } = options;
  const blocks = [encodeSection(options), ...interfaces.map(encodeInterface)];
  for (const frame of frames) {
    const { interface: number = 0 } = frame;
    if (interfaces[number] === undefined) throw new RangeError(`no interface ${number}`);
    blocks.push(encodeFrame(frame, number));
  }
  for (const [number, { statistics }] of interfaces.entries()) {
    if (statistics !== undefined) blocks.push(encodeStatistics(statistics, number));
  }
  return concat(blocks);
}

function encodeSection({ hardware, os, application }: PcapngOptions): Uint8Array {
  const body = new DataView(new ArrayBuffer(16));
  body.setUint32(0, BYTE_ORDER_MAGIC, true);
  body.setUint16(4, 1, true);
  body.setUint16(6, 0, true);
  // -1: the section's length is not stated.
  body.setBigInt64(8, -1n, true);
  return encodeBlock(SECTION_HEADER_BLOCK, body, [
    textOption(SHB_HARDWARE, hardware),
    textOption(SHB_OS, os),
    textOption(SHB_USERAPPL, application),
  ]);
}

function encodeInterface({ linkType, name, comment }: PcapngInterface): Uint8Array {
  const body = new DataView(new ArrayBuffer(8));
  body.setUint16(0, LINK_TYPES[linkType], true);
  // The snap length stays 0, which is no limit.
  return encodeBlock(INTERFACE_DESCRIPTION_BLOCK, body, [
    textOption(OPT_COMMENT, comment),
    textOption(IF_NAME, name),
    encodeOption(IF_TSRESOL, NANOSECONDS),
  ]);
}

function encodeFrame(
  { timeNs, bytes, originalLength, comment }: PcapngFrame,
  number: number,
): Uint8Array {
  const body = new DataView(new ArrayBuffer(20));
  body.setUint32(0, number, true);
  setTime(body, timeNs);
  body.setUint32(12, bytes.length, true);
  body.setUint32(16, originalLength ?? bytes.length, true);
  return encodeBlock(ENHANCED_PACKET_BLOCK, body, [textOption(OPT_COMMENT, comment)], bytes);
}

function encodeStatistics(
  { timeNs, received, dropped }: PcapngStatistics,
  number: number,
): Uint8Array {
  const body = new DataView(new ArrayBuffer(12));
  body.setUint32(0, number, true);
  setTime(body, timeNs);
  return encodeBlock(INTERFACE_STATISTICS_BLOCK, body, [
    encodeOption(ISB_IFRECV, encodeCount(received)),
    dropped === undefined ? new Uint8Array(0) : encodeOption(ISB_IFDROP, encodeCount(dropped)),
  ]);
}

/** Both blocks that have a time have it behind the interface's number: the high half first. */
function setTime(body: DataView, timeNs: bigint): void {
  body.setUint32(4, Number(timeNs >> 32n), true);
  body.setUint32(8, Number(timeNs & 0xffff_ffffn), true);
}

function encodeCount(count: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(count), true);
  return bytes;
}

/** Type, length, body, data padded to 4 bytes, options, length again. */
function encodeBlock(
  type: number,
  body: DataView,
  options: readonly Uint8Array[],
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const given = concat(options);
  // opt_endofopt, four zero bytes, ends a list that is not empty.
  const optionsLength = given.length === 0 ? 0 : given.length + 4;
  const length = 12 + body.byteLength + align4(data.length) + optionsLength;
  const block = new Uint8Array(length);
  const view = new DataView(block.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  block.set(new Uint8Array(body.buffer), 8);
  block.set(data, 8 + body.byteLength);
  block.set(given, 8 + body.byteLength + align4(data.length));
  view.setUint32(length - 4, length, true);
  return block;
}

function textOption(code: number, text: string | undefined): Uint8Array {
  return text === undefined ? new Uint8Array(0) : encodeOption(code, encodeText(text));
}

/** Option lengths are 16 bits: a longer text loses its end, at a character's boundary. */
function encodeText(text: string): Uint8Array {
  const bytes = new Uint8Array(0xffff);
  return bytes.subarray(0, new TextEncoder().encodeInto(text, bytes).written);
}

function encodeOption(code: number, value: Uint8Array): Uint8Array {
  const option = new Uint8Array(4 + align4(value.length));
  const view = new DataView(option.buffer);
  view.setUint16(0, code, true);
  view.setUint16(2, value.length, true);
  option.set(value, 4);
  return option;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

function align4(length: number): number {
  return (length + 3) & ~3;
}
