import { readFileSync } from 'node:fs';

/** linux/auxvec.h */
const AT_PAGESZ = 6n;

/** `sysconf(_SC_PAGESIZE)`: bytes of a page, which rings and their offsets are multiples of. */
export function pageSize(): number {
  const bytes = readFileSync('/proc/self/auxv');
  // Pairs of unsigned long: what, value (getauxval(3)).
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    if (bytes.readBigUInt64LE(at) === AT_PAGESZ) return Number(bytes.readBigUInt64LE(at + 8));
  }
  throw new Error('/proc/self/auxv does not tell the page size');
}
