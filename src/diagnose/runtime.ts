import { closeSync, openSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';
import { namesGoSection } from './elf.js';

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
