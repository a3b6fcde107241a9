import { Mapping } from '../syscall/mapping.js';
import * as sys from '../syscall/sys.js';
import { encodePacketAddress } from '../tcp/packet-address.js';
import {
  BLOCK_STATUS_OFFSET,
  blockLength,
  decodeBlock,
  decodePacketLength,
  decodePacketStatistics,
  encodeRingRequest,
  PACKET_TIMESTAMP,
  type PacketStatistics,
  type RingBlock,
  type RingPacket,
  type RingSize,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TPACKET_V3,
} from '../tcp/packet-ring.js';
import { UnavailableError } from './unavailable-error.js';

/** Packets with the memory they are in: a copy, which nobody writes to again. */
export interface PacketBatch extends RingBlock {
  readonly bytes: Uint8Array;
}

/** Where the packets of a bound packet socket come out. It owns the descriptor. */
export interface PacketSource {
  readonly via: 'ring' | 'recvmsg';
  readonly fd: number;
  /** The packets that are ready, up to a limit; undefined when none are. Does not block. */
  take(): PacketBatch | undefined;
  /** Counts since the last call. */
  statistics(): PacketStatistics;
  /** Idempotent. */
  close(): void;
}

export interface SourceOptions {
  readonly interfaceName: string;
  /** A classic BPF program, in force before the first packet. */
  readonly program: Uint8Array;
  /** Left out: no ring. */
  readonly ring: RingSize | undefined;
  readonly hardwareStamps: boolean;
}

/** Interfaces whose frames begin with an Ethernet header: net/if_arp.h. */
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const IFREQ_NAME = 16;
const IFREQ_LENGTH = 40;
const SOCKADDR_LL_TYPE = 10;
const STATISTICS_LENGTH = 12;
// The largest that segmentation offload makes (BIG TCP, 512 KiB), and its headers.
const SNAPLEN = 524288 + 64;
const CONTROL = 128;
const QUEUE_BYTES = 1 << 22;
const MESSAGES = 256;

/** Opens a packet socket on an interface of the actor's namespace, by the ring if it can be had. Throws SyscallError or UnavailableError. */
export async function openPacketSource(
  actor: sys.Actor,
  options: SourceOptions,
): Promise<{ source: PacketSource; reason?: string }> {
  const { ring } = options;
  if (ring === undefined) return { source: await open(actor, options, messages) };
  try {
    return { source: await open(actor, options, (fd) => RingSource.map(actor, fd, ring)) };
  } catch (error) {
    if (!(error instanceof RingError)) throw error;
    return { source: await open(actor, options, messages), reason: error.message };
  }
}

/** The ring could not be had, where a packet socket could. */
class RingError extends Error {}

async function messages(fd: number): Promise<PacketSource> {
  sys.setsockopt(fd, sys.SOL_PACKET, sys.PACKET_AUXDATA, 1);
  try {
    sys.setOption(fd, 'SO_RCVBUFFORCE', QUEUE_BYTES);
  } catch (error) {
    if (!(error instanceof sys.SyscallError && error.code === 'EPERM')) throw error;
    // Without CAP_NET_ADMIN: as much as net.core.rmem_max allows.
    sys.setOption(fd, 'SO_RCVBUF', QUEUE_BYTES);
  }
  return new MessageSource(fd);
}

async function open(
  actor: sys.Actor,
  { interfaceName, program, hardwareStamps }: SourceOptions,
  make: (fd: number) => Promise<PacketSource>,
): Promise<PacketSource> {
  using fds = new sys.Descriptors();
  // Protocol 0 receives nothing until bind says what and where.
  const fd = fds.own(await actor.socket(sys.AF_PACKET, sys.SOCK_RAW | sys.SOCK_CLOEXEC, 0));
  const name = new TextEncoder().encode(interfaceName);
  // The kernel would take the beginning for it, up to a zero.
  if (name.length >= IFREQ_NAME || name.includes(0))
    throw new sys.SyscallError('ioctl', -sys.ENODEV);
  const ifreq = new Uint8Array(IFREQ_LENGTH);
  const view = new DataView(ifreq.buffer);
  ifreq.set(name);
  await actor.ioctl(fd, sys.SIOCGIFHWADDR, ifreq);
  const type = view.getUint16(IFREQ_NAME, true);
  if (type !== ARPHRD_ETHER && type !== ARPHRD_LOOPBACK) {
    throw new UnavailableError(`${interfaceName} has no Ethernet headers (link type ${type})`);
  }
  await actor.ioctl(fd, sys.SIOCGIFINDEX, ifreq);
  const index = view.getInt32(IFREQ_NAME, true);
  await actor.ioctl(fd, sys.SIOCGIFFLAGS, ifreq);
  if ((view.getInt16(IFREQ_NAME, true) & sys.IFF_LOOPBACK) !== 0) {
    // A frame passes a loopback twice, going out and coming in: the second is the one a peer gets.
    sys.setsockopt(fd, sys.SOL_PACKET, sys.PACKET_IGNORE_OUTGOING, 1);
  }
  // Also makes the kernel stamp what it takes in, not only what it copies for us.
  sys.setOption(fd, 'SO_TIMESTAMPNS', true);
  if (hardwareStamps) {
    sys.setsockopt(fd, sys.SOL_PACKET, PACKET_TIMESTAMP, sys.SOF_TIMESTAMPING_RAW_HARDWARE);
  }
  sys.attachFilter(fd, program);
  const source = await make(fd);
  fds.release(fd);
  try {
    await actor.bind(fd, encodePacketAddress(index, sys.ETH_P_ALL));
    return source;
  } catch (error) {
    source.close();
    throw error;
  }
}

abstract class BoundSocket {
  readonly fd: number;
  #open = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  statistics(): PacketStatistics {
    const bytes = new Uint8Array(STATISTICS_LENGTH);
    const length = sys.getsockopt(this.fd, sys.SOL_PACKET, sys.PACKET_STATISTICS, bytes);
    return decodePacketStatistics(bytes.subarray(0, length));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    sys.close(this.fd);
  }
}

/** Blocks of packets in memory the kernel shares with us; each is copied whole and given back at once. */
class RingSource extends BoundSocket implements PacketSource {
  readonly via = 'ring';
  readonly #mapping: Mapping;
  readonly #blocks: readonly Uint8Array[];
  readonly #statuses: Int32Array;
  readonly #statusStep: number;
  #next = 0;

  private constructor(fd: number, mapping: Mapping, { blockBytes, blocks }: RingSize) {
    super(fd);
    const { bytes } = mapping;
    this.#mapping = mapping;
    this.#blocks = Array.from({ length: blocks }, (_, i) =>
      bytes.subarray(i * blockBytes, (i + 1) * blockBytes),
    );
    this.#statuses = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    this.#statusStep = blockBytes / 4;
  }

  static async map(actor: sys.Actor, fd: number, size: RingSize): Promise<RingSource> {
    try {
      await actor.setsockopt(fd, sys.SOL_PACKET, sys.PACKET_VERSION, TPACKET_V3);
      await actor.setsockopt(fd, sys.SOL_PACKET, sys.PACKET_RX_RING, encodeRingRequest(size));
      const mapping = new Mapping(fd, size.blockBytes * size.blocks, { writable: true });
      return new RingSource(fd, mapping, size);
    } catch (error) {
      if (!(error instanceof sys.SyscallError)) throw error;
      throw new RingError(`no TPACKET_V3 ring: ${error.message}`, { cause: error });
    }
  }

  take(): PacketBatch | undefined {
    const block = this.#blocks[this.#next];
    const status = this.#next * this.#statusStep + BLOCK_STATUS_OFFSET / 4;
    // The kernel writes the status last and we read it first: both sides order their other accesses by it.
    if (block === undefined || (Atomics.load(this.#statuses, status) & TP_STATUS_USER) === 0) {
      return undefined;
    }
    const bytes = block.slice(0, blockLength(block));
    Atomics.store(this.#statuses, status, TP_STATUS_KERNEL);
    this.#next = (this.#next + 1) % this.#blocks.length;
    return { bytes, ...decodeBlock(bytes) };
  }

  override close(): void {
    this.#mapping.unmap();
    super.close();
  }
}

/** One recvmsg a frame, for where there is no ring. */
class MessageSource extends BoundSocket implements PacketSource {
  readonly via = 'recvmsg';
  readonly #buffer = new Uint8Array(SNAPLEN);

  take(): PacketBatch | undefined {
    const parts: Uint8Array[] = [];
    const packets: RingPacket[] = [];
    let offset = 0;
    while (packets.length < MESSAGES) {
      const message = this.#receive();
      if (message === undefined) break;
      const bytes = this.#buffer.slice(0, Math.min(message.length, this.#buffer.length));
      parts.push(bytes);
      packets.push({
        offset,
        length: bytes.length,
        wireLength: wireLengthOf(message),
        ...stampOf(message),
        outgoing: message.name[SOCKADDR_LL_TYPE] === sys.PACKET_OUTGOING,
      });
      offset += bytes.length;
    }
    return packets.length === 0 ? undefined : { bytes: Buffer.concat(parts), packets };
  }

  #receive(): sys.IncomingMessage | undefined {
    const into = { buffers: [this.#buffer], controlLength: CONTROL };
    try {
      return sys.recvmsg(this.fd, into, sys.MSG_DONTWAIT | sys.MSG_TRUNC);
    } catch (error) {
      if (error instanceof sys.SyscallError && error.code === 'EAGAIN') return undefined;
      throw error;
    }
  }
}

/** What MSG_TRUNC tells is how much the filter let pass: the kernel has cut off the rest before it answers. */
function wireLengthOf(message: sys.IncomingMessage): number {
  const auxiliary = controlOf(message, sys.SOL_PACKET, sys.PACKET_AUXDATA);
  return (auxiliary && decodePacketLength(auxiliary)) ?? message.length;
}

function stampOf(
  message: sys.IncomingMessage,
): Pick<RingPacket, 'seconds' | 'nanoseconds' | 'stamp'> {
  const stamp = controlOf(message, sys.SOL_SOCKET, sys.SCM_TIMESTAMPNS);
  const { buffer, byteOffset, byteLength } = stamp ?? new Uint8Array(16);
  const view = new DataView(buffer, byteOffset, byteLength);
  return {
    seconds: Number(view.getBigInt64(0, true)),
    nanoseconds: Number(view.getBigInt64(8, true)),
    // Where the kernel had none it has put in the present time, and does not say so.
    stamp: 'software',
  };
}

function controlOf(
  { control }: sys.IncomingMessage,
  level: number,
  type: number,
): Uint8Array | undefined {
  return control.find((each) => each.level === level && each.type === type)?.data;
}
