import { AF_INET, AF_INET6, formatAddress } from '../tcp/address.js';
import type { Addresses } from './host.js';

// An inode of nsfs is its namespace's alone while that lives, and one of the first few million above 0xf0000000
// (include/linux/proc_ns.h). 22 bits of it and two for the host fill an IPv4 network of 24.
const INODE_BITS = 22;
const LOOPBACK = 127;
const PRIVATE = 10;

/** What names the network: RFC 1918 cut into /30s, and a /64 of RFC 4193. */
export const PREFIX_LENGTHS = { 4: 30, 6: 64 } as const;

/** The addresses of a host alone with itself: `127.x.y.z` and `fd00:x:y::1`. */
export const loopbackAddresses = (inode: number): Addresses => addressesOf(LOOPBACK, inode, 1);

/** The addresses of the hosts of one network: `10.x.y.z` and `fd00:x:y::n`, from an inode of one of them. */
export const networkAddresses = (inode: number, host: 1 | 2): Addresses =>
  addressesOf(PRIVATE, inode, host);

function addressesOf(network: number, inode: number, host: number): Addresses {
  const ipv4 = new DataView(new ArrayBuffer(4));
  ipv4.setUint32(0, ((network << 24) | ((inode % (1 << INODE_BITS)) << 2) | host) >>> 0);
  const ipv6 = new DataView(new ArrayBuffer(16));
  ipv6.setUint8(0, 0xfd);
  ipv6.setUint32(2, inode);
  ipv6.setUint8(15, host);
  return {
    4: formatAddress(new Uint8Array(ipv4.buffer), 0, AF_INET),
    6: formatAddress(new Uint8Array(ipv6.buffer), 0, AF_INET6),
  };
}
