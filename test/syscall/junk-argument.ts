/** Arguments that make no sense, and descriptors for them to be given with. */
import fc from 'fast-check';
import * as sys from '../../src/syscall/sys.js';

/** Descriptors of every kind, none of which can block; made anew for each call. */
export interface World {
  readonly fds: readonly number[];
}

export function open(): World {
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
export interface Argument {
  create(world: World): unknown;
}

const argument = (label: string, create: (world: World) => unknown): Argument =>
  Object.defineProperty({ create }, fc.toStringMethod, { value: () => label });

export class Thrown extends Error {}
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

/** Whether a refusal says what it is: by its code, or by being the package's own. */
export function isClear(error: unknown): boolean {
  const refused = error instanceof TypeError || error instanceof RangeError;
  return (
    (refused && /^ERR_[A-Z_]+$/.test(String(Reflect.get(error, 'code')))) ||
    error instanceof sys.SyscallError ||
    error instanceof sys.AbortError ||
    error instanceof Thrown
  );
}

/** Options with one or two of these fields, `given` besides; now and then one that nobody reads. */
export function objectOf(
  fields: Readonly<Record<string, fc.Arbitrary<Argument>>>,
  given: object = {},
): fc.Arbitrary<Argument> {
  const all: typeof fields = { ...fields, bogus: kinds.any };
  const field = fc
    .constantFrom(...Object.keys(all))
    .chain((name) => fc.tuple(fc.constant(name), all[name] as fc.Arbitrary<Argument>));
  return fc.array(field, { minLength: 1, maxLength: 2 }).map((entries) => {
    const names = entries.map(([name, each]) => `${name}: ${fc.stringify(each)}`);
    return argument(`{${names.join(', ')}}`, (world) => ({
      ...given,
      ...Object.fromEntries(entries.map(([name, each]) => [name, each.create(world)])),
    }));
  });
}

/** These, and what makes no sense. */
export const oneOf = (...values: readonly unknown[]): fc.Arbitrary<Argument> =>
  fc.oneof(
    fc.constantFrom(...values.map((value) => argument(fc.stringify(value), () => value))),
    kinds.any,
  );

const pick = (...from: readonly Argument[][]): fc.Arbitrary<Argument> =>
  fc.oneof(...from.map((list) => fc.constantFrom(...list)));

export const kinds = {
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
  /** What would set something going where it is true is never true. */
  untrue: pick(
    outOfRange,
    nothingNumeric.filter(({ create }) => create({ fds: [] }) !== true),
  ),
  /** No process that is somebody else's: none has the last number. */
  pid: pick([number(process.pid), number(2 ** 31 - 1), number(0)], outOfRange, nothingNumeric),
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
export type Kind = keyof typeof kinds;
