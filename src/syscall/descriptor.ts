// Descriptors of any kind: read(2) to close(2), waiting for them, and owning them.

import { argumentError, checkDescriptor, checkInteger } from './argument.js';
import { choose, define, failed, nothing, twoInts } from './call.js';
import { native } from './native.js';
import { encodeData } from './socket.js';
import * as tight from './tight.js';

const nowhere = () => ({});

/** `ssize_t read(int fd, void *buf, size_t count)`: how many bytes came; 0 is the end: on TCP, the peer's FIN. */
export const read = define<[fd: number, buffer: Uint8Array], number>(
  { name: 'read' },
  (fd, buffer) => {
    const result = tight.read(fd, buffer);
    if (result < 0) throw failed(read, result, [fd, buffer]);
    return result;
  },
);

/**
 * `ssize_t write(int fd, const void *buf, size_t count)`: how many bytes the kernel took, which may be fewer. EPIPE comes
 * without the signal: Node ignores SIGPIPE.
 */
export const write = define<[fd: number, data: Uint8Array | string], number>(
  {
    name: 'write',
    enter: (invoke, _room, fd, data) => invoke(fd, encodeData(data)),
  },
  (fd, data) => {
    const result = tight.write(fd, encodeData(data));
    if (result < 0) throw failed(write, result, [fd, data]);
    return result;
  },
);

/** `ssize_t readv(int fd, const struct iovec *iov, int iovcnt)`: at most 64 buffers, filled in order. */
export const readv = define<[fd: number, buffers: readonly Uint8Array[]], number>({
  name: 'readv',
});

/** `ssize_t writev(int fd, const struct iovec *iov, int iovcnt)`: at most 64 buffers. */
export const writev = define<[fd: number, data: readonly Uint8Array[]], number>({
  name: 'writev',
});

/**
 * `int close(int fd)`. Linux releases the descriptor whatever close returns: never repeat it. While another thread is
 * blocked in a read of the same descriptor, no FIN leaves until that read returns.
 */
export const close = define<[fd: number], void>({ name: 'close', leave: nothing }, (fd) => {
  const result = tight.close(fd);
  if (result < 0) throw failed(close, result, [fd]);
});

/** `int dup(int oldfd)`: the lowest free descriptor, the caller's to close. */
export const dup = define<[fd: number], number>({ name: 'dup' });

/** `int dup3(int oldfd, int newfd, int flags)`: closes `newfd` first, silently. */
export const dup3 = define<[fd: number, newfd: number, flags?: number], number>({
  name: 'dup3',
  enter: (invoke, _room, fd, newfd, flags = 0) => invoke(fd, newfd, flags),
});

/** `int open(const char *path, int flags, mode_t mode)`: a descriptor, the caller's to close. */
export const open = define<[path: string, flags: number, mode?: number], number>({
  name: 'open',
  syscall: 'openat',
  enter: (invoke, _room, path, flags, mode = 0) => invoke(encodePath(path), flags, mode),
  site: (path) => ({ path }),
});

/**
 * `off_t lseek(int fd, off_t offset, int whence)`: SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE; the new place, from
 * the start. Places beyond 2^53, which some file systems give to a directory's entries, are refused with a RangeError.
 */
export const lseek = define<[fd: number, offset: number, whence: number], number>({
  name: 'lseek',
  leave: (place) => {
    if (Number.isSafeInteger(place)) return place;
    throw argumentError('lseek: the new place', 'a number up to 2 ** 53 - 1', place);
  },
});

/** `int pipe2(int pipefd[2], int flags)`: [read end, write end], the caller's to close. */
export const pipe2 = define<[flags?: number], [number, number]>({
  name: 'pipe2',
  room: 8,
  enter: (invoke, room, flags = 0) => invoke(room, flags),
  leave: twoInts,
  site: nowhere,
});

/** `int eventfd(unsigned int initval, int flags)`: a descriptor, the caller's to close. */
export const eventfd = define<[initval: number, flags?: number], number>({
  name: 'eventfd',
  syscall: 'eventfd2',
  enter: (invoke, _room, initval, flags = 0) => invoke(initval, flags),
  site: nowhere,
});

/**
 * `int fcntl(int fd, int cmd, int arg)`: F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETPIPE_SZ,
 * F_SETPIPE_SZ. Commands whose argument is a pointer are refused with a RangeError.
 */
export const fcntl = define<[fd: number, command: number, argument?: number], number>({
  name: 'fcntl',
  enter: (invoke, _room, fd, command, argument = 0) => invoke(fd, command, argument),
});

const ioctlNumber = define<[fd: number, request: number, argument?: Uint8Array], number>({
  name: 'ioctl',
  room: 4,
  enter: (invoke, room, fd, request) => invoke(fd, request, room.fill(0)),
  // A request that makes a descriptor writes no int.
  leave: (result, room) => (result > 0 ? result : new DataView(room.buffer).getInt32(0, true)),
});

const ioctlBytes = define<[fd: number, request: number, argument?: Uint8Array], number>({
  name: 'ioctl',
});

/**
 * `int ioctl(int fd, unsigned long request, int *argument)`: the int of SIOCINQ (bytes not yet read), SIOCOUTQ (bytes not
 * yet acknowledged), SIOCOUTQNSD (bytes not yet sent); of SIOCGSKNS a descriptor of the socket's network namespace, the
 * caller's to close. With `argument`, its bytes are read and written, and the result is the kernel's. Requests whose
 * argument's size is not known here are refused with a RangeError.
 */
export const ioctl = choose<[fd: number, request: number, argument?: Uint8Array], number>(
  'ioctl',
  (_fd, _request, argument) => (argument === undefined ? ioctlNumber : ioctlBytes),
);

/** What to wait for on a descriptor: POLLIN, POLLOUT, ... */
export interface PollRequest {
  readonly fd: number;
  readonly events: number;
}

/** What is there; `revents` is 0 where nothing is. */
export interface PollResult {
  readonly fd: number;
  readonly revents: number;
}

const POLLFD_LENGTH = 8;
// As many descriptors as a process may have, unless fs.nr_open was raised.
const POLL_LIMIT = 2 ** 20;

/** A DataView would wrap what is too large, and ask for another descriptor than the caller. */
function writePollfd(view: DataView, i: number, fd: number, events: number): void {
  if ((fd | 0) !== fd) throw argumentError(`poll: fds[${i}].fd`, 'an integer of 32 bits', fd);
  if (events < -(2 ** 15) || events >= 2 ** 16) {
    throw argumentError(`poll: fds[${i}].events`, 'an integer of 16 bits', events);
  }
  view.setInt32(i * POLLFD_LENGTH, fd, true);
  view.setInt16(i * POLLFD_LENGTH + 4, events, true);
}

function encodePollfds(room: Uint8Array, fds: readonly PollRequest[]): Uint8Array {
  const view = new DataView(room.buffer);
  // By index: forEach would pass over the holes of an array and leave descriptor 0 in their place.
  for (let i = 0; i * POLLFD_LENGTH < room.length; i++) {
    const entry = fds[i];
    const fd = entry?.fd;
    const events = entry?.events;
    if (!Number.isInteger(fd) || !Number.isInteger(events)) {
      throw argumentError(`poll: fds[${i}]`, '{fd: integer, events: integer}', entry);
    }
    writePollfd(view, i, fd as number, events as number);
  }
  return room;
}

function decodePollfds(room: Uint8Array): PollResult[] {
  const view = new DataView(room.buffer);
  return Array.from({ length: room.length / POLLFD_LENGTH }, (_, i) => ({
    fd: view.getInt32(i * POLLFD_LENGTH, true),
    revents: view.getInt16(i * POLLFD_LENGTH + 6, true),
  }));
}

// arm64 has no poll(2): there poll is ppoll with a timespec, as in its C library.
const hasPoll = native.calls.includes('poll');

function timeout(ms: number): BigInt64Array {
  checkInteger('ppoll: timeout', ms, -(2 ** 31), 2 ** 31 - 1);
  return timespec(ms < 0 ? 2 ** 31 : ms / 1000);
}

/** `int poll(struct pollfd *fds, nfds_t nfds, int timeout)`: one result per request, in order. -1 waits for ever. */
export const poll = define<[fds: readonly PollRequest[], timeoutMs: number], PollResult[]>({
  name: hasPoll ? 'poll' : 'ppoll',
  room: (fds) => {
    if (!Array.isArray(fds)) throw argumentError('poll: fds', 'an array of {fd, events}', fds);
    checkInteger('poll: fds.length', fds.length, 0, POLL_LIMIT);
    return fds.length * POLLFD_LENGTH;
  },
  enter: (invoke, room, fds, timeoutMs) =>
    invoke(encodePollfds(room, fds), hasPoll ? timeoutMs : timeout(timeoutMs)),
  leave: (_result, room) => decodePollfds(room),
  site: nowhere,
});

/** `int epoll_create1(int flags)`: a descriptor, the caller's to close. */
export const epoll_create1 = define<[flags?: number], number>({
  name: 'epoll_create1',
  enter: (invoke, _room, flags = 0) => invoke(flags),
  site: nowhere,
});

// EPOLLET is bit 31: `EPOLLIN | EPOLLET` is negative in JavaScript, and the same bits.
const unsigned = (bits: number): number =>
  typeof bits === 'number' && bits < 0 ? bits + 2 ** 32 : bits;

/** `int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)`. `data` (32 bits) comes back from epoll_wait. */
export const epoll_ctl = define<
  [epfd: number, op: number, fd: number, events?: number, data?: number],
  void
>({
  name: 'epoll_ctl',
  enter: (invoke, _room, epfd, op, fd, events = 0, data = fd) =>
    invoke(epfd, op, fd, unsigned(events), unsigned(data)),
  leave: nothing,
  site: (_epfd, _op, fd) => ({ fd }),
});

/** One event of epoll_wait. */
export interface EpollEvent {
  readonly events: number;
  /** What epoll_ctl was given; the descriptor, if it was given nothing. */
  readonly data: number;
}

// struct epoll_event is packed on x86-64 only: its size is the headers' to say.
const EPOLL_EVENT_LENGTH = native.sizes['epoll_event'] ?? 12;

/** `int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)`. -1 waits for ever. */
export const epoll_wait = define<
  [epfd: number, maxevents: number, timeoutMs: number],
  EpollEvent[]
>({
  name: 'epoll_wait',
  room: (_epfd, maxevents) => {
    if (!Number.isInteger(maxevents) || maxevents < 1 || maxevents > 65536) {
      throw argumentError('epoll_wait: maxevents', 'an integer from 1 to 65536', maxevents);
    }
    return maxevents * EPOLL_EVENT_LENGTH;
  },
  enter: (invoke, room, epfd, _maxevents, timeoutMs) => invoke(epfd, room, timeoutMs),
  leave: (count, room) => {
    const view = new DataView(room.buffer);
    return Array.from({ length: count }, (_, i) => ({
      events: view.getUint32(i * EPOLL_EVENT_LENGTH, true),
      data: view.getUint32(i * EPOLL_EVENT_LENGTH + EPOLL_EVENT_LENGTH - 8, true),
    }));
  },
});

/** A path as C has it: bytes that end in NUL. */
export const encodePath = (path: string): Uint8Array => encodeString('path', path);

/** A string as C has it. */
export function encodeString(what: string, text: unknown): Uint8Array {
  if (typeof text !== 'string' || text.includes('\0')) {
    throw argumentError(what, 'a string without NUL', text);
  }
  return Buffer.from(`${text}\0`);
}

/** Seconds as struct timespec. */
export function timespec(seconds: number): BigInt64Array {
  if (typeof seconds !== 'number' || !(seconds >= 0 && seconds <= 2 ** 31)) {
    throw argumentError('seconds', 'a number from 0 to 2147483648', seconds);
  }
  // Rounded as one number: a fraction of .9999999999 must not become a thousand million nanoseconds.
  const whole = Math.floor(seconds);
  const nanoseconds = BigInt(whole) * 1_000_000_000n + BigInt(Math.round((seconds - whole) * 1e9));
  return BigInt64Array.of(nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n);
}

/**
 * Descriptors that somebody owns: `using fds = new Descriptors(); const fd = fds.own(socket(...))`. Disposing closes
 * what is still owned, newest first, and reports no error: an error that is already on its way is the one that matters.
 */
export class Descriptors implements Disposable {
  readonly #owned = new Set<number>();

  /** Takes a descriptor over and returns it. */
  own(fd: number): number {
    // Disposing could say nothing of what it cannot close.
    checkDescriptor('fd', fd);
    this.#owned.add(fd);
    return fd;
  }

  /** Gives a descriptor away: who calls this closes it. */
  release(fd: number): number {
    this.#owned.delete(fd);
    return fd;
  }

  /** Closes one now. Closing what is not owned any more does nothing. */
  close(fd: number): void {
    if (this.#owned.delete(fd)) close(fd);
  }

  /** Closes what is still owned, the last first; never throws. */
  [Symbol.dispose](): void {
    for (const fd of [...this.#owned].reverse()) native.close(fd);
    this.#owned.clear();
  }
}
