// `node --import closewait/register app.js`: keeps, for each socket of the process, where it comes from and what became of it.
//
// The record is a file of mode 0600 that is unlinked as soon as it is open: it is read through /proc/PID/fd, by whom the kernel
// lets, and goes with the process however that ends. Nothing is answered, so nothing waits for a blocked event loop, and
// nothing keeps the process alive. What happens is written 50 ms later, and not at all for sockets that are closed by then.

import { subscribe } from 'node:diagnostics_channel';
import { constants, fstatSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as timers from 'node:timers';
import { threadId } from 'node:worker_threads';
import { RECORD_NAME, REGISTERED, type SourceEvent, type SourceLine } from './source-record.js';

// Those of now: a program may put others in their place, and tests do.
const { setTimeout, clearTimeout } = timers;
const { bigint: monotonicNs } = process.hrtime;

const EVENTS: ReadonlySet<unknown> = new Set([
  ...['connect', 'end', 'finish', 'error', 'timeout', 'pause', 'resume', 'close'],
]);
const KEPT_EVENTS = 5;
const FRAMES = 32;
// Long enough for most connections to be over.
const FLUSH_MS = 50;
const STACKS = 1000;
const REWRITE_BYTES = 1 << 20;

/** Node's own, which its types leave out: the handle has the descriptor, and an accepted socket its server. */
interface Inside {
  readonly _handle?: { readonly fd?: number } | null;
  readonly server?: Server | null;
}

/** A stack that is made into text when it is first asked for. */
interface Stack {
  stack?: string;
}

interface Entry {
  readonly events: SourceEvent[];
  /** Known from the first time it is written. */
  inode?: number;
  /** As last written. */
  text: string;
}

class Recorder {
  readonly #fd: number;
  readonly #origins = new WeakMap<object, Stack>();
  readonly #stacks = new Map<string, number>();
  readonly #bySocket = new WeakMap<Socket, Entry>();
  readonly #byInode = new Map<number, Entry>();
  readonly #changed = new Map<Entry, Socket>();
  #timer: NodeJS.Timeout | undefined;
  #size = 0;
  #rewriteAt = REWRITE_BYTES;
  #isBroken = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Notes that a socket was made to connect, or a server to listen, by the caller of `from`. */
  originate(of: object, from: (...args: never[]) => unknown): void {
    // No Error, which would cost a second stack, but one to whatever the program formats its stacks with.
    const stack: Stack = Object.create(Error.prototype);
    const { stackTraceLimit } = Error;
    // Refused where it is frozen: then the program's own limit counts.
    Reflect.set(Error, 'stackTraceLimit', FRAMES);
    Error.captureStackTrace(stack, from);
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
    this.#origins.set(of, stack);
  }

  /** Notes that something happened to a socket. */
  note(socket: Socket, event: string): void {
    let entry = this.#bySocket.get(socket);
    if (event === 'close') {
      if (entry === undefined) return;
      this.#changed.delete(entry);
      const { inode = 0 } = entry;
      if (this.#byInode.get(inode) === entry) this.#byInode.delete(inode);
      return;
    }
    if (entry === undefined) {
      entry = { events: [], text: '' };
      this.#bySocket.set(socket, entry);
    }
    entry.events.push([event, now()]);
    if (entry.events.length > KEPT_EVENTS) entry.events.shift();
    this.#changed.set(entry, socket);
    this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  /** Writes what has changed. What was closed meanwhile is never written: most sockets cost next to nothing. */
  readonly flush = (): void => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    let text = '';
    for (const [entry, socket] of this.#changed) {
      const { _handle, server } = socket as Inside;
      const fd = _handle?.fd ?? -1;
      const inode = fd < 0 ? undefined : inodeOf(fd);
      if (inode === undefined) continue;
      entry.inode = inode;
      // A TLS socket takes over the descriptor of the one beneath it, and has its place from then on.
      this.#byInode.set(inode, entry);
      const stack = this.#numberOf(this.#origins.get(server ?? socket));
      const kind = server ? 'server' : 'client';
      entry.text = lineOf({ inode, fd, kind, stack, events: entry.events }, socket);
      text += entry.text;
    }
    this.#changed.clear();
    this.#write(text);
    if (this.#size > this.#rewriteAt) this.#rewrite();
  };

  /** The number of a stack, which is written with its first one. */
  #numberOf(origin: Stack | undefined): number | null {
    if (origin === undefined) return null;
    const text = textOf(origin);
    if (text === undefined) return null;
    const known = this.#stacks.get(text);
    if (known !== undefined) return known;
    if (this.#stacks.size >= STACKS) return null;
    const id = this.#stacks.size;
    this.#stacks.set(text, id);
    this.#write(stackLine(id, text));
    return id;
  }

  /** Leaves out what was overwritten and what is closed. */
  #rewrite(): void {
    const stacks = [...this.#stacks].map(([stack, id]) => stackLine(id, stack));
    const entries = [...this.#byInode.values()].map(({ text }) => text);
    this.#write([...stacks, ...entries].join(''), 0);
    this.#rewriteAt = Math.max(REWRITE_BYTES, 2 * this.#size);
  }

  /** Writes, and writes no more once that has failed: a full disk is no reason to end the program. */
  #write(text: string, at = this.#size): void {
    if (this.#isBroken || text === '') return;
    try {
      if (at < this.#size) ftruncateSync(this.#fd, at);
      const bytes = Buffer.from(text);
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#fd, bytes, done, bytes.length - done, at + done);
      }
      this.#size = at + bytes.length;
    } catch (error) {
      this.#isBroken = true;
      process.emitWarning(`closewait/register records no more: ${(error as Error).message}`);
    }
  }
}

/** Undefined where the program's own Error.prepareStackTrace fails. */
function textOf(origin: Stack): string | undefined {
  try {
    return String(origin.stack);
  } catch {
    return undefined;
  }
}

function lineOf(
  known: Pick<SourceLine, 'inode' | 'fd' | 'kind' | 'stack' | 'events'>,
  socket: Socket,
): string {
  const line: SourceLine = {
    ...known,
    allowHalfOpen: socket.allowHalfOpen,
    paused: socket.isPaused(),
    flowing: socket.readableFlowing,
    readableEnded: socket.readableEnded,
    writableEnded: socket.writableEnded,
    destroyed: socket.destroyed,
  };
  return `${JSON.stringify(line)}\n`;
}

/** Undefined if it is no descriptor any more: what is recorded must not depend on how far a socket has got. */
function inodeOf(fd: number): number | undefined {
  try {
    // As a bigint: the other way Node 20 no longer finds modules behind symbolic links.
    return Number(fstatSync(fd, { bigint: true }).ino);
  } catch {
    return undefined;
  }
}

function stackLine(id: number, stack: string): string {
  return `${JSON.stringify({ id, stack })}\n`;
}

/** CLOCK_MONOTONIC in milliseconds, which every process of the machine reads alike. */
function now(): number {
  return Math.round(Number(monotonicNs()) / 1e6);
}

function openRecord(): number {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const name = `${RECORD_NAME}${process.pid}-${threadId}-${process.hrtime.bigint()}`;
  let failure: unknown;
  for (const directory of [process.env['XDG_RUNTIME_DIR'], tmpdir()]) {
    if (directory === undefined || directory === '') continue;
    const path = join(directory, name);
    try {
      const fd = openSync(path, flags, 0o600);
      unlinkSync(path);
      return fd;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** Begins to record; returns what writes it at once. */
function register(): () => void {
  let recorder: Recorder;
  try {
    recorder = new Recorder(openRecord());
  } catch (error) {
    process.emitWarning(`closewait/register records nothing: ${(error as Error).message}`);
    return () => undefined;
  }
  const { connect } = Socket.prototype;
  const own = Object.hasOwn(Socket.prototype, 'emit') ? Socket.prototype.emit : undefined;
  // No channel of Node's tells of every socket that connects: tls.connect() and new Socket().connect() are in none.
  Socket.prototype.connect = function originated(this: Socket, ...args: never[]): Socket {
    recorder.originate(this, originated);
    return Reflect.apply(connect, this, args);
  } as typeof connect;
  // Seen where they are emitted: a listener would be counted, and one for 'error' would swallow it.
  Socket.prototype.emit = function noted(this: Socket, ...args: [string]): boolean {
    if (EVENTS.has(args[0])) recorder.note(this, args[0]);
    // An inherited one is looked up each time: node:domain and others replace it when they are loaded.
    const emit = own ?? Object.getPrototypeOf(Socket.prototype).emit;
    return Reflect.apply(emit, this, args);
  } as typeof Socket.prototype.emit;
  const { listen } = Server.prototype;
  Server.prototype.listen = function originated(this: Server, ...args: never[]): Server {
    recorder.originate(this, originated);
    return Reflect.apply(listen, this, args);
  } as typeof listen;
  subscribe('net.server.socket', (message) => {
    recorder.note((message as { socket: Socket }).socket, 'connection');
  });
  return recorder.flush;
}

const loaded = globalThis as { [REGISTERED]?: () => void };
if (loaded[REGISTERED] === undefined) loaded[REGISTERED] = register();
