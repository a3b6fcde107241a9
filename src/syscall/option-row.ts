// What a row of the option tables is.

import type { Codec } from './option-codec.js';

/** What a socket option is; `unit` where a number has one. */
export interface SocketOption<T, Q = never> {
  readonly level: number;
  /** The level of IPv6, where one name serves both: the address in the value decides (RFC 3678). */
  readonly level6?: number;
  readonly option: number;
  readonly codec: Codec<T, Q>;
  readonly unit?: 's' | 'ms' | 'us' | 'bytes' | 'bytes/s' | 'packets';
  /** Left out: both ways. */
  readonly access?: 'get' | 'set';
  /** The least capability that setting it takes, in the user namespace of the socket's network. */
  readonly needs?: 'CAP_NET_ADMIN' | 'CAP_NET_RAW';
  /** The release of Linux that brought it, where that is after 6.1; earlier kernels say ENOPROTOOPT. */
  readonly since?: string;
  /** The function that is called instead: the value is, or holds, a pointer. */
  readonly door?: 'attachFilter' | 'attachedFilter';
  /** What the rest of the row cannot say. */
  readonly note?: string;
}

type Extra = Omit<SocketOption<unknown>, 'level' | 'option' | 'codec'>;

/** Rows of one level. */
export const at =
  (level: number) =>
  <T, Q = never>(option: number, codec: Codec<T, Q>, extra: Extra = {}): SocketOption<T, Q> => ({
    level,
    option,
    codec,
    ...extra,
  });

export const get: Extra = { access: 'get' };
export const set: Extra = { access: 'set' };
