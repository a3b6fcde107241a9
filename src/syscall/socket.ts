// Sockets: socket(2) to shutdown(2). One function, one entry into the kernel.

import { argumentError } from './argument.js';
import { choose, define, failed, nothing, twoInts } from './call.js';
import {
  BPF_MAXINSNS,
  SO_ATTACH_FILTER,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_GET_FILTER,
  SOL_SOCKET,
} from './constants.js';
import { pageInUse } from './page.js';
import { ADDRESS_CAPACITY, addressIn, type SocketAddress, siteOf, sockaddrOf } from './sockaddr.js';
import * as tight from './tight.js';

/** A new descriptor and the address at its other end. */
export interface Accepted extends SocketAddress {
  /** The caller's to close. */
  readonly fd: number;
}

/** The size of struct sock_filter. */
const INSTRUCTION = 8;

const nowhere = () => ({});

const int = (_result: number, room: Uint8Array): number =>
  new DataView(room.buffer).getInt32(0, true);

// Of a peer without a name the kernel writes the family alone: what follows must not be an earlier peer's path.
const unnamed = (room: Uint8Array): Uint8Array => {
  room[2] = 0;
  return room;
};

const accepted = (fd: number, room: Uint8Array): Accepted => {
  const { address, port } = addressIn(room, ADDRESS_CAPACITY);
  return { fd, address, port };
};

/** Bytes for the kernel, from bytes or from text as UTF-8. */
export function encodeData(data: Uint8Array | string): Uint8Array {
  return typeof data === 'string' ? Buffer.from(data) : data;
}

/** `int socket(int domain, int type, int protocol)`: a descriptor, the caller's to close. */
export const socket = define<[domain: number, type: number, protocol?: number], number>(
  {
    name: 'socket',
    enter: (invoke, _room, domain, type, protocol = 0) => invoke(domain, type, protocol),
    site: nowhere,
  },
  (domain, type, protocol = 0) => {
    const result = tight.socket(domain, type, protocol);
    if (result < 0) throw failed(socket, result, [domain, type, protocol]);
    return result;
  },
);

/** `int socketpair(int domain, int type, int protocol, int sv[2])`: two connected descriptors, the caller's to close. */
export const socketpair = define<
  [domain: number, type: number, protocol?: number],
  [number, number]
>({
  name: 'socketpair',
  room: 8,
  enter: (invoke, room, domain, type, protocol = 0) => invoke(domain, type, protocol, room),
  leave: twoInts,
  site: nowhere,
});

/** `int bind(int sockfd, const struct sockaddr *addr, socklen_t addrlen)`. */
export const bind = define<[fd: number, address: SocketAddress | Uint8Array], void>({
  name: 'bind',
  enter: (invoke, _room, fd, address) => invoke(fd, sockaddrOf(address)),
  leave: nothing,
  site: siteOf,
});

/** `int listen(int sockfd, int backlog)`: the kernel admits backlog + 1 connections nobody has accepted. */
export const listen = define<[fd: number, backlog: number], void>({
  name: 'listen',
  leave: nothing,
});

const acceptOnly = define<[fd: number, flags?: number], Accepted>(
  {
    name: 'accept',
    room: ADDRESS_CAPACITY,
    enter: (invoke, room, fd) => invoke(fd, unnamed(room)),
    leave: accepted,
  },
  (fd) => {
    const room = unnamed(pageInUse().scratch);
    const result = tight.accept(fd);
    if (result < 0) throw failed(accept, result, [fd]);
    return accepted(result, room);
  },
);

/** `int accept4(int sockfd, struct sockaddr *addr, socklen_t *addrlen, int flags)`: SOCK_NONBLOCK, SOCK_CLOEXEC. */
export const accept4 = define<[fd: number, flags: number], Accepted>({
  name: 'accept4',
  room: ADDRESS_CAPACITY,
  enter: (invoke, room, fd, flags) => invoke(fd, unnamed(room), flags),
  leave: accepted,
});

/**
 * `int accept(int sockfd, struct sockaddr *addr, socklen_t *addrlen)`: blocks until there is a connection. With `flags`
 * it is accept4. A connection whose peer has sent a RST already is returned all the same.
 */
export const accept = choose<[fd: number, flags?: number], Accepted>(
  'accept',
  (_, flags) => (flags === undefined ? acceptOnly : (accept4 as typeof acceptOnly)),
  (fd, flags) => (flags === undefined ? acceptOnly(fd) : accept4(fd, flags)),
);

/**
 * `int connect(int sockfd, const struct sockaddr *addr, socklen_t addrlen)`. Interrupted, it goes on without its caller:
 * the connection is made or fails later (connect(2), EINTR).
 */
export const connect = define<[fd: number, address: SocketAddress | Uint8Array], void>(
  {
    name: 'connect',
    enter: (invoke, _room, fd, address) => invoke(fd, sockaddrOf(address)),
    leave: nothing,
    site: siteOf,
  },
  (fd, address) => {
    const result = tight.connect(fd, sockaddrOf(address));
    if (result < 0) throw failed(connect, result, [fd, address]);
  },
);

/** `ssize_t send(int sockfd, const void *buf, size_t len, int flags)`: how many bytes the kernel took. */
export const send = define<[fd: number, data: Uint8Array | string, flags?: number], number>({
  name: 'send',
  syscall: 'sendto',
  enter: (invoke, _room, fd, data, flags = 0) => invoke(fd, encodeData(data), flags),
});

/** `ssize_t sendto(int sockfd, const void *buf, size_t len, int flags, const struct sockaddr *dest, socklen_t addrlen)`. */
export const sendto = define<
  [fd: number, data: Uint8Array | string, flags: number, address: SocketAddress | Uint8Array],
  number
>({
  name: 'sendto',
  enter: (invoke, _room, fd, data, flags, address) =>
    invoke(fd, encodeData(data), flags, sockaddrOf(address)),
  site: (fd, _data, _flags, address) => siteOf(fd, address),
});

/** `ssize_t recv(int sockfd, void *buf, size_t len, int flags)`: how many bytes came; 0 is the peer's FIN. */
export const recv = define<[fd: number, buffer: Uint8Array, flags?: number], number>({
  name: 'recv',
  syscall: 'recvfrom',
  enter: (invoke, _room, fd, buffer, flags = 0) => invoke(fd, buffer, flags),
});

/**
 * `int shutdown(int sockfd, int how)`: SHUT_RD, SHUT_WR, SHUT_RDWR. Acts on the connection, so also for every other
 * descriptor of it, in any process.
 */
export const shutdown = define<[fd: number, how: number], void>({
  name: 'shutdown',
  leave: nothing,
});

const nameOf = (length: number, room: Uint8Array) => addressIn(room, length);

/** `int getsockname(int sockfd, struct sockaddr *addr, socklen_t *addrlen)`: the socket's own address. */
export const getsockname = define<[fd: number], SocketAddress>({
  name: 'getsockname',
  room: ADDRESS_CAPACITY,
  enter: (invoke, room, fd) => invoke(fd, room),
  leave: nameOf,
});

/** `int getpeername(int sockfd, struct sockaddr *addr, socklen_t *addrlen)`: ENOTCONN after a RST, too. */
export const getpeername = define<[fd: number], SocketAddress>({
  name: 'getpeername',
  room: ADDRESS_CAPACITY,
  enter: (invoke, room, fd) => invoke(fd, room),
  leave: nameOf,
});

const getNumber = define<[fd: number, level: number, name: number], number>({
  name: 'getsockopt',
  room: 4,
  enter: (invoke, room, fd, level, name) => invoke(fd, level, name, room.fill(0)),
  leave: int,
});

const getBytes = define<[fd: number, level: number, name: number, value: Uint8Array], number>({
  name: 'getsockopt',
});

/**
 * `int getsockopt(int sockfd, int level, int optname, void *optval, socklen_t *optlen)`: the int of an option; with
 * `value`, how many bytes of it the kernel filled (for SO_GET_FILTER, how many instructions).
 */
export const getsockopt = choose<
  [fd: number, level: number, name: number, value?: Uint8Array],
  number
>(
  'getsockopt',
  (_fd, _level, _name, value) => (value === undefined ? getNumber : getBytes) as typeof getNumber,
);

/** `int setsockopt(int sockfd, int level, int optname, const void *optval, socklen_t optlen)`: an int, or bytes. */
export const setsockopt = define<
  [fd: number, level: number, name: number, value: number | Uint8Array],
  void
>({
  name: 'setsockopt',
  room: 4,
  enter: (invoke, room, fd, level, name, value) =>
    invoke(fd, level, name, typeof value === 'number' ? encodeInt(room, value) : value),
  leave: nothing,
});

/** setInt32 would turn NaN into 0 and wrap what is too large: neither is what the caller wrote. */
function encodeInt(room: Uint8Array, value: number): Uint8Array {
  if (!(Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 32)) {
    throw argumentError('setsockopt: value', 'an integer of 32 bits', value);
  }
  new DataView(room.buffer).setInt32(0, value, true);
  return room;
}

/**
 * setsockopt(SO_ATTACH_FILTER): a classic BPF program, as an array of struct sock_filter (8 bytes each), that every
 * packet for the socket passes. `[BPF_RET | BPF_K, 0]` drops them all. With SO_ATTACH_REUSEPORT_CBPF its result is the
 * place, among the sockets that share the port, of the one that gets the packet.
 */
export const attachFilter = define<[fd: number, program: Uint8Array, option?: number], void>({
  name: 'setfilter',
  syscall: 'setsockopt',
  enter: (invoke, _room, fd, program, option = SO_ATTACH_FILTER) => {
    if (option !== SO_ATTACH_FILTER && option !== SO_ATTACH_REUSEPORT_CBPF) {
      throw argumentError('option', 'SO_ATTACH_FILTER or SO_ATTACH_REUSEPORT_CBPF', option);
    }
    return invoke(fd, SOL_SOCKET, option, program);
  },
  leave: nothing,
});

/** getsockopt(SO_GET_FILTER): the program that attachFilter attached, as an array of struct sock_filter; empty without one. */
export const attachedFilter = define<[fd: number], Uint8Array>({
  name: 'getsockopt',
  room: BPF_MAXINSNS * INSTRUCTION,
  enter: (invoke, room, fd) => invoke(fd, SOL_SOCKET, SO_GET_FILTER, room),
  leave: (count, room) => room.slice(0, count * INSTRUCTION),
});
