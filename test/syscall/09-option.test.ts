import type { ExecutionContext } from 'ava';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { netAdmin, socketFilter, testWith } from '../fixture/privilege.js';
import { connected, families, ipv4, ipv6, listening, refusing, tcp } from '../fixture/sockets.js';

type Name = sys.SocketOptionName;
type Value<N extends Name> = sys.SocketOptionValue<N>;

/** Sockets to try an option on, by a name that titles can carry. */
const sockets = {
  tcp4: (owned: sys.Descriptors) => tcp(owned, ipv4),
  tcp6: (owned: sys.Descriptors) => tcp(owned, ipv6),
  udp4: (owned: sys.Descriptors) => owned.own(sys.socket(sys.AF_INET, sys.SOCK_DGRAM)),
  udp6: (owned: sys.Descriptors) => owned.own(sys.socket(sys.AF_INET6, sys.SOCK_DGRAM)),
  unix: (owned: sys.Descriptors) => {
    const pair = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM);
    return pair.map((fd) => owned.own(fd))[0] as number;
  },
  listener4: (owned: sys.Descriptors) => listening(owned, ipv4).fd,
  connected4: (owned: sys.Descriptors) => connected(owned, ipv4).client,
  connected6: (owned: sys.Descriptors) => connected(owned, ipv6).client,
  mapped: (owned: sys.Descriptors) => {
    const fd = tcp(owned, ipv6);
    const { port } = listening(owned, ipv4);
    sys.connect(fd, { address: '::ffff:127.0.0.1', port });
    return fd;
  },
  repaired4: (owned: sys.Descriptors) => {
    const { client } = connected(owned, ipv4);
    sys.setOption(client, 'TCP_REPAIR', sys.TCP_REPAIR_ON);
    sys.setOption(client, 'TCP_REPAIR_QUEUE', 2);
    return client;
  },
};
type Kind = keyof typeof sockets;

const touched = new Set<Name>();
const shown = (value: unknown): string =>
  value instanceof Uint8Array
    ? `bytes ${[...value.subarray(0, 4)]}${value.length > 4 ? ', ...' : ''}`
    : JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}` : v));

interface Extra {
  /** Why what is read differs from what was set, or from what one would think. */
  readonly why?: string;
  /** Needs CAP_NET_ADMIN: without it, EPERM, or this. */
  readonly admin?: boolean | 'EACCES';
}

/** Set, then get; `read` where it differs. */
function round<N extends Name>(
  on: Kind,
  option: N,
  value: Value<N>,
  { read = value, why, admin = false }: Extra & { readonly read?: Value<N> } = {},
): void {
  touched.add(option);
  const differs = why === undefined ? '' : ` reads ${shown(read)}: ${why}`;
  const title = `${option} on ${on}: ${shown(value)}${differs}`;
  if (admin !== false && !netAdmin.held) {
    const code = admin === true ? 'EPERM' : admin;
    test(`${title} (here ${code}: no CAP_NET_ADMIN)`, (t) => {
      t.throws(() => sys.setOption(sockets[on](ownedBy(t)), option, value), { code });
    });
    return;
  }
  test(title, (t) => {
    const fd = sockets[on](ownedBy(t));
    sys.setOption(fd, option, value);
    t.deepEqual(sys.getOption(fd, option), read);
  });
}

/** Only to be read: setting it is refused. */
function reads<N extends Name>(
  on: Kind,
  option: N,
  holds: (value: Value<N>, t: ExecutionContext, fd: number) => boolean,
  why: string,
): void {
  touched.add(option);
  test(`${option} on ${on}, get only: ${why}`, (t) => {
    const fd = sockets[on](ownedBy(t));
    const value = sys.getOption(fd, option);
    t.true(holds(value, t, fd), shown(value));
    const {
      access,
      level,
      option: number,
    } = sys.socketOptions[option] as sys.SocketOption<unknown>;
    t.is(access, 'get');
    t.throws(() => sys.setsockopt(fd, level, number, 1), { code: 'ENOPROTOOPT' });
  });
}

/** Only to be set: reading it is refused, and `shows` where it can be seen. */
function writes<N extends Name>(
  on: Kind,
  option: N,
  value: Value<N>,
  shows: (t: ExecutionContext, fd: number) => void,
  { why = '', admin = false }: Extra = {},
): void {
  touched.add(option);
  const without = admin && !netAdmin.held ? ' (here EPERM: no CAP_NET_ADMIN)' : '';
  test(`${option} on ${on}, set only: ${why}${without}`, (t) => {
    const fd = sockets[on](ownedBy(t));
    if (without) {
      t.throws(() => sys.setOption(fd, option, value), { code: 'EPERM' });
      return;
    }
    sys.setOption(fd, option, value);
    shows(t, fd);
    t.is((sys.socketOptions[option] as sys.SocketOption<unknown>).access, 'set');
    t.throws(() => sys.getOption(fd, option), { code: 'ENOPROTOOPT' });
  });
}

const u32 = (...words: number[]) => new Uint8Array(Uint32Array.from(words).buffer);

for (const on of ['tcp4', 'tcp6'] as const) {
  round(on, 'SO_BROADCAST', true);
  round(on, 'SO_BUF_LOCK', 3);
  round(on, 'SO_BINDTODEVICE', 'lo');
  round(on, 'SO_BINDTOIFINDEX', 1);
  round(on, 'SO_DEBUG', true, { admin: 'EACCES' });
  round(on, 'SO_DONTROUTE', true);
  round(on, 'SO_INCOMING_CPU', 0);
  round(on, 'SO_KEEPALIVE', true);
  round(on, 'SO_LINGER', { on: true, seconds: 5 });
  round(
    on,
    'SO_LINGER',
    { on: false, seconds: 5 },
    {
      read: { on: false, seconds: 0 },
      why: 'off has no time (sk_setsockopt() leaves the old one, 0)',
    },
  );
  round(on, 'SO_LOCK_FILTER', true);
  round(on, 'SO_MARK', 7, { admin: true });
  round(on, 'SO_MAX_PACING_RATE', 1_000_000n);
  round(on, 'SO_OOBINLINE', true);
  round(on, 'SO_PREFER_BUSY_POLL', true, { admin: true });
  round(on, 'SO_PRIORITY', 6);
  round(on, 'SO_RCVBUF', 65536, { read: 131072, why: 'doubled, for the bookkeeping (socket(7))' });
  round(on, 'SO_RCVBUF', 0, { read: 2304, why: 'SOCK_MIN_RCVBUF at least' });
  round(on, 'SO_SNDBUF', 65536, { read: 131072, why: 'doubled, for the bookkeeping (socket(7))' });
  round(on, 'SO_SNDBUF', 0, { read: 4608, why: 'SOCK_MIN_SNDBUF at least' });
  round(on, 'SO_RCVLOWAT', 10);
  round(on, 'SO_RCVLOWAT', 0, { read: 1, why: '0 means 1' });
  round(on, 'SO_RCVTIMEO', 1.5);
  round(on, 'SO_SNDTIMEO', 0.04);
  round(on, 'SO_SNDTIMEO', 1.9999999, { read: 2, why: 'microseconds' });
  round(on, 'SO_REUSEADDR', true);
  round(on, 'SO_REUSEPORT', true);
  round(on, 'SO_RXQ_OVFL', true);
  round(on, 'SO_SELECT_ERR_QUEUE', true);
  round(on, 'SO_TIMESTAMP', true);
  round(on, 'SO_TIMESTAMPNS', true);
  round(on, 'SO_TIMESTAMPING', sys.SOF_TIMESTAMPING_RX_SOFTWARE | sys.SOF_TIMESTAMPING_SOFTWARE);
  round(on, 'SO_TXREHASH', 0);
  round(on, 'SO_ZEROCOPY', true);

  round(on, 'TCP_CONGESTION', 'reno');
  round(on, 'TCP_CORK', true);
  round(on, 'TCP_DEFER_ACCEPT', 1);
  round(on, 'TCP_DEFER_ACCEPT', 5, {
    read: 7,
    why: 'as long as so many SYN+ACKs take: 1, 3, 7, ...',
  });
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
  round(on, 'TCP_QUICKACK', false);
  round(on, 'TCP_REPAIR', sys.TCP_REPAIR_ON, { admin: true });
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

  reads(on, 'SO_ACCEPTCONN', (value) => !value, 'false until listen()');
  reads(
    on,
    'SO_COOKIE',
    (value, t, fd) => {
      const other = sys.getOption(sockets[on](ownedBy(t)), 'SO_COOKIE');
      return value > 0n && value !== other && value === sys.getOption(fd, 'SO_COOKIE');
    },
    'every socket has its own and keeps it',
  );
  reads(
    on,
    'SO_DOMAIN',
    (value) => value === (on === 'tcp4' ? sys.AF_INET : sys.AF_INET6),
    'as made',
  );
  reads(on, 'SO_INCOMING_NAPI_ID', (value) => value === 0, 'loopback has no NAPI');
  reads(on, 'SO_MEMINFO', (value) => value.length >= 36 && value.length % 4 === 0, 'nine counters');
  reads(on, 'SO_NETNS_COOKIE', (value) => value > 0n, 'of its namespace');
  reads(on, 'SO_PROTOCOL', (value) => value === sys.IPPROTO_TCP, 'as made');
  reads(on, 'SO_SNDLOWAT', (value) => value === 1, 'not changeable on Linux (socket(7))');
  reads(on, 'SO_TYPE', (value) => value === sys.SOCK_STREAM, 'as made');
  reads(on, 'SO_ERROR', (value) => value === 0, 'nothing has happened');
  reads(on, 'TCP_CC_INFO', (value) => value.length <= 20, 'as much as the algorithm tells');
  reads(on, 'TCP_INFO', (value) => value.length >= 104 && value[0] === 7, 'CLOSE is 7');

  const force = { admin: true, why: 'as without FORCE, past the limit of the system' };
  writes(
    on,
    'SO_RCVBUFFORCE',
    1 << 27,
    (t, fd) => void t.is(sys.getOption(fd, 'SO_RCVBUF'), 1 << 28),
    force,
  );
  writes(
    on,
    'SO_SNDBUFFORCE',
    1 << 27,
    (t, fd) => void t.is(sys.getOption(fd, 'SO_SNDBUF'), 1 << 28),
    force,
  );
}

reads('listener4', 'SO_ACCEPTCONN', (value) => value, 'true from listen() on');
reads('connected4', 'TCP_INFO', (value) => value[0] === 1, 'ESTABLISHED is 1');
round('unix', 'SO_PASSCRED', true);
round('unix', 'SO_PEEK_OFF', 3);
reads(
  'unix',
  'SO_PEERCRED',
  (value) => value.pid === process.pid && value.uid === process.getuid?.(),
  'who made the pair',
);

// Of IPv4: as many as can be on TCP, the others where they mean something.
round('tcp4', 'IP_BIND_ADDRESS_NO_PORT', true);
round('udp4', 'IP_CHECKSUM', true);
round('tcp4', 'IP_FREEBIND', true);
round('tcp4', 'IP_LOCAL_PORT_RANGE', { low: 40_000, high: 40_010 });
round('tcp4', 'IP_MINTTL', 5);
reads('connected4', 'IP_MTU', (value) => value >= 1280, 'of the route, once there is one');
round('tcp4', 'IP_MTU_DISCOVER', sys.IP_PMTUDISC_DO);
round('udp4', 'IP_MULTICAST_ALL', false);
round('udp4', 'IP_MULTICAST_LOOP', false);
round('udp4', 'IP_MULTICAST_TTL', 5);
round('udp4', 'IP_MULTICAST_TTL', -1, { read: 1, why: '-1 is the default' });
round('tcp4', 'IP_OPTIONS', Uint8Array.of(1, 1, 1, 1));
round('udp4', 'IP_PKTINFO', true);
round('tcp4', 'IP_RECVERR', true);
round('udp4', 'IP_RECVERR_RFC4884', true);
round('udp4', 'IP_RECVFRAGSIZE', true);
round('udp4', 'IP_RECVOPTS', true);
round('udp4', 'IP_RECVORIGDSTADDR', true);
round('udp4', 'IP_RECVTOS', true);
round('udp4', 'IP_RECVTTL', true);
round('udp4', 'IP_RETOPTS', true);
round('tcp4', 'IP_TOS', 0x10);
round('tcp4', 'IP_TOS', 0x13, { read: 0x10, why: "on a stream the ECN bits are the kernel's" });
round('udp4', 'IP_TOS', 0x13);
round('tcp4', 'IP_TRANSPARENT', true, { admin: true });
round('tcp4', 'IP_TTL', 7);
round('tcp4', 'IP_TTL', -1, { read: 64, why: '-1 is the default of the namespace' });
round('udp4', 'IP_UNICAST_IF', 1 << 24, { why: 'interface 1, in network order' });

round('tcp6', 'IPV6_ADDR_PREFERENCES', 2, {
  read: 0x402,
  why: 'the halves not asked for have their defaults',
});
round('tcp6', 'IPV6_AUTOFLOWLABEL', false);
round('udp6', 'IPV6_DONTFRAG', true);
round('tcp6', 'IPV6_FREEBIND', true);
round('tcp6', 'IPV6_MINHOPCOUNT', 5);
round('connected6', 'IPV6_MTU', 1280, {
  read: 65536,
  why: 'set: of fragments; read: of the route',
});
round('tcp6', 'IPV6_MTU_DISCOVER', sys.IPV6_PMTUDISC_DO);
round('udp6', 'IPV6_MULTICAST_ALL', false);
round('udp6', 'IPV6_MULTICAST_HOPS', 5);
round('udp6', 'IPV6_MULTICAST_LOOP', false);
round('tcp6', 'IPV6_RECVERR', true);
round('udp6', 'IPV6_RECVERR_RFC4884', true);
round('udp6', 'IPV6_RECVHOPLIMIT', true);
round('udp6', 'IPV6_RECVPATHMTU', true);
round('udp6', 'IPV6_RECVPKTINFO', true);
round('udp6', 'IPV6_RECVTCLASS', true);
round('tcp6', 'IPV6_TCLASS', 0x10);
round('tcp6', 'IPV6_TCLASS', 0x13, {
  read: 0x10,
  why: "on a stream the ECN bits are the kernel's",
});
round('tcp6', 'IPV6_TRANSPARENT', true, { admin: true });
round('tcp6', 'IPV6_UNICAST_HOPS', 7);
round('tcp6', 'IPV6_UNICAST_HOPS', -1, { read: 64, why: '-1 is the default of the namespace' });
round('tcp6', 'IPV6_V6ONLY', true);

// struct tcp_md5sig (linux/tcp.h): address 128, flags 1, prefix 1, key length 2, interface 4, key 80.
const md5 = (flags: number, prefix: number) => {
  const bytes = new Uint8Array(216);
  bytes.set(sys.encodeAddress({ address: '127.0.0.1', port: 0 }));
  bytes.set([flags, prefix, 3, 0], 128);
  bytes.set(Buffer.from('key'), 136);
  return bytes;
};
const unseen = (t: ExecutionContext): void => void t.pass();
writes('tcp4', 'TCP_MD5SIG', md5(0, 0), unseen, { why: 'a key for a peer' });
writes('tcp4', 'TCP_MD5SIG_EXT', md5(1, 8), unseen, { why: 'a key for a network' });

touched.add('SO_DETACH_FILTER');
testWith(socketFilter)(
  'SO_DETACH_FILTER, set only: takes the filter away, and there is only one',
  (t) => {
    const fd = tcp(ownedBy(t));
    sys.attachFilter(fd, Uint8Array.of(6, 0, 0, 0, 255, 255, 255, 255));
    sys.setOption(fd, 'SO_DETACH_FILTER', 0);
    t.throws(() => sys.setOption(fd, 'SO_DETACH_FILTER', 0), { code: 'ENOENT' });
  },
);

test('SO_LOCK_FILTER does not open again', (t) => {
  const fd = tcp(ownedBy(t));
  sys.setOption(fd, 'SO_LOCK_FILTER', true);
  t.throws(() => sys.setOption(fd, 'SO_LOCK_FILTER', false), { code: 'EPERM' });
  t.throws(() => sys.attachFilter(fd, Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0)), { code: 'EPERM' });
});

test('SO_ERROR is what happened, once', (t) => {
  const owned = ownedBy(t);
  for (const family of families) {
    const fd = tcp(owned, family, sys.SOCK_NONBLOCK);
    const to = refusing(owned, family);
    t.throws(() => sys.connect(fd, to), { code: 'EINPROGRESS' });
    sys.poll([{ fd, events: sys.POLLOUT }], 5000);
    t.is(sys.getOption(fd, 'SO_ERROR'), sys.ECONNREFUSED);
    t.is(sys.getOption(fd, 'SO_ERROR'), 0);
  }
});

test('SO_TIMESTAMPNS and SO_TIMESTAMP exclude each other: the last one counts', (t) => {
  const fd = tcp(ownedBy(t));
  sys.setOption(fd, 'SO_TIMESTAMP', true);
  sys.setOption(fd, 'SO_TIMESTAMPNS', true);
  t.false(sys.getOption(fd, 'SO_TIMESTAMP'));
  t.true(sys.getOption(fd, 'SO_TIMESTAMPNS'));
});

test('a timeout in force: SO_RCVTIMEO ends a blocked read with EAGAIN', (t) => {
  const { client } = connected(ownedBy(t));
  sys.setOption(client, 'SO_RCVTIMEO', 0.00001);
  t.true(
    sys.getOption(client, 'SO_RCVTIMEO') >= 0.00001,
    'rounded up to a tick, never down to for ever',
  );
  t.throws(() => sys.read(client, new Uint8Array(1)), { code: 'EAGAIN' });
});

touched.add('SO_BUSY_POLL');
test('SO_BUSY_POLL: for everybody, on some kernels for CAP_NET_ADMIN only', (t) => {
  const fd = tcp(ownedBy(t));
  try {
    sys.setOption(fd, 'SO_BUSY_POLL', 50);
    t.is(sys.getOption(fd, 'SO_BUSY_POLL'), 50);
  } catch (error) {
    t.false(netAdmin.held);
    t.is((error as sys.SyscallError).code, 'EPERM');
  }
});

touched.add('SO_RESERVE_MEM');
test('SO_RESERVE_MEM: accepted where a memory cgroup accounts for sockets', (t) => {
  const fd = tcp(ownedBy(t));
  try {
    sys.setOption(fd, 'SO_RESERVE_MEM', 65536);
    t.is(sys.getOption(fd, 'SO_RESERVE_MEM'), 65536);
  } catch (error) {
    t.is((error as sys.SyscallError).code, 'EOPNOTSUPP');
    t.is(sys.getOption(fd, 'SO_RESERVE_MEM'), 0);
  }
});

touched.add('TCP_SAVED_SYN');
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

touched.add('TCP_ULP');
test('TCP_ULP: none, and one that nobody has is ENOENT', (t) => {
  const { client } = connected(ownedBy(t));
  t.is(sys.getOption(client, 'TCP_ULP'), '');
  t.throws(() => sys.setOption(client, 'TCP_ULP', 'no-such-ulp'), { code: 'ENOENT' });
});

touched.add('IPV6_ADDRFORM');
test('IPV6_ADDRFORM: a mapped connection becomes one of IPv4, and there is no way back', (t) => {
  const fd = sockets.mapped(ownedBy(t));
  t.is(sys.getOption(fd, 'IPV6_ADDRFORM'), sys.AF_INET6);
  sys.setOption(fd, 'IPV6_ADDRFORM', sys.AF_INET);
  t.is(sys.getOption(fd, 'SO_DOMAIN'), sys.AF_INET);
  t.is(sys.getsockname(fd).address, '127.0.0.1');
});

// Of a connection under repair (TCP_REPAIR): what checkpoint and restore move from one socket to another.
round('tcp4', 'TCP_REPAIR', sys.TCP_REPAIR_OFF, { admin: true });
for (const option of [
  'TCP_QUEUE_SEQ',
  'TCP_REPAIR_QUEUE',
  'TCP_REPAIR_WINDOW',
  'TCP_REPAIR_OPTIONS',
  'TCP_TIMESTAMP',
] as const) {
  touched.add(option);
}
const withAdmin = testWith(netAdmin);

withAdmin(`under repair: queues, their sequence numbers, the window, the clock`, (t) => {
  const fd = sockets.repaired4(ownedBy(t));
  t.is(sys.getOption(fd, 'TCP_REPAIR_QUEUE'), 2);
  const next = sys.getOption(fd, 'TCP_QUEUE_SEQ');
  t.true(Number.isInteger(next));
  t.throws(
    () => sys.setOption(fd, 'TCP_QUEUE_SEQ', 1),
    { code: 'EPERM' },
    'of a connection: read only',
  );
  // struct tcp_repair_window: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup.
  const window = sys.getOption(fd, 'TCP_REPAIR_WINDOW');
  t.is(window.length, 20);
  sys.setOption(fd, 'TCP_REPAIR_WINDOW', window);
  t.deepEqual(sys.getOption(fd, 'TCP_REPAIR_WINDOW'), window);
  sys.setOption(fd, 'TCP_TIMESTAMP', 1_000_000);
  t.true(Math.abs(sys.getOption(fd, 'TCP_TIMESTAMP') - 1_000_000) < 10_000, 'it ticks');
  // struct tcp_repair_opt {code, value}: TCPOPT_MAXSEG is 2.
  sys.setOption(fd, 'TCP_REPAIR_OPTIONS', u32(2, 1000));
  t.throws(() => sys.getOption(fd, 'TCP_REPAIR_OPTIONS'), { code: 'ENOPROTOOPT' });
  sys.setOption(fd, 'TCP_REPAIR', sys.TCP_REPAIR_OFF_NO_WP);
});

withAdmin(`under repair before connecting: TCP_QUEUE_SEQ is what it was set to`, (t) => {
  const fd = tcp(ownedBy(t));
  sys.setOption(fd, 'TCP_REPAIR', sys.TCP_REPAIR_ON);
  sys.setOption(fd, 'TCP_REPAIR_QUEUE', 2);
  sys.setOption(fd, 'TCP_QUEUE_SEQ', 4_000_000_000);
  t.is(sys.getOption(fd, 'TCP_QUEUE_SEQ') >>> 0, 4_000_000_000);
});

test('every option of the table is in some test here', (t) => {
  const names = Object.keys(sys.socketOptions) as Name[];
  t.deepEqual(
    names.filter((name) => !touched.has(name)),
    [],
  );
  for (const name of names) t.true(Number.isInteger(sys.socketOptions[name].option), name);
});

const misfits: [option: Name, value: unknown, message: RegExp][] = [
  ['SO_KEEPALIVE', 1, /^value must be a boolean, received 1$/],
  ['TCP_USER_TIMEOUT', 1.5, /^value must be an integer from -2147483648 to 4294967295/],
  ['TCP_USER_TIMEOUT', '5', /^value must be an integer/],
  ['TCP_USER_TIMEOUT', undefined, /^value must be an integer .* received undefined$/],
  ['SO_MAX_PACING_RATE', 1, /^value must be a bigint of 64 bits/],
  ['SO_MAX_PACING_RATE', -1n, /^value must be a bigint of 64 bits/],
  ['SO_MAX_PACING_RATE', 2n ** 64n, /^value must be a bigint of 64 bits/],
  ['SO_MAX_PACING_RATE', 'fast', /^value must be a bigint of 64 bits/],
  ['SO_LINGER', { on: true, seconds: -1 }, /^value must be an integer from 0/],
  ['SO_LINGER', { on: true }, /^value must be an integer from 0/],
  ['SO_RCVTIMEO', -1, /^value must be a number of seconds/],
  ['SO_RCVTIMEO', '1', /^value must be a number of seconds/],
  ['SO_RCVTIMEO', Number.NaN, /^value must be a number of seconds, received NaN/],
  ['IP_LOCAL_PORT_RANGE', { low: 1, high: 65536 }, /^value must be an integer from 0 to 65535/],
  ['TCP_CONGESTION', 5, /^value must be a string/],
  ['TCP_CONGESTION', undefined, /^value must be a string/],
  ['IP_OPTIONS', 'x', /^setsockopt: value must be a typed array/],
  ['NO_SUCH_OPTION' as Name, 1, /^option must be a name in socketOptions/],
  ['toString' as Name, 1, /^option must be a name in socketOptions/],
];
for (const [option, value, message] of misfits) {
  test(`setOption() refuses ${option} ${typeof value} ${shown(value)}`, (t) => {
    const error = t.throws(() => sys.setOption(tcp(ownedBy(t)), option, value as never), {
      message,
    });
    t.true(error instanceof TypeError || error instanceof RangeError);
  });
}
