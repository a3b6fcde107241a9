// Socket options as rows, a file for each level. An option that has no row still works with bytes, through getsockopt and
// setsockopt.

import { argumentError, SyscallError } from './error.js';
import { isOfIPv6 } from './option-address-codec.js';
import type { Codec } from './option-codec.js';
import { ipOptions } from './option-ip.js';
import { ipv6Options } from './option-ipv6.js';
import type { SocketOption } from './option-row.js';
import { socketLevelOptions } from './option-socket.js';
import { tcpOptions } from './option-tcp.js';
import { getsockopt, setsockopt } from './socket.js';

/** Every option by its C name. */
export const socketOptions = {
  ...socketLevelOptions,
  ...tcpOptions,
  ...ipOptions,
  ...ipv6Options,
} as const;

/** The C name of an option that has a row, such as `TCP_USER_TIMEOUT`. */
export type SocketOptionName = keyof typeof socketOptions;

/** What an option is in JavaScript. */
export type SocketOptionValue<N extends SocketOptionName> =
  (typeof socketOptions)[N]['codec'] extends Codec<infer T, infer _Q> ? T : never;

/** What getOption must be told where the kernel answers about a part: [], or [about]. */
export type SocketOptionQuestion<N extends SocketOptionName> =
  (typeof socketOptions)[N]['codec'] extends Codec<infer _T, infer Q>
    ? [Q] extends [never]
      ? []
      : [about: Q]
    : never;

function rowOf(name: string): SocketOption<unknown, unknown> {
  if (typeof name !== 'string' || !Object.hasOwn(socketOptions, name)) {
    throw argumentError(
      'option',
      'a name in socketOptions (any other goes through getsockopt)',
      name,
    );
  }
  const row = socketOptions[name as SocketOptionName] as SocketOption<unknown, unknown>;
  if (row.door !== undefined) {
    throw argumentError('option', `one without a pointer (${name} goes through ${row.door})`, name);
  }
  return row;
}

const levelFor = ({ level, level6 = level }: SocketOption<unknown, unknown>, bytes: Uint8Array) =>
  level6 !== level && isOfIPv6(bytes) ? level6 : level;

/** The longest answer: 65536 groups of a peer (NGROUPS_MAX, linux/limits.h). */
const LONGEST = 4 * 65_536;

/** getsockopt() to `bytes`; to more of them where the answer has no room there, as a long SO_PEERGROUPS or SO_PEERSEC. */
function answer(fd: number, level: number, option: number, bytes: Uint8Array): Uint8Array {
  try {
    return bytes.subarray(0, getsockopt(fd, level, option, bytes));
  } catch (error) {
    const isShort = error instanceof SyscallError && error.code === 'ERANGE';
    if (!isShort || bytes.length >= LONGEST) throw error;
    const more = new Uint8Array(LONGEST);
    more.set(bytes);
    return answer(fd, level, option, more);
  }
}

/** Reads an option by its row. Throws SyscallError. */
export function getOption<N extends SocketOptionName>(
  fd: number,
  name: N,
  ...[about]: SocketOptionQuestion<N>
): SocketOptionValue<N> {
  const row = rowOf(name);
  const bytes = row.codec.ask?.(about) ?? new Uint8Array(row.codec.capacity);
  return row.codec.decode(
    answer(fd, levelFor(row, bytes), row.option, bytes),
  ) as SocketOptionValue<N>;
}

/** Sets an option by its row. Throws SyscallError; TypeError or RangeError if the value does not fit. */
export function setOption<N extends SocketOptionName>(
  fd: number,
  name: N,
  value: SocketOptionValue<N>,
): void {
  const row = rowOf(name);
  const bytes = row.codec.encode(value);
  setsockopt(fd, levelFor(row, bytes), row.option, bytes);
}
