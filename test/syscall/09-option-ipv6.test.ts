// IPPROTO_IPV6. Sources beside the manual page: net/ipv6/ipv6_sockglue.c; what multicast shares with IPv4 is with that.
import { ipv6Options } from '../../src/syscall/option-ipv6.js';
import * as sys from '../../src/syscall/sys.js';
import { actorOf } from '../fixture/actors.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import {
  about,
  everyRowHasATest,
  reads,
  refused,
  round,
  sockets,
  twice,
  writes,
} from '../fixture/option.js';
import { newNamespace, testWith } from '../fixture/privilege.js';

const unseen = (): void => {};

for (const option of [
  ...(['IPV6_2292DSTOPTS', 'IPV6_2292HOPLIMIT', 'IPV6_2292HOPOPTS', 'IPV6_2292PKTINFO'] as const),
  ...(['IPV6_2292RTHDR', 'IPV6_DONTFRAG', 'IPV6_FLOWINFO', 'IPV6_FLOWINFO_SEND'] as const),
  ...(['IPV6_RECVDSTOPTS', 'IPV6_RECVERR_RFC4884', 'IPV6_RECVFRAGSIZE'] as const),
  ...(['IPV6_RECVHOPLIMIT', 'IPV6_RECVHOPOPTS', 'IPV6_RECVORIGDSTADDR'] as const),
  ...(['IPV6_RECVPATHMTU', 'IPV6_RECVPKTINFO', 'IPV6_RECVRTHDR', 'IPV6_RECVTCLASS'] as const),
  ...(['IPV6_ROUTER_ALERT_ISOLATE'] as const),
]) {
  round('udp6', option, true);
}
round('tcp6', 'IPV6_ADDR_PREFERENCES', sys.IPV6_PREFER_SRC_PUBLIC, {
  read: sys.IPV6_PREFER_SRC_PUBLIC | sys.IPV6_PREFER_SRC_HOME,
  why: 'the halves not asked for have their defaults',
});
round('tcp6', 'IPV6_AUTOFLOWLABEL', false);
round('raw6', 'IPV6_CHECKSUM', 2);
round('raw6', 'IPV6_CHECKSUM', -3, { read: -1, why: 'negative is one thing: none' });
round('tcp6', 'IPV6_FREEBIND', true);
round('raw6', 'IPV6_HDRINCL', true);
round('tcp6', 'IPV6_MINHOPCOUNT', 5);
round('connected6', 'IPV6_MTU', 1280, {
  read: 65536,
  why: 'set: of fragments; read: of the route',
});
round('tcp6', 'IPV6_MTU_DISCOVER', sys.IPV6_PMTUDISC_DO);
round('udp6', 'IPV6_MULTICAST_ALL', false);
round('udp6', 'IPV6_MULTICAST_HOPS', 5);
round('udp6', 'IPV6_MULTICAST_IF', 1);
round('udp6', 'IPV6_MULTICAST_LOOP', false);
round('tcp6', 'IPV6_RECVERR', true);
round('rawest6', 'IPV6_ROUTER_ALERT', 5, { read: 1, why: 'that there is one, not which' });
round('tcp6', 'IPV6_TCLASS', 0x10);
round('tcp6', 'IPV6_TCLASS', 0x13, {
  read: 0x10,
  why: "on a stream the ECN bits are the kernel's",
});
round('tcp6', 'IPV6_TRANSPARENT', true);
round('tcp6', 'IPV6_UNICAST_HOPS', 7);
round('tcp6', 'IPV6_UNICAST_HOPS', -1, { read: 64, why: '-1 is the default of the namespace' });
round('udp6', 'IPV6_UNICAST_IF', 1);
round('tcp6', 'IPV6_V6ONLY', true);

reads(
  'connectedUdp6',
  'IPV6_PATHMTU',
  ({ mtuBytes }) => mtuBytes === 65536,
  'of loopback, once there is a route',
);

// Extension headers: next header (the kernel fills it in), length in 8 bytes beyond the first 8, then PadN of 4 bytes.
const padding = Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0);
round('udp6', 'IPV6_HOPOPTS', padding);
round('udp6', 'IPV6_DSTOPTS', padding);
round('udp6', 'IPV6_RTHDRDSTOPTS', padding);
// A segment routing header (RFC 8754): type 4, no segment left of one, ::1.
const routing = new Uint8Array(24);
routing.set([0, 2, 4]);
routing[23] = 1;
round('udp6', 'IPV6_RTHDR', routing);
refused('udp6', 'IPV6_RTHDR', padding, ['EINVAL'], 'type 0 is gone (RFC 5095)');

writes(
  'udp6',
  'IPV6_PKTINFO',
  { address: '::1', interface: 1 },
  twice('IPV6_PKTINFO', { address: '::1', interface: 2 }, 'EINVAL'),
  {
    why: 'what is sent leaves by this interface, if the socket is not bound to another',
    prepare: (fd) => sys.setOption(fd, 'SO_BINDTOIFINDEX', 1),
  },
);

about('IPV6_2292PKTOPTIONS');
test('IPV6_2292PKTOPTIONS on connected6: reads what came, not what was set to be sent', (t) => {
  const fd = sockets.connected6(ownedBy(t));
  sys.setOption(fd, 'IPV6_RECVHOPLIMIT', true);
  const message = {
    level: sys.IPPROTO_IPV6,
    type: sys.IPV6_TCLASS,
    data: Buffer.from([4, 0, 0, 0]),
  };
  sys.setOption(fd, 'IPV6_2292PKTOPTIONS', [message]);
  t.deepEqual(
    sys.getOption(fd, 'IPV6_2292PKTOPTIONS').map(({ type }) => type),
    [sys.IPV6_HOPLIMIT],
  );
});

// struct xfrm_userpolicy_info: the selector's family at 40, the direction at 160 (1 is out), allow at 161 (0).
const policy = new Uint8Array(168);
policy[40] = sys.AF_INET6;
policy[160] = 1;
writes('udp6', 'IPV6_XFRM_POLICY', policy, unseen, { why: 'what is sent needs no IPsec' });
refused('udp6', 'IPV6_XFRM_POLICY', new Uint8Array(8), ['EINVAL'], 'too short');
refused(
  'udp6',
  'IPV6_IPSEC_POLICY',
  new Uint8Array(8),
  ['EOPNOTSUPP', 'EINVAL'],
  'a policy in the words of PF_KEY, and no module speaks it',
);

const membership: sys.Membership6 = { group: 'ff12::6', interface: 1 };
// RFC 3493's names, and those of ipv6(7).
for (const [join, leave] of [
  ['IPV6_JOIN_GROUP', 'IPV6_LEAVE_GROUP'],
  ['IPV6_ADD_MEMBERSHIP', 'IPV6_DROP_MEMBERSHIP'],
] as const) {
  writes('udp6', join, membership, twice(join, membership, 'EADDRINUSE'), {
    why: 'it can be joined once',
  });
  writes('udp6', leave, membership, twice(leave, membership, 'EADDRNOTAVAIL'), {
    why: 'it can be left once',
    prepare: (fd) => sys.setOption(fd, join, membership),
  });
}

const anycast: sys.Membership6 = { group: '2001:db8::', interface: 1 };
refused('udp6', 'IPV6_JOIN_ANYCAST', anycast, ['EADDRNOTAVAIL'], 'this host has no such prefix');
refused('udp6', 'IPV6_LEAVE_ANYCAST', anycast, ['ENOENT'], 'it was not joined');
testWith(newNamespace)('IPV6_JOIN_ANYCAST, IPV6_LEAVE_ANYCAST on a router, set only', async (t) => {
  const owned = ownedBy(t);
  const router = await actorOf(t);
  await router.unshare(sys.CLONE_NEWNET);
  const forwarding = owned.own(
    await router.open('/proc/sys/net/ipv6/conf/all/forwarding', sys.O_WRONLY | sys.O_CLOEXEC),
  );
  await router.write(forwarding, '1');
  const fd = owned.own(await router.socket(sys.AF_INET6, sys.SOCK_DGRAM));
  sys.setOption(fd, 'IPV6_JOIN_ANYCAST', anycast);
  sys.setOption(fd, 'IPV6_LEAVE_ANYCAST', anycast);
  t.throws(() => sys.setOption(fd, 'IPV6_LEAVE_ANYCAST', anycast), { code: 'ENOENT' });
  t.throws(() => sys.getOption(fd, 'IPV6_JOIN_ANYCAST'), { code: 'ENOPROTOOPT' });
});

about('IPV6_FLOWLABEL_MGR');
test('IPV6_FLOWLABEL_MGR on udp6: a lease, which reads back once the socket sends with it', (t) => {
  const fd = sockets.udp6(ownedBy(t));
  const lease: sys.FlowLabel = {
    address: '::1',
    // One that no other run of this test leases at the same time.
    label: process.pid & 0xfffff,
    action: sys.IPV6_FL_A_GET,
    share: sys.IPV6_FL_S_EXCL,
    flags: sys.IPV6_FL_F_CREATE,
    expiresS: 0,
    lingerS: 6,
  };
  sys.setOption(fd, 'IPV6_FLOWLABEL_MGR', lease);
  t.throws(() => sys.getOption(fd, 'IPV6_FLOWLABEL_MGR', { flags: 0 }), { code: 'ENOENT' });
  sys.setOption(fd, 'IPV6_FLOWINFO_SEND', true);
  const to = sys.encodeAddress({ address: '::1', port: 9 }).slice();
  // sin6_flowinfo, in network order.
  new DataView(to.buffer).setUint32(4, lease.label);
  sys.connect(fd, to);
  const { address, label, share } = sys.getOption(fd, 'IPV6_FLOWLABEL_MGR', { flags: 0 });
  t.deepEqual(
    { address, label, share },
    { address: '::1', label: lease.label, share: lease.share },
  );
  t.throws(() => sys.setOption(sockets.udp6(ownedBy(t)), 'IPV6_FLOWLABEL_MGR', lease), {
    code: 'EPERM',
  });
});

about('IPV6_ADDRFORM');
test('IPV6_ADDRFORM: a mapped connection becomes one of IPv4, and there is no way back', (t) => {
  const fd = sockets.mapped(ownedBy(t));
  t.is(sys.getOption(fd, 'IPV6_ADDRFORM'), sys.AF_INET6);
  sys.setOption(fd, 'IPV6_ADDRFORM', sys.AF_INET);
  t.is(sys.getOption(fd, 'SO_DOMAIN'), sys.AF_INET);
  t.is(sys.getsockname(fd).address, '127.0.0.1');
});

everyRowHasATest(ipv6Options);
