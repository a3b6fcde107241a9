// The layouts of socket options that hold addresses: multicast (RFC 3678), keys of peers, IPv6 (RFC 3493, RFC 3542).

import { types } from 'node:util';
import { AF_INET, AF_INET6, TCP_MD5SIG_FLAG_IFINDEX, TCP_MD5SIG_FLAG_PREFIX } from './constants.js';
import { argumentError } from './error.js';
import { bytesOf, type Codec, fits, struct, view } from './option-codec.js';
import {
  ADDRESS_CAPACITY,
  decodeAddress,
  encodeAddress,
  inet_ntop,
  type SocketAddress,
} from './sockaddr.js';

/** struct in_addr, struct in6_addr: an address without a port. */
interface Plain {
  decode(bytes: Uint8Array, offset: number): string;
  encode(text: string): Uint8Array;
}

const plain = (family: number, length: 4 | 16, offset: number, named: string): Plain => ({
  decode: (bytes, at) => inet_ntop(family, bytes.subarray(at, at + length)),
  encode: (text) => {
    const sockaddr = encodeAddress({ address: text, port: 0 });
    if (view(sockaddr).getUint16(0, true) !== family || text.includes('%')) {
      throw argumentError('address', `an ${named} address without a scope`, text);
    }
    return sockaddr.subarray(offset, offset + length);
  },
});

const ipv4 = plain(AF_INET, 4, 4, 'IPv4');
const ipv6 = plain(AF_INET6, 16, 8, 'IPv6');
const ANY = '0.0.0.0';
const INDEX_LIMIT = 2 ** 31 - 1;

// Room for that many sources in an answer; net.ipv4.igmp_max_msf allows ten, if nobody raised it.
const MOST_SOURCES = 64;

/** struct ip_mreqn. The interface is the one with this index or, without one, with this address. */
export interface Membership {
  readonly group: string;
  readonly address?: string;
  readonly interface?: number;
}

export const membership = struct<Membership>({
  capacity: 12,
  decode: (bytes) => ({
    group: ipv4.decode(bytes, 0),
    address: ipv4.decode(bytes, 4),
    interface: view(bytes).getInt32(8, true),
  }),
  encode: ({ group, address = ANY, interface: index = 0 }) => {
    const bytes = bytesOf(12, (v) => v.setInt32(8, fits(index, 0, INDEX_LIMIT), true));
    bytes.set(ipv4.encode(group));
    bytes.set(ipv4.encode(address), 4);
    return bytes;
  },
});

/** Where multicast goes out: set as struct ip_mreqn, read as struct in_addr. */
export type MulticastInterface = Omit<Membership, 'group'>;

export const multicastInterface = struct<MulticastInterface>({
  capacity: 4,
  decode: (bytes) => ({ address: ipv4.decode(bytes, 0) }),
  encode: (value) => membership.encode({ ...value, group: ANY }),
});

/** struct ip_mreq_source. The interface is the one with this address. */
export interface SourceMembership {
  readonly group: string;
  readonly address?: string;
  readonly source: string;
}

export const sourceMembership = struct<SourceMembership>({
  capacity: 12,
  decode: (bytes) => ({
    group: ipv4.decode(bytes, 0),
    address: ipv4.decode(bytes, 4),
    source: ipv4.decode(bytes, 8),
  }),
  encode: ({ group, address = ANY, source }) => {
    const bytes = new Uint8Array(12);
    bytes.set(ipv4.encode(group));
    bytes.set(ipv4.encode(address), 4);
    bytes.set(ipv4.encode(source), 8);
    return bytes;
  },
});

/** Whom to hear, or whom not to. */
interface Filter {
  /** MCAST_INCLUDE or MCAST_EXCLUDE. */
  readonly mode: number;
  readonly sources: readonly string[];
}

function checkSources(sources: readonly string[]): void {
  if (!Array.isArray(sources)) throw argumentError('sources', 'an array of addresses', sources);
}

/** struct ip_msfilter, of a group that has been joined. */
export interface SourceFilter extends Omit<SourceMembership, 'source'>, Filter {}

const encodeSourceFilter = (
  { group, address = ANY, mode, sources }: SourceFilter,
  count = sources.length,
): Uint8Array => {
  const bytes = bytesOf(16 + 4 * count, (v) => {
    v.setUint32(8, fits(mode, 0, 1), true);
    v.setUint32(12, count, true);
  });
  bytes.set(ipv4.encode(group));
  bytes.set(ipv4.encode(address), 4);
  for (const [i, source] of sources.entries()) bytes.set(ipv4.encode(source), 16 + 4 * i);
  return bytes;
};

export const sourceFilter = struct<SourceFilter, Pick<SourceFilter, 'group' | 'address'>>({
  capacity: 16 + 4 * MOST_SOURCES,
  decode: (bytes) => ({
    group: ipv4.decode(bytes, 0),
    address: ipv4.decode(bytes, 4),
    mode: view(bytes).getUint32(8, true),
    sources: Array.from({ length: (bytes.length - 16) / 4 }, (_, i) =>
      ipv4.decode(bytes, 16 + 4 * i),
    ),
  }),
  encode: (value) => {
    checkSources(value.sources);
    return encodeSourceFilter(value);
  },
  ask: (about) => encodeSourceFilter({ ...about, mode: 0, sources: [] }, MOST_SOURCES),
});

/** struct ipv6_mreq: a group, or an anycast address, on the interface with this index. */
export interface Membership6 {
  readonly group: string;
  readonly interface?: number;
}

export const membership6 = struct<Membership6>({
  capacity: 20,
  decode: (bytes) => ({
    group: ipv6.decode(bytes, 0),
    interface: view(bytes).getInt32(16, true),
  }),
  encode: ({ group, interface: index = 0 }) => {
    const bytes = bytesOf(20, (v) => v.setInt32(16, fits(index, 0, INDEX_LIMIT), true));
    bytes.set(ipv6.encode(group));
    return bytes;
  },
});

const STORAGE = ADDRESS_CAPACITY;
const storage = (address: string): Uint8Array => encodeAddress({ address, port: 0 });
const addressAt = (bytes: Uint8Array, offset: number): string =>
  decodeAddress(bytes.subarray(offset, offset + STORAGE)).address;

// struct group_req and its like: an int, padding, and the first sockaddr_storage.
const GROUP = 8;

/** struct group_req: either family. */
export type GroupMembership = Membership6;

export const groupMembership = struct<GroupMembership>({
  capacity: GROUP + STORAGE,
  decode: (bytes) => ({
    group: addressAt(bytes, GROUP),
    interface: view(bytes).getUint32(0, true),
  }),
  encode: ({ group, interface: index = 0 }) => {
    const bytes = bytesOf(GROUP + STORAGE, (v) =>
      v.setUint32(0, fits(index, 0, INDEX_LIMIT), true),
    );
    bytes.set(storage(group), GROUP);
    return bytes;
  },
});

/** struct group_source_req: either family. */
export interface GroupSource extends GroupMembership {
  readonly source: string;
}

export const groupSource = struct<GroupSource>({
  capacity: GROUP + 2 * STORAGE,
  decode: (bytes) => ({
    ...groupMembership.decode(bytes),
    source: addressAt(bytes, GROUP + STORAGE),
  }),
  encode: ({ source, ...membership }) => {
    const bytes = new Uint8Array(GROUP + 2 * STORAGE);
    bytes.set(groupMembership.encode(membership));
    bytes.set(storage(source), GROUP + STORAGE);
    return bytes;
  },
});

/** struct group_filter: either family, of a group that has been joined. */
export interface GroupFilter extends GroupMembership, Filter {}

const SOURCES = GROUP + STORAGE + 8;

const encodeGroupFilter = (
  { mode, sources, ...membership }: GroupFilter,
  count = sources.length,
): Uint8Array => {
  const bytes = bytesOf(SOURCES + STORAGE * count, (v) => {
    v.setUint32(GROUP + STORAGE, fits(mode, 0, 1), true);
    v.setUint32(GROUP + STORAGE + 4, count, true);
  });
  bytes.set(groupMembership.encode(membership));
  for (const [i, source] of sources.entries()) bytes.set(storage(source), SOURCES + STORAGE * i);
  return bytes;
};

export const groupFilter = struct<GroupFilter, GroupMembership>({
  capacity: SOURCES + STORAGE * MOST_SOURCES,
  decode: (bytes) => ({
    ...groupMembership.decode(bytes),
    mode: view(bytes).getUint32(GROUP + STORAGE, true),
    sources: Array.from({ length: (bytes.length - SOURCES) / STORAGE }, (_, i) =>
      addressAt(bytes, SOURCES + STORAGE * i),
    ),
  }),
  encode: (value) => {
    checkSources(value.sources);
    return encodeGroupFilter(value);
  },
  ask: (about) => encodeGroupFilter({ ...about, mode: 0, sources: [] }, MOST_SOURCES),
});

/** Whether an encoded struct group_req, group_source_req or group_filter is about IPv6. */
export const isOfIPv6 = (bytes: Uint8Array): boolean =>
  view(bytes).getUint16(GROUP, true) === AF_INET6;

/** struct sockaddr_in. The kernel refuses room for more than the address has, so that IPv6 has no place in it. */
export const ipv4Endpoint: Codec<SocketAddress> = {
  capacity: 16,
  decode: decodeAddress,
  encode: encodeAddress,
};

/** struct in6_pktinfo: the source of what is sent, and the interface. */
export interface PacketInfo6 {
  readonly address?: string;
  readonly interface?: number;
}

export const packetInfo6 = struct<PacketInfo6>({
  capacity: 20,
  decode: (bytes) => {
    const { group: address, interface: index = 0 } = membership6.decode(bytes);
    return { address, interface: index };
  },
  encode: ({ address = '::', interface: index = 0 }) =>
    membership6.encode({ group: address, interface: index }),
});

/** struct ip6_mtuinfo: the path to whom the socket is connected to. */
export interface PathMtu extends SocketAddress {
  readonly mtuBytes: number;
}

export const pathMtu = struct<PathMtu>({
  capacity: 32,
  decode: (bytes) => ({
    ...decodeAddress(bytes, 28),
    mtuBytes: view(bytes).getUint32(28, true),
  }),
  encode: ({ mtuBytes, ...endpoint }) => {
    const bytes = bytesOf(32, (v) => v.setUint32(28, fits(mtuBytes, 0, 2 ** 32 - 1), true));
    bytes.set(encodeAddress(endpoint).subarray(0, 28));
    return bytes;
  },
});

/** struct in6_flowlabel_req: a lease of a flow label. */
export interface FlowLabel {
  /** The destination it is for. */
  readonly address: string;
  /** 20 bits; 0 has the kernel choose, which it tells to bytes given to the blocking setsockopt only, and not by an actor. */
  readonly label: number;
  /** IPV6_FL_A_GET, IPV6_FL_A_PUT or IPV6_FL_A_RENEW. */
  readonly action: number;
  /** IPV6_FL_S_EXCL, IPV6_FL_S_PROCESS, IPV6_FL_S_USER or IPV6_FL_S_ANY. */
  readonly share: number;
  /** IPV6_FL_F_CREATE, IPV6_FL_F_EXCL, ... */
  readonly flags: number;
  readonly expiresS: number;
  /** How long nobody else gets it after it has been put back. */
  readonly lingerS: number;
}

export const flowLabel = struct<FlowLabel, Pick<FlowLabel, 'flags'>>({
  capacity: 32,
  decode: (bytes) => ({
    address: ipv6.decode(bytes, 0),
    label: view(bytes).getUint32(16),
    action: view(bytes).getUint8(20),
    share: view(bytes).getUint8(21),
    flags: view(bytes).getUint16(22, true),
    expiresS: view(bytes).getUint16(24, true),
    lingerS: view(bytes).getUint16(26, true),
  }),
  encode: ({ address, label, action, share, flags, expiresS, lingerS }) => {
    const bytes = bytesOf(32, (v) => {
      v.setUint32(16, fits(label, 0, 0xfffff));
      v.setUint8(20, fits(action, 0, 255));
      v.setUint8(21, fits(share, 0, 255));
      v.setUint16(22, fits(flags, 0, 0xffff), true);
      v.setUint16(24, fits(expiresS, 0, 0xffff), true);
      v.setUint16(26, fits(lingerS, 0, 0xffff), true);
    });
    bytes.set(ipv6.encode(address));
    return bytes;
  },
  ask: ({ flags }) => bytesOf(32, (v) => v.setUint16(22, fits(flags, 0, 0xffff), true)),
});

/** struct tcp_md5sig: the key that segments of a peer are signed with (RFC 2385). */
export interface Md5Key {
  readonly address: string;
  /** TCP_MD5SIG_MAXKEYLEN bytes at most; none takes the key away. */
  readonly key: Uint8Array;
  /** For a whole network, and for one interface: TCP_MD5SIG_EXT only. */
  readonly prefixLength?: number;
  readonly interface?: number;
}

const MD5 = {
  flags: 128,
  prefix: 129,
  keyLength: 130,
  interface: 132,
  key: 136,
  end: 216,
} as const;

export const md5Key = struct<Md5Key>({
  capacity: MD5.end,
  decode: (bytes) => {
    const flags = bytes[MD5.flags] ?? 0;
    return {
      address: addressAt(bytes, 0),
      key: bytes.slice(MD5.key, MD5.key + view(bytes).getUint16(MD5.keyLength, true)),
      ...(flags & TCP_MD5SIG_FLAG_PREFIX && { prefixLength: bytes[MD5.prefix] ?? 0 }),
      ...(flags & TCP_MD5SIG_FLAG_IFINDEX && {
        interface: view(bytes).getInt32(MD5.interface, true),
      }),
    };
  },
  encode: ({ address, key, prefixLength, interface: index }) => {
    if (!types.isUint8Array(key) || key.length > MD5.end - MD5.key) {
      throw argumentError('key', 'at most 80 bytes', key);
    }
    const bytes = bytesOf(MD5.end, (v) => {
      v.setUint8(
        MD5.flags,
        (prefixLength === undefined ? 0 : TCP_MD5SIG_FLAG_PREFIX) |
          (index === undefined ? 0 : TCP_MD5SIG_FLAG_IFINDEX),
      );
      v.setUint8(MD5.prefix, fits(prefixLength ?? 0, 0, 128));
      v.setUint16(MD5.keyLength, key.length, true);
      v.setInt32(MD5.interface, fits(index ?? 0, 0, INDEX_LIMIT), true);
    });
    bytes.set(storage(address));
    bytes.set(key, MD5.key);
    return bytes;
  },
});
