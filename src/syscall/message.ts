// sendmsg(2) and recvmsg(2): several buffers, an address and control data in one call.

import { define } from './call.js';
import { argumentError } from './error.js';
import {
  ADDRESS_CAPACITY,
  decodeAddress,
  encodeAddress,
  type SocketAddress,
  siteOf,
} from './sockaddr.js';

/** One control message: SCM_RIGHTS, SCM_TIMESTAMPNS, IP_TTL, ... (cmsg(3)). */
export interface ControlMessage {
  readonly level: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** What sendmsg takes. */
export interface OutgoingMessage {
  readonly data: readonly Uint8Array[];
  readonly control?: readonly ControlMessage[];
  readonly address?: SocketAddress | Uint8Array;
}

/** Where recvmsg writes. */
export interface IncomingBuffers {
  readonly buffers: readonly Uint8Array[];
  /** Bytes of room for control messages; 0 if left out. */
  readonly controlLength?: number;
}

/** What recvmsg returned. */
export interface IncomingMessage {
  /** How many bytes came; with MSG_TRUNC among the request's flags, how many there were. */
  readonly length: number;
  readonly control: readonly ControlMessage[];
  /** struct sockaddr as the kernel wrote it; empty where there is none. */
  readonly name: Uint8Array;
  /** `name` read as an endpoint. */
  readonly address: SocketAddress;
  /** MSG_TRUNC, MSG_CTRUNC, MSG_ERRQUEUE, ... */
  readonly flags: number;
}

// struct cmsghdr: size_t length, int level, int type; each message is padded to a multiple of size_t.
const HEADER = 16;
const align = (length: number) => (length + 7) & ~7;

/** Control messages as sendmsg wants them. */
export function encodeControl(messages: readonly ControlMessage[]): Uint8Array {
  const length = messages.reduce((sum, { data }) => sum + HEADER + align(data.length), 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const { level, type, data } of messages) {
    view.setBigUint64(offset, BigInt(HEADER + data.length), true);
    view.setInt32(offset + 8, level, true);
    view.setInt32(offset + 12, type, true);
    bytes.set(data, offset + HEADER);
    offset += HEADER + align(data.length);
  }
  return bytes;
}

/** Control messages from recvmsg's bytes. Stops at the first that does not fit: the kernel cut it (MSG_CTRUNC). */
export function decodeControl(bytes: Uint8Array): ControlMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: ControlMessage[] = [];
  for (let offset = 0; offset + HEADER <= bytes.length; ) {
    const length = Number(view.getBigUint64(offset, true));
    if (length < HEADER || offset + length > bytes.length) break;
    messages.push({
      level: view.getInt32(offset + 8, true),
      type: view.getInt32(offset + 12, true),
      data: bytes.slice(offset + HEADER, offset + length),
    });
    offset += align(length);
  }
  return messages;
}

const CONTROL_LIMIT = 65536;

/** `ssize_t sendmsg(int sockfd, const struct msghdr *msg, int flags)`: how many bytes the kernel took. */
export const sendmsg = define<[fd: number, message: OutgoingMessage, flags?: number], number>({
  name: 'sendmsg',
  enter: (_room, fd, message, flags = 0) => [
    fd,
    message.data,
    message.control === undefined ? null : encodeControl(message.control),
    message.address === undefined ? null : encodeAddress(message.address),
    flags,
  ],
  site: (fd, message) => siteOf(fd, message.address),
});

/** `ssize_t recvmsg(int sockfd, struct msghdr *msg, int flags)`. Descriptors in SCM_RIGHTS are the caller's to close. */
export const recvmsg = define<[fd: number, into: IncomingBuffers, flags?: number], IncomingMessage>(
  {
    name: 'recvmsg',
    enter: (_room, fd, { buffers, controlLength = 0 }, flags = 0) => {
      if (!Number.isInteger(controlLength) || controlLength < 0 || controlLength > CONTROL_LIMIT) {
        throw argumentError('recvmsg: controlLength', 'an integer from 0 to 65536', controlLength);
      }
      return [
        fd,
        buffers,
        new Uint8Array(controlLength),
        new Uint8Array(ADDRESS_CAPACITY),
        new Int32Array(3),
        flags,
      ];
    },
    leave: (length, entered) => {
      const [, , control, name, lengths] = entered as [
        number,
        unknown,
        Uint8Array,
        Uint8Array,
        Int32Array,
      ];
      const [controlLength = 0, nameLength = 0, flags = 0] = lengths;
      return {
        length,
        control: decodeControl(control.subarray(0, controlLength)),
        name: name.subarray(0, nameLength),
        address: decodeAddress(name, nameLength),
        flags,
      };
    },
  },
);
