// `node --import closewait/register app.js`: keeps, for each socket of the process, where it comes from and what became of it.
//
// The record is a file of mode 0600 that is unlinked as soon as it is open: it is read through /proc/PID/fd, by whom the kernel
// lets, and goes with the process however that ends. Nothing is answered, so nothing waits for a blocked event loop, and
// nothing keeps the process alive. What happens in one turn of the event loop is written at its end.

import { subscribe } from 'node:diagnostics_channel';
import { constants, fstatSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { RECORD_NAME, type SourceEvent, type SourceLine } from './source-record.js';

const EVENTS: ReadonlySet<unknown> = new Set([
  ...['connect', 'end', 'finish', 'error', 'timeout', 'pause', 'resume', 'close'],
]);
const KEPT_EVENTS = 5;
const FRAMES = 32;
const STACKS = 1000;
const REWRITE_BYTES = 1 << 20;

/** Node's own, which its types leave out: the handle has the descriptor, and an accepted socket its server. */
interface Inside {
  readonly _handle?: { readonly fd?: number } | null;
  readonly server?: Server | null;
}

interface Entry {
  readonly inode: number;
  readonly fd: number;
  readonly kind: 'client' | 'server';
  readonly stack: number | null;
  readonly events: SourceEvent[];
  /** As last written. */
  text: string;
}

class Recorder {
  readonly #fd: number;
  readonly #origins = new WeakMap<object, number>();
  readonly #stacks = new Map<string, number>();
  readonly #entries = new Map<number, Entry>();
  readonly #bySocket = new WeakMap<Socket, Entry>();
  readonly #changed = new Map<Entry, Socket>();
  #size = 0;
  #rewriteAt = REWRITE_BYTES;
  #isBroken = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Notes that a socket was made to connect, or a server to listen, by the caller of `from`. */
  originate(of: object, from: (...args: never[]) => unknown): void {
    const holder: { stack?: string } = {};
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = FRAMES;
    Error.captureStackTrace(holder, from);
    const stack = String(holder.stack);
    Error.stackTraceLimit = stackTraceLimit;
    let id = this.#stacks.get(stack);
    if (id === undefined && this.#stacks.size < STACKS) {
      id = this.#stacks.size;
      this.#stacks.set(stack, id);
      this.#write(stackLine(id, stack));
    }
    if (id !== undefined) this.#origins.set(of, id);
  }

  /** Notes that something happened to a socket. */
  note(socket: Socket, event: string): void {
    const entry = this.#bySocket.get(socket) ?? this.#meet(socket);
    if (entry === undefined) return;
    if (event === 'close') {
      this.#entries.delete(entry.inode);
      this.#changed.delete(entry);
      return;
    }
    entry.events.push([event, now()]);
    if (entry.events.length > KEPT_EVENTS) entry.events.shift();
    // Once for all that happens in this turn of the event loop, which is alive: something has just happened.
    if (this.#changed.size === 0) setImmediate(() => this.#flush());
    this.#changed.set(entry, socket);
  }

  #meet(socket: Socket): Entry | undefined {
    const { _handle, server } = socket as Inside;
    const fd = _handle?.fd ?? -1;
    if (fd < 0) return undefined;
    const inode = inodeOf(fd);
    if (inode === undefined) return undefined;
    // A TLS socket takes over the descriptor of the one beneath it.
    let entry = this.#entries.get(inode);
    if (entry === undefined) {
      const stack = this.#origins.get(server ?? socket) ?? null;
      entry = { inode, fd, kind: server ? 'server' : 'client', stack, events: [], text: '' };
      this.#entries.set(inode, entry);
    }
    this.#bySocket.set(socket, entry);
    return entry;
  }

  #flush(): void {
    let text = '';
    for (const [entry, socket] of this.#changed) {
      entry.text = lineOf(entry, socket);
      text += entry.text;
    }
    this.#changed.clear();
    this.#write(text);
    if (this.#size > this.#rewriteAt) this.#rewrite();
  }

  /** Leaves out what was overwritten and what is closed. */
  #rewrite(): void {
    const stacks = [...this.#stacks].map(([stack, id]) => stackLine(id, stack));
    const entries = [...this.#entries.values()].map(({ text }) => text);
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

function lineOf({ inode, fd, kind, stack, events }: Entry, socket: Socket): string {
  const line: SourceLine = {
    ...{ inode, fd, kind, stack, events },
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
    return fstatSync(fd).ino;
  } catch {
    return undefined;
  }
}

function stackLine(id: number, stack: string): string {
  return `${JSON.stringify({ id, stack })}\n`;
}

/** CLOCK_MONOTONIC in milliseconds, which every process of the machine reads alike. */
function now(): number {
  return Math.round(Number(process.hrtime.bigint()) / 1e6);
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

function register(): void {
  let recorder: Recorder;
  try {
    recorder = new Recorder(openRecord());
  } catch (error) {
    process.emitWarning(`closewait/register records nothing: ${(error as Error).message}`);
    return;
  }
  const { connect, emit } = Socket.prototype;
  // No channel of Node's tells of every socket that connects: tls.connect() and new Socket().connect() are in none.
  Socket.prototype.connect = function originated(this: Socket, ...args: never[]): Socket {
    recorder.originate(this, originated);
    return Reflect.apply(connect, this, args);
  } as typeof connect;
  // Seen where they are emitted: a listener would be counted, and one for 'error' would swallow it.
  Socket.prototype.emit = function noted(this: Socket, ...args: [string]): boolean {
    if (EVENTS.has(args[0])) recorder.note(this, args[0]);
    return Reflect.apply(emit, this, args);
  } as typeof emit;
  const { listen } = Server.prototype;
  Server.prototype.listen = function originated(this: Server, ...args: never[]): Server {
    recorder.originate(this, originated);
    return Reflect.apply(listen, this, args);
  } as typeof listen;
  subscribe('net.server.socket', (message) => {
    recorder.note((message as { socket: Socket }).socket, 'connection');
  });
}

const LOADED = Symbol.for('closewait.register');
const loaded = globalThis as { [LOADED]?: true };
if (!loaded[LOADED]) {
  loaded[LOADED] = true;
  register();
}
