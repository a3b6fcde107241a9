import { tcpInfo } from '../../src/index.js';
import * as sys from '../../src/syscall/sys.js';
import { macro, ownedBy, test } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { socketFilter, testWith } from '../fixture/privilege.js';
import {
  awaitDrop,
  awaitEvents,
  awaitThat,
  connected,
  listening,
  NONBLOCKING,
  tcp,
} from '../fixture/sockets.js';
import { until } from '../fixture/until.js';

perFamily('connect() and accept(): both ends are ESTABLISHED', (t, family) => {
  const owned = ownedBy(t);
  const { fd: listener, address, port } = listening(owned, family);
  const client = tcp(owned, family);
  sys.connect(client, { address, port });
  const accepted = sys.accept(listener);
  owned.own(accepted.fd);
  const { address: host, port: ephemeral } = sys.getsockname(client);
  t.deepEqual(accepted, { fd: accepted.fd, address: host, port: ephemeral });
  t.is(tcpInfo(client).state, 'ESTABLISHED');
  t.is(tcpInfo(accepted.fd).state, 'ESTABLISHED');
});

const acceptFlags = macro({
  title: (name) => `accept() and accept4() with ${name}`,
  exec(t, flags: number, nonblocking: boolean, closeOnExec: boolean) {
    const owned = ownedBy(t);
    const { fd: listener, ...address } = listening(owned);
    for (const call of [sys.accept, sys.accept4]) {
      sys.connect(tcp(owned), address);
      const fd = owned.own(call(listener, flags).fd);
      t.is((sys.fcntl(fd, sys.F_GETFL) & sys.O_NONBLOCK) !== 0, nonblocking);
      t.is(sys.fcntl(fd, sys.F_GETFD) === sys.FD_CLOEXEC, closeOnExec);
    }
  },
});
test('no flags', acceptFlags, 0, false, false);
test('SOCK_NONBLOCK', acceptFlags, sys.SOCK_NONBLOCK, true, false);
test('SOCK_CLOEXEC', acceptFlags, sys.SOCK_CLOEXEC, false, true);

test('accept(): flags of the listener are not inherited, as accept(2) has it', (t) => {
  const owned = ownedBy(t);
  const { fd: listener, ...address } = listening(owned);
  sys.connect(tcp(owned), address);
  sys.fcntl(listener, sys.F_SETFL, sys.O_NONBLOCK);
  // connect() returns with the SYN+ACK: the ACK that puts the connection into the queue may still be on its way.
  awaitEvents(listener, sys.POLLIN);
  const { fd } = sys.accept(listener);
  owned.own(fd);
  t.is(sys.fcntl(fd, sys.F_GETFL) & sys.O_NONBLOCK, 0);
});

perFamily('connect() without blocking: EINPROGRESS, then POLLOUT and no error', (t, family) => {
  const owned = ownedBy(t);
  const { fd: listener, ...address } = listening(owned, family);
  const client = tcp(owned, family, NONBLOCKING - sys.SOCK_STREAM);
  // On loopback the SYN is answered within the call; EINPROGRESS is returned all the same.
  t.throws(() => sys.connect(client, address), { code: 'EINPROGRESS' });
  t.is(awaitEvents(client, sys.POLLOUT), sys.POLLOUT);
  t.is(sys.getOption(client, 'SO_ERROR'), 0);
  owned.own(sys.accept(listener).fd);
});

perFamily('close(): a FIN, the peer is CLOSE_WAIT and reads the end', (t, family) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned, family);
  owned.close(client);
  t.is(awaitEvents(server, sys.POLLRDHUP), sys.POLLRDHUP);
  t.is(tcpInfo(server).state, 'CLOSE_WAIT');
  t.is(sys.read(server, new Uint8Array(1)), 0);
});

perFamily(
  'shutdown(SHUT_WR): FIN_WAIT2 here, CLOSE_WAIT there, and data still comes back',
  async (t, family) => {
    const { client, server } = connected(ownedBy(t), family);
    sys.shutdown(client, sys.SHUT_WR);
    t.is(awaitEvents(server, sys.POLLRDHUP), sys.POLLRDHUP);
    // The ACK of a FIN without data may come a tick later.
    const state = () => tcpInfo(client).state;
    t.true(
      await until(
        () => state() === 'FIN_WAIT2',
        () => String(state()),
      ),
    );
    t.is(tcpInfo(server).state, 'CLOSE_WAIT');
    t.is(sys.write(server, 'late'), 4);
    t.is(sys.read(client, new Uint8Array(8)), 4);
    t.throws(() => sys.write(client, 'x'), { code: 'EPIPE' });
  },
);

perFamily('shutdown(SHUT_RD): reads end at once, the peer notices nothing', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  sys.shutdown(client, sys.SHUT_RD);
  t.is(sys.read(client, new Uint8Array(1)), 0);
  t.is(tcpInfo(client).state, 'ESTABLISHED');
  t.is(tcpInfo(server).state, 'ESTABLISHED');
});

perFamily('shutdown(SHUT_RDWR) of both ends: CLOSE', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  sys.shutdown(client, sys.SHUT_RDWR);
  t.is(awaitEvents(server, sys.POLLRDHUP), sys.POLLRDHUP);
  sys.shutdown(server, sys.SHUT_RDWR);
  t.true((awaitEvents(client, sys.POLLHUP) & sys.POLLHUP) !== 0, 'both of its sides are shut down');
  // TIME_WAIT is not the descriptor any more. No event tells that the FIN has come, or its ACK.
  const states = () => [client, server].map((fd) => tcpInfo(fd).state).join(', ');
  awaitThat(() => states() === 'CLOSE, CLOSE', states);
});

perFamily('SO_LINGER {on, 0 s} and close(): a RST, ECONNRESET at the peer once', (t, family) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned, family);
  sys.setOption(client, 'SO_LINGER', { on: true, seconds: 0 });
  owned.close(client);
  t.throws(() => sys.read(server, new Uint8Array(1)), { code: 'ECONNRESET' });
  t.true((awaitEvents(server, sys.POLLIN) & sys.POLLHUP) !== 0);
  t.is(sys.read(server, new Uint8Array(1)), 0, 'a socket error is delivered once');
  t.throws(() => sys.getpeername(server), { code: 'ENOTCONN' });
});

test('connect() to AF_UNSPEC dissolves the connection; the socket can be used again', (t) => {
  const owned = ownedBy(t);
  const { client, server, listener, address } = connected(owned);
  sys.connect(client, Uint8Array.of(sys.AF_UNSPEC, 0));
  t.is(tcpInfo(client).state, 'CLOSE');
  t.throws(() => sys.read(server, new Uint8Array(1)), { code: 'ECONNRESET' });
  sys.connect(client, address);
  owned.own(sys.accept(listener).fd);
  t.is(tcpInfo(client).state, 'ESTABLISHED');
});

test('dup(): closing one copy sends no FIN, shutdown() of one does', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const copy = owned.own(sys.dup(client));
  owned.close(client);
  t.deepEqual(sys.poll([{ fd: server, events: sys.POLLRDHUP }], 0), [{ fd: server, revents: 0 }]);
  t.is(tcpInfo(server).state, 'ESTABLISHED');
  sys.shutdown(copy, sys.SHUT_WR);
  t.is(awaitEvents(server, sys.POLLRDHUP), sys.POLLRDHUP);
});

perFamily('a connection closed before accept() is accepted all the same', (t, family) => {
  const owned = ownedBy(t);
  const { fd: listener, ...address } = listening(owned, family);
  const client = tcp(owned, family);
  sys.connect(client, address);
  sys.write(client, 'gone');
  owned.close(client);
  const { fd } = sys.accept(listener);
  owned.own(fd);
  t.is(awaitEvents(fd, sys.POLLRDHUP), sys.POLLRDHUP);
  t.is(tcpInfo(fd).state, 'CLOSE_WAIT');
  t.is(sys.read(fd, new Uint8Array(8)), 4);
  t.is(sys.read(fd, new Uint8Array(8)), 0);
});

testWith(socketFilter)(
  'attachFilter(): a program that returns 0 drops what arrives, and detaching lets it in',
  (t) => {
    const { client, server } = connected(ownedBy(t));
    // struct sock_filter {code 16, jt 8, jf 8, k 32}: BPF_RET | BPF_K, 0 (linux/filter.h).
    sys.attachFilter(server, Uint8Array.of(sys.BPF_RET | sys.BPF_K, 0, 0, 0, 0, 0, 0, 0));
    sys.write(client, 'lost');
    awaitDrop(server);
    t.is(sys.ioctl(server, sys.SIOCINQ), 0);
    t.is(sys.ioctl(client, sys.SIOCOUTQ), 4, 'nobody acknowledges it');
    sys.setOption(server, 'SO_DETACH_FILTER', 0);
    // The retransmission gets through.
    t.is(sys.read(server, new Uint8Array(8)), 4);
    t.true((tcpInfo(client).totalRetrans ?? 0) > 0);
  },
);
