/**
 * Calls everything that the package exports, and everything an actor can do, with arguments that make no sense; a program of
 * its own, since what it looks for would take a test runner down with it.
 *
 * usage: node junk.js SEED RUNS LOG. LOG holds the call that was under way when the process died.
 */
import { openSync, readdirSync, writeSync } from 'node:fs';
import fc from 'fast-check';
import * as closewait from '../../src/index.js';
import * as sys from '../../src/syscall/sys.js';

const [seed = 0, runs = 100] = process.argv.slice(2, 4).map(Number);
const log = openSync(process.argv[4] ?? '/dev/null', 'w');

/** Descriptors of every kind, none of which can block; made anew for each call. */
interface World {
  readonly fds: readonly number[];
}

function open(): World {
  const address = { address: '127.0.0.1', port: 0 };
  const nonblocking = sys.SOCK_STREAM | sys.SOCK_NONBLOCK;
  const listener = sys.socket(sys.AF_INET, nonblocking);
  sys.bind(listener, address);
  sys.listen(listener, 1);
  const client = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  sys.connect(client, sys.getsockname(listener));
  sys.fcntl(client, sys.F_SETFL, sys.O_NONBLOCK);
  return {
    fds: [
      listener,
      client,
      sys.socket(sys.AF_INET6, nonblocking),
      ...sys.socketpair(sys.AF_UNIX, nonblocking),
      ...sys.pipe2(sys.O_NONBLOCK),
      sys.eventfd(1, sys.EFD_NONBLOCK),
      sys.epoll_create1(),
      sys.open('/proc/self/fd', sys.O_RDONLY | sys.O_DIRECTORY),
    ],
  };
}

/** An argument: what it is called in a counterexample, and how it is made. */
interface Argument {
  create(world: World): unknown;
}

const argument = (label: string, create: (world: World) => unknown): Argument =>
  Object.defineProperty({ create }, fc.toStringMethod, { value: () => label });

class Thrown extends Error {}
const thrower = () => {
  throw new Thrown('by a getter');
};

const endpoint = { address: '127.0.0.1', port: 1 };

const detached = (): Uint8Array => {
  const bytes = new Uint8Array(64);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
};

const nothingNumeric: Argument[] = [
  argument('undefined', () => undefined),
  argument('null', () => null),
  argument('true', () => true),
  argument('1n', () => 1n),
  argument("'x'", () => 'x'),
  argument("'5'", () => '5'),
  argument("''", () => ''),
  argument('a long string', () => 'x'.repeat(5000)),
  argument("'a\\0b'", () => 'a\0b'),
  argument('Symbol()', () => Symbol('s')),
  argument('a function', () => () => 1),
  argument('{}', () => ({})),
  argument('Object.create(null)', () => Object.create(null)),
  argument('[]', () => []),
  argument('[null]', () => [null]),
  argument('a hole', () => new Array(3)),
  argument('an array of bytes', () => [new Uint8Array(4), new Uint8Array(0)]),
  argument('an array of 100', () => Array.from({ length: 100 }, () => new Uint8Array(1))),
  argument('an array with a detached one', () => [new Uint8Array(4), detached()]),
  argument('an array that detaches its first', () => {
    const bytes = new Uint8Array(64);
    return Object.defineProperty([bytes, bytes], 1, {
      get: () => {
        structuredClone(bytes, { transfer: [bytes.buffer] });
        return new Uint8Array(8);
      },
    });
  }),
  argument('{length: 2}', () => ({ length: 2, 0: new Uint8Array(1) })),
  argument('bytes', () => new Uint8Array(64)),
  argument('no bytes', () => new Uint8Array()),
  argument('one byte', () => new Uint8Array(1)),
  argument('floats', () => new Float64Array(8)),
  argument('bigints', () => new BigInt64Array(2)),
  argument('a DataView', () => new DataView(new ArrayBuffer(8))),
  argument('an ArrayBuffer', () => new ArrayBuffer(8)),
  argument('detached bytes', detached),
  argument('shared bytes', () => new Uint8Array(new SharedArrayBuffer(64))),
  argument(
    'a resizable buffer',
    () => new Uint8Array(Reflect.construct(ArrayBuffer, [8, { maxByteLength: 64 }]) as ArrayBuffer),
  ),
  argument('a proxy', () => new Proxy({}, {})),
  argument('a proxy of an array', () => new Proxy([new Uint8Array(1)], {})),
  argument('a proxy of bytes', () => new Proxy(new Uint8Array(8), {})),
  argument('a proxy that throws', () => new Proxy({}, { get: thrower, has: thrower })),
  argument('an object of getters that throw', () =>
    Object.defineProperties(
      {},
      Object.fromEntries(
        ['address', 'port', 'data', 'buffers', 'argv', 'signal', 'name', 'fd', 'length'].map(
          (name) => [name, { get: thrower, enumerable: true }],
        ),
      ),
    ),
  ),
  argument('an address', () => ({ address: '127.0.0.1', port: 1 })),
  argument('an address of IPv6', () => ({ address: '::1', port: 1 })),
  argument('an address with junk', () => ({ address: 'x%y', port: Number.NaN })),
  argument('an address whose text changes', () => {
    let turn = 0;
    return {
      port: 1,
      get address() {
        return turn++ === 0 ? '::1' : 7;
      },
    };
  }),
  argument('a message', () => ({ data: [new Uint8Array(4)] })),
  argument('a message with control', () => ({
    data: [new Uint8Array(4)],
    control: [{ level: 1, type: 1, data: new Uint8Array(4) }],
  })),
  argument('a message of junk', () => ({ data: [1], control: [{ level: 'x' }], address: 5 })),
  argument('control of junk', () => ({ data: [], control: [{ data: { length: 'abc' } }] })),
  argument('buffers', () => ({ buffers: [new Uint8Array(4)], controlLength: 64 })),
  argument('buffers of junk', () => ({ buffers: 'x', controlLength: -1 })),
  argument('polls', ({ fds }) => fds.map((fd) => ({ fd, events: 1 }))),
  argument('a program', () => ({ argv: ['x'], stdio: [100_000, 100_000, 100_000] })),
  argument('a program as text', () => ({ argv: 'abc', env: null })),
  argument('a program of junk', () => ({ argv: [5], env: { A: Symbol('s') }, stdio: {} })),
  argument('{signal: aborted}', () => ({ signal: AbortSignal.abort() })),
  argument('{signal: junk}', () => ({ signal: 'x' })),
  argument('a connection', () => ({ local: endpoint, remote: endpoint })),
  argument('half a connection', () => ({
    local: endpoint,
    remote: { address: '::1', port: 65537 },
  })),
  argument('a connection of junk', () => ({ local: { address: Symbol('s') }, remote: 5 })),
  argument('states', () => ({ states: ['LISTEN'], family: 4 })),
  argument('states of junk', () => ({ states: [Symbol('s')] })),
  argument('no list of states', () => ({ states: 5n })),
  argument('a family of junk', () => ({ family: Object.create(null) })),
  argument('an option of junk', () => ({ state: ['LISTEN'] })),
  argument('an actor', () => ({ name: 'x', netns: 100_000 })),
  argument('an actor of junk', () => ({ name: 'x', netns: 2 ** 31 })),
  argument('a date', () => new Date(Number.NaN)),
  argument('a regexp', () => /x/),
  argument('a promise', () => Promise.resolve()),
];

const number = (value: number): Argument =>
  argument(Object.is(value, -0) ? '-0' : `${value}`, () => value);
const outOfRange = [
  Number.NaN,
  Infinity,
  -Infinity,
  1.5,
  -1.5,
  2 ** 31,
  2 ** 32,
  -(2 ** 31) - 1,
  2 ** 53,
  1e300,
  -0.5,
].map(number);
const integers = [
  -(2 ** 31),
  -1,
  -0,
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  11,
  41,
  255,
  2 ** 16,
  2 ** 30,
  2 ** 31 - 1,
].map(number);
const constants = Object.entries(sys)
  .filter(
    ([name, value]) =>
      typeof value === 'number' && !name.startsWith('SIOCSIF') && !name.startsWith('CLONE_'),
  )
  .map(([name, value]) => argument(name, () => value));
const options = Object.keys(sys.socketOptions).map((name) => argument(`'${name}'`, () => name));
const opened = Array.from({ length: 10 }, (_, i) =>
  argument(`descriptor ${i}`, ({ fds }) => fds[i]),
);

const pick = (...from: readonly Argument[][]): fc.Arbitrary<Argument> =>
  fc.oneof(...from.map((list) => fc.constantFrom(...list)));

const kinds = {
  /** A descriptor of this world, one that is closed, or no descriptor at all: never one of Node's. */
  fd: pick(
    opened,
    opened,
    [number(-1), number(100_000), number(-(2 ** 31)), number(2 ** 31 - 1)],
    outOfRange,
    nothingNumeric,
  ),
  /** No descriptor that is open: what it led to would be closed. */
  newfd: pick([number(-1), number(3000), number(2 ** 31 - 1)], outOfRange, nothingNumeric),
  any: pick(integers, constants, outOfRange, nothingNumeric),
  /** Never negative: that would wait for ever. */
  ms: pick([number(0), number(1)], outOfRange, nothingNumeric),
  seconds: pick(
    [number(0), number(1e-9), number(-1), number(2 ** 31 + 1), number(Number.NaN)],
    nothingNumeric,
  ),
  /** No namespace is left: the rest of the run would be in an empty one. */
  flags: pick(
    [number(1), number(255), number(2 ** 31 - 1), number(-1)],
    outOfRange,
    nothingNumeric,
  ),
  option: pick(options, options, nothingNumeric),
  /** A signal that would do harm if it arrived is sent to nobody. */
  pidfd: pick([number(-1), number(100_000)], outOfRange, nothingNumeric),
};
type Kind = keyof typeof kinds;

/** What each function takes. One that is missing here fails the run. */
const parameters: Record<string, readonly Kind[]> = {
  accept: ['fd', 'any'],
  accept4: ['fd', 'any'],
  attachFilter: ['fd', 'any', 'any'],
  attachedFilter: ['fd'],
  bind: ['fd', 'any'],
  clock_getres: ['any'],
  clock_gettime: ['any'],
  close: ['fd'],
  connect: ['fd', 'any'],
  decodeAddress: ['any', 'any'],
  decodeDirents: ['any'],
  dup: ['fd'],
  dup3: ['fd', 'newfd', 'any'],
  encodeAddress: ['any'],
  epoll_create1: ['any'],
  epoll_ctl: ['fd', 'any', 'fd', 'any', 'any'],
  epoll_wait: ['fd', 'any', 'ms'],
  errnoName: ['any'],
  errnoText: ['any'],
  eventfd: ['any', 'any'],
  fcntl: ['fd', 'any', 'any'],
  getOption: ['fd', 'option', 'any'],
  getdents64: ['fd', 'any'],
  getpeername: ['fd'],
  getsockname: ['fd'],
  getsockopt: ['fd', 'any', 'any', 'any'],
  gettid: ['any'],
  inet_ntop: ['any', 'any'],
  inet_pton: ['any', 'any'],
  ioctl: ['fd', 'any', 'any'],
  listen: ['fd', 'any'],
  lseek: ['fd', 'any', 'any'],
  nanosleep: ['seconds'],
  open: ['any', 'any', 'any'],
  openat: ['fd', 'any', 'any', 'any'],
  pidfd_getfd: ['fd', 'fd', 'any'],
  pidfd_open: ['any', 'any'],
  pidfd_send_signal: ['pidfd', 'any'],
  pipe2: ['any'],
  poll: ['any', 'ms'],
  read: ['fd', 'any'],
  readlinkat: ['fd', 'any', 'any'],
  readv: ['fd', 'any'],
  recv: ['fd', 'any', 'any'],
  recvmsg: ['fd', 'any', 'any'],
  send: ['fd', 'any', 'any'],
  sendmsg: ['fd', 'any', 'any'],
  sendto: ['fd', 'any', 'any', 'any'],
  sequence: ['any', 'any', 'any', 'any'],
  setOption: ['fd', 'option', 'any'],
  setns: ['fd', 'flags'],
  setsockopt: ['fd', 'any', 'any', 'any'],
  shutdown: ['fd', 'any'],
  sleep: ['seconds'],
  socket: ['any', 'any', 'any'],
  socketpair: ['any', 'any', 'any'],
  spawn: ['any', 'any'],
  syscallName: ['any'],
  unshare: ['flags'],
  waitid: ['any', 'any', 'any'],
  write: ['fd', 'any'],
  writev: ['fd', 'any'],
  'Actor.start': ['any'],
  'Descriptors.own': ['fd'],
  'SockDiag.find': ['any'],
  snapshot: ['any'],
  SockDiag: ['fd'],
  tcpInfo: ['fd'],
  TcpInfoReader: ['fd'],
  tcpState: ['fd'],
};
const classes = ['AbortError', 'Descriptors', 'SyscallError'];

/** An option's value is many things, and not each of their refusals has a code. */
const withoutCode = ['getOption', 'setOption'];

/** What is not a function of `sys`, as one. */
const others: Record<string, (...args: never[]) => unknown> = {
  'Actor.start': async (options: sys.ActorOptions) => (await sys.Actor.start(options)).stop(),
  'Descriptors.own': (fd: number) => {
    using owned = new sys.Descriptors();
    owned.own(fd);
  },
  'SockDiag.find': (tuple: closewait.FourTuple) => {
    using diag = closewait.SockDiag.open();
    diag.find(tuple);
  },
  ...closewait,
  SockDiag: (fd: number) => new closewait.SockDiag(fd).close(),
  TcpInfoReader: (fd: number) => new closewait.TcpInfoReader().read(fd),
};

/** The arguments of a function, some of the last left out. */
const argumentsOf = (name: string): fc.Arbitrary<Argument[]> =>
  fc
    .tuple(fc.tuple(...(parameters[name] ?? []).map((kind) => kinds[kind])), fc.nat({ max: 9 }))
    .map(([all, cut]) => (cut < all.length ? all.slice(0, cut) : all));

function allowed(error: unknown, name: string): boolean {
  const refused = error instanceof TypeError || error instanceof RangeError;
  return (
    (refused && withoutCode.includes(name)) ||
    (refused && /^ERR_[A-Z_]+$/.test(String(Reflect.get(error, 'code')))) ||
    error instanceof sys.SyscallError ||
    error instanceof sys.AbortError ||
    error instanceof Thrown
  );
}

// ioctl is given junk, but nothing that would set an interface, whatever its number.
const harmful = (name: string, [, request]: unknown[]): boolean =>
  name === 'ioctl' &&
  typeof request === 'number' &&
  request >= 0x8900 &&
  request < 0x8a00 &&
  request !== sys.SIOCATMARK;

let baseline = new Set<string>();

function closeAll(): void {
  for (const fd of readdirSync('/proc/self/fd')) {
    if (baseline.has(fd)) continue;
    try {
      sys.close(Number(fd));
    } catch {
      // The listing's own.
    }
  }
}

const note = (what: string): number => writeSync(log, what.padEnd(400).slice(0, 400), 0);

type Loose = Record<string, (...args: unknown[]) => unknown>;

async function check(
  name: string,
  run: (...args: unknown[]) => unknown,
  numRuns = runs,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(argumentsOf(name), async (list) => {
      note(`${name}(${list.map((each) => fc.stringify(each)).join(', ')})`);
      const world = open();
      try {
        const args = list.map((each) => each.create(world));
        if (harmful(name, args)) return;
        await run(...args);
      } catch (error) {
        if (!allowed(error, name)) throw error;
      } finally {
        closeAll();
      }
    }),
    { seed, numRuns },
  );
}

const actor = await sys.Actor.start();
await actor.gettid();
baseline = new Set(readdirSync('/proc/self/fd'));

const exported = Object.entries(sys).filter(([, value]) => typeof value === 'function');
for (const [name, fn] of exported) {
  if (classes.includes(name)) continue;
  if (parameters[name] === undefined) throw new Error(`${name} has no row in junk.ts`);
  // What comes back may be a promise of the arguments' own: it is not waited for.
  await check(name, (...args) => void (fn as Loose[string])(...args));
  const asked = (actor as unknown as Loose)[name];
  if (asked !== undefined)
    await check(name, (...args) => asked.apply(actor, args) as Promise<unknown>);
}
// One value in a thousand would meet the one option it breaks: each gets its own, if fewer, since there are many.
for (const option of Object.keys(sys.socketOptions) as sys.SocketOptionName[]) {
  const set = (fd: unknown, _: unknown, value: unknown) =>
    sys.setOption(fd as number, option, value as never);
  await check('setOption', set, Math.ceil(runs / 2));
}
for (const [name, fn] of Object.entries(others)) {
  if (parameters[name] === undefined) throw new Error(`${name} has no row in junk.ts`);
  await check(name, fn as Loose[string]);
}
await actor.stop();
note('');
process.stdout.write(`${exported.length - classes.length} functions, seed ${seed}\n`);
