import test from 'ava';
import * as ethtool from '../../src/tcp/ethtool.js';
import { noCompiler, numbersOf, valuesOf, withCompiler } from '../fixture/headers.js';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('asks for the number of a family', (t) => {
  const expected = '20000000' + '1000' + '0100' + '07000000' + '00000000' + '03010000';
  t.is(hexOf(ethtool.encodeGetFamily(7, 'ethtool')), `${expected}0c000200657468746f6f6c00`);
});

test('clears a feature of a device', (t) => {
  const expected = [
    '44000000' + '1500' + '0500' + '07000000' + '00000000' + '0c010000',
    '14000180' + '070002006c6f0000' + '0800030002000000', // the device, and no answer beyond success
    '1c000380' + '18000380' + '14000180' + '1000020074782d636865636b73756d00',
  ];
  t.is(hexOf(ethtool.encodeFeaturesOff(0x15, 7, 'lo', ['tx-checksum'])), expected.join(''));
});

for (const { name, hex, expected } of [
  { name: 'a number', hex: '01020000' + '0600010015000000', expected: 0x15 },
  { name: 'a number of another length', hex: '01020000' + '0800010015000000', expected: undefined },
  { name: 'no number', hex: '01020000', expected: undefined },
  { name: 'nothing', hex: '', expected: undefined },
]) {
  test(`reads the answer that holds ${name}`, (t) => {
    t.is(ethtool.decodeFamily(Buffer.from(hex, 'hex')), expected);
  });
}

withCompiler(`numbers are those of the headers${noCompiler}`, (t) => {
  const numbers = Object.entries(numbersOf(ethtool));
  const generic = Object.fromEntries(numbers.filter(([name]) => /^(GENL|CTRL)/.test(name)));
  const own = Object.fromEntries(numbers.filter(([name]) => name.startsWith('ETHTOOL')));
  t.is(Object.keys(generic).length + Object.keys(own).length, numbers.length);
  t.deepEqual(valuesOf('linux/genetlink.h', Object.keys(generic)), generic);
  t.deepEqual(valuesOf('linux/ethtool_netlink.h', Object.keys(own)), own);
});
