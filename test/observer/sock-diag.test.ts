import { readFileSync } from 'node:fs';
import {
  type FindOptions,
  type FourTuple,
  SockDiag,
  type SocketRow,
  snapshot,
} from '../../src/index.js';
import * as sys from '../../src/syscall/sys.js';
import { descriptors, ownedBy, test } from '../fixture/descriptors.js';
import { linkLocal } from '../fixture/link-local.js';
import { perFamily } from '../fixture/per-family.js';
import { socketFilter, testWith } from '../fixture/privilege.js';
import {
  awaitEvents,
  awaitLoopback,
  connected,
  type Family,
  ipv4,
  ipv6,
  listening,
  tcp,
} from '../fixture/sockets.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from '../world/ability.js';

const numberOf = (family: Family): 4 | 6 => (family === ipv4 ? 4 : 6);
const cookieOf = (fd: number): bigint => sys.getOption(fd, 'SO_COOKIE');
const rowOf = (fd: number): SocketRow | undefined =>
  [...snapshot()].find(({ cookie }) => cookie === cookieOf(fd));

/** A connection as its own end sees it. */
const tupleOf = (fd: number) => ({ local: sys.getsockname(fd), remote: sys.getpeername(fd) });

perFamily('LISTEN: the queue and its limit', (t, family) => {
  const owned = ownedBy(t);
  const { fd, address, port } = listening(owned, family, 5);
  sys.connect(tcp(owned, family), { address, port });
  awaitEvents(fd, sys.POLLIN);
  t.like(rowOf(fd), {
    state: 'LISTEN',
    family: family.domain,
    local: { address, port },
    remote: { address: family.any, port: 0 },
    recvQ: 1,
    sendQ: 5,
    uid: process.getuid?.() ?? -1,
    timer: 'off',
  });
});

perFamily('ESTABLISHED: both ends, with inode and queues', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  sys.write(client, 'abc');
  awaitEvents(server, sys.POLLIN);
  const here = rowOf(client);
  const there = rowOf(server);
  t.is(here?.state, 'ESTABLISHED');
  t.is(there?.state, 'ESTABLISHED');
  t.deepEqual(here?.local, sys.getsockname(client));
  t.deepEqual(here?.remote, there?.local);
  t.is(there?.recvQ, 3);
  const inode = descriptors().find((each) => each.startsWith(`fd ${server} `));
  t.is(inode, `fd ${server} socket:[${there?.inode}]`);
});

perFamily(
  'CLOSE_WAIT, and FIN_WAIT2 that a descriptor holds: no timer will end it',
  async (t, family) => {
    const { client, server } = connected(ownedBy(t), family);
    sys.shutdown(client, sys.SHUT_WR);
    awaitEvents(server, sys.POLLRDHUP);
    const there = rowOf(server);
    t.is(there?.state, 'CLOSE_WAIT');
    t.is(there?.recvQ, 1, 'the FIN that nobody has read');
    await until(
      () => rowOf(client)?.state === 'FIN_WAIT2',
      () => String(rowOf(client)?.state),
    );
    t.is(rowOf(client)?.timer, 'off');
    t.not(rowOf(client)?.inode, 0);
    t.is(sys.read(server, new Uint8Array(1)), 0);
    t.is(rowOf(server)?.recvQ, 0, 'read, and nobody has closed');
  },
);

perFamily('FIN_WAIT2 without a descriptor: inode 0, and a timer', async (t, family) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned, family);
  const { local, remote } = tupleOf(client);
  using diag = SockDiag.open();
  owned.close(client);
  const row = await until(
    () => {
      const found = diag.find({ local, remote });
      return found?.state === 'FIN_WAIT2' && found;
    },
    () => JSON.stringify(diag.find({ local, remote })?.state),
  );
  t.is(row.inode, 0);
  t.is(row.timer, 'timewait');
  t.true(row.timerMs > 0);
  t.is(diag.find(tupleOf(server))?.state, 'CLOSE_WAIT');
});

perFamily('TIME_WAIT: found by its addresses, in no descriptor', async (t, family) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned, family);
  const tuple = tupleOf(client);
  owned.close(client);
  awaitEvents(server, sys.POLLRDHUP);
  owned.close(server);
  using diag = SockDiag.open();
  const state = () => diag.find(tuple)?.state;
  await until(
    () => state() === 'TIME_WAIT',
    () => String(state()),
  );
  const rows = [...diag.snapshot({ states: ['TIME_WAIT'] })];
  const row = rows.find(
    ({ local, remote }) => local.port === tuple.local.port && remote.port === tuple.remote.port,
  );
  t.like(row, { ...tuple, state: 'TIME_WAIT', inode: 0, timer: 'timewait' });
  t.is(row?.shutdown, undefined);
  t.true(rows.every((each) => each.state === 'TIME_WAIT'));
});

perFamily('never accepted: no descriptor, inode 0, and there all the same', (t, family) => {
  const owned = ownedBy(t);
  const { fd: _, ...address } = listening(owned, family);
  const client = tcp(owned, family);
  sys.connect(client, address);
  sys.write(client, 'hello');
  const tuple = tupleOf(client);
  owned.close(client);
  using diag = SockDiag.open();
  const find = () => diag.find({ local: tuple.remote, remote: tuple.local });
  awaitLoopback(() => find()?.state === 'CLOSE_WAIT');
  t.like(find(), { state: 'CLOSE_WAIT', inode: 0, recvQ: 6 });
});

test('SYN_SENT: nobody has answered', (t) => {
  const owned = ownedBy(t);
  const { fd: listener, ...address } = listening(owned, ipv4, 0);
  sys.connect(tcp(owned), address);
  awaitEvents(listener, sys.POLLIN); // its queue is full
  const waiting = tcp(owned, ipv4, sys.SOCK_NONBLOCK);
  t.throws(() => sys.connect(waiting, address), { code: 'EINPROGRESS' });
  t.like(rowOf(waiting), { state: 'SYN_SENT', timer: 'on', remote: address });
});

testWith(socketFilter)('SYN_RECV: a request socket, while its SYN+ACK is lost', (t) => {
  const owned = ownedBy(t);
  const { fd: quiet, ...place } = listening(owned);
  const lossy = tcp(owned, ipv4, sys.SOCK_NONBLOCK);
  sys.attachFilter(lossy, Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0));
  t.throws(() => sys.connect(lossy, place), { code: 'EINPROGRESS' });
  const { port } = sys.getsockname(lossy);
  const find = () =>
    [...snapshot({ states: ['SYN_RECV'] })].find(
      ({ local, remote }) => local.port === place.port && remote.port === port,
    );
  awaitLoopback(() => find() !== undefined);
  t.like(find(), { state: 'SYN_RECV', local: place, inode: 0 });
  t.is(rowOf(quiet)?.recvQ, 0);
});

test('an IPv6 socket that speaks IPv4 is listed under 6, with mapped addresses', (t) => {
  const owned = ownedBy(t);
  const server = tcp(owned, ipv6);
  sys.setOption(server, 'IPV6_V6ONLY', false);
  sys.bind(server, { address: '::', port: 0 });
  sys.listen(server, 1);
  const client = tcp(owned);
  sys.connect(client, { address: '127.0.0.1', port: sys.getsockname(server).port });
  const { fd } = sys.accept(server);
  owned.own(fd);
  t.is(rowOf(fd)?.family, sys.AF_INET6);
  t.is(rowOf(fd)?.local.address, '::ffff:127.0.0.1');
  using diag = SockDiag.open();
  // The same socket, whichever way it is asked for.
  t.is(diag.find(tupleOf(fd))?.cookie, cookieOf(fd));
  const [local, remote] = [sys.getpeername(client), sys.getsockname(client)];
  t.is(diag.find({ local, remote })?.cookie, cookieOf(fd));
});

testUnless(noNamespace, 'link-local: found by the scope that getsockname() tells', async (t) => {
  const { actor, one, other } = await linkLocal(t);
  using diag = new SockDiag(await actor.socket(...SockDiag.socket));
  for (const { client, server, scope } of [one, other]) {
    for (const fd of [client, server]) {
      const { local, remote } = tupleOf(fd);
      t.is(local.address, `fe80::5%${scope}`);
      t.like(diag.find({ local, remote }), { cookie: cookieOf(fd), interface: scope });
      const bare = { ...remote, address: 'fe80::5' };
      t.is(diag.find({ local, remote: bare })?.cookie, cookieOf(fd));
      const anywhere = { local: { ...local, address: 'fe80::5' }, remote: bare };
      t.is(diag.find(anywhere), undefined, 'a socket that is bound to no interface');
      t.is(diag.find(anywhere, { interface: scope })?.cookie, cookieOf(fd));
    }
  }
});

perFamily('filters: states and family', (t, family) => {
  const owned = ownedBy(t);
  const { client, listener } = connected(owned, family);
  const cookies = (options: Parameters<typeof snapshot>[0]) =>
    new Set([...snapshot(options)].map(({ cookie }) => cookie));
  const established = cookies({ states: ['ESTABLISHED'] });
  t.true(established.has(cookieOf(client)));
  t.false(established.has(cookieOf(listener)));
  const both = cookies({ states: new Set(['LISTEN', 'ESTABLISHED'] as const) });
  t.true(both.has(cookieOf(client)) && both.has(cookieOf(listener)));
  t.true(cookies({ family: numberOf(family) }).has(cookieOf(client)));
  t.false(cookies({ family: numberOf(family === ipv4 ? ipv6 : ipv4) }).has(cookieOf(client)));
  t.is(cookies({ states: ['LAST_ACK', 'CLOSING'] }).has(cookieOf(client)), false);
});

test('with info: TCP_INFO of each, without: none', (t) => {
  const { client } = connected(ownedBy(t));
  const find = (info: boolean) =>
    [...snapshot({ info })].find(({ cookie }) => cookie === cookieOf(client));
  t.is(find(false)?.info, undefined);
  t.is(find(true)?.info?.state, 'ESTABLISHED');
  t.true((find(true)?.info?.sndMssBytes ?? 0) > 0);
});

test('what /proc/net/tcp shows is the same', (t) => {
  const owned = ownedBy(t);
  connected(owned);
  const { fd } = listening(owned);
  const row = rowOf(fd);
  const lines = readFileSync('/proc/self/net/tcp', 'utf8').split('\n').slice(1);
  const line = lines.find((each) => each.trim().split(/\s+/)[9] === String(row?.inode));
  const [, local, , state] = line?.trim().split(/\s+/) ?? [];
  t.is(local, `0100007F:${row?.local.port.toString(16).toUpperCase().padStart(4, '0')}`);
  t.is(state, '0A');
});

perFamily('find(): undefined for what is not there, and for a listener', (t, family) => {
  const { fd, address, port } = listening(ownedBy(t), family);
  using diag = SockDiag.open();
  t.is(diag.find({ local: { address, port }, remote: { address, port: 1 } }), undefined);
  t.is(diag.find({ local: { address, port: 1 }, remote: { address, port: 2 } }), undefined);
  t.is(rowOf(fd)?.state, 'LISTEN', 'which is there');
});

test('columns and rows agree, one table at a time', (t) => {
  const owned = ownedBy(t);
  for (let i = 0; i < 20; i++) connected(owned, i % 2 === 0 ? ipv4 : ipv6);
  const table = snapshot();
  t.true(table.complete);
  t.deepEqual(table.incomplete, []);
  const rows = [...table];
  t.is(rows.length, table.length);
  t.true(rows.length >= 60);
  t.deepEqual(
    rows.map(({ inode }) => inode),
    [...table.inode],
  );
  t.deepEqual(
    rows.map(({ local }) => local.port),
    [...table.localPort],
  );
  t.deepEqual(
    rows.map(({ cookie }) => cookie),
    [...table.cookie],
  );
  t.deepEqual(table.at(-1), rows.at(-1));
});

test('a table stays as it was', (t) => {
  const owned = ownedBy(t);
  const { client } = connected(owned);
  const cookie = cookieOf(client);
  using diag = SockDiag.open();
  const before = diag.snapshot();
  owned[Symbol.dispose]();
  diag.snapshot();
  t.is([...before].find((row) => row.cookie === cookie)?.state, 'ESTABLISHED');
});

test('many answers of many messages: a thousand sockets, each once', (t) => {
  const owned = ownedBy(t);
  const cookies = new Set<bigint>();
  const { fd: listener, ...address } = listening(owned, ipv4, 1024);
  for (let i = 0; i < 500; i++) {
    const client = tcp(owned);
    // A RST at the end leaves no TIME_WAIT behind.
    sys.setOption(client, 'SO_LINGER', { on: true, seconds: 0 });
    sys.connect(client, address);
    cookies.add(cookieOf(client));
    const { fd } = sys.accept(listener);
    cookies.add(cookieOf(owned.own(fd)));
  }
  const seen = [...snapshot({ states: ['ESTABLISHED'], info: true })].filter(({ cookie }) =>
    cookies.has(cookie),
  );
  t.is(seen.length, 1000);
  t.is(new Set(seen.map(({ cookie }) => cookie)).size, 1000);
});

test('an observer can be asked again and again, and closed twice', (t) => {
  const { client } = connected(ownedBy(t));
  const diag = SockDiag.open();
  for (let i = 0; i < 50; i++) {
    t.is(diag.find(tupleOf(client))?.state, 'ESTABLISHED');
    t.true(diag.snapshot({ states: ['ESTABLISHED'] }).length >= 2);
  }
  diag.close();
  diag.close();
  diag[Symbol.dispose]();
});

test('a closed observer says so, and touches nobody else with its old number', (t) => {
  const owned = ownedBy(t);
  const diag = SockDiag.open();
  diag.close();
  // The lowest free descriptor: the one the observer had.
  const [a, b] = sys.socketpair(sys.AF_UNIX, sys.SOCK_DGRAM).map((fd) => owned.own(fd)) as [
    number,
    number,
  ];
  sys.fcntl(a, sys.F_SETFL, sys.O_NONBLOCK);
  sys.fcntl(b, sys.F_SETFL, sys.O_NONBLOCK);
  const tuple = {
    local: { address: '127.0.0.1', port: 1 },
    remote: { address: '127.0.0.1', port: 2 },
  };
  t.throws(() => diag.snapshot(), { code: 'EBADF' });
  t.throws(() => diag.find(tuple), { code: 'EBADF' });
  for (const fd of [a, b]) t.throws(() => sys.recv(fd, new Uint8Array(1)), { code: 'EAGAIN' });
});

const wrong: [what: string, options: unknown, error: RegExp][] = [
  ['family 5', { family: 5 }, /^family must be AF_INET, AF_INET6, 4 or 6, received 5/],
  ['a state that is none', { states: ['ESTABLISHED', 'OPEN'] }, /^not a TCP state: OPEN$/],
  ['null', null, /^options must be an object, received null$/],
  [
    'a name that is none',
    { state: ['LISTEN'] },
    /^options has no field "state": there are states, family, info$/,
  ],
  ['states that are no list', { states: 5 }, /^states must be a list, received 5$/],
  ['a family that is none', { family: Symbol('f') }, /^family must be AF_INET/],
  [
    'a state as text, not in a list',
    { states: 'LISTEN' },
    /^states must be a list, received "LISTEN"$/,
  ],
];
for (const [what, options, message] of wrong) {
  test(`snapshot() refuses ${what}, and leaves no descriptor`, (t) => {
    const error = t.throws(() => snapshot(options as Parameters<typeof snapshot>[0]), { message });
    t.regex(Reflect.get(error, 'code'), /^ERR_(INVALID_ARG_(TYPE|VALUE)|OUT_OF_RANGE)$/);
  });
}

for (const tuple of [undefined, null, {}, { local: { address: '::', port: 1 } }, 'x']) {
  test(`find() refuses ${JSON.stringify(tuple)}`, (t) => {
    using diag = SockDiag.open();
    t.throws(() => diag.find(tuple as FourTuple), { code: 'ERR_INVALID_ARG_TYPE' });
  });
}

for (const [what, options] of [
  ['no options', null],
  ['a name that is none', { cooky: 1n }],
  ['a cookie that is no bigint', { cookie: 5 }],
] as const) {
  test(`find() refuses ${what}`, (t) => {
    using diag = SockDiag.open();
    const end = { address: '127.0.0.1', port: 1 };
    const find = () => diag.find({ local: end, remote: end }, options as unknown as FindOptions);
    const error = t.throws(find, { instanceOf: TypeError });
    t.regex(Reflect.get(error, 'code'), /^ERR_INVALID_ARG_(TYPE|VALUE)$/);
  });
}

test('a descriptor that is none makes no observer', (t) => {
  t.throws(() => new SockDiag('3' as unknown as number), { code: 'ERR_INVALID_ARG_TYPE' });
});

for (const address of ['localhost', '', '127.0.0.1.1', '::g']) {
  test(`find() refuses the address ${JSON.stringify(address)}`, (t) => {
    using diag = SockDiag.open();
    const end = { address, port: 1 };
    t.throws(() => diag.find({ local: end, remote: end }), { instanceOf: TypeError });
  });
}
