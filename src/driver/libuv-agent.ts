// The program behind an end of the libuv driver: obeys orders on its standard input, by node:net, and tells what it hears.
//
// It runs on any Node from 20 on, and imports nothing else of this package: the addon, a second event source, has no
// place in it. What it says goes out by write(2), outside the event loop that is looked at.

import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type * as http from 'node:http';
import * as net from 'node:net';
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';
import type {
  Acts,
  ConnectOrder,
  ListenOrder,
  Order,
  Report,
  ToldError,
} from './libuv-protocol.js';
import type { HttpAnswer, Reading, SocketCall } from './node-side.js';

const STDOUT = 1;
/** What the kernel had ready is heard of in one turn; 'close' and 'error' follow in the next. */
const TURNS = 4;
const EVENTS = ['end', 'finish', 'close', 'timeout', 'drain'] as const;

const say = (report: Report): void => {
  writeSync(STDOUT, `${JSON.stringify(report)}\n`);
};

function hear(name: string, more: { bytes?: number; code?: string } = {}): void {
  say({ kind: 'event', tNs: String(process.hrtime.bigint()), name, ...more });
}

const codeOf = (error: NodeJS.ErrnoException): string => error.code ?? error.name;

let server: net.Server | http.Server | undefined;
let current: net.Socket | undefined;
/** An error that no order was waiting for: the next to use the socket gets it, as with SO_ERROR. */
let failure: Error | undefined;
const delivered = new WeakSet<Error>();
let ended = false;

/** Tells of all that the application of a socket is told, without changing what it would be told. */
function follow(socket: net.Socket): void {
  for (const event of EVENTS) socket.on(event, () => hear(event));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    hear('error', { code: codeOf(error) });
    if (!delivered.has(error)) failure = error;
  });
  socket.on('end', () => {
    ended = true;
  });
}

function use(socket: net.Socket, reading: Reading): void {
  current = socket;
  failure = undefined;
  ended = false;
  follow(socket);
  if (reading === 'always') socket.on('data', ({ length }) => hear('data', { bytes: length }));
}

function connection(): net.Socket {
  if (current === undefined) throw new Error('there is no connection');
  return current;
}

/** An order that gets an error takes it away. */
function deliver(error: Error): Error {
  delivered.add(error);
  if (failure === error) failure = undefined;
  return error;
}

function takeFailure(): void {
  if (failure !== undefined) throw deliver(failure);
}

/** Resolves when the socket tells an event, rejects with the error it tells before. */
function event(socket: net.Socket, name: 'connect' | 'close' | 'finish'): Promise<void> {
  return new Promise((resolve, reject) => {
    const told = (): void => {
      socket.off('error', failed);
      resolve();
    };
    const failed = (error: Error): void => {
      socket.off(name, told);
      reject(deliver(error));
    };
    socket.once(name, told);
    socket.once('error', failed);
  });
}

const accepted: net.Socket[] = [];
let wanted: (() => void) | undefined;

/** Answers the request that waits. */
let answerWaiting: (() => void) | undefined;

function answer({ request = 'read', bytes = 3, upgrade }: HttpAnswer, to: http.Server): void {
  const body = Buffer.alloc(bytes, 'ok\n');
  to.on('request', (message, response) => {
    hear('request');
    message.on('close', () => hear('request close'));
    response.on('close', () => hear('response close'));
    if (request === 'never') return;
    if (request === 'waits') {
      answerWaiting = () => response.end(body);
      return;
    }
    if (request === 'unread') {
      response.end(body);
      return;
    }
    message.resume();
    message.on('end', () => response.end(body));
  });
  to.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    hear('clientError', { code: codeOf(error) });
    socket.destroy();
  });
  if (upgrade === undefined) return;
  to.on('upgrade', (_message, socket) => {
    hear('upgrade');
    if (upgrade === 'leave') return;
    socket.resume();
    socket.on('end', () => socket.end());
  });
}

async function listen(order: ListenOrder): Promise<{ address: string; port: number }> {
  const { address: host, port, backlog, reading = 'never', http: withHttp, ...options } = order;
  let created: net.Server | http.Server;
  if (withHttp === undefined) {
    created = net.createServer(options);
  } else {
    const { createServer } = await import('node:http');
    const { keepAliveMs } = withHttp;
    const speaker = createServer();
    if (keepAliveMs !== undefined) speaker.keepAliveTimeout = keepAliveMs;
    answer(withHttp, speaker);
    created = speaker;
  }
  server = created;
  created.on('connection', (socket) => {
    use(socket, reading);
    accepted.push(socket);
    wanted?.();
  });
  created.on('close', () => hear('server close'));
  await new Promise<void>((resolve, reject) => {
    created.once('error', reject);
    created.listen({ host, port, ...(backlog !== undefined && { backlog }) }, resolve);
  });
  const at = created.address();
  if (at === null || typeof at === 'string') throw new Error('it has no address');
  return { address: at.address, port: at.port };
}

async function connect(order: ConnectOrder): Promise<void> {
  const { address: host, port, paused = false, reading = 'never', ...options } = order;
  const socket = net.connect({ host, port, ...options });
  use(socket, reading);
  if (paused) socket.pause();
  await event(socket, 'connect');
}

function receive(): Promise<string> {
  const socket = connection();
  takeFailure();
  return new Promise((resolve, reject) => {
    const over = (settle: () => void): void => {
      socket.pause();
      for (const [name, listener] of listeners) socket.off(name, listener);
      settle();
    };
    const gone = (): void => {
      const error: NodeJS.ErrnoException = new Error('the socket is closed');
      error.code = 'ERR_STREAM_PREMATURE_CLOSE';
      reject(error);
    };
    const listeners = [
      [
        'data',
        (data: Buffer) => {
          hear('data', { bytes: data.length });
          over(() => resolve(data.toString('base64')));
        },
      ],
      ['end', () => over(() => resolve(''))],
      ['error', (error: Error) => over(() => reject(deliver(error)))],
      ['close', () => over(gone)],
      // biome-ignore lint/suspicious/noExplicitAny: each event has arguments of its own
    ] as const satisfies readonly (readonly [string, (...args: any[]) => void])[];
    if (ended) return resolve('');
    if (socket.destroyed) return gone();
    for (const [name, listener] of listeners) socket.on(name, listener);
    socket.resume();
  });
}

function send(base64: string): Promise<number> {
  const socket = connection();
  takeFailure();
  const data = Buffer.from(base64, 'base64');
  return new Promise((resolve, reject) => {
    socket.write(data, (error) => {
      if (error) reject(deliver(error));
      else resolve(data.length);
    });
  });
}

async function close(method: 'destroy' | 'resetAndDestroy'): Promise<void> {
  const socket = connection();
  if (socket.closed) return;
  const closed = event(socket, 'close');
  socket[method]();
  await closed;
}

function call(calls: readonly SocketCall[]): void {
  const socket = connection();
  for (const [method, data] of calls) {
    if (method !== 'write') socket[method]();
    else socket.write(typeof data === 'number' ? Buffer.alloc(data) : data);
  }
}

const acts: {
  readonly [Act in keyof Acts]: (
    ...args: Parameters<Acts[Act]>
  ) => ReturnType<Acts[Act]> | Promise<ReturnType<Acts[Act]>>;
} = {
  listen,
  connect,
  receive,
  send,
  call,
  async accept() {
    while (accepted.length === 0) {
      await new Promise<void>((resolve) => {
        wanted = resolve;
      });
    }
    accepted.shift();
  },
  async end() {
    const socket = connection();
    takeFailure();
    const finished = event(socket, 'finish');
    socket.end();
    await finished;
  },
  destroy: () => close('destroy'),
  resetAndDestroy: () => close('resetAndDestroy'),
  setNoDelay(on) {
    connection().setNoDelay(on);
  },
  setKeepAlive(on, initialDelayMs) {
    connection().setKeepAlive(on, initialDelayMs);
  },
  peer() {
    const { remoteAddress: address, remotePort: port } = connection();
    if (address !== undefined && port !== undefined) return { address, port };
    throw Object.assign(new Error('the socket has no peer'), { code: 'ENOTCONN' });
  },
  answer() {
    if (answerWaiting === undefined) throw new Error('no request waits');
    answerWaiting();
  },
  callServer(method) {
    if (server === undefined) throw new Error('there is no server');
    if (method === 'close') server.close();
    else if (method in server) (server as http.Server)[method]();
    else throw new TypeError(`a net.Server has no ${method}()`);
  },
  async settle() {
    for (let i = 0; i < TURNS; i++) await turn();
  },
  block() {
    // In the same turn, once this order is answered: the loop polls no more before.
    setImmediate(block);
  },
  unblock() {},
  async request({ address: host, port }, { keepAlive, body, response }) {
    const { Agent, request } = await import('node:http');
    const method = body > 0 ? 'POST' : 'GET';
    const asked = request({ host, port, method, agent: new Agent({ keepAlive }) });
    asked.on('response', (message) => {
      hear('response');
      message.on('end', () => hear('response end'));
      message.on('close', () => hear('response close'));
      if (response === 'read') message.resume();
    });
    asked.on('close', () => hear('request close'));
    asked.on('error', (error: NodeJS.ErrnoException) =>
      hear('request error', { code: codeOf(error) }),
    );
    await new Promise<void>((resolve, reject) => {
      asked.once('error', reject);
      asked.once('socket', (socket) => {
        use(socket, 'never');
        socket.once('connect', () => resolve());
      });
      asked.end(body > 0 ? Buffer.alloc(body) : undefined);
    });
  },
};

function tell(error: unknown): ToldError {
  if (!(error instanceof Error)) return { message: String(error) };
  const { message, code, syscall } = error as NodeJS.ErrnoException;
  return {
    message,
    ...(code !== undefined && { code }),
    ...(syscall !== undefined && { syscall }),
  };
}

async function obey({ id, act, args }: Order): Promise<void> {
  try {
    const value = await (acts[act] as (...args: readonly unknown[]) => unknown)(...args);
    say({ kind: 'done', id, value });
  } catch (error) {
    say({ kind: 'failed', id, error: tell(error) });
  }
}

function read(line: string): void {
  void obey(JSON.parse(line) as Order);
}

/** Reads the next order by a call that blocks, in place of the event loop. */
function block(): void {
  // Opened anew, since libuv has made its own description of the pipe non-blocking.
  const stdin = openSync('/proc/self/fd/0', 'r');
  const bytes = Buffer.alloc(1 << 16);
  let text = '';
  while (!text.endsWith('\n')) {
    const length = readSync(stdin, bytes);
    if (length === 0) end();
    text += bytes.toString('utf8', 0, length);
  }
  closeSync(stdin);
  for (const line of text.trimEnd().split('\n')) read(line);
}

/** Ends the program: what was killed may be no more than a script that had started it. */
function end(): never {
  throw new Error('nobody gives orders any more');
}

createInterface({ input: process.stdin }).on('line', read).on('close', end);
say({ kind: 'ready', version: process.version, libuv: process.versions.uv });
