// readlinkat(2) by its gate, for who reads thousands of links: nothing is handed over and no memory is made for a link.

import { SEEK_SET } from './constants.js';
import { lseek } from './descriptor.js';
import { DirentCursor, getdents64, readlinkat } from './directory.js';
import { ENOENT } from './errno.js';
import { SyscallError } from './error.js';
import { native } from './native.js';
import { LENGTH, pageWith, RESULT, untaken, VALUE } from './page.js';

const pass = native.gates.readlinkat as () => void;

/** What a link says, until the next one is read. */
export interface LinkBytes {
  readonly bytes: Uint8Array;
  /** The same memory. */
  readonly words: Uint32Array;
  /** In `bytes`; a multiple of 8. */
  readonly start: number;
  /** A link of more than 64 bytes is cut. */
  readonly length: number;
}

/** Gets a descriptor and its link, and reads no option and no link itself: those calls write where this link is. */
export type LinkVisitor = (fd: number, link: LinkBytes) => void;

const LINK_SIZE = 64;
const LISTING_SIZE = 8192;

const [ZERO, NINE] = [0x30, 0x39];

/**
 * Visits the links of /proc/PID/fd, open at `dirfd`, in ascending order; one that goes meanwhile is left out. Throws
 * SyscallError.
 *
 * Below `count`, the number of descriptors open, every number is tried: a process gets the lowest that is free, so most of
 * them are there, and to list them first would take a third of the time. Those above are listed.
 */
export function eachDescriptorLink(dirfd: number, count: number, visit: LinkVisitor): void {
  const reader = new LinkReader(dirfd, LISTING_SIZE);
  const { bytes, names } = reader;
  const end = names + LISTING_SIZE - 1;
  bytes[end] = 0;
  for (let fd = 0; fd < count; fd++) {
    if (reader.read(writeNumber(bytes, end, fd))) visit(fd, reader.link);
  }
  // The listing's places are the descriptors, behind "." and ".." (proc_readfd_common() in fs/proc/fd.c).
  if (count > 0) lseek(dirfd, count + 2, SEEK_SET);
  const listing = bytes.subarray(names, names + LISTING_SIZE);
  for (let length = getdents64(dirfd, listing); length > 0; length = getdents64(dirfd, listing)) {
    const cursor = new DirentCursor(bytes, names, names + length);
    while (cursor.next()) {
      const fd = numberAt(bytes, cursor.name);
      if (fd >= 0 && reader.read(cursor.name)) visit(fd, reader.link);
    }
  }
}

/** One call after the other on a part of the page that nobody has taken. */
class LinkReader {
  readonly bytes: Uint8Array;
  /** Where names may be put. */
  readonly names: number;
  readonly link: { bytes: Uint8Array; words: Uint32Array; start: number; length: number };
  readonly #words: Uint32Array;
  readonly #dirfd: number;

  constructor(dirfd: number, namesSize: number) {
    const { words, bytes } = pageWith(LINK_SIZE + namesSize);
    const start = untaken();
    // What is no descriptor gets the addon's own words for that.
    if ((dirfd | 0) !== dirfd) readlinkat(dirfd, '', bytes);
    this.bytes = bytes;
    this.names = start + LINK_SIZE;
    this.link = { bytes, words, start, length: 0 };
    this.#words = words;
    this.#dirfd = dirfd;
  }

  /** readlinkat() of the name at this place of the page; false if there is no such link any more. */
  read(name: number): boolean {
    const words = this.#words;
    words[VALUE] = this.#dirfd;
    words[VALUE + 1] = name;
    words[VALUE + 2] = this.link.start;
    words[LENGTH] = LINK_SIZE;
    pass();
    const result = (words[RESULT] as number) | 0;
    if (result >= 0) {
      this.link.length = result;
      return true;
    }
    if (result === -ENOENT) return false;
    throw new SyscallError('readlinkat', result, {
      fd: this.#dirfd,
      path: String(numberAt(this.bytes, name)),
    });
  }
}

/** The number whose digits begin there and end with NUL; -1 if they are none. */
function numberAt(bytes: Uint8Array, start: number): number {
  let number = 0;
  let at = start;
  for (let digit = bytes[at] as number; digit !== 0; digit = bytes[++at] as number) {
    if (digit < ZERO || digit > NINE) return -1;
    number = number * 10 + digit - ZERO;
  }
  return at === start ? -1 : number;
}

/** Writes the digits of a number so that they end before `end`; returns where they begin. */
function writeNumber(bytes: Uint8Array, end: number, number: number): number {
  let at = end;
  let rest = number;
  do {
    bytes[--at] = ZERO + (rest % 10);
    rest = (rest / 10) | 0;
  } while (rest > 0);
  return at;
}
