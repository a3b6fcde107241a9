import test from 'ava';
import fc from 'fast-check';
import { loopbackAddresses, networkAddresses } from '../../src/world/addresses.js';

const FIRST = 0xf0000000;

for (const { name, actual, expected } of [
  {
    name: 'a loopback world',
    actual: loopbackAddresses(FIRST + 0x1234),
    expected: { 4: '127.0.72.209', 6: 'fd00:f000:1234::1' },
  },
  {
    name: 'the client of a network',
    actual: networkAddresses(FIRST + 0x1234, 1),
    expected: { 4: '10.0.72.209', 6: 'fd00:f000:1234::1' },
  },
  {
    name: 'its server',
    actual: networkAddresses(FIRST + 0x1234, 2),
    expected: { 4: '10.0.72.210', 6: 'fd00:f000:1234::2' },
  },
  {
    name: 'the last inode that IPv4 has room for',
    actual: networkAddresses(FIRST + 0x3fffff, 2),
    expected: { 4: '10.255.255.254', 6: 'fd00:f03f:ffff::2' },
  },
  {
    name: 'the one after it',
    actual: networkAddresses(FIRST + 0x400000, 2),
    expected: { 4: '10.0.0.2', 6: 'fd00:f040::2' },
  },
]) {
  test(`the addresses of ${name}`, (t) => t.deepEqual(actual, expected));
}

test('two namespaces never share an address, nor the two hosts of a network', (t) => {
  const inode = fc.integer({ min: FIRST, max: FIRST + 0x3fffff });
  fc.assert(
    fc.property(fc.uniqueArray(inode, { minLength: 2 }), (inodes) => {
      const all = inodes.flatMap((each) => [networkAddresses(each, 1), networkAddresses(each, 2)]);
      t.is(new Set(all.map((addresses) => addresses[4])).size, all.length);
      t.is(new Set(all.map((addresses) => addresses[6])).size, all.length);
    }),
  );
});
