// The calls of a connection's life as `native` has them, for loops so tight that the way into the addon shows: arguments that
// fit on the page go by the gates, which takes half as long. All others go to the addon, which has the words to refuse them.

import { types } from 'node:util';
import * as gate from './gate.js';
import { native } from './native.js';
import { pageInUse } from './page.js';

/** Enough for the loops it is for: a copy of many bytes would take longer than handing over their array does. */
const COPIED = 32;

// The array's own: `length` may be anything on a class of somebody's.
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
const lengthOf: (bytes: Uint8Array) => number = Function.prototype.call.bind(
  Object.getOwnPropertyDescriptor(typedArray, 'length')?.get as () => number,
);

const isInt = (value: unknown): boolean => typeof value === 'number' && (value | 0) === value;

/** How many bytes of an array go by the page; 0 where it is none, or has lost them, or has too many. */
function fitting(bytes: unknown): number {
  if (!types.isUint8Array(bytes)) return 0;
  const length = lengthOf(bytes);
  return length <= COPIED ? length : 0;
}

function put(bytes: Uint8Array, length: number): void {
  const { scratch } = pageInUse();
  for (let i = 0; i < length; i++) scratch[i] = bytes[i] as number;
}

/** native.socket. */
export function socket(domain: number, type: number, protocol: number): number {
  return isInt(domain) && isInt(type) && isInt(protocol)
    ? gate.socket(domain, type, protocol)
    : native.socket(domain, type, protocol);
}

/** native.connect. */
export function connect(fd: number, address: Uint8Array): number {
  const length = fitting(address);
  if (length === 0 || !isInt(fd)) return native.connect(fd, address);
  put(address, length);
  return gate.connect(fd, length);
}

/** native.accept, which leaves the peer's address on the scratch. */
export function accept(fd: number): number {
  const { scratch } = pageInUse();
  return isInt(fd) ? gate.accept(fd) : native.accept(fd, scratch);
}

/** native.read. */
export function read(fd: number, buffer: Uint8Array): number {
  const length = fitting(buffer);
  if (length === 0 || !isInt(fd)) return native.read(fd, buffer);
  const result = gate.read(fd, length);
  const { scratch } = pageInUse();
  for (let i = 0; i < result; i++) buffer[i] = scratch[i] as number;
  return result;
}

/** native.write. */
export function write(fd: number, data: Uint8Array): number {
  const length = fitting(data);
  if (length === 0 || !isInt(fd)) return native.write(fd, data);
  put(data, length);
  return gate.write(fd, length);
}

/** native.close. */
export function close(fd: number): number {
  return isInt(fd) ? gate.close(fd) : native.close(fd);
}
