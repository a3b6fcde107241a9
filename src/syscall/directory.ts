// Directories: openat(2), getdents64(2), readlinkat(2), getxattr(2), and the records of a listing.

import { types } from 'node:util';
import { define } from './call.js';
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from './constants.js';
import { Descriptors, encodePath, encodeString, read } from './descriptor.js';
import { argumentError, type CallSite } from './error.js';

const siteAt = (dirfd: number, path: string): CallSite =>
  dirfd === AT_FDCWD ? { path } : { fd: dirfd, path };

/** `int openat(int dirfd, const char *path, int flags, mode_t mode)`: a descriptor, the caller's to close. */
export const openat = define<[dirfd: number, path: string, flags: number, mode?: number], number>({
  name: 'openat',
  enter: (invoke, _room, dirfd, path, flags, mode = 0) =>
    invoke(dirfd, encodePath(path), flags, mode),
  site: siteAt,
});

/**
 * `ssize_t getdents64(int fd, void *dirp, size_t count)`: how many bytes of records came; 0 is the end. They go on where
 * the last call on this descriptor stopped. EINVAL: not even one record has room.
 */
export const getdents64 = define<[fd: number, buffer: Uint8Array], number>({ name: 'getdents64' });

/**
 * `ssize_t readlinkat(int dirfd, const char *path, char *buf, size_t bufsiz)`: how many bytes of the link there are, without
 * a NUL at their end. A link longer than `buffer` is cut, and nothing says so.
 */
export const readlinkat = define<[dirfd: number, path: string, buffer: Uint8Array], number>({
  name: 'readlinkat',
  enter: (invoke, _room, dirfd, path, buffer) => invoke(dirfd, encodePath(path), buffer),
  site: siteAt,
});

/**
 * `ssize_t getxattr(const char *path, const char *name, void *value, size_t size)`: how many bytes the attribute has, which
 * are in `value`; into no bytes, only how many there are. Links are followed. ERANGE: it has more bytes than `value`;
 * ENODATA: the file has no such attribute. A socket's `system.sockprotoname` is its protocol's name and a NUL.
 */
export const getxattr = define<[path: string, name: string, value: Uint8Array], number>({
  name: 'getxattr',
  enter: (invoke, _room, path, name, value) =>
    invoke(encodePath(path), encodeString('name', name), value),
  site: (path) => ({ path }),
});

/** One name in a directory: struct linux_dirent64. */
export interface Dirent {
  readonly ino: bigint;
  /** Where the listing goes on after this entry: the file system's to interpret. */
  readonly off: bigint;
  /** DT_REG, DT_DIR, DT_LNK, ...; DT_UNKNOWN where the file system does not say. */
  readonly type: number;
  /** As UTF-8: bytes that are none become U+FFFD. */
  readonly name: string;
}

/** Decodes the records that getdents64 wrote. Throws RangeError where one does not fit what is there. */
export function decodeDirents(bytes: Uint8Array): Dirent[] {
  if (!types.isUint8Array(bytes)) throw argumentError('bytes', 'a Uint8Array', bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const cursor = new DirentCursor(bytes);
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const entries: Dirent[] = [];
  while (cursor.next()) {
    entries.push({
      ino: view.getBigUint64(cursor.start, true),
      off: view.getBigInt64(cursor.start + OFF, true),
      type: bytes[cursor.start + TYPE] as number,
      name: decoder.decode(bytes.subarray(cursor.name, bytes.indexOf(0, cursor.name))),
    });
  }
  return entries;
}

/** struct linux_dirent64: {u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, char d_name[]} (getdents(2)). */
const OFF = 8;
const RECORD_LENGTH = 16;
const TYPE = 18;
const NAME = 19;
const NUL = 1;

/** Steps through the records of a listing without making anything of them. */
export class DirentCursor {
  /** Where the record begins. */
  start = 0;
  /** Where its name begins, which a NUL ends. */
  name = 0;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #next: number;

  /** Of the bytes from `start` to `end`. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#next = start;
    this.#end = end;
  }

  /** Goes to the next record; false at the end. Throws RangeError at one that does not fit. */
  next(): boolean {
    const start = this.#next;
    if (start === this.#end) return false;
    const length =
      start + NAME > this.#end
        ? 0
        : (this.#bytes[start + RECORD_LENGTH] as number) |
          ((this.#bytes[start + RECORD_LENGTH + 1] as number) << 8);
    const end = start + length;
    // Records are padded to a multiple of 8, and the kernel does not clear the padding: the name ends somewhere in it.
    if (length < NAME + NUL || end > this.#end || !this.#hasNul(start + NAME, end)) {
      throw new RangeError(`struct linux_dirent64 at ${start}: ${this.#end - start} bytes left`);
    }
    this.start = start;
    this.name = start + NAME;
    this.#next = end;
    return true;
  }

  #hasNul(start: number, end: number): boolean {
    for (let at = start; at < end; at++) if (this.#bytes[at] === 0) return true;
    return false;
  }
}

const FIRST_READ = 4096;

/** The whole of a file by its path from `dirfd`, opened and closed again. Throws SyscallError. */
export function readFileAt(dirfd: number, path: string): Uint8Array {
  using fds = new Descriptors();
  const fd = fds.own(openat(dirfd, path, O_RDONLY | O_CLOEXEC));
  // Files of the kernel's making have no size to ask for: read(2) says where they end.
  let bytes: Uint8Array = Buffer.allocUnsafe(FIRST_READ);
  for (let length = 0; ; ) {
    if (length === bytes.length) bytes = Buffer.concat([bytes], 2 * length);
    const n = read(fd, bytes.subarray(length));
    if (n === 0) return bytes.subarray(0, length);
    length += n;
  }
}
