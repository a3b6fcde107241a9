// IPPROTO_IP, and multicast of both families. Sources beside the manual page: net/ipv4/ip_sockglue.c, net/ipv4/igmp.c.
import { ipOptions } from '../../src/syscall/option-ip.js';
import * as sys from '../../src/syscall/sys.js';
import { actorOf } from '../fixture/actors.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import {
  everyRowHasATest,
  reads,
  refused,
  round,
  sockets,
  twice,
  writes,
} from '../fixture/option.js';
import { awaitEvents } from '../fixture/sockets.js';

// As many as can be on TCP, the others where they mean something.
round('tcp4', 'IP_BIND_ADDRESS_NO_PORT', true);
round('udp4', 'IP_CHECKSUM', true);
round('tcp4', 'IP_FREEBIND', true);
round('raw4', 'IP_HDRINCL', true);
round('tcp4', 'IP_LOCAL_PORT_RANGE', { low: 40_000, high: 40_010 });
round('tcp4', 'IP_MINTTL', 5);
reads('connected4', 'IP_MTU', (value) => value >= 1280, 'of the route, once there is one');
round('tcp4', 'IP_MTU_DISCOVER', sys.IP_PMTUDISC_DO);
round('udp4', 'IP_MULTICAST_ALL', false);
round('udp4', 'IP_MULTICAST_IF', { address: '127.0.0.1' });
round(
  'udp4',
  'IP_MULTICAST_IF',
  { interface: 1 },
  { read: { address: '0.0.0.0' }, why: 'it tells the address only' },
);
round('udp4', 'IP_MULTICAST_LOOP', false);
round('udp4', 'IP_MULTICAST_TTL', 5);
round('udp4', 'IP_MULTICAST_TTL', -1, { read: 1, why: '-1 is the default' });
round('raw4', 'IP_NODEFRAG', true);
round('tcp4', 'IP_OPTIONS', Uint8Array.of(1, 1, 1, 1));
round('udp4', 'IP_PASSSEC', true);
round('udp4', 'IP_PKTINFO', true);
reads('raw4', 'IP_PROTOCOL', (value) => value === 253, 'as made');
round('tcp4', 'IP_RECVERR', true);
round('udp4', 'IP_RECVERR_RFC4884', true);
round('udp4', 'IP_RECVFRAGSIZE', true);
round('udp4', 'IP_RECVOPTS', true);
round('udp4', 'IP_RECVORIGDSTADDR', true);
round('udp4', 'IP_RECVTOS', true);
round('udp4', 'IP_RECVTTL', true);
round('udp4', 'IP_RETOPTS', true);
round('raw4', 'IP_ROUTER_ALERT', 1);
round('tcp4', 'IP_TOS', 0x10);
round('tcp4', 'IP_TOS', 0x13, { read: 0x10, why: "on a stream the ECN bits are the kernel's" });
round('udp4', 'IP_TOS', 0x13);
round('tcp4', 'IP_TRANSPARENT', true);
round('tcp4', 'IP_TTL', 7);
round('tcp4', 'IP_TTL', -1, { read: 64, why: '-1 is the default of the namespace' });
round('udp4', 'IP_UNICAST_IF', 1);

reads(
  'connected4',
  'IP_PKTOPTIONS',
  (messages) => messages.some(({ level, type }) => level === sys.IPPROTO_IP && type === sys.IP_TTL),
  'the control messages that were asked for',
  (fd) => sys.setOption(fd, 'IP_RECVTTL', true),
);

// struct xfrm_userpolicy_info: the selector's family at 40, the direction at 160 (1 is out), allow at 161 (0).
const policy = (family: number): Uint8Array => {
  const bytes = new Uint8Array(168);
  bytes[40] = family;
  bytes[160] = 1;
  return bytes;
};
writes('udp4', 'IP_XFRM_POLICY', policy(sys.AF_INET), () => {}, {
  why: 'what is sent needs no IPsec',
});
refused('udp4', 'IP_XFRM_POLICY', new Uint8Array(8), ['EINVAL'], 'too short');
refused(
  'udp4',
  'IP_IPSEC_POLICY',
  new Uint8Array(8),
  ['EOPNOTSUPP', 'EINVAL'],
  'a policy in the words of PF_KEY, and no module speaks it',
);

// Groups of 239.255.0.0/16 stay within a site (RFC 2365).
const joined: sys.Membership = { group: '239.255.7.7', address: '127.0.0.1' };
const join = (fd: number): void => sys.setOption(fd, 'IP_ADD_MEMBERSHIP', joined);
const source: sys.SourceMembership = { ...joined, address: '127.0.0.1', source: '127.0.0.2' };

writes('udp4', 'IP_ADD_MEMBERSHIP', joined, twice('IP_ADD_MEMBERSHIP', joined, 'EADDRINUSE'), {
  why: 'it can be joined once',
});
writes('udp4', 'IP_DROP_MEMBERSHIP', joined, twice('IP_DROP_MEMBERSHIP', joined, 'EADDRNOTAVAIL'), {
  why: 'it can be left once',
  prepare: join,
});
writes(
  'udp4',
  'IP_ADD_SOURCE_MEMBERSHIP',
  source,
  twice('IP_ADD_SOURCE_MEMBERSHIP', source, 'EADDRNOTAVAIL'),
  { why: 'it can be added once' },
);
writes(
  'udp4',
  'IP_DROP_SOURCE_MEMBERSHIP',
  source,
  twice('IP_DROP_SOURCE_MEMBERSHIP', source, 'EINVAL'),
  {
    why: 'with its last source the group is left',
    prepare: (fd) => sys.setOption(fd, 'IP_ADD_SOURCE_MEMBERSHIP', source),
  },
);
writes('udp4', 'IP_BLOCK_SOURCE', source, twice('IP_BLOCK_SOURCE', source, 'EADDRNOTAVAIL'), {
  why: 'it can be blocked once',
  prepare: join,
});
writes('udp4', 'IP_UNBLOCK_SOURCE', source, twice('IP_UNBLOCK_SOURCE', source, 'EADDRNOTAVAIL'), {
  why: 'it can be unblocked once',
  prepare: (fd) => {
    join(fd);
    sys.setOption(fd, 'IP_BLOCK_SOURCE', source);
  },
});
for (const mode of [sys.MCAST_EXCLUDE, sys.MCAST_INCLUDE]) {
  round(
    'udp4',
    'IP_MSFILTER',
    { group: joined.group, address: '127.0.0.1', mode, sources: ['127.0.0.2', '127.0.0.3'] },
    { prepare: join, question: [{ group: joined.group, address: '127.0.0.1' }] },
  );
}

// The same by names that both families have. ff12::/16 is transient and stays on the link (RFC 4291).
for (const [on, group, one, other] of [
  ['udp4', '239.255.7.8', '127.0.0.2', '127.0.0.3'],
  ['udp6', 'ff12::7', '2001:db8::2', '2001:db8::3'],
] as const) {
  const membership = { group, interface: 1 };
  const ofOne = { ...membership, source: one };
  const prepare = (fd: number): void => sys.setOption(fd, 'MCAST_JOIN_GROUP', membership);

  writes(on, 'MCAST_JOIN_GROUP', membership, twice('MCAST_JOIN_GROUP', membership, 'EADDRINUSE'), {
    why: 'it can be joined once',
  });
  writes(
    on,
    'MCAST_LEAVE_GROUP',
    membership,
    twice('MCAST_LEAVE_GROUP', membership, 'EADDRNOTAVAIL'),
    { why: 'it can be left once', prepare },
  );
  writes(
    on,
    'MCAST_JOIN_SOURCE_GROUP',
    ofOne,
    twice('MCAST_JOIN_SOURCE_GROUP', ofOne, 'EADDRNOTAVAIL'),
    { why: 'it can be added once' },
  );
  writes(
    on,
    'MCAST_LEAVE_SOURCE_GROUP',
    ofOne,
    twice('MCAST_LEAVE_SOURCE_GROUP', ofOne, 'EINVAL'),
    {
      why: 'with its last source the group is left',
      prepare: (fd) => sys.setOption(fd, 'MCAST_JOIN_SOURCE_GROUP', ofOne),
    },
  );
  writes(on, 'MCAST_BLOCK_SOURCE', ofOne, twice('MCAST_BLOCK_SOURCE', ofOne, 'EADDRNOTAVAIL'), {
    why: 'it can be blocked once',
    prepare,
  });
  writes(on, 'MCAST_UNBLOCK_SOURCE', ofOne, twice('MCAST_UNBLOCK_SOURCE', ofOne, 'EADDRNOTAVAIL'), {
    why: 'it can be unblocked once',
    prepare: (fd) => {
      prepare(fd);
      sys.setOption(fd, 'MCAST_BLOCK_SOURCE', ofOne);
    },
  });
  round(
    on,
    'MCAST_MSFILTER',
    { ...membership, mode: sys.MCAST_EXCLUDE, sources: [one, other] },
    { prepare, question: [membership] },
  );
}

// Where the number of sources is, and where they begin: struct ip_msfilter, struct group_filter.
for (const [on, name, group, of, [count, head, size]] of [
  ['udp4', 'IP_MSFILTER', '239.255.7.9', '127.0.0', [12, 16, 4]],
  ['udp4', 'MCAST_MSFILTER', '239.255.7.9', '127.0.0', [140, 144, 128]],
  ['udp6', 'MCAST_MSFILTER', 'ff12::9', '2001:db8:', [140, 144, 128]],
] as const) {
  const sources = [1, 2, 3, 4, 5, 6, 7, 8].map((i) => `${of}${on === 'udp4' ? '.' : ':'}${i}`);
  const full = head + sources.length * size;

  /** A question about eight sources, at the beginning of memory that is not all for the answer. */
  const asked = (owned: sys.Descriptors) => {
    const fd = sockets[on](owned);
    sys.setOption(fd, 'MCAST_JOIN_GROUP', { group, interface: 1 });
    const filter = { group, mode: sys.MCAST_EXCLUDE, sources };
    if (name === 'IP_MSFILTER') sys.setOption(fd, name, { ...filter, address: '127.0.0.1' });
    else sys.setOption(fd, name, { ...filter, interface: 1 });
    const memory = new Uint8Array(2 * full);
    const { codec, level, level6, option } = sys.socketOptions[name] as sys.SocketOption<
      unknown,
      unknown
    >;
    const about = { group, address: '127.0.0.1', interface: 1 };
    memory.set(codec.ask?.(about)?.subarray(0, head) ?? []);
    new DataView(memory.buffer).setUint32(count, sources.length, true);
    return { fd, level: (on === 'udp6' && level6) || level, option, memory };
  };

  for (const room of [head, full - 1]) {
    test(`${name} on ${on}: ${room} bytes are too few for eight sources, and no byte is written`, async (t) => {
      const { fd, level, option, memory } = asked(ownedBy(t));
      const before = memory.slice();
      const actor = await actorOf(t);
      for (const ask of [sys.getsockopt, actor.getsockopt.bind(actor)]) {
        await t.throwsAsync(async () => ask(fd, level, option, memory.subarray(0, room)), {
          code: 'EINVAL',
        });
        t.deepEqual(memory, before);
      }
    });
  }

  test(`${name} on ${on}: the sources that there is room for, and the number of all`, (t) => {
    const { fd, level, option, memory } = asked(ownedBy(t));
    t.is(sys.getsockopt(fd, level, option, memory.subarray(0, full)), full);
    t.true(memory.subarray(full - size, full).some((byte) => byte !== 0));
    const view = new DataView(memory.buffer);
    view.setUint32(count, 3, true);
    t.is(sys.getsockopt(fd, level, option, memory.subarray(0, full)), head + 3 * size);
    t.is(view.getUint32(count, true), sources.length);
    t.true(memory.subarray(full).every((byte) => byte === 0));
    t.throws(() => sys.getsockopt(fd, level, option, new Uint8Array(head - 1)), { code: 'EINVAL' });
    t.throws(() => sys.getsockopt(fd, level, option, new Uint8Array()), { code: 'EINVAL' });
  });
}

test('what is sent to a group comes to who joined it, and not from a source that is blocked', (t) => {
  const owned = ownedBy(t);
  const hearer = sockets.udp4(owned);
  sys.bind(hearer, { address: joined.group, port: 0 });
  join(hearer);
  const { port } = sys.getsockname(hearer);
  const say = (from: string, what: string): void => {
    const fd = sockets.udp4(owned);
    sys.bind(fd, { address: from, port: 0 });
    sys.setOption(fd, 'IP_MULTICAST_IF', { address: '127.0.0.1' });
    sys.sendto(fd, what, 0, { address: joined.group, port });
  };
  sys.setOption(hearer, 'IP_BLOCK_SOURCE', source);
  say(source.source, 'blocked');
  say('127.0.0.1', 'heard');
  const bytes = new Uint8Array(16);
  awaitEvents(hearer, sys.POLLIN);
  t.is(
    Buffer.from(bytes.subarray(0, sys.recv(hearer, bytes, sys.MSG_DONTWAIT))).toString(),
    'heard',
  );
});

everyRowHasATest(ipOptions);
