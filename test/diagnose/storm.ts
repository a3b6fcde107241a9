/**
 * `node storm.js PORT http|redis|postgres`: connections to 127.0.0.0/8 that end in every way there is, one after the other,
 * until stdin ends. Prints "lives N" after every hundred.
 */
import { setImmediate } from 'node:timers/promises';
import * as sys from '../../src/syscall/sys.js';

/** What a connection says first, by what the server speaks. */
const requests: Readonly<Record<string, readonly Uint8Array[]>> = {
  http: ['/', '/big', '/proxy'].map((path) =>
    Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`),
  ),
  redis: ['PING', 'PING\r\nECHO hello', 'BLPOP nothing 0.01', 'GET big'].map((line) =>
    Buffer.from(`${line}\r\n`),
  ),
  postgres: ['select 1', 'select repeat(1::text, 1000000)', 'select 1/0'].map((query) =>
    Buffer.concat([
      message('', Buffer.from('\0\x03\0\0user\0postgres\0database\0postgres\0\0', 'latin1')),
      message('Q', Buffer.from(`${query}\0`)),
    ]),
  ),
};

/** A message of PostgreSQL's protocol: its type, its length with the length's own four bytes, and the rest. */
function message(type: string, rest: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(rest.length + length.length);
  return Buffer.concat([Buffer.from(type), length, rest]);
}

const LIVES_A_LINE = 100;
/** Addresses of loopback in turn: one alone would run out of ports, all of them in TIME_WAIT. */
const ADDRESSES = 200;
/** How many connections stay for a while and say nothing. */
const IDLE = 20;
const PATIENCE_S = 2;
const buffer = new Uint8Array(1 << 16);

/** What happens to a connection before it is closed. */
type Ending = (fd: number, request: Uint8Array) => void;

function ask(fd: number, request: Uint8Array): void {
  sys.send(fd, request, sys.MSG_NOSIGNAL);
}

function askHalf(fd: number, request: Uint8Array): void {
  ask(fd, request.subarray(0, request.length >> 1));
}

function hear(fd: number): void {
  sys.read(fd, buffer);
}

/** The server is to end it: what was asked is answered first. */
function halfClose(fd: number): void {
  sys.shutdown(fd, sys.SHUT_WR);
  while (sys.read(fd, buffer) > 0);
}

/** From now on close() sends a RST. */
function abort(fd: number): void {
  sys.setOption(fd, 'SO_LINGER', { on: true, seconds: 0 });
}

const endings: readonly (readonly Ending[])[] = [
  [],
  [abort],
  [ask, hear],
  [ask, abort],
  [ask, hear, abort],
  [ask, halfClose],
  [askHalf, halfClose],
  [askHalf],
  [halfClose],
  [ask, hear, halfClose],
];

/** One connection, from socket() to close(). A server may refuse or reset it: that is its right. */
function live(turn: number): void {
  const ending = endings[turn % endings.length] as readonly Ending[];
  const request = said[Math.floor(turn / endings.length) % said.length] as Uint8Array;
  using owned = new sys.Descriptors();
  const fd = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  sys.setOption(fd, 'SO_RCVTIMEO', PATIENCE_S);
  sys.connect(fd, { address: `127.0.0.${1 + (turn % ADDRESSES)}`, port });
  try {
    for (const act of ending) act(fd, request);
  } catch (error) {
    if (!(error instanceof sys.SyscallError)) throw error;
  }
}

/** Connects, asks, and keeps the connection in the place of an older one. */
function keep(turn: number): void {
  const place = turn % IDLE;
  const old = idle[place];
  if (old !== undefined) sys.close(old);
  const fd = sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC);
  idle[place] = fd;
  sys.connect(fd, { address: '127.0.0.1', port });
  ask(fd, said[turn % said.length] as Uint8Array);
}

const [, , portText = '', protocol = ''] = process.argv;
const port = Number(portText);
const said = requests[protocol] ?? [];
if (said.length === 0) throw new RangeError(`not a protocol: ${protocol}`);
const idle: number[] = [];

let isOver = false;
process.stdin.resume().on('end', () => {
  isOver = true;
});
for (let line = 1; !isOver; line++) {
  for (let i = 0; i < LIVES_A_LINE; i++) live(line * LIVES_A_LINE + i);
  keep(line);
  process.stdout.write(`lives ${line * LIVES_A_LINE}\n`);
  await setImmediate();
}
