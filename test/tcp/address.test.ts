import { isIP, SocketAddress } from 'node:net';
import test from 'ava';
import fc from 'fast-check';
import {
  AF_INET,
  AF_INET6,
  formatAddress,
  formatEndpoint,
  parseAddress,
  parseScopedAddress,
} from '../../src/tcp/address.js';

const texts = [
  { text: '0.0.0.0', hex: '00000000' },
  { text: '127.0.0.1', hex: '7f000001' },
  { text: '255.255.255.255', hex: 'ffffffff' },
  { text: '::', hex: '00000000000000000000000000000000' },
  { text: '::1', hex: '00000000000000000000000000000001' },
  { text: '1::', hex: '00010000000000000000000000000000' },
  { text: 'fe80::1:0:0:2', hex: 'fe800000000000000001000000000002' },
  { text: '2001:db8::1:0:0:1', hex: '20010db8000000000001000000000001' },
  { text: '2001:db8:0:1:1:1:1:1', hex: '20010db8000000010001000100010001' },
  { text: '1:2:3:4:5:6:7:8', hex: '00010002000300040005000600070008' },
  { text: '::ffff:127.0.0.1', hex: '00000000000000000000ffff7f000001' },
  { text: '::192.0.2.1', hex: '000000000000000000000000c0000201' },
  { text: '64:ff9b::c000:201', hex: '0064ff9b0000000000000000c0000201' },
];

for (const { text, hex } of texts) {
  test(`${text} is ${hex}`, (t) => {
    const bytes = Buffer.from(hex, 'hex');
    t.is(formatAddress(bytes, 0, bytes.length === 4 ? AF_INET : AF_INET6), text);
    t.deepEqual(parseAddress(text), new Uint8Array(bytes));
  });
}

for (const { text, hex } of [
  { text: '0:0:0:0:0:0:0:0', hex: '00000000000000000000000000000000' },
  { text: '2001:DB8::0001', hex: '20010db8000000000000000000000001' },
  { text: '1:2:3:4:5:6:1.2.3.4', hex: '00010002000300040005000601020304' },
  { text: '1:2:3:4:5:6:7::', hex: '00010002000300040005000600070000' },
]) {
  test(`${text} is accepted too`, (t) => {
    t.deepEqual(parseAddress(text), new Uint8Array(Buffer.from(hex, 'hex')));
  });
}

for (const text of [
  '',
  'localhost',
  '127.0.0',
  '127.0.0.1.1',
  '127.0.0.256',
  '127.0.0.01',
  ' 127.0.0.1',
  '127.0.0.1\n',
  '0x7f.0.0.1',
  ':',
  ':::',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '1::2::3',
  ':1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:',
  '::12345',
  '::g',
  'fe80::1%lo',
  '[::1]',
  '1.2.3.4::',
  '::1.2.3.4:5',
  '1:2:3:4:5:6:7:1.2.3.4',
]) {
  test(`'${text.replace('\n', '\\n')}' is no address`, (t) => {
    t.is(parseAddress(text), undefined);
  });
}

for (const [text, hex, scope] of [
  ['127.0.0.1', '7f000001', 0],
  ['fe80::1', 'fe800000000000000000000000000001', 0],
  ['fe80::1%2', 'fe800000000000000000000000000001', 2],
  ['FE80:0::1%4294967295', 'fe800000000000000000000000000001', 4294967295],
] as const) {
  test(`${text}: its address, and its interface`, (t) => {
    t.deepEqual(parseScopedAddress(text), {
      bytes: new Uint8Array(Buffer.from(hex, 'hex')),
      scope,
    });
  });
}

for (const text of [
  '',
  'fe80::1%',
  'fe80::1%lo',
  'fe80::1%0',
  'fe80::1%02',
  'fe80::1%-1',
  'fe80::1%2%3',
  'fe80::1%2.5',
  'fe80::1%2\n',
  'fe80::1%4294967296',
  'fe80::g%2',
  '%2',
  '127.0.0.1%2',
]) {
  test(`'${text.replace('\n', '\\n')}' is no address with a scope`, (t) => {
    t.is(parseScopedAddress(text), undefined);
  });
}

test('an endpoint is bracketed where the address has colons', (t) => {
  t.is(formatEndpoint({ address: '127.0.0.1', port: 80 }), '127.0.0.1:80');
  t.is(formatEndpoint({ address: '::1', port: 80 }), '[::1]:80');
});

/** Zero groups often enough for `::` to matter. */
const ipv6Bytes = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0xffff), fc.integer({ min: 0, max: 0xffff })), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])));

test('any IPv6 address reads as inet_ntop(3) has it and comes back the same', (t) => {
  fc.assert(
    fc.property(ipv6Bytes, (bytes) => {
      const text = formatAddress(bytes, 0, AF_INET6);
      const groups = Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? [];
      const peer = new SocketAddress({ address: groups.join(':'), family: 'ipv6' });
      t.is(text, peer.address);
      t.deepEqual(parseAddress(text), bytes);
    }),
  );
});

test('whatever parses, inet_pton(3) takes too, and the other way round', (t) => {
  const text = fc.string({ unit: fc.constantFrom(...'0123456789abF:.') });
  fc.assert(
    fc.property(text, (candidate) => {
      t.is(parseAddress(candidate) !== undefined, isIP(candidate) !== 0, candidate);
    }),
    { numRuns: 2000 },
  );
});

test('an offset into other bytes, and bytes that end early', (t) => {
  t.is(formatAddress(Uint8Array.of(9, 9, 127, 0, 0, 1), 2, AF_INET), '127.0.0.1');
  t.is(formatAddress(Uint8Array.of(127), 0, AF_INET), '127.0.0.0');
  t.is(formatAddress(new Uint8Array(0), 0, AF_INET6), '::');
});
