import { closeSync, openSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';

/** What a process runs: which of the ways to look into it there are, and what its code has to change. */
export type Runtime = 'node' | 'java' | 'python' | 'go' | 'native';

const executables: ReadonlyArray<readonly [RegExp, Runtime]> = [
  [/^node(js)?[\d.]*$/, 'node'],
  [/^java$/, 'java'],
  [/^(python|pypy)[\d.]*[a-z]*$/, 'python'],
];

// A program that embeds a runtime has another name; the library gives it away.
const libraries: ReadonlyArray<readonly [RegExp, Runtime]> = [
  [/\/libnode\.so/, 'node'],
  [/\/libjvm\.so/, 'java'],
  [/\/libpython[\d.]+[a-z]*\.so/, 'python'],
];

/**
 * Tells which runtime a process is, by its executable and what it has mapped; reads, and touches nothing.
 *
 * Throws Node's own error: ENOENT when there is no such process, EACCES when it may not be looked into.
 */
export function runtimeOf(pid: number): Runtime {
  const path = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  const name = path.slice(path.lastIndexOf('/') + 1);
  const named = executables.find(([pattern]) => pattern.test(name));
  if (named !== undefined) return named[1];
  const maps = readFileSync(`/proc/${pid}/maps`, 'latin1');
  const mapped = libraries.find(([pattern]) => pattern.test(maps));
  if (mapped !== undefined) return mapped[1];
  return isGo(`/proc/${pid}/exe`) ? 'go' : 'native';
}

/** Answers by the file: many processes run the same one. */
const known = new Map<string, boolean>();

function isGo(path: string): boolean {
  const { dev, ino, size, ctimeMs } = statSync(path);
  const key = [dev, ino, size, ctimeMs].join();
  const answer = known.get(key) ?? hasGoBuildInfo(path);
  known.set(key, answer);
  return answer;
}

// struct Elf64_Ehdr and Elf64_Shdr, elf(5).
const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const ELF64 = Buffer.from('\x7fELF\x02\x01', 'latin1');
const SECTION_NAMES_LIMIT = 1 << 16;

/** Reads so many bytes at a place of a file; fewer where it ends. */
export type ReadAt = (position: number, length: number) => Buffer;

function hasGoBuildInfo(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    return namesGoSection((position, length) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(fd, bytes, 0, length, position));
    });
  } finally {
    closeSync(fd);
  }
}

/** Whether an executable has the section that Go's linker writes into every program. The kernel runs one without looking there. */
export function namesGoSection(read: ReadAt): boolean {
  const header = read(0, EHDR_SIZE);
  if (header.length < EHDR_SIZE || !header.subarray(0, ELF64.length).equals(ELF64)) return false;
  const sections = Number(header.readBigUInt64LE(0x28));
  const place = sections + header.readUInt16LE(0x3e) * SHDR_SIZE;
  if (sections === 0 || !Number.isSafeInteger(place)) return false;
  const names = read(place, SHDR_SIZE);
  if (names.length < SHDR_SIZE) return false;
  const offset = Number(names.readBigUInt64LE(0x18));
  const size = Number(names.readBigUInt64LE(0x20));
  if (!Number.isSafeInteger(offset)) return false;
  return read(offset, Math.min(size, SECTION_NAMES_LIMIT)).includes(
    '\0.go.buildinfo\0',
    0,
    'latin1',
  );
}
