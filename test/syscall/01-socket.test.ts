import * as sys from '../../src/syscall/sys.js';
import { macro, ownedBy, test } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { connected, ipv6, listening, refusing, tcp } from '../fixture/sockets.js';

perFamily('socket(): a descriptor of the kind asked for', (t, family) => {
  const owned = ownedBy(t);
  const fd = owned.own(sys.socket(family.domain, sys.SOCK_STREAM));
  t.is(sys.getOption(fd, 'SO_DOMAIN'), family.domain);
  t.is(sys.getOption(fd, 'SO_TYPE'), sys.SOCK_STREAM);
  t.is(sys.getOption(fd, 'SO_PROTOCOL'), sys.IPPROTO_TCP);
  t.is(sys.fcntl(fd, sys.F_GETFD), 0, 'as in C: no FD_CLOEXEC unless asked for');
});

const typeFlags = macro({
  title: (name) => `socket(): ${name} in the type`,
  exec(t, flag: number, command: number, bit: number) {
    const fd = ownedBy(t).own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | flag));
    t.is(sys.fcntl(fd, command) & bit, bit);
  },
});
test('SOCK_NONBLOCK', typeFlags, sys.SOCK_NONBLOCK, sys.F_GETFL, sys.O_NONBLOCK);
test('SOCK_CLOEXEC', typeFlags, sys.SOCK_CLOEXEC, sys.F_GETFD, sys.FD_CLOEXEC);

perFamily('bind() to port 0, getsockname(): the port that the kernel chose', (t, family) => {
  const fd = tcp(ownedBy(t), family);
  t.deepEqual(sys.getsockname(fd), { address: family.any, port: 0 });
  sys.bind(fd, { address: family.loopback, port: 0 });
  const { address, port } = sys.getsockname(fd);
  t.is(address, family.loopback);
  t.true(port > 0 && port < 65536);
});

perFamily('getsockname() and getpeername() of both ends agree', (t, family) => {
  const { client, server, address } = connected(ownedBy(t), family);
  t.deepEqual(sys.getpeername(client), address);
  t.deepEqual(sys.getsockname(server), address);
  t.deepEqual(sys.getpeername(server), sys.getsockname(client));
});

test('an IPv6 socket speaks IPv4: the peer has a mapped address', (t) => {
  const owned = ownedBy(t);
  const server = tcp(owned, ipv6);
  sys.setOption(server, 'IPV6_V6ONLY', false);
  sys.bind(server, { address: '::', port: 0 });
  sys.listen(server, 1);
  const client = tcp(owned);
  sys.connect(client, { address: '127.0.0.1', port: sys.getsockname(server).port });
  const accepted = sys.accept(server);
  owned.own(accepted.fd);
  t.is(accepted.address, '::ffff:127.0.0.1');
  t.is(accepted.port, sys.getsockname(client).port);
});

test('bind() takes the bytes of a sockaddr, too', (t) => {
  const owned = ownedBy(t);
  const fd = tcp(owned);
  sys.bind(fd, sys.encodeAddress({ address: '127.0.0.1', port: 0 }));
  t.is(sys.getsockname(fd).address, '127.0.0.1');
  const local = owned.own(sys.socket(sys.AF_UNIX, sys.SOCK_STREAM));
  // Two bytes of family and nothing else: the kernel makes up an abstract name (unix(7), autobind).
  sys.bind(local, Uint8Array.of(sys.AF_UNIX, 0));
  t.deepEqual(sys.getsockname(local), { address: '', port: 0 });
});

test('socketpair(): two ends of one conversation', (t) => {
  const owned = ownedBy(t);
  const [a, b] = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM).map((fd) => owned.own(fd)) as [
    number,
    number,
  ];
  sys.write(a, 'there');
  const buffer = Buffer.alloc(16);
  t.is(sys.read(b, buffer), 5);
  t.is(buffer.toString('utf8', 0, 5), 'there');
  t.is(sys.getOption(a, 'SO_PEERCRED').pid, process.pid);
});

perFamily('listen(): accepting from then on', (t, family) => {
  const owned = ownedBy(t);
  const idle = tcp(owned, family);
  t.false(sys.getOption(idle, 'SO_ACCEPTCONN'));
  t.true(sys.getOption(listening(owned, family).fd, 'SO_ACCEPTCONN'));
});

// inet_pton(3): dotted decimal in four parts, RFC 4291 for IPv6; nothing that inet_aton(3) adds.
const texts: [family: number, text: string, bytes: number[] | undefined][] = [
  [sys.AF_INET, '127.0.0.1', [127, 0, 0, 1]],
  [sys.AF_INET, '255.255.255.255', [255, 255, 255, 255]],
  [sys.AF_INET, '127.1', undefined],
  [sys.AF_INET, '0x7f.0.0.1', undefined],
  [sys.AF_INET, '127.0.0.256', undefined],
  [sys.AF_INET, '127.0.0.1 ', undefined],
  [sys.AF_INET, '127.0.0.1\0', undefined],
  [sys.AF_INET, '', undefined],
  [sys.AF_INET, '::1', undefined],
  [sys.AF_INET6, '::1', [...Array(15).fill(0), 1]],
  [sys.AF_INET6, '::ffff:1.2.3.4', [...Array(10).fill(0), 255, 255, 1, 2, 3, 4]],
  [sys.AF_INET6, '1:2:3:4:5:6:7:8', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]],
  [sys.AF_INET6, '1::2::3', undefined],
  [sys.AF_INET6, 'fe80::1%1', undefined],
  [sys.AF_INET6, '127.0.0.1', undefined],
];

for (const [family, text, bytes] of texts) {
  test(`inet_pton(${family}, ${JSON.stringify(text)}): ${bytes ?? 'not an address'}`, (t) => {
    const result = sys.inet_pton(family, text);
    t.deepEqual(result && [...result], bytes);
    if (result !== undefined) t.is(sys.inet_ntop(family, result), text);
  });
}

test('inet_pton() and inet_ntop() of another family: EAFNOSUPPORT', (t) => {
  for (const family of [sys.AF_UNIX, 99, -1]) {
    t.throws(() => sys.inet_pton(family, '1.1.1.1'), {
      instanceOf: sys.SyscallError,
      message: /^inet_pton EAFNOSUPPORT/,
    });
    t.throws(() => sys.inet_ntop(family, new Uint8Array(16)), {
      instanceOf: sys.SyscallError,
      message: /^inet_ntop EAFNOSUPPORT/,
    });
  }
});

const endpoints: [text: string, port: number][] = [
  ['0.0.0.0', 0],
  ['10.20.30.40', 65535],
  ['::', 1],
  ['2001:db8::1', 443],
  ['::ffff:10.1.2.3', 80],
  ['fe80::1%4294967295', 22],
];

for (const [address, port] of endpoints) {
  test(`encodeAddress() and decodeAddress() agree on ${address} port ${port}`, (t) => {
    t.deepEqual(sys.decodeAddress(sys.encodeAddress({ address, port })), { address, port });
  });
}

const endpoint = { address: '127.0.0.1', port: 9 };
const encoded = Buffer.from([2, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);

test("encodeAddress(): the bytes are the caller's to change and to give away", (t) => {
  const bytes = sys.encodeAddress(endpoint);
  bytes.fill(255);
  t.deepEqual(Buffer.from(sys.encodeAddress(endpoint)), encoded);
  const given = sys.encodeAddress(endpoint);
  structuredClone(given, { transfer: [given.buffer as ArrayBuffer] });
  t.deepEqual(Buffer.from(sys.encodeAddress(endpoint)), encoded);
});

test('encodeAddress(): an address that changes as it is read is read once, and no other is harmed', (t) => {
  let turn = 0;
  const changing = {
    port: 9,
    get address() {
      return turn++ === 0 ? '127.0.0.2' : '127.0.0.1';
    },
  };
  t.is(sys.decodeAddress(sys.encodeAddress(changing)).address, '127.0.0.2');
  t.deepEqual(Buffer.from(sys.encodeAddress(endpoint)), encoded);
});

test('connect(): an address that changes as it is read: the error names the one that was used', (t) => {
  const owned = ownedBy(t);
  const { address, port } = refusing(owned);
  let turn = 0;
  const changing = {
    address,
    get port() {
      return turn++ === 0 ? port : 1;
    },
  };
  const error = t.throws(() => sys.connect(tcp(owned), changing), { code: 'ECONNREFUSED' });
  t.like(error, { address, port });
});

const cut: [what: string, bytes: Uint8Array, length: number, address: string][] = [
  ['nothing', new Uint8Array(), 0, ''],
  ['half a family', Uint8Array.of(2), 1, ''],
  ['IPv4 without its address', Uint8Array.of(2, 0, 0, 80), 4, ''],
  ['IPv6 without its scope', Uint8Array.of(10, ...Array(23).fill(0)), 24, ''],
  ['a family unknown here', Uint8Array.of(99, ...Array(27).fill(1)), 28, ''],
  ['a path without NUL', Uint8Array.of(1, 0, 47, 97), 4, '/a'],
  ['a path with one', Uint8Array.of(1, 0, 47, 97, 0, 98), 6, '/a'],
  ['an abstract name', Uint8Array.of(1, 0, 0, 97), 4, ''],
];

for (const [what, bytes, length, address] of cut) {
  test(`decodeAddress(): ${what}`, (t) => {
    t.is(sys.decodeAddress(bytes, length).address, address);
  });
}

for (const [what, ...args] of [
  ['null', null],
  ['a text', 'xx'],
  ['a proxy of bytes', new Proxy(new Uint8Array(16), {})],
  ['a length past the bytes', Uint8Array.of(10, 0, 0, 1), 28],
  ['a negative length', Uint8Array.of(2, 0, 0, 80, 127, 0, 0, 1), -5],
  ['a length that is none', new Uint8Array(16), Symbol('length')],
] as [what: string, ...unknown[]][]) {
  test(`decodeAddress() refuses ${what}`, (t) => {
    const error = t.throws(() => sys.decodeAddress(...(args as [Uint8Array, number])));
    t.regex(Reflect.get(error, 'code'), /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/);
  });
}

test('errnoName(), errnoText() and syscallName() refuse what is no number', (t) => {
  for (const name of [sys.errnoName, sys.errnoText, sys.syscallName]) {
    for (const value of [Symbol('n'), 1n, 'EPIPE', Object.create(null)]) {
      t.throws(() => name(value as number), { code: 'ERR_INVALID_ARG_TYPE' });
    }
  }
});

const wrong: [what: string, address: unknown, error: RegExp][] = [
  ['a name', { address: 'localhost', port: 1 }, /^address must be an IPv4 or IPv6 address/],
  ['a scope by name', { address: 'fe80::1%lo', port: 1 }, /^address must be/],
  ['two scopes', { address: 'fe80::1%2%3', port: 1 }, /^address must be/],
  ['a scope in hex', { address: 'fe80::1%0x2', port: 1 }, /^address must be/],
  ['a fraction of a scope', { address: 'fe80::1%2.5', port: 1 }, /^address must be/],
  ['a scope past 32 bits', { address: 'fe80::1%4294967296', port: 1 }, /^address must be/],
  ['a scope for IPv4', { address: '127.0.0.1%1', port: 1 }, /^address must be/],
  ['scope 0', { address: 'fe80::1%0', port: 1 }, /^address must be/],
  ['port 65536', { address: '::1', port: 65536 }, /^port must be an integer from 0 to 65535/],
  ['port -1', { address: '::1', port: -1 }, /^port must be/],
  ['port 1.5', { address: '::1', port: 1.5 }, /^port must be/],
  ['a port as text', { address: '::1', port: '80' }, /^port must be/],
  ['no port', { address: '::1' }, /^port must be .* received undefined/],
  ['no address', { port: 80 }, /^address must be \{address/],
  ['null', null, /^address must be \{address.* received null/],
];

for (const [what, address, message] of wrong) {
  test(`encodeAddress() refuses ${what}`, (t) => {
    const error = t.throws(() => sys.encodeAddress(address as sys.SocketAddress), { message });
    t.true(error instanceof TypeError || error instanceof RangeError);
  });
}
