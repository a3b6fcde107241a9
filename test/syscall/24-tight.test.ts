import type { ExecutionContext } from 'ava';
import { native } from '../../src/syscall/native.js';
import { pageInUse } from '../../src/syscall/page.js';
import * as sys from '../../src/syscall/sys.js';
import * as tight from '../../src/syscall/tight.js';
import { ownedBy, test } from '../fixture/descriptors.js';

/** So many bytes, none of them 0, no two neighbours equal. */
const bytesOf = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => 1 + (i % 255));

function pair(t: ExecutionContext): [number, number] {
  const owned = ownedBy(t);
  return sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM).map((fd) => owned.own(fd)) as [
    number,
    number,
  ];
}

// Either side of what goes by the page.
for (const length of [1, 5, 31, 32, 33, 128, 129, 65_536]) {
  test(`${length} bytes: what is written is read, and nothing beside it is touched`, (t) => {
    const [a, b] = pair(t);
    const written = new Uint8Array(length + 16).fill(0xee);
    written.set(bytesOf(length), 8);
    t.is(sys.write(a, written.subarray(8, 8 + length)), length);
    sys.write(a, Uint8Array.of(0xdd));
    const read = new Uint8Array(length + 16).fill(0xee);
    t.is(sys.read(b, read.subarray(8, 8 + length)), length);
    t.deepEqual(read, written);
    t.is(sys.read(b, read), 1);
    t.is(read[0], 0xdd);
  });
}

test('fewer bytes than there is room for: the rest of the room stays as it was', (t) => {
  const [a, b] = pair(t);
  const room = new Uint8Array(32).fill(0xee);
  sys.write(a, bytesOf(5));
  t.is(sys.read(b, room), 5);
  t.deepEqual([...room], [...bytesOf(5), ...new Array<number>(27).fill(0xee)]);
  sys.shutdown(a, sys.SHUT_WR);
  t.is(sys.read(b, room), 0);
  t.deepEqual([...room.subarray(0, 6)], [...bytesOf(5), 0xee]);
});

const shared = new Uint8Array(new SharedArrayBuffer(5));
const lying = new (class extends Uint8Array {
  override get length(): number {
    return 1;
  }
})(5);
const boasting = Object.defineProperty(new Uint8Array(5), 'length', { value: 30 });
const words = new Uint16Array(3);
const arrays: readonly [what: string, array: ArrayBufferView, length: number][] = [
  ['a Buffer', Buffer.alloc(5), 5],
  ['shared memory', shared, 5],
  ['a class that says less than it holds', lying, 5],
  ['an array that says more than it holds', boasting, 5],
  ['elements of two bytes', words, 6],
  ['a DataView', new DataView(new ArrayBuffer(5)), -1],
];
for (const [what, array, length] of arrays) {
  test(`${what}: its bytes and no others, or a TypeError`, (t) => {
    const [a, b] = pair(t);
    const bytes = array as Uint8Array;
    if (length < 0) {
      t.throws(() => sys.write(a, bytes), { instanceOf: TypeError });
      t.throws(() => sys.read(b, bytes), { instanceOf: TypeError });
      return;
    }
    const all = new Uint8Array(array.buffer, array.byteOffset, length);
    all.set(bytesOf(length));
    t.is(sys.write(a, bytes), length);
    all.fill(0);
    t.is(sys.read(b, bytes), length);
    t.deepEqual([...all], [...bytesOf(length)]);
    t.throws(() => sys.recv(b, bytes, sys.MSG_DONTWAIT), { code: 'EAGAIN' });
  });
}

test('an array without its bytes is refused, an empty one is not', (t) => {
  const [a, b] = pair(t);
  const gone = new Uint8Array(5);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  t.throws(() => sys.write(a, gone), { instanceOf: TypeError });
  t.throws(() => sys.read(b, gone), { instanceOf: TypeError });
  t.is(sys.write(a, new Uint8Array()), 0);
  t.is(sys.read(b, new Uint8Array()), 0);
});

/** Runs no code of its own: what is no number is refused before anybody asks it for one. */
const tempting = {
  valueOf(): number {
    throw new Error('asked');
  },
};
const five = new Uint8Array(5);
const local = { address: '127.0.0.1', port: 1 };
const byName: Readonly<Record<string, (fd: never) => unknown>> = {
  socket: (domain) => sys.socket(domain, sys.SOCK_STREAM),
  connect: (fd) => sys.connect(fd, local),
  accept: (fd) => sys.accept(fd),
  read: (fd) => sys.read(fd, five),
  write: (fd) => sys.write(fd, five),
  close: (fd) => sys.close(fd),
};
for (const [name, call] of Object.entries(byName)) {
  for (const junk of [tempting, '3', null, undefined, true, 3n, Symbol('3'), [3]]) {
    test(`${name}: ${typeof junk} ${String(junk === tempting ? '' : String(junk))} is no integer`, (t) => {
      t.throws(() => call(junk as never), { instanceOf: TypeError, message: /^\w+: / });
    });
  }
  for (const number of [1.5, 2 ** 31, -(2 ** 31) - 1, Number.NaN, Number.POSITIVE_INFINITY]) {
    test(`${name}: ${number} is no int`, (t) => {
      const { message } = t.throws(() => call(number as never), { instanceOf: RangeError });
      t.true(message.endsWith(`, received ${number}`), message);
    });
  }
}

test('an error is that of the same call made by an actor, and its stack begins at the caller', async (t) => {
  await using actor = await sys.Actor.start();
  const fd = 1 << 30;
  const calls: readonly [() => unknown, () => Promise<unknown>][] = [
    [() => sys.socket(99, 1), () => actor.socket(99, 1)],
    [() => sys.connect(fd, local), () => actor.connect(fd, local)],
    [() => sys.connect(fd, bytesOf(40)), () => actor.connect(fd, bytesOf(40))],
    [() => sys.accept(fd), () => actor.accept(fd)],
    [() => sys.read(fd, five), () => actor.read(fd, five)],
    [() => sys.write(fd, 'x'), () => actor.write(fd, 'x')],
    [() => sys.close(fd), () => actor.close(fd)],
  ];
  for (const [call, ofActor] of calls) {
    const error = t.throws(call) as sys.SyscallError;
    const other = (await t.throwsAsync(ofActor)) as sys.SyscallError;
    t.is(error.message, other.message);
    t.deepEqual({ ...error }, { ...other });
    t.regex(String(error.stack).split('\n')[1] ?? '', /24-tight\.test/);
  }
});

test('a getter that makes calls of its own: the call it is asked for is none of them', (t) => {
  const owned = ownedBy(t);
  const [a, b] = pair(t);
  const listener = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  sys.bind(listener, { address: '127.0.0.1', port: 0 });
  sys.listen(listener, 1);
  const { address, port } = sys.getsockname(listener);
  const client = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  const given = {
    get address() {
      sys.write(a, 'abc');
      return address;
    },
    get port() {
      sys.read(b, new Uint8Array(3));
      return port;
    },
  };
  sys.connect(client, given);
  t.deepEqual(sys.getpeername(client), { address, port });
});

test('the peer of an accepted connection, after calls that left bytes where it is told', (t) => {
  const owned = ownedBy(t);
  const [a] = pair(t);
  for (const [family, address] of [
    [sys.AF_INET, '127.0.0.1'],
    [sys.AF_INET6, '::1'],
  ] as const) {
    const listener = owned.own(sys.socket(family, sys.SOCK_STREAM));
    sys.bind(listener, { address, port: 0 });
    sys.listen(listener, 1);
    const client = owned.own(sys.socket(family, sys.SOCK_STREAM));
    sys.connect(client, sys.getsockname(listener));
    sys.write(a, bytesOf(32));
    const { fd, ...peer } = sys.accept(listener);
    owned.own(fd);
    t.deepEqual(peer, sys.getsockname(client));
  }
  const local = owned.own(sys.socket(sys.AF_UNIX, sys.SOCK_STREAM));
  sys.bind(local, Uint8Array.of(sys.AF_UNIX, 0));
  sys.listen(local, 1);
  const client = owned.own(sys.socket(sys.AF_UNIX, sys.SOCK_STREAM));
  const name = new Uint8Array(128);
  sys.connect(client, name.subarray(0, native.getsockname(local, name)));
  sys.write(a, bytesOf(32));
  const { fd, ...peer } = sys.accept(local);
  owned.own(fd);
  t.deepEqual(peer, { address: '', port: 0 });
});

test('tight: the results are those of the addon, an error below 0', (t) => {
  const [a, b] = pair(t);
  t.is(tight.write(a, five), 5);
  t.is(tight.read(b, five), 5);
  t.is(tight.socket(99, 1, 0), -sys.EAFNOSUPPORT);
  t.is(tight.connect(a, five), -sys.EINVAL);
  t.is(tight.accept(a), -sys.EINVAL);
  for (const fd of [1 << 30, -1]) {
    t.is(tight.close(fd), -sys.EBADF);
    t.is(tight.read(fd, five), -sys.EBADF);
    t.is(tight.write(fd, five), -sys.EBADF);
    t.is(tight.accept(fd), -sys.EBADF);
    t.is(tight.connect(fd, five), -sys.EBADF);
  }
  t.is(pageInUse().scratch.length, 128);
});
