import { types } from 'node:util';
import { argumentError, checkInteger } from './argument.js';
import { AF_INET, AF_INET6, AF_UNIX } from './constants.js';
import { SyscallError } from './error.js';
import { native } from './native.js';

/** An IPv4 or IPv6 endpoint. A link-local IPv6 address carries its interface's index: `fe80::1%2`. */
export interface SocketAddress {
  readonly address: string;
  /** 0 to 65535, host order. */
  readonly port: number;
}

const IPV4_LENGTH = 16;
const IPV6_LENGTH = 28;

/** As long as any address the kernel writes (struct sockaddr_storage). */
export const ADDRESS_CAPACITY = 128;

const ascii = new TextEncoder();

/**
 * `int inet_pton(int af, const char *src, void *dst)`: the 4 or 16 bytes of an address, or undefined if `text` is not
 * one. Strict: no `127.1`, no leading zeros. Throws SyscallError: EAFNOSUPPORT.
 */
export function inet_pton(family: number, text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  // A NUL inside would end the text early in C: then it is not an address.
  if (typeof text !== 'string') throw argumentError('inet_pton: text', 'a string', text);
  if (text.includes('\0')) return undefined;
  const result = native.inet_pton(family, ascii.encode(`${text}\0`), bytes);
  if (result < 0) throw new SyscallError('inet_pton', result);
  if (result === 0) return undefined;
  return bytes.subarray(0, family === AF_INET ? 4 : 16);
}

/**
 * `const char *inet_ntop(int af, const void *src, char *dst, socklen_t size)`: an address as text. Throws SyscallError:
 * EAFNOSUPPORT.
 */
export function inet_ntop(family: number, bytes: Uint8Array): string {
  if (!types.isUint8Array(bytes)) throw argumentError('inet_ntop: bytes', 'a Uint8Array', bytes);
  if (bytes.length < (family === AF_INET ? 4 : 16)) {
    throw argumentError('inet_ntop: length', 'as long as an address', bytes.length);
  }
  const text = new Uint8Array(64);
  const length = native.inet_ntop(family, bytes, text);
  if (length < 0) throw new SyscallError('inet_ntop', length);
  return String.fromCharCode(...text.subarray(0, length));
}

// Experiments speak to few addresses many times. Bounded, so that a scan does not fill memory.
const known = new Map<string, Uint8Array>();
const KNOWN_LIMIT = 256;

function parse(text: string): Uint8Array {
  const cached = known.get(text);
  if (cached !== undefined) return cached;
  const [, host = text, scope] = /^([^%]*:[^%]*)%([1-9][0-9]{0,9})$/.exec(text) ?? [];
  const family = host.includes(':') ? AF_INET6 : AF_INET;
  const bytes = inet_pton(family, host);
  const scopeId = scope === undefined ? 0 : Number(scope);
  if (bytes === undefined || scopeId >= 2 ** 32) {
    throw argumentError(
      'address',
      'an IPv4 or IPv6 address in numbers, its scope too (fe80::1%2)',
      text,
    );
  }
  const sockaddr = new Uint8Array(family === AF_INET ? IPV4_LENGTH : IPV6_LENGTH);
  const view = new DataView(sockaddr.buffer);
  view.setUint16(0, family, true);
  sockaddr.set(bytes, family === AF_INET ? 4 : 8);
  if (family === AF_INET6) view.setUint32(24, scopeId, true);
  if (known.size >= KNOWN_LIMIT) known.clear();
  known.set(text, sockaddr);
  return sockaddr;
}

// A client that connects a thousand times connects to one place.
let last = { address: '', port: -1, sockaddr: new Uint8Array() };

/** An address as struct sockaddr_in or sockaddr_in6. Bytes pass through: any other family is laid out by the caller. */
export function encodeAddress(address: SocketAddress | Uint8Array): Uint8Array {
  return types.isUint8Array(address) ? address : sockaddrOf(address).slice();
}

/** The same for a call, which reads the bytes and lets go of them: they may be those of another call. */
export function sockaddrOf(address: SocketAddress | Uint8Array): Uint8Array {
  if (types.isUint8Array(address)) return address;
  const text = address?.address;
  if (typeof text !== 'string') {
    throw argumentError(
      'address',
      '{address: string, port: number} or the bytes of a sockaddr',
      address,
    );
  }
  const { port } = address;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw argumentError('port', 'an integer from 0 to 65535', port);
  }
  if (text === last.address && port === last.port) return last.sockaddr;
  const sockaddr = parse(text).slice();
  sockaddr[2] = port >> 8;
  sockaddr[3] = port & 255;
  last = { address: text, port, sockaddr };
  return sockaddr;
}

const utf8 = new TextDecoder();

const at = (bytes: Uint8Array, i: number): number => bytes[i] ?? 0;

// By hand: making a DataView takes longer than decoding all the rest.
const ipv4At = (bytes: Uint8Array, i: number): number =>
  ((at(bytes, i) << 24) | (at(bytes, i + 1) << 16) | (at(bytes, i + 2) << 8) | at(bytes, i + 3)) >>>
  0;

let lastIPv4 = { number: 0, text: '0.0.0.0' };

function formatIPv4(number: number): string {
  if (number !== lastIPv4.number) {
    const bytes = [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255];
    lastIPv4 = { number, text: bytes.join('.') };
  }
  return lastIPv4.text;
}

/**
 * What the kernel wrote into `sockaddr`, of which `length` bytes are meant. For AF_UNIX the address is the path and the
 * port 0; any other family has an empty address.
 */
export function decodeAddress(sockaddr: Uint8Array, length?: number): SocketAddress {
  if (!types.isUint8Array(sockaddr)) {
    throw argumentError('decodeAddress: sockaddr', 'a Uint8Array', sockaddr);
  }
  if (length === undefined) return addressIn(sockaddr, sockaddr.length);
  checkInteger('decodeAddress: length', length, 0, sockaddr.length);
  return addressIn(sockaddr, length);
}

/** The same of what a call has left in its room. */
export function addressIn(sockaddr: Uint8Array, length: number): SocketAddress {
  const family = length < 2 ? 0 : at(sockaddr, 0) | (at(sockaddr, 1) << 8);
  const port = (at(sockaddr, 2) << 8) | at(sockaddr, 3);
  if (family === AF_INET && length >= 8) {
    return { address: formatIPv4(ipv4At(sockaddr, 4)), port };
  }
  if (family === AF_INET6 && length >= IPV6_LENGTH) {
    const scope = new DataView(sockaddr.buffer, sockaddr.byteOffset).getUint32(24, true);
    const address = inet_ntop(AF_INET6, sockaddr.subarray(8, 24));
    return { address: scope === 0 ? address : `${address}%${scope}`, port };
  }
  if (family === AF_UNIX) {
    const path = sockaddr.subarray(2, length);
    const end = path.indexOf(0);
    return { address: utf8.decode(end < 0 ? path : path.subarray(0, end)), port: 0 };
  }
  return { address: '', port: 0 };
}

/**
 * For an error: where a call was going, as far as that can be said. It is the address that `sockaddrOf` was last given: the
 * caller's object may answer another thing when it is asked again.
 */
export function siteOf(
  fd: number,
  given: SocketAddress | Uint8Array | undefined,
): { fd: number; address?: string; port?: number } {
  if (given === undefined || types.isUint8Array(given)) return { fd };
  const { address, port } = last;
  return { fd, address, port };
}
