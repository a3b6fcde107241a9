// Socket options as rows: socket(7), ip(7), ipv6(7), tcp(7). An option that has no row still works with bytes,
// through getsockopt and setsockopt.

import * as c from './constants.js';
import { argumentError } from './error.js';
import { getsockopt, setsockopt } from './socket.js';

/** How an option's value is laid out in C, and what it is in JavaScript. */
export interface Codec<T> {
  /** Bytes to offer to the kernel. */
  readonly capacity: number;
  decode(bytes: Uint8Array): T;
  encode(value: T): Uint8Array;
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const bytesOf = (length: number, fill: (view: DataView) => void): Uint8Array => {
  const bytes = new Uint8Array(length);
  fill(view(bytes));
  return bytes;
};

function fits(value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw argumentError('value', `an integer from ${low} to ${high}`, value);
}

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
  encode: (value) => {
    if (typeof value !== 'boolean') throw argumentError('value', 'a boolean', value);
    return int.encode(value ? 1 : 0);
  },
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

export const linger: Codec<Linger> = {
  capacity: 8,
  decode: (bytes) => ({
    on: view(bytes).getInt32(0, true) !== 0,
    seconds: view(bytes).getInt32(4, true),
  }),
  encode: ({ on, seconds }) =>
    bytesOf(8, (v) => {
      v.setInt32(0, on ? 1 : 0, true);
      v.setInt32(4, fits(seconds, 0, 2 ** 31 - 1), true);
    }),
};

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
      const microseconds = BigInt(Math.round(seconds * 1e6));
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

export const credentials: Codec<Credentials> = {
  capacity: 12,
  decode: (bytes) => ({
    pid: view(bytes).getInt32(0, true),
    uid: view(bytes).getUint32(4, true),
    gid: view(bytes).getUint32(8, true),
  }),
  encode: ({ pid, uid, gid }) => new Uint8Array(Int32Array.of(pid, uid, gid).buffer),
};

/** A range of ports in one 32-bit number, low half first; {0, 0} is the namespace's own range. */
export interface PortRange {
  readonly low: number;
  readonly high: number;
}

export const portRange: Codec<PortRange> = {
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
};

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

/** What a socket option is; `unit` where a number has one. */
export interface SocketOption<T> {
  readonly level: number;
  readonly option: number;
  readonly codec: Codec<T>;
  readonly unit?: 's' | 'ms' | 'us' | 'bytes' | 'bytes/s';
  /** Left out: both ways. */
  readonly access?: 'get' | 'set';
}

type Extra = Pick<SocketOption<unknown>, 'unit' | 'access'>;

const at =
  (level: number) =>
  <T>(option: number, codec: Codec<T>, extra: Extra = {}): SocketOption<T> => ({
    level,
    option,
    codec,
    ...extra,
  });

const socket = at(c.SOL_SOCKET);
const tcp = at(c.IPPROTO_TCP);
const ip = at(c.IPPROTO_IP);
const ipv6 = at(c.IPPROTO_IPV6);
const get: Extra = { access: 'get' };
const set: Extra = { access: 'set' };

/** Every option by its C name. */
export const socketOptions = {
  SO_ACCEPTCONN: socket(c.SO_ACCEPTCONN, flag, get),
  SO_BINDTODEVICE: socket(c.SO_BINDTODEVICE, text),
  SO_BINDTOIFINDEX: socket(c.SO_BINDTOIFINDEX, int),
  SO_BROADCAST: socket(c.SO_BROADCAST, flag),
  SO_BUF_LOCK: socket(c.SO_BUF_LOCK, int),
  SO_BUSY_POLL: socket(c.SO_BUSY_POLL, int, { unit: 'us' }),
  SO_COOKIE: socket(c.SO_COOKIE, u64, get),
  SO_DEBUG: socket(c.SO_DEBUG, flag),
  SO_DETACH_FILTER: socket(c.SO_DETACH_FILTER, int, set),
  SO_DOMAIN: socket(c.SO_DOMAIN, int, get),
  SO_DONTROUTE: socket(c.SO_DONTROUTE, flag),
  SO_ERROR: socket(c.SO_ERROR, int, get),
  SO_INCOMING_CPU: socket(c.SO_INCOMING_CPU, int),
  SO_INCOMING_NAPI_ID: socket(c.SO_INCOMING_NAPI_ID, int, get),
  SO_KEEPALIVE: socket(c.SO_KEEPALIVE, flag),
  SO_LINGER: socket(c.SO_LINGER, linger),
  SO_LOCK_FILTER: socket(c.SO_LOCK_FILTER, flag),
  SO_MARK: socket(c.SO_MARK, int),
  SO_MAX_PACING_RATE: socket(c.SO_MAX_PACING_RATE, u64, { unit: 'bytes/s' }),
  SO_MEMINFO: socket(c.SO_MEMINFO, raw, get),
  SO_NETNS_COOKIE: socket(c.SO_NETNS_COOKIE, u64, get),
  SO_OOBINLINE: socket(c.SO_OOBINLINE, flag),
  SO_PASSCRED: socket(c.SO_PASSCRED, flag),
  SO_PEEK_OFF: socket(c.SO_PEEK_OFF, int),
  SO_PEERCRED: socket(c.SO_PEERCRED, credentials, get),
  SO_PREFER_BUSY_POLL: socket(c.SO_PREFER_BUSY_POLL, flag),
  SO_PRIORITY: socket(c.SO_PRIORITY, int),
  SO_PROTOCOL: socket(c.SO_PROTOCOL, int, get),
  SO_RCVBUF: socket(c.SO_RCVBUF, int, { unit: 'bytes' }),
  SO_RCVBUFFORCE: socket(c.SO_RCVBUFFORCE, int, { unit: 'bytes', access: 'set' }),
  SO_RCVLOWAT: socket(c.SO_RCVLOWAT, int, { unit: 'bytes' }),
  SO_RCVTIMEO: socket(c.SO_RCVTIMEO, timeval, { unit: 's' }),
  SO_RESERVE_MEM: socket(c.SO_RESERVE_MEM, int, { unit: 'bytes' }),
  SO_REUSEADDR: socket(c.SO_REUSEADDR, flag),
  SO_REUSEPORT: socket(c.SO_REUSEPORT, flag),
  SO_RXQ_OVFL: socket(c.SO_RXQ_OVFL, flag),
  SO_SELECT_ERR_QUEUE: socket(c.SO_SELECT_ERR_QUEUE, flag),
  SO_SNDBUF: socket(c.SO_SNDBUF, int, { unit: 'bytes' }),
  SO_SNDBUFFORCE: socket(c.SO_SNDBUFFORCE, int, { unit: 'bytes', access: 'set' }),
  SO_SNDLOWAT: socket(c.SO_SNDLOWAT, int, { unit: 'bytes', access: 'get' }),
  SO_SNDTIMEO: socket(c.SO_SNDTIMEO, timeval, { unit: 's' }),
  SO_TIMESTAMP: socket(c.SO_TIMESTAMP, flag),
  SO_TIMESTAMPNS: socket(c.SO_TIMESTAMPNS, flag),
  SO_TIMESTAMPING: socket(c.SO_TIMESTAMPING, int),
  SO_TXREHASH: socket(c.SO_TXREHASH, int),
  SO_TYPE: socket(c.SO_TYPE, int, get),
  SO_ZEROCOPY: socket(c.SO_ZEROCOPY, flag),

  TCP_CC_INFO: tcp(c.TCP_CC_INFO, raw, get),
  TCP_CONGESTION: tcp(c.TCP_CONGESTION, text),
  TCP_CORK: tcp(c.TCP_CORK, flag),
  TCP_DEFER_ACCEPT: tcp(c.TCP_DEFER_ACCEPT, int, { unit: 's' }),
  TCP_FASTOPEN: tcp(c.TCP_FASTOPEN, int),
  TCP_FASTOPEN_CONNECT: tcp(c.TCP_FASTOPEN_CONNECT, flag),
  TCP_FASTOPEN_KEY: tcp(c.TCP_FASTOPEN_KEY, raw),
  TCP_FASTOPEN_NO_COOKIE: tcp(c.TCP_FASTOPEN_NO_COOKIE, flag),
  TCP_INFO: tcp(c.TCP_INFO, raw, get),
  TCP_INQ: tcp(c.TCP_INQ, flag),
  TCP_KEEPCNT: tcp(c.TCP_KEEPCNT, int),
  TCP_KEEPIDLE: tcp(c.TCP_KEEPIDLE, int, { unit: 's' }),
  TCP_KEEPINTVL: tcp(c.TCP_KEEPINTVL, int, { unit: 's' }),
  TCP_LINGER2: tcp(c.TCP_LINGER2, int, { unit: 's' }),
  TCP_MAXSEG: tcp(c.TCP_MAXSEG, int, { unit: 'bytes' }),
  TCP_MD5SIG: tcp(c.TCP_MD5SIG, raw, set),
  TCP_MD5SIG_EXT: tcp(c.TCP_MD5SIG_EXT, raw, set),
  TCP_NODELAY: tcp(c.TCP_NODELAY, flag),
  TCP_NOTSENT_LOWAT: tcp(c.TCP_NOTSENT_LOWAT, int, { unit: 'bytes' }),
  TCP_QUEUE_SEQ: tcp(c.TCP_QUEUE_SEQ, int),
  TCP_QUICKACK: tcp(c.TCP_QUICKACK, flag),
  TCP_REPAIR: tcp(c.TCP_REPAIR, int),
  TCP_REPAIR_OPTIONS: tcp(c.TCP_REPAIR_OPTIONS, raw, set),
  TCP_REPAIR_QUEUE: tcp(c.TCP_REPAIR_QUEUE, int),
  // struct tcp_repair_window is five u32; the kernel refuses room for more.
  TCP_REPAIR_WINDOW: tcp(c.TCP_REPAIR_WINDOW, { ...raw, capacity: 20 }),
  TCP_SAVED_SYN: tcp(c.TCP_SAVED_SYN, raw, get),
  TCP_SAVE_SYN: tcp(c.TCP_SAVE_SYN, int),
  TCP_SYNCNT: tcp(c.TCP_SYNCNT, int),
  TCP_THIN_DUPACK: tcp(c.TCP_THIN_DUPACK, flag),
  TCP_THIN_LINEAR_TIMEOUTS: tcp(c.TCP_THIN_LINEAR_TIMEOUTS, flag),
  TCP_TIMESTAMP: tcp(c.TCP_TIMESTAMP, int),
  TCP_TX_DELAY: tcp(c.TCP_TX_DELAY, int, { unit: 'us' }),
  TCP_ULP: tcp(c.TCP_ULP, text),
  TCP_USER_TIMEOUT: tcp(c.TCP_USER_TIMEOUT, int, { unit: 'ms' }),
  TCP_WINDOW_CLAMP: tcp(c.TCP_WINDOW_CLAMP, int, { unit: 'bytes' }),

  IP_BIND_ADDRESS_NO_PORT: ip(c.IP_BIND_ADDRESS_NO_PORT, flag),
  IP_CHECKSUM: ip(c.IP_CHECKSUM, flag),
  IP_FREEBIND: ip(c.IP_FREEBIND, flag),
  IP_LOCAL_PORT_RANGE: ip(c.IP_LOCAL_PORT_RANGE, portRange),
  IP_MINTTL: ip(c.IP_MINTTL, int),
  IP_MTU: ip(c.IP_MTU, int, { unit: 'bytes', access: 'get' }),
  IP_MTU_DISCOVER: ip(c.IP_MTU_DISCOVER, int),
  IP_MULTICAST_ALL: ip(c.IP_MULTICAST_ALL, flag),
  IP_MULTICAST_LOOP: ip(c.IP_MULTICAST_LOOP, flag),
  IP_MULTICAST_TTL: ip(c.IP_MULTICAST_TTL, int),
  IP_OPTIONS: ip(c.IP_OPTIONS, raw),
  IP_PKTINFO: ip(c.IP_PKTINFO, flag),
  IP_RECVERR: ip(c.IP_RECVERR, flag),
  IP_RECVERR_RFC4884: ip(c.IP_RECVERR_RFC4884, flag),
  IP_RECVFRAGSIZE: ip(c.IP_RECVFRAGSIZE, flag),
  IP_RECVOPTS: ip(c.IP_RECVOPTS, flag),
  IP_RECVORIGDSTADDR: ip(c.IP_RECVORIGDSTADDR, flag),
  IP_RECVTOS: ip(c.IP_RECVTOS, flag),
  IP_RECVTTL: ip(c.IP_RECVTTL, flag),
  IP_RETOPTS: ip(c.IP_RETOPTS, flag),
  IP_TOS: ip(c.IP_TOS, int),
  IP_TRANSPARENT: ip(c.IP_TRANSPARENT, flag),
  IP_TTL: ip(c.IP_TTL, int),
  IP_UNICAST_IF: ip(c.IP_UNICAST_IF, int),

  IPV6_ADDRFORM: ipv6(c.IPV6_ADDRFORM, int),
  IPV6_ADDR_PREFERENCES: ipv6(c.IPV6_ADDR_PREFERENCES, int),
  IPV6_AUTOFLOWLABEL: ipv6(c.IPV6_AUTOFLOWLABEL, flag),
  IPV6_DONTFRAG: ipv6(c.IPV6_DONTFRAG, flag),
  IPV6_FREEBIND: ipv6(c.IPV6_FREEBIND, flag),
  IPV6_MINHOPCOUNT: ipv6(c.IPV6_MINHOPCOUNT, int),
  IPV6_MTU: ipv6(c.IPV6_MTU, int, { unit: 'bytes' }),
  IPV6_MTU_DISCOVER: ipv6(c.IPV6_MTU_DISCOVER, int),
  IPV6_MULTICAST_ALL: ipv6(c.IPV6_MULTICAST_ALL, flag),
  IPV6_MULTICAST_HOPS: ipv6(c.IPV6_MULTICAST_HOPS, int),
  IPV6_MULTICAST_LOOP: ipv6(c.IPV6_MULTICAST_LOOP, flag),
  IPV6_RECVERR: ipv6(c.IPV6_RECVERR, flag),
  IPV6_RECVERR_RFC4884: ipv6(c.IPV6_RECVERR_RFC4884, flag),
  IPV6_RECVHOPLIMIT: ipv6(c.IPV6_RECVHOPLIMIT, flag),
  IPV6_RECVPATHMTU: ipv6(c.IPV6_RECVPATHMTU, flag),
  IPV6_RECVPKTINFO: ipv6(c.IPV6_RECVPKTINFO, flag),
  IPV6_RECVTCLASS: ipv6(c.IPV6_RECVTCLASS, flag),
  IPV6_TCLASS: ipv6(c.IPV6_TCLASS, int),
  IPV6_TRANSPARENT: ipv6(c.IPV6_TRANSPARENT, flag),
  IPV6_UNICAST_HOPS: ipv6(c.IPV6_UNICAST_HOPS, int),
  IPV6_V6ONLY: ipv6(c.IPV6_V6ONLY, flag),
} as const;

export type SocketOptionName = keyof typeof socketOptions;

/** What an option is in JavaScript. */
export type SocketOptionValue<N extends SocketOptionName> =
  (typeof socketOptions)[N] extends SocketOption<infer T> ? T : never;

function rowOf(name: string): SocketOption<unknown> {
  if (Object.hasOwn(socketOptions, name)) {
    return socketOptions[name as SocketOptionName] as SocketOption<unknown>;
  }
  throw argumentError(
    'option',
    'a name in socketOptions (any other goes through getsockopt)',
    name,
  );
}

/** Reads an option by its row. Throws SyscallError. */
export function getOption<N extends SocketOptionName>(fd: number, name: N): SocketOptionValue<N> {
  const { level, option, codec } = rowOf(name);
  const bytes = new Uint8Array(codec.capacity);
  const length = getsockopt(fd, level, option, bytes);
  return codec.decode(bytes.subarray(0, length)) as SocketOptionValue<N>;
}

/** Sets an option by its row. Throws SyscallError; TypeError or RangeError if the value does not fit. */
export function setOption<N extends SocketOptionName>(
  fd: number,
  name: N,
  value: SocketOptionValue<N>,
): void {
  const { level, option, codec } = rowOf(name);
  setsockopt(fd, level, option, codec.encode(value));
}
