import { fstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { native } from '../../src/syscall/native.js';
import * as sys from '../../src/syscall/sys.js';
import { actorOf } from '../fixture/actors.js';
import { descriptors, ownedBy, test } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { netAdmin, socketFilter, testWith } from '../fixture/privilege.js';
import { connected, tcp } from '../fixture/sockets.js';

test('pipe2(): [read end, write end], with flags', (t) => {
  const owned = ownedBy(t);
  const [from, to] = sys.pipe2(sys.O_NONBLOCK | sys.O_CLOEXEC).map((fd) => owned.own(fd)) as [
    number,
    number,
  ];
  t.throws(() => sys.read(from, new Uint8Array(1)), { code: 'EAGAIN' });
  t.is(sys.write(to, 'x'), 1);
  t.is(sys.read(from, new Uint8Array(8)), 1);
  t.is(sys.fcntl(from, sys.F_GETFD), sys.FD_CLOEXEC);
  const [blocking, other] = sys.pipe2().map((fd) => owned.own(fd)) as [number, number];
  t.is(sys.fcntl(blocking, sys.F_GETFL), sys.O_RDONLY);
  t.is(sys.fcntl(other, sys.F_GETFL), sys.O_WRONLY);
});

test('eventfd(): counts, and with EFD_SEMAPHORE one at a time', (t) => {
  const owned = ownedBy(t);
  const value = new BigUint64Array(1);
  const bytes = new Uint8Array(value.buffer);
  const counter = owned.own(sys.eventfd(3, sys.EFD_NONBLOCK));
  value[0] = 4n;
  t.is(sys.write(counter, bytes), 8);
  t.is(sys.read(counter, bytes), 8);
  t.is(value[0], 7n);
  t.throws(() => sys.read(counter, bytes), { code: 'EAGAIN' });
  const semaphore = owned.own(sys.eventfd(2, sys.EFD_SEMAPHORE | sys.EFD_NONBLOCK));
  sys.read(semaphore, bytes);
  t.is(value[0], 1n);
  sys.read(semaphore, bytes);
  t.throws(() => sys.read(semaphore, bytes), { code: 'EAGAIN' });
});

test('open(): makes, appends, and says what path it could not open', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'file');
  const owned = ownedBy(t);
  const flags = sys.O_CREAT | sys.O_EXCL | sys.O_WRONLY | sys.O_CLOEXEC;
  const fd = owned.own(sys.open(path, flags, 0o600));
  t.is(sys.write(fd, 'one'), 3);
  const appending = owned.own(sys.open(path, sys.O_WRONLY | sys.O_APPEND));
  t.is(sys.write(appending, 'two'), 3);
  t.is(readFileSync(path, 'utf8'), 'onetwo');
  t.throws(() => sys.open(path, flags), { code: 'EEXIST' });
  const missing = join(directory, 'none');
  const error = t.throws(() => sys.open(missing, sys.O_RDONLY)) as sys.SyscallError;
  t.is(error.code, 'ENOENT');
  t.is(error.syscall, 'openat');
  t.is(error.path, missing);
  t.is(error.message, `openat ENOENT: no such file or directory (${missing})`);
  t.throws(() => sys.open('a\0b', 0), { message: /^path must be a string without NUL/ });
});

test('dup() takes the lowest free descriptor, dup3() the one it is told, closing it first', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const low = owned.own(sys.dup(client));
  sys.close(low);
  t.is(sys.dup(client), low);
  t.is(sys.dup3(server, low, sys.O_CLOEXEC), low);
  t.is(sys.getOption(low, 'SO_COOKIE'), sys.getOption(server, 'SO_COOKIE'));
  t.is(sys.fcntl(low, sys.F_GETFD), sys.FD_CLOEXEC);
});

test('fcntl(): F_DUPFD from a number on, flags, the size of a pipe', (t) => {
  const owned = ownedBy(t);
  const fd = tcp(owned);
  const copy = owned.own(sys.fcntl(fd, sys.F_DUPFD, 700));
  t.is(copy, 700);
  t.is(sys.fcntl(copy, sys.F_GETFD), 0);
  const closing = owned.own(sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, 700));
  t.is(closing, 701);
  t.is(sys.fcntl(closing, sys.F_GETFD), sys.FD_CLOEXEC);
  t.is(sys.fcntl(copy, sys.F_SETFD, sys.FD_CLOEXEC), 0);
  t.is(sys.fcntl(copy, sys.F_GETFD), sys.FD_CLOEXEC);
  sys.fcntl(fd, sys.F_SETFL, sys.O_NONBLOCK);
  t.is(sys.fcntl(copy, sys.F_GETFL) & sys.O_NONBLOCK, sys.O_NONBLOCK, 'the file is shared');
  const [from] = sys.pipe2().map((end) => owned.own(end)) as [number, number];
  t.is(sys.fcntl(from, sys.F_SETPIPE_SZ, 4096), 4096);
  t.is(sys.fcntl(from, sys.F_GETPIPE_SZ), 4096);
});

// fcntl(2): F_GETLK 5, F_SETLKW 7, F_GETOWN_EX 16 take a pointer; F_SETSIG and others have no use here.
for (const command of [5, 7, 16, -1, 2 ** 31]) {
  test(`fcntl() refuses command ${command}: its argument may be a pointer`, (t) => {
    t.throws(() => sys.fcntl(tcp(ownedBy(t)), command, 1), {
      instanceOf: RangeError,
      message: /^fcntl: command must be/,
    });
  });
}

perFamily('ioctl(): SIOCINQ counts what is not read, SIOCOUTQNSD what is not sent', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  sys.write(client, 'abcde');
  sys.poll([{ fd: server, events: sys.POLLIN }], 5000);
  t.is(sys.ioctl(server, sys.SIOCINQ), 5);
  sys.read(server, new Uint8Array(2));
  t.is(sys.ioctl(server, sys.SIOCINQ), 3);
  t.is(sys.ioctl(client, sys.SIOCOUTQNSD), 0, 'nothing waits to be sent');
});

testWith(socketFilter)('ioctl(): SIOCOUTQ is what the peer has not acknowledged', (t) => {
  const { client, server } = connected(ownedBy(t));
  sys.attachFilter(server, Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0));
  sys.write(client, 'fgh');
  t.is(sys.ioctl(client, sys.SIOCOUTQ), 3);
});

test('ioctl() with bytes: FIONBIO reads them, SIOCGIFINDEX writes them', (t) => {
  const fd = tcp(ownedBy(t));
  const on = new Uint8Array(Int32Array.of(1).buffer);
  t.is(sys.ioctl(fd, sys.FIONBIO, on), 0);
  t.is(sys.fcntl(fd, sys.F_GETFL) & sys.O_NONBLOCK, sys.O_NONBLOCK);
  const ifreq = Buffer.alloc(40);
  ifreq.write('lo');
  sys.ioctl(fd, sys.SIOCGIFINDEX, ifreq);
  t.is(ifreq.readInt32LE(16), 1);
});

testWith(netAdmin)('ioctl(): SIOCGSKNS makes a descriptor, and that is the result', async (t) => {
  const owned = ownedBy(t);
  const fd = tcp(owned);
  const actor = await actorOf(t);
  const net = statSync('/proc/self/ns/net').ino;
  t.is(fstatSync(owned.own(sys.ioctl(fd, sys.SIOCGSKNS))).ino, net);
  t.is(fstatSync(owned.own(await actor.ioctl(fd, sys.SIOCGSKNS))).ino, net);
  t.is(fstatSync(owned.own(sys.ioctl(fd, sys.SIOCGSKNS, new Uint8Array(4)))).ino, net);
});

const badIoctls: [
  what: string,
  request: number,
  argument: Uint8Array | undefined,
  error: RegExp,
][] = [
  ['a request whose size is unknown', 0x5413, new Uint8Array(64), /request must be/],
  ['too few bytes', 0x8933, new Uint8Array(39), /argument must be as long as/],
  ['no bytes where more than an int is written', 0x8933, undefined, /argument must be as long as/],
];
for (const [what, request, argument, message] of badIoctls) {
  test(`ioctl() refuses ${what}`, (t) => {
    t.throws(() => sys.ioctl(tcp(ownedBy(t)), request, argument), {
      instanceOf: RangeError,
      message,
    });
  });
}

test('Descriptors: closes what it owns, newest first, and only that', (t) => {
  const before = descriptors();
  let kept: number;
  let given: number;
  {
    using owned = new sys.Descriptors();
    owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
    kept = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
    given = owned.release(kept);
    const closed = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
    owned.close(closed);
    owned.close(closed);
    owned.close(12345);
    t.throws(() => sys.fcntl(closed, sys.F_GETFD), { code: 'EBADF' });
  }
  t.is(given, kept);
  t.is(descriptors().length, before.length + 1);
  sys.close(given);
  t.deepEqual(descriptors(), before);
});

test('Descriptors: a failure midway leaks nothing and stays the failure', (t) => {
  const before = descriptors();
  const error = t.throws(() => {
    using owned = new sys.Descriptors();
    const { client } = connected(owned);
    // Closed behind its back: disposing must neither fail nor hide the error below.
    sys.close(client);
    sys.listen(client, 1);
  });
  t.is((error as sys.SyscallError).code, 'EBADF');
  t.deepEqual(descriptors(), before);
});

for (const fd of [undefined, null, '3', 1n, Symbol('fd'), -1, 1.5, Number.NaN, 2 ** 31]) {
  test(`Descriptors: own(${String(fd)}) is refused, and the rest is closed`, (t) => {
    const before = descriptors();
    const error = t.throws(() => {
      using owned = new sys.Descriptors();
      tcp(owned);
      tcp(owned);
      owned.own(fd as number);
    });
    t.regex(Reflect.get(error, 'code'), /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/);
    t.deepEqual(descriptors(), before);
  });
}

test('lseek: data and holes of a file', (t) => {
  const path = join(mkdtempSync(join(tmpdir(), 'closewait-')), 'sparse');
  t.teardown(() => rmSync(dirname(path), { recursive: true }));
  writeFileSync(path, 'data');
  const fd = ownedBy(t).own(sys.open(path, sys.O_RDONLY | sys.O_NOFOLLOW));
  t.is(sys.lseek(fd, 1, sys.SEEK_DATA), 1);
  t.is(sys.lseek(fd, 1, sys.SEEK_HOLE), 4, 'there is one at the end of every file');
  t.throws(() => sys.lseek(fd, 4, sys.SEEK_DATA), { code: 'ENXIO' });
});

test('lseek: a place that no number can hold is not told as another', async (t) => {
  const fd = ownedBy(t).own(sys.open('/', sys.O_RDONLY));
  const end = native.lseek(fd, 0, sys.SEEK_END);
  // The end of a directory is the last off_t there is on ext4, and one of its entries elsewhere.
  if (Number.isSafeInteger(end)) {
    t.is(sys.lseek(fd, 0, sys.SEEK_END), end);
    return;
  }
  t.throws(() => sys.lseek(fd, 0, sys.SEEK_END), { code: 'ERR_OUT_OF_RANGE' });
  await using actor = await sys.Actor.start();
  await t.throwsAsync(actor.lseek(fd, 0, sys.SEEK_END), { code: 'ERR_OUT_OF_RANGE' });
  t.is(sys.lseek(fd, 0, sys.SEEK_SET), 0);
});
