// IPPROTO_TCP. Sources beside the manual page: net/ipv4/tcp.c.
import type { ExecutionContext } from 'ava';
import { tcpOptions } from '../../src/syscall/option-tcp.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import {
  about,
  everyRowHasATest,
  reads,
  round,
  sockets,
  twice,
  writes,
} from '../fixture/option.js';
import { netAdmin, testWith } from '../fixture/privilege.js';
import { awaitEvents, connected, families, ipv4, listening, tcp } from '../fixture/sockets.js';

const unseen = (): void => {};

for (const on of ['tcp4', 'tcp6'] as const) {
  round(on, 'TCP_CONGESTION', 'reno');
  round(on, 'TCP_CORK', true);
  round(on, 'TCP_DEFER_ACCEPT', 1);
  round(on, 'TCP_DEFER_ACCEPT', 5, {
    read: 7,
    why: 'as long as so many SYN+ACKs take: 1, 3, 7, ...',
  });
  round(on, 'TCP_DELACK_MAX_US', 20_000);
  round(on, 'TCP_FASTOPEN', 5);
  round(on, 'TCP_FASTOPEN_CONNECT', true);
  round(
    on,
    'TCP_FASTOPEN_KEY',
    Uint8Array.from({ length: 16 }, (_, i) => i),
  );
  round(on, 'TCP_FASTOPEN_NO_COOKIE', true);
  round(on, 'TCP_INQ', true);
  round(on, 'TCP_KEEPCNT', 3);
  round(on, 'TCP_KEEPIDLE', 30);
  round(on, 'TCP_KEEPINTVL', 5);
  round(on, 'TCP_LINGER2', 10);
  round(on, 'TCP_LINGER2', -7, { read: -1, why: 'negative is one thing: no FIN_WAIT2 at all' });
  round(on, 'TCP_LINGER2', 10_000, { read: 120, why: 'TCP_FIN_TIMEOUT_MAX at most' });
  round(on, 'TCP_MAXSEG', 1000);
  round(on, 'TCP_NODELAY', true);
  round(on, 'TCP_NOTSENT_LOWAT', 4096);
  round(on, 'TCP_NOTSENT_LOWAT', 2 ** 32 - 1);
  round(on, 'TCP_QUICKACK', false);
  round(on, 'TCP_REPAIR', sys.TCP_REPAIR_ON);
  round(on, 'TCP_RTO_MAX_MS', 5000);
  round(on, 'TCP_RTO_MIN_US', 52_000);
  round(on, 'TCP_SAVE_SYN', 1);
  round(on, 'TCP_SYNCNT', 3);
  round(on, 'TCP_THIN_DUPACK', true, {
    read: false,
    why: 'accepted and without effect since 4.12',
  });
  round(on, 'TCP_THIN_LINEAR_TIMEOUTS', true);
  round(on, 'TCP_TX_DELAY', 1000);
  round(on, 'TCP_USER_TIMEOUT', 1500);
  round(on, 'TCP_WINDOW_CLAMP', 65536);
  round(on, 'TCP_WINDOW_CLAMP', 1, { read: 1152, why: 'SOCK_MIN_RCVBUF / 2 at least' });

  reads(on, 'TCP_CC_INFO', (value) => value.length <= 20, 'as much as the algorithm tells');
  reads(on, 'TCP_INFO', (value) => value.length >= 104 && value[0] === 7, 'CLOSE is 7');
  reads(on, 'TCP_IS_MPTCP', (value) => !value, 'a socket of IPPROTO_TCP is none of MPTCP');
}
reads('connected4', 'TCP_INFO', (value) => value[0] === 1, 'ESTABLISHED is 1');

const key = Buffer.from('key');
const peer = { address: '127.0.0.1', key } as const;
const noMore = { ...peer, key: new Uint8Array() } as const;
const takenAway =
  (option: 'TCP_MD5SIG' | 'TCP_MD5SIG_EXT', none: sys.Md5Key) =>
  (t: ExecutionContext, fd: number): void => {
    sys.setOption(fd, option, none);
    twice(option, none, 'ENOENT')(t, fd);
  };
writes('tcp4', 'TCP_MD5SIG', peer, takenAway('TCP_MD5SIG', noMore), {
  why: 'a key for a peer, which can be taken away once',
});
const network = { prefixLength: 8 } as const;
writes(
  'tcp4',
  'TCP_MD5SIG_EXT',
  { ...peer, ...network },
  takenAway('TCP_MD5SIG_EXT', { ...noMore, ...network }),
  { why: 'a key for a network, which can be taken away once' },
);
writes('tcp6', 'TCP_MD5SIG', { address: '::1', key }, unseen, { why: 'a key for a peer' });

test('TCP_MD5SIG: who has no key is not heard, who has it is', (t) => {
  const owned = ownedBy(t);
  const { fd: listener, ...address } = listening(owned, ipv4);
  sys.setOption(listener, 'TCP_MD5SIG', peer);
  const stranger = tcp(owned, ipv4, sys.SOCK_NONBLOCK);
  t.throws(() => sys.connect(stranger, address), { code: 'EINPROGRESS' });
  const friend = tcp(owned);
  sys.setOption(friend, 'TCP_MD5SIG', peer);
  sys.connect(friend, address);
  t.is(sys.poll([{ fd: stranger, events: sys.POLLOUT }], 0)[0]?.revents, 0);
});

// Authentication (RFC 5925): kernels without CONFIG_TCP_AO do not know the options.
for (const option of [
  'TCP_AO_ADD_KEY',
  'TCP_AO_DEL_KEY',
  'TCP_AO_INFO',
  'TCP_AO_REPAIR',
] as const) {
  about(option);
  test(`${option} on tcp4, set: EINVAL for a short struct, ENOPROTOOPT without CONFIG_TCP_AO`, (t) => {
    const error = t.throws(() => sys.setOption(tcp(ownedBy(t)), option, new Uint8Array(1)), {
      instanceOf: sys.SyscallError,
    });
    const known = ['EINVAL', 'EPERM', 'ENOPROTOOPT'];
    t.true(known.includes(error?.code ?? ''), error?.message);
  });
}
for (const option of ['TCP_AO_GET_KEYS', 'TCP_AO_INFO', 'TCP_AO_REPAIR'] as const) {
  about(option);
  test(`${option} on tcp4, get: nothing without a key, ENOPROTOOPT without CONFIG_TCP_AO`, (t) => {
    const error = t.throws(() => sys.getOption(tcp(ownedBy(t)), option), {
      instanceOf: sys.SyscallError,
    });
    const known = ['EINVAL', 'ENOENT', 'EPERM', 'ENOPROTOOPT'];
    t.true(known.includes(error?.code ?? ''), error?.message);
  });
}

// linux/tcp.h: `nkeys` of struct tcp_ao_getsockopt. The kernel lists that many, each as far from the next as it is given bytes.
const KEY_COUNT = 272;
for (const [keys, room] of [
  [2, 304],
  [2 ** 32 - 1, 608],
  [1, KEY_COUNT + 3],
] as const) {
  test(`TCP_AO_GET_KEYS: ${room} bytes are too few for ${keys} keys, with CONFIG_TCP_AO or without`, (t) => {
    const bytes = new Uint8Array(1024);
    new DataView(bytes.buffer).setUint32(KEY_COUNT, keys, true);
    const ask = () =>
      sys.getsockopt(
        tcp(ownedBy(t)),
        sys.IPPROTO_TCP,
        sys.TCP_AO_GET_KEYS,
        bytes.subarray(0, room),
      );
    t.throws(ask, { code: 'EINVAL' });
  });
}

about('TCP_ZEROCOPY_RECEIVE');
test('TCP_ZEROCOPY_RECEIVE on connected4, get only: what is queued; nothing is mapped', (t) => {
  const { client, server } = connected(ownedBy(t));
  sys.write(server, 'hello');
  awaitEvents(client, sys.POLLIN);
  t.deepEqual(sys.getOption(client, 'TCP_ZEROCOPY_RECEIVE'), {
    length: 0,
    recvSkipHint: 5,
    inq: 5,
    err: 0,
  });
  t.throws(
    () => sys.setsockopt(client, sys.IPPROTO_TCP, sys.TCP_ZEROCOPY_RECEIVE, new Uint8Array(64)),
    {
      code: 'ENOPROTOOPT',
    },
  );
});

about('TCP_SAVED_SYN');
test('TCP_SAVED_SYN: the headers of the SYN, once, of a listener with TCP_SAVE_SYN', (t) => {
  const owned = ownedBy(t);
  for (const family of families) {
    const { fd: listener, ...address } = listening(owned, family);
    sys.setOption(listener, 'TCP_SAVE_SYN', 1);
    sys.connect(tcp(owned, family), address);
    const fd = owned.own(sys.accept(listener).fd);
    const syn = sys.getOption(fd, 'TCP_SAVED_SYN');
    t.is((syn[0] ?? 0) >> 4, family === ipv4 ? 4 : 6, 'the version in the IP header');
    t.true(syn.length >= (family === ipv4 ? 40 : 60));
    t.is(sys.getOption(fd, 'TCP_SAVED_SYN').length, 0);
  }
});

about('TCP_ULP');
test('TCP_ULP: none, and one that nobody has is ENOENT', (t) => {
  const { client } = connected(ownedBy(t));
  t.is(sys.getOption(client, 'TCP_ULP'), '');
  t.throws(() => sys.setOption(client, 'TCP_ULP', 'no-such-ulp'), { code: 'ENOENT' });
});

// Of a connection under repair (TCP_REPAIR): what checkpoint and restore move from one socket to another.
round('tcp4', 'TCP_REPAIR', sys.TCP_REPAIR_OFF);
about('TCP_QUEUE_SEQ');
about('TCP_REPAIR_QUEUE');
about('TCP_REPAIR_OPTIONS');
about('TCP_TIMESTAMP');
const withAdmin = testWith(netAdmin);

about('TCP_REPAIR_WINDOW');
withAdmin(`under repair: queues, their sequence numbers, the window, the clock`, (t) => {
  const fd = sockets.repaired4(ownedBy(t));
  t.is(sys.getOption(fd, 'TCP_REPAIR_QUEUE'), sys.TCP_SEND_QUEUE);
  const next = sys.getOption(fd, 'TCP_QUEUE_SEQ');
  t.true(Number.isInteger(next));
  t.throws(
    () => sys.setOption(fd, 'TCP_QUEUE_SEQ', 1),
    { code: 'EPERM' },
    'of a connection: read only',
  );
  const window = sys.getOption(fd, 'TCP_REPAIR_WINDOW');
  t.true(window.sndWnd > 0 && window.rcvWnd > 0);
  sys.setOption(fd, 'TCP_REPAIR_WINDOW', { ...window, maxWindow: window.maxWindow + 1 });
  t.deepEqual(sys.getOption(fd, 'TCP_REPAIR_WINDOW'), {
    ...window,
    maxWindow: window.maxWindow + 1,
  });
  const beforeMs = performance.now();
  sys.setOption(fd, 'TCP_TIMESTAMP', 1_000_000);
  const ticks = sys.getOption(fd, 'TCP_TIMESTAMP') - 1_000_000;
  t.true(ticks >= 0 && ticks <= performance.now() - beforeMs + 1, `it ticks: ${ticks} ms`);
  sys.setOption(fd, 'TCP_TIMESTAMP', 4_000_000_000);
  t.true(sys.getOption(fd, 'TCP_TIMESTAMP') >= 4_000_000_000, 'without a sign');
  // TCPOPT_MAXSEG is 2.
  sys.setOption(fd, 'TCP_REPAIR_OPTIONS', [{ code: 2, value: 1000 }]);
  t.throws(() => sys.getOption(fd, 'TCP_REPAIR_OPTIONS'), { code: 'ENOPROTOOPT' });
  sys.setOption(fd, 'TCP_REPAIR', sys.TCP_REPAIR_OFF_NO_WP);
});

withAdmin(`under repair before connecting: TCP_QUEUE_SEQ is what it was set to`, (t) => {
  const fd = tcp(ownedBy(t));
  sys.setOption(fd, 'TCP_REPAIR', sys.TCP_REPAIR_ON);
  sys.setOption(fd, 'TCP_REPAIR_QUEUE', sys.TCP_SEND_QUEUE);
  sys.setOption(fd, 'TCP_QUEUE_SEQ', 4_000_000_000);
  t.is(sys.getOption(fd, 'TCP_QUEUE_SEQ'), 4_000_000_000);
});

everyRowHasATest(tcpOptions);
