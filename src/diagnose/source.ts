import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { codeOf, isGone, ProcessDirectory, unlessGone } from '../observer/proc.js';
import { RECORD_NAME, type Source, type SourceLine, type StackLine } from './source-record.js';

/** The sources of a process's sockets, by inode number. */
export type Sources = ReadonlyMap<number, Source>;

const SLASH = 0x2f;
const IS_RECORD = new RegExp(`/${RECORD_NAME}[^/]*( \\(deleted\\))?$`);

/**
 * Reads what `closewait/register` has recorded in a process: one record for each of its threads that have loaded it. Undefined
 * if there is none, or none that may be read; the process is not touched.
 */
export function sourcesOf(pid: number): Sources | undefined {
  try {
    const records = recordsOf(pid);
    if (records.length === 0) return undefined;
    const nowMs = Number(process.hrtime.bigint()) / 1e6;
    return new Map(records.flatMap((text) => [...decodeRecord(text, nowMs)]));
  } catch (error) {
    const code = codeOf(error);
    if (isGone(code) || code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
}

function recordsOf(pid: number): string[] {
  const files: number[] = [];
  using directory = new ProcessDirectory(pid);
  // The visitor reads nothing itself.
  directory.eachDescriptor((fd, { bytes, start }) => {
    if (bytes[start] === SLASH) files.push(fd);
  });
  return files.flatMap((fd) => {
    const path = `/proc/${pid}/fd/${fd}`;
    const text = unlessGone(() => IS_RECORD.test(readlinkSync(path)) && recordAt(path));
    return text ? [text] : [];
  });
}

/** A socket or a device without a driver, by O_PATH; a symbolic link; a file with a lease. */
const UNREADABLE: ReadonlySet<string> = new Set(['ENXIO', 'ENODEV', 'ELOOP', 'EAGAIN']);

/** A line of a record has some hundred bytes: this is more than a process has sockets. */
const LARGEST_RECORD = 64 << 20;

/** What a record says. A process may give anything that name: what is no file would not end, or never begin. */
function recordAt(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (UNREADABLE.has(codeOf(error))) return undefined;
    throw error;
  }
  try {
    const file = fstatSync(fd, { bigint: true });
    if (!file.isFile() || file.size > LARGEST_RECORD) return undefined;
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

/** Decodes a record, as of `nowMs` of CLOCK_MONOTONIC. Lines that are cut short, or that are none, are left out. */
export function decodeRecord(text: string, nowMs: number): Sources {
  const stacks = new Map<number, string>();
  const lines = new Map<number, SourceLine>();
  for (const line of text.split('\n')) {
    const value = parsed(line);
    if (isStackLine(value)) stacks.set(value.id, value.stack);
    else if (isSourceLine(value)) lines.set(value.inode, value);
  }
  const sources = new Map<number, Source>();
  for (const [inode, line] of lines) {
    const { fd: _fd, inode: _inode, stack, events, ...rest } = line;
    const frames = framesOf(stacks.get(stack ?? -1) ?? '');
    sources.set(inode, {
      ...rest,
      ...(placeOf(frames) ?? { file: null, line: null }),
      stack: frames,
      lastEvents: events.map(([event, tMs]) => ({
        event,
        agoMs: Math.max(0, Math.round(nowMs - tMs)),
      })),
    });
  }
  return sources;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function isStackLine(value: unknown): value is StackLine {
  const { id, stack } = (value ?? {}) as Partial<StackLine>;
  return typeof id === 'number' && typeof stack === 'string';
}

// A process writes its own record, and may write into it what it likes.
function isSourceLine(value: unknown): value is SourceLine {
  const line = (value ?? {}) as Partial<SourceLine>;
  const { inode, kind, events, flowing } = line;
  const flags = [
    ...[line.allowHalfOpen, line.paused, line.readableEnded, line.writableEnded, line.destroyed],
  ];
  return (
    Number.isInteger(inode) &&
    (kind === 'client' || kind === 'server') &&
    (flowing === null || typeof flowing === 'boolean') &&
    flags.every((flag) => typeof flag === 'boolean') &&
    Array.isArray(events) &&
    events.every(isEvent)
  );
}

function isEvent(value: unknown): boolean {
  return Array.isArray(value) && typeof value[0] === 'string' && typeof value[1] === 'number';
}

/** The frames of a stack without Node's own, each as `name (file:line:column)` or `file:line:column`. */
function framesOf(stack: string): string[] {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line) && !/\(?node:/.test(line))
    .map((line) => line.trim().slice('at '.length));
}

function placeOf(frames: readonly string[]): { file: string; line: number } | undefined {
  const own = frames.find((frame) => !frame.includes('/node_modules/')) ?? frames[0] ?? '';
  const [, where = '', line = ''] = /(?:^|\()([^()]+):(\d+):\d+\)?$/.exec(own) ?? [];
  if (where === '') return undefined;
  return { file: pathOf(where), line: Number(line) };
}

/** Of a file's URL its path; anything else as it is. */
function pathOf(place: string): string {
  if (!place.startsWith('file://')) return place;
  try {
    return fileURLToPath(place);
  } catch {
    return place;
  }
}
