// sendmsg(2) and recvmsg(2): several buffers, an address and control data in one call.

import { types } from 'node:util';
import { argumentError, checkInteger, checkObject, INT_MAX } from './argument.js';
import { define } from './call.js';
import { ADDRESS_CAPACITY, addressIn, type SocketAddress, siteOf, sockaddrOf } from './sockaddr.js';

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
export function encodeControl(given: readonly ControlMessage[]): Uint8Array {
  if (!Array.isArray(given)) throw argumentError('control', 'an array of messages', given);
  const messages = Array.from(given, checkedControl);
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

// What a DataView is given it wraps, and what is no number it writes as 0: neither is what the caller wrote.
function checkedControl(message: ControlMessage, i: number): ControlMessage {
  checkObject(`control[${i}]`, '{level, type, data}', message);
  const { level, type, data } = message;
  checkInteger(`control[${i}].level`, level, -(2 ** 31), INT_MAX);
  checkInteger(`control[${i}].type`, type, -(2 ** 31), INT_MAX);
  if (!types.isUint8Array(data)) throw argumentError(`control[${i}].data`, 'a Uint8Array', data);
  return { level, type, data: copied(`control[${i}].data`, data) };
}

/** A copy: another part of the message may be a getter, which could take the bytes away. */
function copied(what: string, bytes: Uint8Array): Uint8Array {
  try {
    return Uint8Array.prototype.slice.call(bytes);
  } catch {
    throw argumentError(what, 'a Uint8Array that its buffer is long enough for', bytes);
  }
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
  enter: (invoke, _room, fd, message, flags = 0) => {
    checkObject('sendmsg: message', '{data: Uint8Array[]}', message);
    const { data, control, address } = message;
    return invoke(
      fd,
      data,
      control === undefined ? null : encodeControl(control),
      address === undefined ? null : sockaddrOf(address),
      flags,
    );
  },
  site: (fd, message) => siteOf(fd, message.address),
});

// What recvmsg writes beside the buffers: three ints (control length, name length, flags), the name, the control data.
const LENGTHS = 12;
const NAME_END = LENGTHS + ADDRESS_CAPACITY;

/** `ssize_t recvmsg(int sockfd, struct msghdr *msg, int flags)`. Descriptors in SCM_RIGHTS are the caller's to close. */
export const recvmsg = define<[fd: number, into: IncomingBuffers, flags?: number], IncomingMessage>(
  {
    name: 'recvmsg',
    room: (_fd, into) => {
      checkObject('recvmsg: into', '{buffers: Uint8Array[]}', into);
      const { controlLength = 0 } = into;
      checkInteger('recvmsg: controlLength', controlLength, 0, CONTROL_LIMIT);
      return NAME_END + controlLength;
    },
    enter: (invoke, room, fd, { buffers }, flags = 0) =>
      invoke(
        fd,
        buffers,
        room.length === NAME_END ? null : room.subarray(NAME_END),
        room.subarray(LENGTHS, NAME_END),
        room.subarray(0, LENGTHS),
        flags,
      ),
    leave: (length, room) => {
      const lengths = new DataView(room.buffer);
      const name = room.subarray(LENGTHS, LENGTHS + lengths.getInt32(4, true));
      return {
        length,
        control: decodeControl(room.subarray(NAME_END, NAME_END + lengths.getInt32(0, true))),
        name,
        address: addressIn(name, name.length),
        flags: lengths.getInt32(8, true),
      };
    },
  },
);
