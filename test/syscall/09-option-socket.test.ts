// SOL_SOCKET. Sources beside the manual pages: net/core/sock.c.
import * as bpf from '../../src/syscall/bpf.js';
import { socketLevelOptions } from '../../src/syscall/option-socket.js';
import * as sys from '../../src/syscall/sys.js';
import { finished } from '../cli/closewait.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import {
  about,
  everyRowHasATest,
  reads,
  refused,
  round,
  sockets,
  writes,
} from '../fixture/option.js';
import { bpfCapability, netAdmin, netRaw, socketFilter, testWith } from '../fixture/privilege.js';
import { awaitEvents, connected, families, refusing, tcp } from '../fixture/sockets.js';
import { noOtherUser, testUnless } from '../world/ability.js';

const DOUBLED = 'doubled, for the bookkeeping (socket(7))';
const unseen = (): void => {};

for (const on of ['tcp4', 'tcp6'] as const) {
  round(on, 'SO_BROADCAST', true);
  round(on, 'SO_BUF_LOCK', sys.SOCK_SNDBUF_LOCK | sys.SOCK_RCVBUF_LOCK);
  round(on, 'SO_BINDTODEVICE', 'lo');
  round(on, 'SO_BINDTOIFINDEX', 1);
  round(on, 'SO_DEBUG', true, { without: 'EACCES' });
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
  round(on, 'SO_MARK', 7);
  round(on, 'SO_MARK', 0xdead_beef);
  round(on, 'SO_MAX_PACING_RATE', 1_000_000n);
  round(on, 'SO_NOFCS', true);
  round(on, 'SO_OOBINLINE', true);
  round(on, 'SO_PREFER_BUSY_POLL', true);
  round(on, 'SO_PRIORITY', 6);
  round(on, 'SO_RCVBUF', 65536, { read: 131072, why: DOUBLED });
  round(on, 'SO_RCVBUF', 0, { read: 2304, why: 'SOCK_MIN_RCVBUF at least' });
  round(on, 'SO_SNDBUF', 65536, { read: 131072, why: DOUBLED });
  round(on, 'SO_SNDBUF', 0, { read: 4608, why: 'SOCK_MIN_SNDBUF at least' });
  round(on, 'SO_RCVLOWAT', 10);
  round(on, 'SO_RCVLOWAT', 0, { read: 1, why: '0 means 1' });
  round(on, 'SO_RCVPRIORITY', true);
  round(on, 'SO_RCVTIMEO', 1.5);
  round(on, 'SO_RCVTIMEO_NEW', 1.5);
  round(on, 'SO_SNDTIMEO', 0.04);
  round(on, 'SO_SNDTIMEO', 1.9999999, { read: 2, why: 'microseconds' });
  round(on, 'SO_SNDTIMEO_NEW', 0.04);
  round(on, 'SO_REUSEADDR', true);
  round(on, 'SO_REUSEPORT', true);
  round(on, 'SO_RXQ_OVFL', true);
  round(on, 'SO_SELECT_ERR_QUEUE', true);
  round(on, 'SO_TIMESTAMP', true);
  round(on, 'SO_TIMESTAMP_NEW', true);
  round(on, 'SO_TIMESTAMPNS', true);
  round(on, 'SO_TIMESTAMPNS_NEW', true);
  round(on, 'SO_TIMESTAMPING', sys.SOF_TIMESTAMPING_RX_SOFTWARE | sys.SOF_TIMESTAMPING_SOFTWARE);
  round(on, 'SO_TIMESTAMPING_NEW', sys.SOF_TIMESTAMPING_RX_SOFTWARE);
  round(on, 'SO_TXREHASH', sys.SOCK_TXREHASH_DISABLED);
  round(on, 'SO_TXTIME', { clock: sys.CLOCK_MONOTONIC, flags: sys.SOF_TXTIME_DEADLINE_MODE });
  round(on, 'SO_WIFI_STATUS', true);
  round(on, 'SO_ZEROCOPY', true);
  round(on, 'SO_BSDCOMPAT', true, { read: false, why: 'accepted and without effect' });

  reads(on, 'SO_ACCEPTCONN', (value) => !value, 'false until listen()');
  reads(on, 'SO_BPF_EXTENSIONS', (value) => value > 0, 'how many extra loads a filter may make');
  reads(
    on,
    'SO_COOKIE',
    (value, t, fd) => {
      const other = sys.getOption(sockets[on](ownedBy(t)), 'SO_COOKIE');
      return value > 0n && value !== other && value === sys.getOption(fd, 'SO_COOKIE');
    },
    'every socket has its own and keeps it',
  );
  const domain = on === 'tcp4' ? sys.AF_INET : sys.AF_INET6;
  reads(on, 'SO_DOMAIN', (value) => value === domain, 'as made');
  reads(on, 'SO_ERROR', (value) => value === 0, 'nothing has happened');
  reads(on, 'SO_INCOMING_NAPI_ID', (value) => value === 0, 'loopback has no NAPI');
  reads(
    on,
    'SO_MEMINFO',
    (value, _, fd) =>
      value.rcvbuf === sys.getOption(fd, 'SO_RCVBUF') &&
      value.sndbuf === sys.getOption(fd, 'SO_SNDBUF') &&
      value.drops === 0,
    'its buffers are those of SO_RCVBUF and SO_SNDBUF',
  );
  reads(on, 'SO_NETNS_COOKIE', (value) => value > 0n, 'of its namespace');
  reads(on, 'SO_PROTOCOL', (value) => value === sys.IPPROTO_TCP, 'as made');
  reads(on, 'SO_SNDLOWAT', (value) => value === 1, 'not changeable on Linux (socket(7))');
  reads(on, 'SO_TYPE', (value) => value === sys.SOCK_STREAM, 'as made');

  const why = 'as without FORCE, past the limit of the system';
  writes(
    on,
    'SO_RCVBUFFORCE',
    1 << 27,
    (t, fd) => void t.is(sys.getOption(fd, 'SO_RCVBUF'), 1 << 28),
    { why },
  );
  writes(
    on,
    'SO_SNDBUFFORCE',
    1 << 27,
    (t, fd) => void t.is(sys.getOption(fd, 'SO_SNDBUF'), 1 << 28),
    { why },
  );
  writes(on, 'SO_CNX_ADVICE', 1, unseen, { why: 'what has no route yet has none to give up' });
  writes(on, 'SO_DEVMEM_DONTNEED', [{ start: 0, count: 1 }], unseen, {
    why: 'tokens that the socket does not have are passed over',
  });
}

reads('listener4', 'SO_ACCEPTCONN', (value) => value, 'true from listen() on');
round('udp4', 'SO_NO_CHECK', true);
round('unix', 'SO_PASSCRED', true);
round('unix', 'SO_PASSPIDFD', true);
round('unix', 'SO_PASSRIGHTS', false);
round('unix', 'SO_PASSSEC', true);
round('unix', 'SO_PEEK_OFF', 3);
writes('unix', 'SO_INQ', true, unseen, { why: 'a control message then says how much is left' });
reads(
  'unix',
  'SO_PEERCRED',
  (value) => value.pid === process.pid && value.uid === process.getuid?.(),
  'who made the pair',
);
reads(
  'unix',
  'SO_PEERGROUPS',
  (value) => {
    // getgroups() adds the effective group where it is not a supplementary one.
    const groups = new Set([...(process.getgroups?.() ?? []), process.getegid?.()]);
    return value.every((gid) => groups.has(gid));
  },
  'the supplementary groups of who made the pair',
);
testUnless(
  noOtherUser,
  'SO_PEERGROUPS of a peer with more groups than there is room for',
  async (t) => {
    const groups = Array.from({ length: 300 }, (_, i) => i + 1);
    const peer = `
    import * as sys from ${JSON.stringify(new URL('../../src/syscall/sys.js', import.meta.url))};
    const [fd] = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM);
    console.log(JSON.stringify(sys.getOption(fd, 'SO_PEERGROUPS')));
  `;
    const node = [process.execPath, '--input-type=module', '-e', peer];
    const { stdout, stderr } = finished(['setpriv', '--groups', groups.join(), ...node]);
    t.is(stderr, '');
    t.deepEqual(JSON.parse(stdout), groups);
  },
);

reads(
  'connected4',
  'SO_PEERNAME',
  (value, _, fd) => value.port === sys.getpeername(fd).port && value.address === '127.0.0.1',
  'what getpeername() says',
);

reads(
  'unix',
  'SO_PEERPIDFD',
  (pidfd, t) => {
    ownedBy(t).own(pidfd);
    t.notThrows(() => sys.pidfd_send_signal(pidfd, 0));
    return true;
  },
  'a descriptor of the process that made the pair',
);

about('SO_PEERSEC');
test('SO_PEERSEC on unix, get only: a label, or ENOPROTOOPT where no security module labels', (t) => {
  const fd = sockets.unix(ownedBy(t));
  try {
    t.true(sys.getOption(fd, 'SO_PEERSEC').length > 0);
  } catch (error) {
    t.is((error as sys.SyscallError).code, 'ENOPROTOOPT');
  }
});

round('udp4', 'SO_TXTIME', { clock: sys.CLOCK_MONOTONIC, flags: 0 });
refused(
  'udp4',
  'SO_TXTIME',
  { clock: 9999, flags: 0 },
  ['EINVAL', 'EPERM'],
  'there is no such clock',
);
testWith(netAdmin)('SO_PRIORITY on tcp4: the handle of a class, which has no sign', (t) => {
  const fd = sockets.tcp4(ownedBy(t));
  sys.setOption(fd, 'SO_PRIORITY', 0x8001_0001);
  t.is(sys.getOption(fd, 'SO_PRIORITY'), 0x8001_0001);
});

testWith(netAdmin)('SO_TXTIME on udp4: a clock that needs CAP_NET_ADMIN', (t) => {
  const fd = sockets.udp4(ownedBy(t));
  sys.setOption(fd, 'SO_TXTIME', { clock: sys.CLOCK_TAI, flags: sys.SOF_TXTIME_REPORT_ERRORS });
  t.deepEqual(sys.getOption(fd, 'SO_TXTIME'), {
    clock: sys.CLOCK_TAI,
    flags: sys.SOF_TXTIME_REPORT_ERRORS,
  });
});

writes('udp4', 'SO_BUSY_POLL_BUDGET', 0, unseen, { why: 'how many packets a poll may take' });
refused('udp4', 'SO_BUSY_POLL_BUDGET', 65536, ['EINVAL', 'EPERM'], '65535 at most');
for (const [option, value, privilege] of [
  ['SO_BUSY_POLL', 50, netAdmin],
  ['SO_RCVMARK', true, netRaw],
] as const) {
  test(`${about(option)} on tcp4: for everybody; on some kernels it ${privilege.reason}`, (t) => {
    const fd = tcp(ownedBy(t));
    try {
      sys.setOption(fd, option, value);
      t.is(sys.getOption(fd, option), value);
    } catch (error) {
      t.false(privilege.held);
      t.is((error as sys.SyscallError).code, 'EPERM');
    }
  });
}

about('SO_RESERVE_MEM');
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

// Filters. BPF_RET | BPF_K with how many bytes to keep.
const keep = Uint8Array.of(6, 0, 0, 0, 255, 255, 255, 255);
const first = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0);
const withFilter = testWith(socketFilter);

about('SO_ATTACH_FILTER');
about('SO_GET_FILTER');
withFilter(
  'SO_ATTACH_FILTER goes through attachFilter(), SO_GET_FILTER through attachedFilter()',
  (t) => {
    const fd = tcp(ownedBy(t));
    t.is(sys.attachedFilter(fd).length, 0);
    const program = Uint8Array.from([...keep, ...keep, ...keep, ...keep]);
    sys.attachFilter(fd, program);
    t.deepEqual(sys.attachedFilter(fd), program);
    t.throws(() => sys.setOption(fd, 'SO_ATTACH_FILTER', program), {
      message: /goes through attachFilter/,
    });
    t.throws(() => sys.getOption(fd, 'SO_GET_FILTER'), { message: /goes through attachedFilter/ });
  },
);

withFilter('SO_GET_FILTER counts instructions: no byte is written past the room for them', (t) => {
  const fd = tcp(ownedBy(t));
  sys.attachFilter(fd, Uint8Array.from([...keep, ...keep]));
  const memory = new Uint8Array(64);
  t.throws(
    () => sys.getsockopt(fd, sys.SOL_SOCKET, sys.SO_GET_FILTER, memory.subarray(0, 8)),
    { code: 'EINVAL' },
    'room for one instruction',
  );
  t.is(sys.getsockopt(fd, sys.SOL_SOCKET, sys.SO_GET_FILTER, memory.subarray(0, 23)), 2);
  t.deepEqual(memory.subarray(0, 16), Uint8Array.from([...keep, ...keep]));
  t.true(memory.subarray(16).every((byte) => byte === 0));
  t.notThrows(() => sys.getsockopt(fd, sys.SOL_SOCKET, sys.SO_GET_FILTER));
});

about('SO_DETACH_FILTER');
about('SO_DETACH_BPF');
withFilter('SO_DETACH_FILTER, set only: takes the filter away, and there is only one', (t) => {
  const fd = tcp(ownedBy(t));
  sys.attachFilter(fd, keep);
  sys.setOption(fd, 'SO_DETACH_FILTER', 0);
  t.throws(() => sys.setOption(fd, 'SO_DETACH_BPF', 0), { code: 'ENOENT' });
});

test('SO_LOCK_FILTER does not open again', (t) => {
  const fd = tcp(ownedBy(t));
  sys.setOption(fd, 'SO_LOCK_FILTER', true);
  t.throws(() => sys.setOption(fd, 'SO_LOCK_FILTER', false), { code: 'EPERM' });
  t.throws(() => sys.attachFilter(fd, first), { code: 'EPERM' });
});

about('SO_ATTACH_REUSEPORT_CBPF');
about('SO_DETACH_REUSEPORT_BPF');
withFilter('SO_ATTACH_REUSEPORT_CBPF: the program says which socket of the port hears', (t) => {
  const owned = ownedBy(t);
  const group = [sockets.udp4(owned), sockets.udp4(owned)] as const;
  let address = { address: '127.0.0.1', port: 0 };
  for (const fd of group) {
    sys.setOption(fd, 'SO_REUSEPORT', true);
    sys.bind(fd, address);
    address = sys.getsockname(fd);
  }
  const second = Uint8Array.of(6, 0, 0, 0, 1, 0, 0, 0);
  const sender = sockets.udp4(owned);
  for (const [program, hearer] of [
    [first, group[0]],
    [second, group[1]],
  ] as const) {
    sys.attachFilter(group[0], program, sys.SO_ATTACH_REUSEPORT_CBPF);
    sys.sendto(sender, 'x', 0, address);
    awaitEvents(hearer, sys.POLLIN);
    t.is(sys.recv(hearer, new Uint8Array(1), sys.MSG_DONTWAIT), 1);
  }
  sys.setOption(group[0], 'SO_DETACH_REUSEPORT_BPF', 0);
  t.throws(() => sys.setOption(group[0], 'SO_DETACH_REUSEPORT_BPF', 0), { code: 'ENOENT' });
  t.throws(() => sys.setOption(group[0], 'SO_ATTACH_REUSEPORT_CBPF', first), {
    message: /goes through attachFilter/,
  });
  t.throws(() => sys.attachFilter(group[0], first, sys.SO_LINGER), { instanceOf: TypeError });
});

about('SO_ATTACH_BPF');
about('SO_ATTACH_REUSEPORT_EBPF');
testWith(bpfCapability)('SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_EBPF, set only: a descriptor', (t) => {
  const owned = ownedBy(t);
  const fd = sockets.udp4(owned);
  // BPF_PROG_TYPE_SOCKET_FILTER: r0 = 0; exit.
  const instructions = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);
  const program = owned.own(bpf.bpf_prog_load({ type: 1, instructions, license: 'GPL' }));
  sys.setOption(fd, 'SO_ATTACH_BPF', program);
  t.throws(() => sys.attachedFilter(fd), { code: 'EACCES' }, 'of classic programs only');
  sys.setOption(fd, 'SO_DETACH_BPF', 0);
  sys.setOption(fd, 'SO_REUSEPORT', true);
  sys.setOption(fd, 'SO_ATTACH_REUSEPORT_EBPF', program);
  sys.setOption(fd, 'SO_DETACH_REUSEPORT_BPF', 0);
  t.throws(() => sys.setOption(fd, 'SO_ATTACH_BPF', fd), { code: 'EINVAL' }, 'no program');
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

everyRowHasATest(socketLevelOptions);
