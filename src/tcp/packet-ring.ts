// The memory of a TPACKET_V3 capture ring, and what comes with a packet outside of one: linux/if_packet.h, Documentation/networking/packet_mmap.rst.

import { outOfRange } from './argument.js';

/** The ring's version (PACKET_VERSION) and the option that asks for hardware time stamps. */
export const TPACKET_V3 = 2;
export const PACKET_TIMESTAMP = 17;

/** Who a block belongs to: `block_status`, 32 bits at this offset of `struct tpacket_block_desc`. */
export const BLOCK_STATUS_OFFSET = 8;
export const TP_STATUS_KERNEL = 0;
export const TP_STATUS_USER = 1;

const TP_STATUS_TS_SOFTWARE = 1 << 29;
const TP_STATUS_TS_RAW_HARDWARE = 1 << 31;

/** Offsets in `struct tpacket_block_desc`. */
const block = { version: 0, packets: 12, firstPacket: 16, length: 20, headerSize: 48 } as const;

/** Offsets in `struct tpacket3_hdr` and the `struct sockaddr_ll` behind it. */
const packet = {
  next: 0,
  seconds: 4,
  nanoseconds: 8,
  captured: 12,
  wire: 16,
  status: 20,
  mac: 24,
  packetType: 58,
  headerSize: 68,
} as const;

/** Offset of `tp_len` in `struct tpacket_auxdata`. */
const AUXDATA_LENGTH = 4;

const PACKET_OUTGOING = 4;
const FRAME_SIZE = 2048;
const MOST_BYTES = 1 << 30;

/** How much memory a ring has and how long a frame may wait in it. */
export interface RingSize {
  /** Bytes of one block, a multiple of the page size. A frame has to fit in one, or it is cut. */
  readonly blockBytes: number;
  readonly blocks: number;
  /** A block with frames in it is handed over after this time, full or not. */
  readonly retireMs: number;
}

/**
 * Who put the time on a frame: the interface (`hardware`: its own clock), the kernel when it took the frame in
 * (`software`), or the kernel when it copied it for the capture (`copy`, later by what lay between).
 */
export type StampSource = 'hardware' | 'software' | 'copy';

/** One packet of a block, as positions in the block's bytes. */
export interface RingPacket {
  /** Where its bytes start: the link-layer header. */
  readonly offset: number;
  /** How many bytes were captured, and how many there were. */
  readonly length: number;
  readonly wireLength: number;
  /** Since 1970. */
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly stamp: StampSource;
  /** Sent by this machine. */
  readonly outgoing: boolean;
}

export interface RingBlock {
  readonly packets: readonly RingPacket[];
  /** Where and why the block contradicts itself; the packets are those before that. */
  readonly malformed?: string;
}

/** `struct tpacket_stats_v3` (or the shorter `struct tpacket_stats`): counts since they were last read. */
export interface PacketStatistics {
  /** All that passed the filter, the drops among them. */
  readonly packets: number;
  readonly drops: number;
  /** How often the ring was full. */
  readonly freezes: number;
}

/**
 * Encodes `struct tpacket_req3`, the value of PACKET_RX_RING. Throws a RangeError for numbers no ring can have, and for
 * more than 1 GiB: the kernel would end processes to find it.
 */
export function encodeRingRequest({ blockBytes, blocks, retireMs }: RingSize): Uint8Array {
  const valid = [blockBytes, blocks, retireMs].every((n) => Number.isInteger(n) && n > 0);
  if (!valid || blockBytes * blocks > MOST_BYTES || retireMs > 0x7fff_ffff) {
    throw outOfRange(`not a ring: ${blocks} blocks of ${blockBytes} bytes, ${retireMs} ms`);
  }
  // Version 3 packs frames as they come; a frame size is asked for and has to divide the block all the same.
  const frames = Math.floor(blockBytes / FRAME_SIZE) * blocks;
  const request = Uint32Array.of(blockBytes, blocks, FRAME_SIZE, frames, retireMs, 0, 0);
  return new Uint8Array(request.buffer);
}

/** How many of a block's bytes are in use, by its own header; never more than there are. */
export function blockLength(bytes: Uint8Array): number {
  return bytes.length < block.headerSize
    ? bytes.length
    : Math.min(u32(bytes, block.length), bytes.length);
}

/** Decodes the packets of one block that belongs to user space. Never throws. */
export function decodeBlock(bytes: Uint8Array): RingBlock {
  if (bytes.length < block.headerSize) return { packets: [], malformed: 'block header cut short' };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint32(block.version, true);
  if (version !== TPACKET_V3) return { packets: [], malformed: `block of version ${version}` };

  const count = view.getUint32(block.packets, true);
  const packets: RingPacket[] = [];
  let at = view.getUint32(block.firstPacket, true);
  const stop = (reason: string): RingBlock => ({
    packets,
    malformed: `packet ${packets.length + 1} of ${count} at byte ${at}: ${reason}`,
  });
  while (packets.length < count) {
    if (at < block.headerSize) return stop('inside the block header');
    if (at + packet.headerSize > bytes.length) return stop('header past the end');
    const offset = at + view.getUint16(at + packet.mac, true);
    const length = view.getUint32(at + packet.captured, true);
    if (offset + length > bytes.length) return stop(`${length} bytes past the end`);
    packets.push({
      offset,
      length,
      wireLength: view.getUint32(at + packet.wire, true),
      seconds: view.getUint32(at + packet.seconds, true),
      nanoseconds: view.getUint32(at + packet.nanoseconds, true),
      stamp: stampSource(view.getUint32(at + packet.status, true)),
      outgoing: view.getUint8(at + packet.packetType) === PACKET_OUTGOING,
    });
    const next = view.getUint32(at + packet.next, true);
    // Without this a block could lead the walk in a circle.
    if (packets.length < count && next < packet.headerSize) return stop(`next packet at +${next}`);
    at += next;
  }
  return { packets };
}

/** How long a packet was, by `struct tpacket_auxdata`, the control message of PACKET_AUXDATA; undefined where it is cut short. */
export function decodePacketLength(bytes: Uint8Array): number | undefined {
  return bytes.length < AUXDATA_LENGTH + 4 ? undefined : u32(bytes, AUXDATA_LENGTH);
}

/** Decodes PACKET_STATISTICS; what a shorter answer does not have is 0. */
export function decodePacketStatistics(bytes: Uint8Array): PacketStatistics {
  const [packets, drops, freezes] = [0, 4, 8].map((offset) => u32(bytes, offset));
  return { packets: packets ?? 0, drops: drops ?? 0, freezes: freezes ?? 0 };
}

function stampSource(status: number): StampSource {
  if ((status & TP_STATUS_TS_RAW_HARDWARE) !== 0) return 'hardware';
  return (status & TP_STATUS_TS_SOFTWARE) !== 0 ? 'software' : 'copy';
}

function u32(bytes: Uint8Array, offset: number): number {
  const at = (index: number) => bytes[offset + index] ?? 0;
  return (at(0) | (at(1) << 8) | (at(2) << 16) | (at(3) << 24)) >>> 0;
}
