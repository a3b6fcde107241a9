import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { TcpInfoReader, tcpInfo, tcpState } from '../../src/index.js';
import * as sys from '../../src/syscall/sys.js';
import { actorOf } from '../fixture/actors.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { socketFilter, testWith } from '../fixture/privilege.js';
import { awaitEvents, connected, ipv4, ipv6, listening, tcp } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';

perFamily('the states that a descriptor can show', async (t, family) => {
  const owned = ownedBy(t);
  t.is(tcpInfo(tcp(owned, family)).state, 'CLOSE');
  t.is(tcpInfo(listening(owned, family).fd).state, 'LISTEN');
  const { client, server } = connected(owned, family);
  t.is(tcpInfo(client).state, 'ESTABLISHED');
  sys.shutdown(client, sys.SHUT_WR);
  awaitEvents(server, sys.POLLRDHUP);
  t.is(tcpInfo(server).state, 'CLOSE_WAIT');
  const state = () => tcpInfo(client).state;
  await until(
    () => state() === 'FIN_WAIT2',
    () => String(state()),
  );
  owned.close(server);
  await until(
    () => state() === 'CLOSE',
    () => String(state()),
  );
  t.is(state(), 'CLOSE', 'TIME_WAIT has no descriptor');
});

test('SYN_SENT: nobody has answered', (t) => {
  const owned = ownedBy(t);
  const { fd: listener, ...address } = listening(owned, ipv4, 0);
  sys.connect(tcp(owned), address);
  awaitEvents(listener, sys.POLLIN); // its queue is full
  const waiting = tcp(owned, ipv4, sys.SOCK_NONBLOCK);
  t.throws(() => sys.connect(waiting, address), { code: 'EINPROGRESS' });
  t.is(tcpInfo(waiting).state, 'SYN_SENT');
  t.is(tcpInfo(listener).unacked, 1, 'the accept queue');
  t.is(tcpInfo(listener).sacked, 0, 'its limit');
});

testWith(socketFilter)('LAST_ACK and FIN_WAIT1: the FIN is dropped on its way', (t) => {
  const { client, server } = connected(ownedBy(t));
  const drop = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0);
  sys.shutdown(client, sys.SHUT_WR);
  awaitEvents(server, sys.POLLRDHUP);
  sys.attachFilter(client, drop);
  sys.shutdown(server, sys.SHUT_WR);
  t.is(tcpInfo(server).state, 'LAST_ACK');
  const other = connected(ownedBy(t));
  sys.attachFilter(other.server, drop);
  sys.shutdown(other.client, sys.SHUT_WR);
  t.is(tcpInfo(other.client).state, 'FIN_WAIT1');
});

test('counters count', (t) => {
  const { client, server } = connected(ownedBy(t));
  sys.write(client, 'x'.repeat(1000));
  sys.read(server, new Uint8Array(2000));
  t.is(tcpInfo(server).bytesReceived, 1000);
  const { bytesSent = 0, bytesRetrans = 0 } = tcpInfo(client);
  t.is(bytesSent - bytesRetrans, 1000, 'what was sent again counts again');
  t.true((tcpInfo(client).rttUs ?? 0) > 0);
});

test('a result is of its moment: later calls do not change it', (t) => {
  const { client, server } = connected(ownedBy(t));
  const before = tcpInfo(server);
  // More than one piece of memory holds.
  const many = Array.from({ length: 200 }, (_, i) => {
    sys.write(client, 'x');
    sys.read(server, new Uint8Array(1));
    return { info: tcpInfo(server), bytes: i + 1 };
  });
  sys.shutdown(client, sys.SHUT_WR);
  awaitEvents(server, sys.POLLRDHUP);
  t.is(tcpInfo(server).state, 'CLOSE_WAIT');
  t.is(before.state, 'ESTABLISHED');
  t.is(before.bytesReceived, 0);
  for (const { info, bytes } of many) t.is(info.bytesReceived, bytes);
});

test('a call that fails in between leaves earlier results alone', (t) => {
  const owned = ownedBy(t);
  const first = tcpInfo(listening(owned).fd);
  t.throws(() => tcpInfo(-1), { code: 'EBADF' });
  t.throws(() => tcpInfo(owned.own(sys.eventfd(0))), { code: 'ENOTSOCK' });
  t.is(tcpInfo(tcp(owned)).state, 'CLOSE');
  t.is(first.state, 'LISTEN');
});

test('as long as the kernel makes it: no field is made up', (t) => {
  const fd = tcp(ownedBy(t));
  const full = new Uint8Array(1024);
  const length = sys.getsockopt(fd, sys.IPPROTO_TCP, sys.TCP_INFO, full);
  t.true(length >= 104 && length < 1024);
  const info = tcpInfo(fd);
  t.is(info.rtoUs !== undefined, length >= 12);
  t.is(info.totalRtoTimeMs !== undefined, length >= 248);
  t.is(info.accecn !== undefined, length >= 280);
});

test('a short buffer gets the beginning', (t) => {
  const { client } = connected(ownedBy(t));
  const short = new Uint8Array(8).fill(255);
  t.is(sys.getsockopt(client, sys.IPPROTO_TCP, sys.TCP_INFO, short), 8);
  t.is(short[0], 1);
  t.is(sys.getsockopt(client, sys.IPPROTO_TCP, sys.TCP_INFO, new Uint8Array()), 0);
});

perFamily('tcpState says what tcpInfo says', (t, family) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned, family);
  sys.shutdown(client, sys.SHUT_WR);
  awaitEvents(server, sys.POLLRDHUP);
  const fds = {
    CLOSE: tcp(owned, family),
    LISTEN: listening(owned, family).fd,
    CLOSE_WAIT: server,
  };
  for (const [state, fd] of Object.entries(fds)) {
    t.is<string, string>(tcpState(fd), state);
    t.is(tcpInfo(fd).state, tcpState(fd));
  }
});

/** So many answers that the memory they are kept in is replaced. */
function keepMany(fd: number): void {
  const infos = Array.from({ length: 300 }, () => tcpInfo(fd));
  if (infos.some(({ state }) => state !== infos[0]?.state)) throw new Error('the state changed');
}

test('a reader overwrites what it has returned, and nothing else', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const listener = listening(owned).fd;
  const [reader, other] = [new TcpInfoReader(), new TcpInfoReader()];
  const others = other.read(listener);
  const kept = tcpInfo(listener);
  const copy = reader.read(server).toObject();
  sys.write(client, 'xyz');
  awaitEvents(server, sys.POLLIN);
  const view = reader.read(server);
  t.is(view.bytesReceived, 3);
  t.is(copy.bytesReceived, 0);
  sys.write(client, 'xyz');
  sys.read(server, new Uint8Array(3));
  awaitEvents(server, sys.POLLIN);
  reader.read(server);
  t.is(view.bytesReceived, 6);
  tcpState(client);
  t.is(view.bytesReceived, 6);
  t.is(others.state, 'LISTEN');
  t.is(kept.state, 'LISTEN');
});

test('a reader goes on where memory is replaced', (t) => {
  const owned = ownedBy(t);
  const { server } = connected(owned);
  const listener = listening(owned).fd;
  const reader = new TcpInfoReader();
  const early = reader.read(listener);
  keepMany(server);
  t.is(reader.read(server).state, 'ESTABLISHED');
  t.is(early.state, 'LISTEN', 'what nobody overwrites stays');
  keepMany(server);
  t.is(tcpState(listener), 'LISTEN');
  t.deepEqual(Object.keys(reader.read(listener).toObject()), Object.keys(early.toObject()));
});

test('a read that fails leaves what the reader has', (t) => {
  const reader = new TcpInfoReader();
  t.throws(() => reader.read(-1), { code: 'EBADF' });
  const view = reader.read(listening(ownedBy(t)).fd);
  t.throws(() => reader.read(-1), { code: 'EBADF' });
  t.is(view.state, 'LISTEN');
});

test('tcpState is the first call of a thread of its own', async (t) => {
  const fd = listening(ownedBy(t)).fd;
  const index = new URL('../../src/index.js', import.meta.url).href;
  const worker = new Worker(
    `import { parentPort, workerData } from 'node:worker_threads';
     const { tcpState } = await import(workerData.index);
     parentPort.postMessage(tcpState(workerData.fd));`,
    { eval: true, workerData: { index, fd } },
  );
  const [state] = await once(worker, 'message');
  t.is(state, 'LISTEN');
  t.is(tcpState(fd), 'LISTEN');
  await worker.terminate();
});

const ways: [name: string, ask: (fd: number) => unknown][] = [
  ['tcpInfo', tcpInfo],
  ['tcpState', tcpState],
  ['a reader', (fd) => new TcpInfoReader().read(fd)],
];

const strangers: [what: string, code: string, make: () => number][] = [
  ['a descriptor that is closed', 'EBADF', () => -1],
  ['an eventfd', 'ENOTSOCK', () => sys.eventfd(0)],
  ['UDP', 'EOPNOTSUPP', () => sys.socket(sys.AF_INET, sys.SOCK_DGRAM)],
  ['UDP over IPv6', 'ENOPROTOOPT', () => sys.socket(sys.AF_INET6, sys.SOCK_DGRAM)],
  ['a unix socket', 'EOPNOTSUPP', () => sys.socket(sys.AF_UNIX, sys.SOCK_STREAM)],
  ['netlink', 'ENOPROTOOPT', () => sys.socket(sys.AF_NETLINK, sys.SOCK_RAW, sys.NETLINK_SOCK_DIAG)],
];
for (const [what, code, make] of strangers) {
  test(`not a TCP socket: ${what} is ${code}`, (t) => {
    const fd = make();
    if (fd >= 0) ownedBy(t).own(fd);
    for (const [name, ask] of ways) {
      t.like(
        t.throws(() => ask(fd)),
        { name: 'SyscallError', syscall: 'getsockopt', code, fd },
        name,
      );
    }
  });
}

for (const junk of [undefined, null, '3', 1.5, Number.NaN, {}, 2 ** 31, -(2 ** 31) - 1]) {
  test(`not a descriptor: ${typeof junk} ${junk}`, (t) => {
    for (const [name, ask] of ways) {
      const error = t.throws(() => ask(junk as number));
      t.true(error instanceof TypeError || error instanceof RangeError, name);
    }
  });
}

for (const fd of [2 ** 31 - 1, -(2 ** 31)]) {
  test(`at the edge of int: ${fd}`, (t) => {
    for (const [name, ask] of ways)
      t.like(
        t.throws(() => ask(fd)),
        { code: 'EBADF', fd },
        name,
      );
  });
}

test("another process's socket, by a copy of its descriptor", async (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const actor = await actorOf(t);
  const { pidfd } = await actor.spawn('/bin/sleep', {
    argv: ['sleep', '60'],
    stdio: [server, server, server],
  });
  owned.own(pidfd);
  owned.close(server);
  const copy = owned.own(sys.pidfd_getfd(pidfd, 0));
  t.is(tcpInfo(copy).state, 'ESTABLISHED');
  owned.close(client);
  awaitEvents(copy, sys.POLLRDHUP);
  t.is(tcpInfo(copy).state, 'CLOSE_WAIT');
  sys.pidfd_send_signal(pidfd, sys.SIGKILL);
  sys.waitid(sys.P_PIDFD, pidfd);
});

const hasSs = spawnSync('ss', ['-V']).status === 0;
(hasSs ? test : test.skip)(
  `what ss(8) shows is the same${hasSs ? '' : ' (skipped: no ss here)'}`,
  (t) => {
    const { client } = connected(ownedBy(t), ipv6);
    const [local, remote] = [sys.getsockname(client), sys.getpeername(client)].map(
      ({ address, port }) => `[${address}]:${port}`,
    );
    const ends = `src ${local} dst ${remote}`;
    const shown = spawnSync('ss', ['-tinH', ...ends.split(' ')], { encoding: 'utf8' }).stdout;
    const info = tcpInfo(client);
    t.regex(shown, /^ESTAB /);
    const number = (name: string) => Number(new RegExp(`\\b${name}:([\\d.]+)`).exec(shown)?.[1]);
    t.is(number('mss'), Number(info.sndMssBytes));
    t.is(number('cwnd'), Number(info.sndCwnd));
    t.is(number('rto') * 1000, Number(info.rtoUs));
  },
);

for (const [what, fd] of [
  ['a bigint', 5n],
  ['a symbol', Symbol('fd')],
  ['text', '3'],
  ['null', null],
  ['an object', Object.create(null)],
] as const) {
  test(`a descriptor that is ${what} is refused`, (t) => {
    const reader = new TcpInfoReader();
    for (const ask of [tcpInfo, tcpState, (one: number) => reader.read(one)]) {
      t.throws(() => ask(fd as number), {
        code: 'ERR_INVALID_ARG_TYPE',
        message: /^fd must be a descriptor, received/,
      });
    }
  });
}
