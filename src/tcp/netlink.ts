/** Message types every family shares: linux/netlink.h. */
export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

/** Message flags: linux/netlink.h. NLM_F_DUMP_INTR marks a dump that changes cut through. */
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** In an NLMSG_ERROR: the request is quoted by its header only; attributes follow. */
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;

/** In an attribute's type: it holds attributes. */
export const NLA_F_NESTED = 0x8000;
// An unsigned NLA_TYPE_MASK: without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const TYPE_MASK = 0x3fff;

/** The kernel's own words about an error. */
export const NLMSGERR_ATTR_MSG = 1;

/** linux/socket.h, as a sockaddr has it. */
export const AF_NETLINK = 16;

/** Options of a netlink socket, level SOL_NETLINK: errors in words, and without the request quoted in full. */
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;

/** `struct nlmsghdr`, `struct sockaddr_nl`, an int and a quoted header: sizes in bytes. */
export const NLMSGHDR_SIZE = 16;
export const SOCKADDR_NL_SIZE = 12;
const NLMSGERR_SIZE = 4 + NLMSGHDR_SIZE;

/** An attribute: bytes, or attributes in their turn. */
export type Attribute = readonly [type: number, value: Uint8Array | readonly Attribute[]];

/** A netlink message in parts. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  /** Comes back in the answer. */
  readonly sequence: number;
  /** The family's own header, such as struct ifinfomsg. */
  readonly head: Uint8Array;
  readonly attributes?: readonly Attribute[];
}

/** Encodes a message: header, the family's own header, attributes, each padded to 4 bytes. */
export function encodeMessage(message: NetlinkMessage): Uint8Array {
  const { type, flags, sequence, head, attributes = [] } = message;
  const list = encodeAttributes(attributes);
  const start = NLMSGHDR_SIZE + align4(head.length);
  const bytes = new Uint8Array(start + list.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(head, NLMSGHDR_SIZE);
  bytes.set(list, start);
  return bytes;
}

/** Encodes attributes (`struct nlattr`), nested ones marked as such. Throws a RangeError for one over 64 KiB. */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const parts = attributes.map(([type, value]) => {
    const nested = !(value instanceof Uint8Array);
    const bytes = nested ? encodeAttributes(value) : value;
    const length = 4 + bytes.length;
    if (length > 0xffff) throw new RangeError(`attribute ${type} has ${bytes.length} bytes`);
    const part = new Uint8Array(align4(length));
    const view = new DataView(part.buffer);
    view.setUint16(0, length, true);
    view.setUint16(2, nested ? type | NLA_F_NESTED : type, true);
    part.set(bytes, 4);
    return part;
  });
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** A C string with its NUL, as attributes hold names. */
export function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** An attribute of 32 bits. */
export function encodeU32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** The text of an attribute, up to its NUL. */
export function decodeText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** `struct sockaddr_nl` that asks for the multicast groups of a mask (RTMGRP_*); the kernel chooses the port. */
export function encodeNetlinkAddress(groups: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(SOCKADDR_NL_SIZE));
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  return new Uint8Array(view.buffer);
}

/**
 * Walks the netlink messages in one received chunk without making an object for each.
 *
 * `while (cursor.next())` moves from message to message; `type`, `flags`, `offset` (of the payload)
 * and `end` (of the message) then describe the one it stands on. A header that is cut short, shorter
 * than itself or longer than the chunk ends the walk and is named in `malformed`.
 *
 * Messages are in host byte order, read as little-endian (x64, arm64).
 */
export class NetlinkCursor {
  type = 0;
  flags = 0;
  sequence = 0;
  offset = 0;
  end = 0;
  malformed: string | undefined;
  readonly #chunk: DataView;
  #next = 0;

  constructor(chunk: Uint8Array) {
    this.#chunk = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
  }

  next(): boolean {
    const chunk = this.#chunk;
    const start = this.#next;
    const left = chunk.byteLength - start;
    if (left <= 0) return false;
    if (left < NLMSGHDR_SIZE) return this.#stop('header cut short', start);
    const length = chunk.getUint32(start, true);
    if (length < NLMSGHDR_SIZE) return this.#stop(`length ${length} under 16`, start);
    if (length > left) return this.#stop(`length ${length} past the end`, start);
    this.type = chunk.getUint16(start + 4, true);
    this.flags = chunk.getUint16(start + 6, true);
    this.sequence = chunk.getUint32(start + 8, true);
    this.offset = start + NLMSGHDR_SIZE;
    this.end = start + length;
    this.#next = align4(this.end);
    return true;
  }

  /** The errno, positive, that an NLMSG_ERROR or NLMSG_DONE carries; 0 is success or none given. */
  errno(): number {
    return this.end - this.offset < 4 ? 0 : Math.abs(this.#chunk.getInt32(this.offset, true));
  }

  /** The kernel's own words in an NLMSG_ERROR, where the socket asked for them (NETLINK_EXT_ACK). */
  explanation(): string | undefined {
    if ((this.flags & NLM_F_ACK_TLVS) === 0 || this.end - this.offset < NLMSGERR_SIZE) return;
    const chunk = this.#chunk;
    // The request is quoted after the errno, in full or by its header.
    const quoted = chunk.getUint32(this.offset + 4, true);
    const capped = (this.flags & NLM_F_CAPPED) !== 0;
    const start = this.offset + 4 + align4(capped ? NLMSGHDR_SIZE : quoted);
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const text = findAttribute(bytes, start, this.end, NLMSGERR_ATTR_MSG);
    return text && decodeText(text);
  }

  #stop(reason: string, start: number): false {
    this.malformed = `netlink message at byte ${start}: ${reason}`;
    this.#next = this.#chunk.byteLength;
    return false;
  }
}

/**
 * Finds an attribute (`struct nlattr`) between two offsets; undefined where it is not, or where the
 * attributes before it are malformed. The result shares the message's memory.
 */
export function findAttribute(
  bytes: Uint8Array,
  start: number,
  end: number,
  type: number,
): Uint8Array | undefined {
  const value = attributeOffset(bytes, start, end, type);
  return value < 0 ? undefined : bytes.subarray(value, value - 4 + u16(bytes, value - 4));
}

/** Where the value of that attribute begins, behind its length and its type, 2 bytes each; -1 where there is none. */
export function attributeOffset(
  bytes: Uint8Array,
  start: number,
  end: number,
  type: number,
): number {
  const limit = Math.min(end, bytes.length);
  let offset = start;
  while (offset + 4 <= limit) {
    const length = u16(bytes, offset);
    if (length < 4 || offset + length > limit) break;
    if ((u16(bytes, offset + 2) & TYPE_MASK) === type) return offset + 4;
    offset = align4(offset + length);
  }
  return -1;
}

function align4(offset: number): number {
  return (offset + 3) & ~3;
}

function u16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8);
}
