// Calls by their gates: each crosses into the addon and the kernel by itself, but hands over no argument and throws no error.
// What they return is the kernel's result, or -errno. Their bytes are those of a scratch that all of them share.

import { native, noSuchCall } from './native.js';
import { LENGTH, type Page, pageInUse, RESULT, SCRATCH, SCRATCH_SIZE, VALUE } from './page.js';

const { gates } = native;
// Where there is no addon, the call says why; where it is of other sources, this does.
const pass = (name: keyof typeof gates): (() => void) =>
  gates[name] ?? (native.calls.includes(name) ? () => noSuchCall(name) : native[name as 'gettid']);
const opens = pass('socket');
const connects = pass('connect');
const accepts = pass('accept');
const closes = pass('close');
const shuts = pass('shutdown');
const reads = pass('read');
const writes = pass('write');
const asks = pass('getsockopt');

/** How many bytes a call may move. */
export const GATE_BYTES = SCRATCH_SIZE;

const resultOf = ({ words }: Page): number => (words[RESULT] as number) | 0;

/** `int socket(int domain, int type, int protocol)`. */
export function socket(domain: number, type: number, protocol: number): number {
  const page = pageInUse();
  page.words[VALUE] = domain;
  page.words[VALUE + 1] = type;
  page.words[VALUE + 2] = protocol;
  opens();
  return resultOf(page);
}

/** `int connect(int sockfd, const struct sockaddr *addr, socklen_t addrlen)`: the address is the scratch's first `length` bytes. */
export function connect(fd: number, length: number): number {
  const page = pageInUse();
  move(page, fd, length);
  connects();
  return resultOf(page);
}

/** `int accept(int sockfd, struct sockaddr *addr, socklen_t *addrlen)`: the peer's address is left on the scratch. */
export function accept(fd: number): number {
  const page = pageInUse();
  move(page, fd, GATE_BYTES);
  accepts();
  return resultOf(page);
}

/** `int close(int fd)`. */
export function close(fd: number): number {
  const page = pageInUse();
  page.words[VALUE] = fd;
  closes();
  return resultOf(page);
}

/** `int shutdown(int sockfd, int how)`. */
export function shutdown(fd: number, how: number): number {
  const page = pageInUse();
  page.words[VALUE] = fd;
  page.words[VALUE + 1] = how;
  shuts();
  return resultOf(page);
}

function move(page: Page, fd: number, length: number): void {
  page.words[VALUE] = fd;
  page.words[VALUE + 1] = SCRATCH;
  page.words[LENGTH] = length;
}

/** `ssize_t read(int fd, void *buf, size_t count)`: to the scratch. */
export function read(fd: number, length = GATE_BYTES): number {
  const page = pageInUse();
  move(page, fd, length);
  reads();
  return resultOf(page);
}

/** `ssize_t write(int fd, const void *buf, size_t count)`: what the scratch holds. */
export function write(fd: number, length: number): number {
  const page = pageInUse();
  move(page, fd, length);
  writes();
  return resultOf(page);
}

/** `int getsockopt(int sockfd, int level, int optname, void *optval, socklen_t *optlen)` of an int: its value. */
export function getsockopt(fd: number, level: number, name: number): number {
  const page = pageInUse();
  const { words } = page;
  words[VALUE] = fd;
  words[VALUE + 1] = level;
  words[VALUE + 2] = name;
  words[VALUE + 3] = SCRATCH;
  words[LENGTH] = 4;
  asks();
  const result = resultOf(page);
  return result < 0 ? result : (words[SCRATCH / 4] as number) | 0;
}
