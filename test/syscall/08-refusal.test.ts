import type { ExecutionContext } from 'ava';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { socketFilter, testWith } from '../fixture/privilege.js';
import {
  connected,
  type Family,
  ipv4,
  ipv6,
  listening,
  refusing,
  tcp,
} from '../fixture/sockets.js';

const CLOSED = 100_000;
const one = () => new Uint8Array(1);

/** What the kernel refuses, and where it is written. */
interface Refusal {
  readonly does: string;
  /** Makes the call; what it opens is `owned`. */
  readonly call: (owned: sys.Descriptors, family: Family) => unknown;
  readonly code: string;
  readonly syscall: string;
  readonly source: string;
}

const root = (owned: sys.Descriptors): number =>
  owned.own(sys.open('/', sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC));

const withNonblocking = (fd: number): number => {
  sys.fcntl(fd, sys.F_SETFL, sys.O_NONBLOCK);
  return fd;
};

const overTcp: Refusal[] = [
  {
    does: 'connect() to a port nobody listens on',
    call: (owned, family) => sys.connect(tcp(owned, family), refusing(owned, family)),
    code: 'ECONNREFUSED',
    syscall: 'connect',
    source: 'connect(2)',
  },
  {
    does: 'bind() to an address in use',
    call: (owned, family) => {
      const { address, port } = listening(owned, family);
      sys.bind(tcp(owned, family), { address, port });
    },
    code: 'EADDRINUSE',
    syscall: 'bind',
    source: 'bind(2)',
  },
  {
    does: 'bind() to an address that is not ours (TEST-NET-1, 2001:db8::/32)',
    call: (owned, family) =>
      sys.bind(tcp(owned, family), {
        address: family === ipv4 ? '192.0.2.1' : '2001:db8::1',
        port: 0,
      }),
    code: 'EADDRNOTAVAIL',
    syscall: 'bind',
    source: 'bind(2)',
  },
  {
    does: 'bind() twice',
    call: (owned, family) => {
      const fd = tcp(owned, family);
      sys.bind(fd, { address: family.loopback, port: 0 });
      sys.bind(fd, { address: family.loopback, port: 0 });
    },
    code: 'EINVAL',
    syscall: 'bind',
    source: 'bind(2)',
  },
  {
    does: 'connect() twice',
    call: (owned, family) => {
      const { client, address } = connected(owned, family);
      sys.connect(client, address);
    },
    code: 'EISCONN',
    syscall: 'connect',
    source: 'connect(2)',
  },
  {
    does: 'connect() of a listener',
    call: (owned, family) => {
      const { fd, address, port } = listening(owned, family);
      sys.connect(fd, { address, port });
    },
    code: 'EISCONN',
    syscall: 'connect',
    source: '__inet_stream_connect() in net/ipv4/af_inet.c',
  },
  {
    does: 'accept() of a socket that does not listen',
    call: (owned, family) => sys.accept(tcp(owned, family)),
    code: 'EINVAL',
    syscall: 'accept',
    source: 'accept(2)',
  },
  {
    does: 'accept() without blocking and without a connection',
    call: (owned, family) => sys.accept(withNonblocking(listening(owned, family).fd)),
    code: 'EAGAIN',
    syscall: 'accept',
    source: 'accept(2)',
  },
  {
    does: 'accept4() with flags that are none',
    call: (owned, family) => sys.accept4(listening(owned, family).fd, 1),
    code: 'EINVAL',
    syscall: 'accept4',
    source: 'accept4(2)',
  },
  {
    does: 'read() without blocking and without data',
    call: (owned, family) => sys.read(withNonblocking(connected(owned, family).client), one()),
    code: 'EAGAIN',
    syscall: 'read',
    source: 'read(2)',
  },
  {
    does: 'read() of a socket that is not connected',
    call: (owned, family) => sys.read(tcp(owned, family), one()),
    code: 'ENOTCONN',
    syscall: 'read',
    source: 'recv(2)',
  },
  {
    does: 'getpeername() of a socket that is not connected',
    call: (owned, family) => sys.getpeername(tcp(owned, family)),
    code: 'ENOTCONN',
    syscall: 'getpeername',
    source: 'getpeername(2)',
  },
  {
    does: 'shutdown() of a socket that is not connected',
    call: (owned, family) => sys.shutdown(tcp(owned, family), sys.SHUT_WR),
    code: 'ENOTCONN',
    syscall: 'shutdown',
    source: 'shutdown(2)',
  },
  {
    does: 'shutdown() of neither side',
    call: (owned, family) => sys.shutdown(connected(owned, family).client, 3),
    code: 'EINVAL',
    syscall: 'shutdown',
    source: 'shutdown(2)',
  },
  {
    does: 'write() to a socket that was never connected',
    call: (owned, family) => sys.write(tcp(owned, family), 'x'),
    code: 'EPIPE',
    syscall: 'write',
    source: 'tcp_sendmsg(), sk_stream_wait_connect()',
  },
  {
    does: 'write() after shutdown(SHUT_WR)',
    call: (owned, family) => {
      const { client } = connected(owned, family);
      sys.shutdown(client, sys.SHUT_WR);
      sys.write(client, 'x');
    },
    code: 'EPIPE',
    syscall: 'write',
    source: 'shutdown(2), send(2)',
  },
  {
    does: 'the second write() to a peer that has closed',
    call: (owned, family) => {
      const { client, server } = connected(owned, family);
      owned.close(client);
      sys.write(server, 'draws a RST');
      sys.poll([{ fd: server, events: 0 }], 5000);
      sys.write(server, 'x');
    },
    code: 'EPIPE',
    syscall: 'write',
    source: 'tcp_reset() in net/ipv4/tcp_input.c: EPIPE for CLOSE_WAIT',
  },
  {
    does: 'read() after a RST in ESTABLISHED',
    call: (owned, family) => {
      const { client, server } = connected(owned, family);
      sys.setOption(client, 'SO_LINGER', { on: true, seconds: 0 });
      owned.close(client);
      sys.read(server, one());
    },
    code: 'ECONNRESET',
    syscall: 'read',
    source: 'tcp_reset() in net/ipv4/tcp_input.c',
  },
  {
    does: 'an option that does not exist',
    call: (owned, family) => sys.getsockopt(tcp(owned, family), sys.IPPROTO_TCP, 9999),
    code: 'ENOPROTOOPT',
    syscall: 'getsockopt',
    source: 'getsockopt(2)',
  },
  {
    does: 'a level that does not exist',
    call: (owned, family) => sys.setsockopt(tcp(owned, family), 12345, 1, 1),
    code: 'ENOPROTOOPT',
    syscall: 'setsockopt',
    source: 'setsockopt(2)',
  },
  {
    does: 'an int option given one byte',
    call: (owned, family) =>
      sys.setsockopt(tcp(owned, family), sys.SOL_SOCKET, sys.SO_KEEPALIVE, one()),
    code: 'EINVAL',
    syscall: 'setsockopt',
    source: 'setsockopt(2)',
  },
  {
    does: 'recv(MSG_OOB) without urgent data',
    call: (owned, family) => sys.recv(connected(owned, family).client, one(), sys.MSG_OOB),
    code: 'EINVAL',
    syscall: 'recvfrom',
    source: 'tcp_recv_urg() in net/ipv4/tcp.c',
  },
  {
    does: 'recv(MSG_ERRQUEUE) without an error',
    call: (owned, family) => sys.recv(connected(owned, family).client, one(), sys.MSG_ERRQUEUE),
    code: 'EAGAIN',
    syscall: 'recvfrom',
    source: 'recv(2)',
  },
  {
    does: 'sendmsg() with an unknown control message',
    call: (owned, family) =>
      sys.sendmsg(connected(owned, family).client, {
        data: [],
        control: [{ level: sys.SOL_SOCKET, type: 9999, data: one() }],
      }),
    code: 'EINVAL',
    syscall: 'sendmsg',
    source: '__sock_cmsg_send() in net/core/sock.c',
  },
];

const anywhere: Refusal[] = [
  {
    does: 'connect() of an IPv4 socket to an IPv6 address',
    call: (owned) => sys.connect(tcp(owned, ipv4), { address: '::1', port: 1 }),
    code: 'EAFNOSUPPORT',
    syscall: 'connect',
    source: 'connect(2)',
  },
  {
    does: 'connect() of an IPv6 socket to an IPv4 address, which is too short for one',
    call: (owned) => sys.connect(tcp(owned, ipv6), { address: '127.0.0.1', port: 1 }),
    code: 'EINVAL',
    syscall: 'connect',
    source: 'tcp_v6_connect() in net/ipv6/tcp_ipv6.c',
  },
  {
    does: 'socket() of a family nobody speaks',
    call: () => sys.socket(255, sys.SOCK_STREAM),
    code: 'EAFNOSUPPORT',
    syscall: 'socket',
    source: 'socket(2)',
  },
  {
    does: 'socket() of a protocol that is not of the type',
    call: () => sys.socket(sys.AF_INET, sys.SOCK_STREAM, sys.IPPROTO_UDP),
    code: 'EPROTONOSUPPORT',
    syscall: 'socket',
    source: 'socket(2)',
  },
  {
    does: 'socket() of an unknown type',
    call: () => sys.socket(sys.AF_INET, 11),
    code: 'EINVAL',
    syscall: 'socket',
    source: 'socket(2)',
  },
  {
    does: 'socketpair() over TCP',
    call: () => sys.socketpair(sys.AF_INET, sys.SOCK_STREAM),
    code: 'EOPNOTSUPP',
    syscall: 'socketpair',
    source: 'socketpair(2)',
  },
  {
    does: 'listen() of a datagram socket',
    call: (owned) => sys.listen(owned.own(sys.socket(sys.AF_INET, sys.SOCK_DGRAM)), 1),
    code: 'EOPNOTSUPP',
    syscall: 'listen',
    source: 'listen(2)',
  },
  {
    does: 'write() to a pipe without a reader',
    call: (owned) => {
      const [from, to] = sys.pipe2().map((fd) => owned.own(fd)) as [number, number];
      owned.close(from);
      sys.write(to, 'x');
    },
    code: 'EPIPE',
    syscall: 'write',
    source: 'pipe(7)',
  },
  {
    does: 'SIOCINQ of a listener',
    call: (owned) => sys.ioctl(listening(owned).fd, sys.SIOCINQ),
    code: 'EINVAL',
    syscall: 'ioctl',
    source: 'tcp(7)',
  },
  {
    does: 'F_DUPFD past the limit of descriptors',
    call: (owned) => sys.fcntl(tcp(owned), sys.F_DUPFD, 2 ** 31 - 1),
    code: 'EINVAL',
    syscall: 'fcntl',
    source: 'fcntl(2)',
  },
  {
    does: 'dup3() onto itself',
    call: (owned) => {
      const fd = tcp(owned);
      sys.dup3(fd, fd);
    },
    code: 'EINVAL',
    syscall: 'dup3',
    source: 'dup3(2)',
  },
  {
    does: 'epoll_ctl() twice for one descriptor',
    call: (owned) => {
      const epoll = owned.own(sys.epoll_create1());
      const fd = tcp(owned);
      sys.epoll_ctl(epoll, sys.EPOLL_CTL_ADD, fd);
      sys.epoll_ctl(epoll, sys.EPOLL_CTL_ADD, fd);
    },
    code: 'EEXIST',
    syscall: 'epoll_ctl',
    source: 'epoll_ctl(2)',
  },
  {
    does: 'epoll_ctl() of what was never added',
    call: (owned) => sys.epoll_ctl(owned.own(sys.epoll_create1()), sys.EPOLL_CTL_DEL, tcp(owned)),
    code: 'ENOENT',
    syscall: 'epoll_ctl',
    source: 'epoll_ctl(2)',
  },
  {
    does: 'pipe2() with flags that are none',
    call: () => sys.pipe2(1),
    code: 'EINVAL',
    syscall: 'pipe2',
    source: 'pipe2(2)',
  },
  {
    does: 'eventfd() with flags that are none',
    call: () => sys.eventfd(0, 1 << 20),
    code: 'EINVAL',
    syscall: 'eventfd2',
    source: 'eventfd(2)',
  },
  {
    does: 'openat() of a path that leads nowhere',
    call: (owned) => sys.openat(root(owned), 'none of this', sys.O_RDONLY),
    code: 'ENOENT',
    syscall: 'openat',
    source: 'open(2)',
  },
  {
    does: 'openat() below what is no directory',
    call: (owned) => sys.openat(owned.own(sys.eventfd(0)), 'x', sys.O_RDONLY),
    code: 'ENOTDIR',
    syscall: 'openat',
    source: 'open(2)',
  },
  {
    does: 'getdents64() of what is no directory',
    call: (owned) => sys.getdents64(owned.own(sys.eventfd(0)), new Uint8Array(1024)),
    code: 'ENOTDIR',
    syscall: 'getdents64',
    source: 'getdents(2)',
  },
  {
    does: 'getdents64() into what has no room for a record',
    call: (owned) => sys.getdents64(root(owned), new Uint8Array(8)),
    code: 'EINVAL',
    syscall: 'getdents64',
    source: 'getdents(2)',
  },
  {
    does: 'readlinkat() of what is no link',
    call: (owned) => sys.readlinkat(root(owned), 'proc', one()),
    code: 'EINVAL',
    syscall: 'readlinkat',
    source: 'readlink(2)',
  },
  {
    does: 'readlinkat() of a path that leads nowhere',
    call: (owned) => sys.readlinkat(root(owned), 'none of this', one()),
    code: 'ENOENT',
    syscall: 'readlinkat',
    source: 'readlink(2)',
  },
  {
    does: 'readlinkat() into no bytes',
    call: (owned) => sys.readlinkat(root(owned), 'proc/self', new Uint8Array()),
    code: 'EINVAL',
    syscall: 'readlinkat',
    source: 'readlink(2)',
  },
  {
    does: 'getxattr() of what has no such attribute',
    call: () => sys.getxattr('/proc/self', 'system.sockprotoname', new Uint8Array(32)),
    code: 'EOPNOTSUPP',
    syscall: 'getxattr',
    source: 'getxattr(2)',
  },
  {
    does: 'getxattr() into what has no room for it',
    call: (owned) => sys.getxattr(`/proc/self/fd/${tcp(owned)}`, 'system.sockprotoname', one()),
    code: 'ERANGE',
    syscall: 'getxattr',
    source: 'getxattr(2)',
  },
  {
    does: 'getxattr() of a path that leads nowhere',
    call: () => sys.getxattr('/none of this', 'user.a', one()),
    code: 'ENOENT',
    syscall: 'getxattr',
    source: 'getxattr(2)',
  },
  {
    does: 'lseek() of what has no places',
    call: (owned) => sys.lseek(tcp(owned), 0, sys.SEEK_SET),
    code: 'ESPIPE',
    syscall: 'lseek',
    source: 'lseek(2)',
  },
  {
    does: 'lseek() to before the start',
    call: (owned) => sys.lseek(root(owned), -1, sys.SEEK_SET),
    code: 'EINVAL',
    syscall: 'lseek',
    source: 'lseek(2)',
  },
  {
    does: 'lseek() from nowhere',
    call: (owned) => sys.lseek(root(owned), 0, 100),
    code: 'EINVAL',
    syscall: 'lseek',
    source: 'lseek(2)',
  },
  {
    does: 'a clock that does not exist',
    call: () => sys.clock_gettime(100),
    code: 'EINVAL',
    syscall: 'clock_gettime',
    source: 'clock_gettime(2)',
  },
  {
    does: 'the resolution of a clock that does not exist',
    call: () => sys.clock_getres(100),
    code: 'EINVAL',
    syscall: 'clock_getres',
    source: 'clock_getres(2)',
  },
  {
    does: 'waitid() without a child',
    call: () => sys.waitid(sys.P_PID, process.pid),
    code: 'ECHILD',
    syscall: 'waitid',
    source: 'waitid(2)',
  },
];

const ofFilters: Refusal[] = [
  {
    does: 'a filter without instructions',
    call: (owned) => sys.attachFilter(tcp(owned), new Uint8Array()),
    code: 'EINVAL',
    syscall: 'setsockopt',
    source: 'bpf_check_basics_ok() in net/core/filter.c',
  },
  {
    does: 'a filter that does not end in a return',
    call: (owned) => sys.attachFilter(tcp(owned), new Uint8Array(8)),
    code: 'EINVAL',
    syscall: 'setsockopt',
    source: 'bpf_check_classic() in net/core/filter.c',
  },
];

function refused(t: ExecutionContext, row: Refusal, family: Family): void {
  const owned = ownedBy(t);
  const error = t.throws(() => row.call(owned, family), { instanceOf: sys.SyscallError });
  t.is(error?.code, row.code, row.source);
  t.is(error?.syscall, row.syscall);
  t.is(error?.errno, -(Reflect.get(sys, row.code) as number));
  t.true(error?.message.startsWith(`${row.syscall} ${row.code}: `), error?.message);
}

for (const row of overTcp) {
  perFamily(`${row.does}: ${row.code}`, (t, family) => refused(t, row, family));
}
for (const row of ofFilters) {
  testWith(socketFilter)(`${row.does}: ${row.code}`, (t) => refused(t, row, ipv4));
}
for (const row of anywhere) {
  test(`${row.does}: ${row.code}`, (t) => refused(t, row, ipv4));
}

const onDescriptors: Record<string, (fd: number) => unknown> = {
  bind: (fd) => sys.bind(fd, { address: '127.0.0.1', port: 0 }),
  listen: (fd) => sys.listen(fd, 1),
  accept: (fd) => sys.accept(fd),
  accept4: (fd) => sys.accept4(fd, 0),
  connect: (fd) => sys.connect(fd, { address: '127.0.0.1', port: 1 }),
  recvfrom: (fd) => sys.recv(fd, one()),
  sendto: (fd) => sys.send(fd, 'x'),
  sendmsg: (fd) => sys.sendmsg(fd, { data: [one()] }),
  recvmsg: (fd) => sys.recvmsg(fd, { buffers: [one()] }),
  shutdown: (fd) => sys.shutdown(fd, sys.SHUT_WR),
  getsockname: (fd) => sys.getsockname(fd),
  getpeername: (fd) => sys.getpeername(fd),
  getsockopt: (fd) => sys.getsockopt(fd, sys.SOL_SOCKET, sys.SO_TYPE),
  setsockopt: (fd) => sys.setsockopt(fd, sys.SOL_SOCKET, sys.SO_KEEPALIVE, 1),
};
const onAnything: typeof onDescriptors = {
  ...onDescriptors,
  read: (fd) => sys.read(fd, one()),
  write: (fd) => sys.write(fd, 'x'),
  readv: (fd) => sys.readv(fd, [one()]),
  writev: (fd) => sys.writev(fd, [one()]),
  close: (fd) => sys.close(fd),
  dup: (fd) => sys.dup(fd),
  dup3: (fd) => sys.dup3(fd, CLOSED + 1),
  fcntl: (fd) => sys.fcntl(fd, sys.F_GETFL),
  ioctl: (fd) => sys.ioctl(fd, sys.SIOCINQ),
  openat: (fd) => sys.openat(fd, 'x', sys.O_RDONLY),
  readlinkat: (fd) => sys.readlinkat(fd, 'x', one()),
  getdents64: (fd) => sys.getdents64(fd, new Uint8Array(64)),
  lseek: (fd) => sys.lseek(fd, 0, sys.SEEK_CUR),
  epoll_ctl: (fd) => sys.epoll_ctl(CLOSED + 1, sys.EPOLL_CTL_ADD, fd),
  epoll_wait: (fd) => sys.epoll_wait(fd, 1, 0),
  setns: (fd) => sys.setns(fd, 0),
  pidfd_getfd: (fd) => sys.pidfd_getfd(fd, 0),
  pidfd_send_signal: (fd) => sys.pidfd_send_signal(fd, 0),
};

for (const [syscall, call] of Object.entries(onAnything)) {
  for (const fd of [-1, CLOSED]) {
    test(`${syscall} of descriptor ${fd}: EBADF`, (t) => {
      const error = t.throws(() => call(fd), { instanceOf: sys.SyscallError });
      t.is(error?.code, 'EBADF');
      t.is(error?.syscall, syscall);
      t.is(error?.fd, fd);
    });
  }
}

for (const [syscall, call] of Object.entries(onDescriptors)) {
  test(`${syscall} of an eventfd: ENOTSOCK`, (t) => {
    const fd = ownedBy(t).own(sys.eventfd(0));
    t.like(
      t.throws(() => call(fd)),
      { code: 'ENOTSOCK', errno: -sys.ENOTSOCK, syscall, fd },
    );
  });
}

test('the limit of descriptors: EMFILE, and with one closed it goes on', (t) => {
  const owned = ownedBy(t);
  const first = tcp(owned);
  // Fill to this process's own limit, and be quick about it: whatever else wants one fails, too.
  const error = t.throws(() => {
    for (;;) owned.own(sys.dup(first));
  }) as sys.SyscallError;
  const another = t.throws(() => sys.socket(sys.AF_INET, sys.SOCK_STREAM)) as sys.SyscallError;
  const pipe = t.throws(() => sys.pipe2()) as sys.SyscallError;
  owned[Symbol.dispose]();
  t.is(error.code, 'EMFILE');
  t.is(error.fd, first);
  t.is(another.code, 'EMFILE');
  t.is(pipe.code, 'EMFILE');
  owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
});

perFamily('the shape of an error, and its message', (t, family) => {
  const owned = ownedBy(t);
  const fd = tcp(owned, family);
  const { address, port } = refusing(owned, family);
  const error = t.throws(() => sys.connect(fd, { address, port }), { instanceOf: Error });
  const host = address.includes(':') ? `[${address}]` : address;
  t.is(error?.name, 'SyscallError');
  t.is(error?.message, `connect ECONNREFUSED: connection refused (${host}:${port}, fd ${fd})`);
  t.deepEqual({ ...error }, {
    name: 'SyscallError',
    syscall: 'connect',
    errno: -sys.ECONNREFUSED,
    code: 'ECONNREFUSED',
    fd,
    address,
    port,
  } as unknown as Error);
  t.regex(error?.stack ?? '', /^SyscallError: connect ECONNREFUSED.*\n {4}at .*08-refusal/);
});

test('what does not apply is absent: no fd of a socket() that failed', (t) => {
  const error = t.throws(() => sys.socket(255, sys.SOCK_STREAM)) as sys.SyscallError;
  t.is(error.message, 'socket EAFNOSUPPORT: address family not supported by protocol');
  for (const part of ['fd', 'address', 'port', 'path']) t.false(part in error, part);
});

test('an errno without a name keeps its number', (t) => {
  const error = new sys.SyscallError('read', -4095);
  t.is(error.code, 'ERRNO_4095');
  t.is(error.message, 'read ERRNO_4095: unknown error');
});

const words: [errno: number, code: string, text: string][] = [
  [-sys.EPIPE, 'EPIPE', 'broken pipe'],
  [sys.EPIPE, 'EPIPE', 'broken pipe'],
  [sys.EWOULDBLOCK, 'EAGAIN', 'resource temporarily unavailable'],
  [sys.ENOTSUP, 'EOPNOTSUPP', 'operation not supported'],
  [sys.ESRMNT, 'ESRMNT', 'srmount error'],
  [sys.EDOTDOT, 'EDOTDOT', 'RFS specific error'],
];
for (const [errno, code, text] of words) {
  test(`errno ${errno} is ${code}: ${text}`, (t) => {
    t.is(sys.errnoName(errno), code);
    t.is(sys.errnoText(errno), text);
  });
}

type Misuse = [what: string, call: () => unknown, error: 'TypeError' | 'RangeError', said: string];
const loose = sys as unknown as Record<string, (...args: unknown[]) => unknown>;
const misuse: Misuse[] = [
  [
    'no arguments',
    () => loose['close']?.(),
    'TypeError',
    'close: fd must be an integer from -2147483648 to 2147483647, received undefined',
  ],
  [
    'text',
    () => loose['close']?.('3'),
    'TypeError',
    'close: fd must be an integer from -2147483648 to 2147483647, received a string',
  ],
  [
    'NaN',
    () => loose['close']?.(Number.NaN),
    'RangeError',
    'close: fd must be an integer from -2147483648 to 2147483647, received NaN',
  ],
  [
    '2^31',
    () => loose['close']?.(2 ** 31),
    'RangeError',
    'close: fd must be an integer from -2147483648 to 2147483647, received 2147483648',
  ],
  [
    '1.5',
    () => loose['listen']?.(-1, 1.5),
    'RangeError',
    'listen: backlog must be an integer from -2147483648 to 2147483647, received 1.5',
  ],
  [
    'a bigint',
    () => loose['dup']?.(1n),
    'TypeError',
    'dup: fd must be an integer from -2147483648 to 2147483647, received a bigint',
  ],
  [
    'no buffer',
    () => loose['read']?.(-1),
    'TypeError',
    'read: buffer must be a typed array, received undefined',
  ],
  [
    'a DataView',
    () => loose['read']?.(-1, new DataView(new ArrayBuffer(1))),
    'TypeError',
    'read: buffer must be a typed array, received an object',
  ],
  [
    'an ArrayBuffer',
    () => loose['read']?.(-1, new ArrayBuffer(1)),
    'TypeError',
    'read: buffer must be a typed array, received an object',
  ],
  [
    'a detached array',
    () => loose['read']?.(-1, detached()),
    'TypeError',
    'read: buffer must be a typed array that is not detached, received a typed array of 0 elements',
  ],
  [
    'a detached array among others',
    () => loose['readv']?.(-1, [one(), detached()]),
    'TypeError',
    'readv: buffers must be a typed array that is not detached, received a typed array of 0 elements',
  ],
  [
    'an offset that no double has exactly',
    () => sys.lseek(-1, 2 ** 53, 0),
    'RangeError',
    'lseek: offset must be an integer from -9007199254740991 to 9007199254740991, received 9007199254740992',
  ],
  [
    'a name that is none',
    () => sys.getxattr('/', 5 as never, one()),
    'TypeError',
    'name must be a string without NUL, received 5',
  ],
  [
    'a path with NUL',
    () => sys.readlinkat(-1, 'a\0b', one()),
    'RangeError',
    'path must be a string without NUL, received "a\\u0000b"',
  ],
  [
    'an array whose buffer has become too short for it',
    () => loose['read']?.(-1, cutOff()),
    'TypeError',
    'read: buffer must be a typed array that its buffer is long enough for, received a typed array of 0 elements',
  ],
  [
    'such an array where the kernel wants a struct',
    () => loose['setsockopt']?.(-1, 1, 1, cutOff()),
    'TypeError',
    'setsockopt: value must be a typed array that its buffer is long enough for, received a typed array of 0 elements',
  ],
  [
    'half a filter',
    () => loose['attachFilter']?.(-1, new Uint8Array(12)),
    'RangeError',
    'setfilter: program must be at most 4096 instructions of 8 bytes each, received a typed array of 12 elements',
  ],
  [
    'a value that is no integer',
    () => sys.setsockopt(-1, 1, 1, 1.5),
    'RangeError',
    'setsockopt: value must be an integer of 32 bits, received 1.5',
  ],
  [
    'NaN as value',
    () => sys.setsockopt(-1, 1, 1, Number.NaN),
    'RangeError',
    'setsockopt: value must be an integer of 32 bits, received NaN',
  ],
];

function detached(): Uint8Array {
  const bytes = one();
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}

/** A view of what was behind the fourth byte of a buffer that now has four. */
function cutOff(length?: number): Uint8Array {
  const memory = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }]) as ArrayBuffer;
  const bytes = new Uint8Array(memory, 4, length ?? 4);
  Reflect.get(memory, 'resize').call(memory, 4);
  return bytes;
}

test('an empty array is none of these: read() of it is 0, at the end of a buffer too', (t) => {
  const { client, server } = connected(ownedBy(t));
  sys.write(client, 'x');
  for (const empty of [new Uint8Array(), new Uint8Array(8).subarray(8), cutOff(0)]) {
    t.is(sys.read(server, empty), 0);
  }
  t.is(sys.read(server, one()), 1);
});

for (const [what, call, name, message] of misuse) {
  test(`${what}: ${message}`, (t) => {
    const code = name === 'TypeError' ? 'ERR_INVALID_ARG_TYPE' : 'ERR_OUT_OF_RANGE';
    t.throws(call, { name, message, code });
  });
}
