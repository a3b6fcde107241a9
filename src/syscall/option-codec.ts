// The layouts of socket options: numbers, text and structs without addresses.

import { argumentError } from './error.js';
import { type ControlMessage, decodeControl, encodeControl } from './message.js';

/** How an option's value is laid out in C, and what it is in JavaScript. */
export interface Codec<T, Q = never> {
  /** Bytes to offer to the kernel. */
  readonly capacity: number;
  /** The value of the bytes that the kernel wrote. */
  decode(bytes: Uint8Array): T;
  /** The bytes that the kernel is to read. */
  encode(value: T): Uint8Array;
  /** The bytes to offer where the kernel reads them first, to learn what is asked about. */
  ask?(about: Q): Uint8Array;
}

export const view = (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const bytesOf = (length: number, fill: (view: DataView) => void): Uint8Array => {
  const bytes = new Uint8Array(length);
  fill(view(bytes));
  return bytes;
};

export function fits(value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw argumentError('value', `an integer from ${low} to ${high}`, value);
}

function anObject<T>(value: T): T {
  if (typeof value === 'object' && value !== null) return value;
  throw argumentError('value', 'an object', value);
}

/** A struct: what is no object is refused before its fields are looked for. */
export const struct = <T extends object, Q = never>({
  ask,
  ...codec
}: Codec<T, Q>): Codec<T, Q> => ({
  ...codec,
  encode: (value) => codec.encode(anObject(value)),
  ...(ask && { ask: (about: Q) => ask(anObject(about)) }),
});

/** int. The kernel answers some of them with one byte. */
export const int: Codec<number> = {
  capacity: 4,
  decode: (bytes) => (bytes.length < 4 ? (bytes[0] ?? 0) : view(bytes).getInt32(0, true)),
  encode: (value) => bytesOf(4, (v) => v.setInt32(0, fits(value, -(2 ** 31), 2 ** 32 - 1), true)),
};

/** int used as a truth value. */
export const flag: Codec<boolean> = {
  capacity: 4,
  decode: (bytes) => int.decode(bytes) !== 0,
  encode: (value) => int.encode(truth(value)),
};

function truth(value: boolean): number {
  if (typeof value !== 'boolean') throw argumentError('value', 'a boolean', value);
  return value ? 1 : 0;
}

/** int in network order: the index of an interface. */
export const networkInt: Codec<number> = {
  capacity: 4,
  decode: (bytes) => view(bytes).getInt32(0),
  encode: (value) => bytesOf(4, (v) => v.setInt32(0, fits(value, 0, 2 ** 31 - 1))),
};

/** unsigned int. */
export const u32: Codec<number> = {
  capacity: 4,
  decode: (bytes) => view(bytes).getUint32(0, true),
  encode: (value) => bytesOf(4, (v) => v.setUint32(0, fits(value, 0, 2 ** 32 - 1), true)),
};

/** unsigned 64-bit. */
export const u64: Codec<bigint> = {
  capacity: 8,
  decode: (bytes) => view(bytes).getBigUint64(0, true),
  encode: (value) => {
    if (typeof value !== 'bigint' || BigInt.asUintN(64, value) !== value) {
      throw argumentError('value', 'a bigint of 64 bits without sign', value);
    }
    return bytesOf(8, (v) => v.setBigUint64(0, value, true));
  },
};

/** struct linger. `on` with 0 seconds makes close() send a RST. */
export interface Linger {
  readonly on: boolean;
  readonly seconds: number;
}

export const linger = struct<Linger>({
  capacity: 8,
  decode: (bytes) => ({
    on: view(bytes).getInt32(0, true) !== 0,
    seconds: view(bytes).getInt32(4, true),
  }),
  encode: ({ on, seconds }) =>
    bytesOf(8, (v) => {
      v.setInt32(0, truth(on), true);
      v.setInt32(4, fits(seconds, 0, 2 ** 31 - 1), true);
    }),
});

/** struct timeval, in seconds. */
export const timeval: Codec<number> = {
  capacity: 16,
  decode: (bytes) =>
    Number(view(bytes).getBigInt64(0, true)) + Number(view(bytes).getBigInt64(8, true)) / 1e6,
  encode: (seconds) =>
    bytesOf(16, (v) => {
      if (typeof seconds !== 'number' || !(seconds >= 0 && seconds < 2 ** 31)) {
        throw argumentError('value', 'a number of seconds', seconds);
      }
      // Rounded as one number: a fraction of .9999999 must not become a million microseconds.
      const rounded = Math.round(seconds * 1e6);
      // 0 is no time-out at all.
      const microseconds = BigInt(seconds > 0 ? Math.max(rounded, 1) : 0);
      v.setBigInt64(0, microseconds / 1_000_000n, true);
      v.setBigInt64(8, microseconds % 1_000_000n, true);
    }),
};

/** struct ucred. */
export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export const credentials = struct<Credentials>({
  capacity: 12,
  decode: (bytes) => ({
    pid: view(bytes).getInt32(0, true),
    uid: view(bytes).getUint32(4, true),
    gid: view(bytes).getUint32(8, true),
  }),
  encode: ({ pid, uid, gid }) => new Uint8Array(Int32Array.of(pid, uid, gid).buffer),
});

/** A range of ports in one 32-bit number, low half first; {0, 0} is the namespace's own range. */
export interface PortRange {
  readonly low: number;
  readonly high: number;
}

export const portRange = struct<PortRange>({
  capacity: 4,
  decode: (bytes) => ({
    low: view(bytes).getUint16(0, true),
    high: view(bytes).getUint16(2, true),
  }),
  encode: ({ low, high }) =>
    bytesOf(4, (v) => {
      v.setUint16(0, fits(low, 0, 65535), true);
      v.setUint16(2, fits(high, 0, 65535), true);
    }),
});

/** char[], up to its NUL. */
export const text: Codec<string> = {
  capacity: 256,
  decode: (bytes) => {
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  },
  encode: (value) => {
    if (typeof value !== 'string') throw argumentError('value', 'a string', value);
    return new TextEncoder().encode(value);
  },
};

/** A struct that the caller reads and lays out. */
export const raw: Codec<Uint8Array> = {
  capacity: 1024,
  decode: (bytes) => bytes.slice(),
  encode: (value) => value,
};

/** A struct of unsigned ints, in this order. A field that an older kernel does not have reads 0. */
export const fields = <K extends string>(...names: K[]): Codec<Readonly<Record<K, number>>> =>
  struct({
    capacity: 4 * names.length,
    decode: (bytes) =>
      Object.fromEntries(
        names.map((name, i) => [
          name,
          bytes.length < 4 * i + 4 ? 0 : view(bytes).getUint32(4 * i, true),
        ]),
      ) as Record<K, number>,
    encode: (value) =>
      bytesOf(4 * names.length, (v) => {
        for (const [i, name] of names.entries()) {
          v.setUint32(4 * i, fits(value[name], 0, 2 ** 32 - 1), true);
        }
      }),
  });

/** An array, as long as the kernel's answer; at most `most` elements are read. */
export const listOf = <T>(element: Codec<T>, most = 64): Codec<readonly T[]> => {
  const size = element.capacity;
  return {
    capacity: size * most,
    decode: (bytes) =>
      Array.from({ length: Math.floor(bytes.length / size) }, (_, i) =>
        element.decode(bytes.subarray(size * i, size * (i + 1))),
      ),
    encode: (values) => {
      if (!Array.isArray(values)) throw argumentError('value', 'an array', values);
      const bytes = new Uint8Array(size * values.length);
      for (const [i, value] of values.entries()) bytes.set(element.encode(value), size * i);
      return bytes;
    },
  };
};

/** SO_MEMINFO: bytes, but for the drops, which are packets (linux/sock_diag.h, SK_MEMINFO_VARS). */
export const meminfo = fields(
  ...(['rmemAlloc', 'rcvbuf', 'wmemAlloc', 'sndbuf', 'fwdAlloc', 'wmemQueued'] as const),
  ...(['optmem', 'backlog', 'drops'] as const),
);

/** struct sock_txtime: a clock, and SOF_TXTIME_DEADLINE_MODE (1) or SOF_TXTIME_REPORT_ERRORS (2). */
export const txtime = fields('clock', 'flags');

/** struct dmabuf_token: fragments of device memory that are given back. */
export const dmabufTokens = listOf(fields('start', 'count'));

/** struct tcp_repair_window. */
export const repairWindow = fields('sndWl1', 'sndWnd', 'maxWindow', 'rcvWnd', 'rcvWup');

/** struct tcp_repair_opt: the code of a TCP option, and what was agreed on. */
export const repairOptions = listOf(fields('code', 'value'));

/** What TCP_ZEROCOPY_RECEIVE answers. The addresses in its struct stay 0, so that nothing is mapped or copied. */
export interface ZerocopyReceive {
  readonly length: number;
  /** How many bytes are to be read the ordinary way. */
  readonly recvSkipHint: number;
  /** How many bytes are in the receive queue. */
  readonly inq: number;
  /** A pending error, as SO_ERROR gives it. */
  readonly err: number;
}

export const zerocopyReceive: Codec<ZerocopyReceive> = {
  capacity: 64,
  decode: (bytes) => ({
    length: view(bytes).getUint32(8, true),
    recvSkipHint: view(bytes).getUint32(12, true),
    inq: view(bytes).getUint32(16, true),
    err: view(bytes).getInt32(20, true),
  }),
  encode: () => new Uint8Array(64),
};

/** Control messages, as recvmsg has them. */
export const controls: Codec<readonly ControlMessage[]> = {
  capacity: 1024,
  decode: decodeControl,
  encode: (messages) => {
    if (!Array.isArray(messages)) throw argumentError('value', 'an array', messages);
    return encodeControl(messages);
  },
};
