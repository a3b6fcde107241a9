import {
  AF_INET,
  AF_INET6,
  type Endpoint,
  type Family,
  parseScopedAddress,
  type ScopedAddress,
} from './address.js';
import { checkEndpoint, checkUnsigned, checkUnsigned64, invalidValue } from './argument.js';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSGHDR_SIZE } from './netlink.js';

/** Message types: linux/inet_diag.h, linux/sock_diag.h. */
export const TCPDIAG_GETSOCK = 18;
export const SOCK_DIAG_BY_FAMILY = 20;
export const SOCK_DESTROY = 21;

/** Attribute types: linux/inet_diag.h. */
export const INET_DIAG_INFO = 2;
export const INET_DIAG_SKMEMINFO = 7;
export const INET_DIAG_SHUTDOWN = 8;

/** `struct inet_diag_req_v2`, `struct inet_diag_msg`: sizes in bytes. */
export const INET_DIAG_REQ_SIZE = 56;
export const INET_DIAG_MSG_SIZE = 72;
const SOCKID_SIZE = 48;

/** Offsets in `struct inet_diag_msg`; `sockid` is followed by ports, addresses, interface, cookie. */
export const inetDiagMsg = {
  family: 0,
  state: 1,
  timer: 2,
  retransmits: 3,
  sourcePort: 4,
  destinationPort: 6,
  source: 8,
  destination: 24,
  interface: 40,
  cookie: 44,
  expires: 52,
  rqueue: 56,
  wqueue: 60,
  uid: 64,
  inode: 68,
} as const;

const IPPROTO_TCP = 6;
const NO_COOKIE = 0xffff_ffff_ffff_ffffn;
const ALL_STATES = 0xffff_ffff;

/** What may be asked for with every socket; each costs the kernel time and the answer bytes. */
export interface Extensions {
  /** TCP_INFO of each socket. */
  readonly info?: boolean;
  /** Buffer memory of each socket: SK_MEMINFO_*. */
  readonly memory?: boolean;
}

/** Which sockets to list. */
export interface DumpRequest {
  /** Both families where absent, in one walk of the kernel's tables. */
  readonly family?: Family;
  /** `stateMask(...)`; all states where absent, bound-only sockets among them. */
  readonly states?: number;
  readonly extensions?: Extensions;
  /** Comes back in every message of the answer. */
  readonly sequence: number;
}

/** One socket by its 4-tuple, as seen from its own end. */
export interface SocketRequest {
  readonly family: Family;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** A row's cookie; with it the kernel refuses (ESTALE, ENOENT) a newer socket of the same tuple. */
  readonly cookie?: bigint;
  /** Index of the interface the socket is bound to, which a scope in an address (`fe80::1%2`) tells, too. 0: of none. */
  readonly interface?: number;
  readonly extensions?: Extensions;
  readonly sequence: number;
}

/**
 * Encodes the netlink message that lists the TCP sockets of one family (sock_diag(7)) or of both.
 *
 * For both it is a TCPDIAG_GETSOCK, the only request that does not select a family: ss(8) asks so
 * too, and two requests would walk all of the kernel's tables twice.
 */
export function encodeDump({ family, states, extensions, sequence }: DumpRequest): Uint8Array {
  if (family === undefined) return encodeDumpOfBoth(states ?? ALL_STATES, extensions, sequence);
  const request = newRequest(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sequence);
  encodeHead(request, family, extensions, states ?? ALL_STATES);
  return new Uint8Array(request.buffer);
}

/** `struct inet_diag_req`: family, prefix lengths, extensions; sockid; states; an unused word. */
function encodeDumpOfBoth(
  states: number,
  extensions: Extensions | undefined,
  sequence: number,
): Uint8Array {
  const size = 4 + SOCKID_SIZE + 8;
  const request = newRequest(TCPDIAG_GETSOCK, NLM_F_REQUEST | NLM_F_DUMP, sequence, size);
  request.setUint8(NLMSGHDR_SIZE + 3, extensionBits(extensions));
  request.setUint32(NLMSGHDR_SIZE + 4 + SOCKID_SIZE, states, true);
  return new Uint8Array(request.buffer);
}

/**
 * Encodes the netlink message that asks for one socket; the answer is one message or an error.
 *
 * The kernel looks up like a received segment would: where no connection matches, a listener on the
 * local endpoint answers. Throws a TypeError for an address that is not of the family and for two
 * interfaces, a RangeError for a port, an interface or a cookie that does not fit.
 */
export function encodeGet(socket: SocketRequest): Uint8Array {
  return encodeSocket(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, socket);
}

/**
 * Encodes the netlink message that aborts one socket: its owner reads ECONNABORTED, its peer gets a
 * RST. Acknowledged by an NLMSG_ERROR of errno 0. Needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY.
 */
export function encodeDestroy(socket: SocketRequest): Uint8Array {
  return encodeSocket(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, socket);
}

function encodeSocket(type: number, flags: number, socket: SocketRequest): Uint8Array {
  checkEndpoint('local', socket.local);
  checkEndpoint('remote', socket.remote);
  checkUnsigned('interface', socket.interface ?? 0, 0xffff_ffff);
  checkUnsigned64('cookie', socket.cookie ?? NO_COOKIE);
  const local = scopedAddress(socket.local.address, socket.family);
  const remote = scopedAddress(socket.remote.address, socket.family);
  const device = oneInterface(socket.interface ?? 0, local.scope, remote.scope);
  const request = newRequest(type, flags, socket.sequence);
  encodeHead(request, socket.family, socket.extensions, ALL_STATES);
  // struct inet_diag_sockid follows the head; ports and addresses are in network order.
  const id = NLMSGHDR_SIZE + 8;
  request.setUint16(id, socket.local.port);
  request.setUint16(id + 2, socket.remote.port);
  const bytes = new Uint8Array(request.buffer);
  bytes.set(local.bytes, id + 4);
  bytes.set(remote.bytes, id + 20);
  request.setUint32(id + 36, device, true);
  request.setBigUint64(id + 40, socket.cookie ?? NO_COOKIE, true);
  return bytes;
}

function newRequest(
  type: number,
  flags: number,
  sequence: number,
  size = INET_DIAG_REQ_SIZE,
): DataView {
  const request = new DataView(new ArrayBuffer(NLMSGHDR_SIZE + size));
  request.setUint32(0, request.byteLength, true);
  request.setUint16(4, type, true);
  request.setUint16(6, flags, true);
  request.setUint32(8, sequence, true);
  return request;
}

function encodeHead(
  request: DataView,
  family: Family,
  extensions: Extensions | undefined,
  states: number,
): void {
  request.setUint8(NLMSGHDR_SIZE, family);
  request.setUint8(NLMSGHDR_SIZE + 1, IPPROTO_TCP);
  request.setUint8(NLMSGHDR_SIZE + 2, extensionBits(extensions));
  request.setUint32(NLMSGHDR_SIZE + 4, states, true);
}

function extensionBits(extensions: Extensions | undefined): number {
  const bit = (wanted: boolean | undefined, attribute: number) =>
    wanted === true ? 1 << (attribute - 1) : 0;
  return bit(extensions?.info, INET_DIAG_INFO) | bit(extensions?.memory, INET_DIAG_SKMEMINFO);
}

function scopedAddress(address: string, family: Family): ScopedAddress {
  const parsed = parseScopedAddress(address);
  if (parsed?.bytes.length !== (family === AF_INET6 ? 16 : 4)) {
    throw invalidValue(`not an IPv${family === AF_INET ? 4 : 6} address: ${address}`);
  }
  return parsed;
}

/** The scope that the kernel tells is the interface that the socket is bound to (inet6_getname()). */
function oneInterface(...indexes: readonly number[]): number {
  const [index = 0, other] = new Set(indexes.filter((each) => each !== 0));
  if (other === undefined) return index;
  throw invalidValue(`a socket is bound to one interface, not to ${index} and ${other}`);
}
