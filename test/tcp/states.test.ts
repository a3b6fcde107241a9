import test from 'ava';
import fc from 'fast-check';
import { followsPath, stateMask, stateName, stateNumber, tcpStates } from '../../src/tcp/states.js';

test('numbers are those of include/net/tcp_states.h', (t) => {
  t.is(stateName(1), 'ESTABLISHED');
  t.is(stateName(8), 'CLOSE_WAIT');
  t.is(stateName(10), 'LISTEN');
  t.is(stateName(12), 'NEW_SYN_RECV');
  t.is(stateName(13), 'BOUND_INACTIVE');
});

test('every name and number go both ways', (t) => {
  for (const [index, name] of tcpStates.entries()) {
    t.is(stateNumber(name), index + 1);
    t.is(stateName(index + 1), name);
  }
});

test('a number of a newer kernel keeps its number, a name of no kernel has none', (t) => {
  t.is(stateName(0), 'UNKNOWN(0)');
  t.is(stateName(14), 'UNKNOWN(14)');
  t.is(stateNumber('CLOSEWAIT'), undefined);
  t.is(stateNumber('toString'), undefined);
});

test('a mask has one bit for each state', (t) => {
  t.is(stateMask([]), 0);
  t.is(stateMask(['ESTABLISHED']), 0x002);
  t.is(stateMask(['CLOSE_WAIT', 'LISTEN', 'CLOSE_WAIT']), 0x500);
  t.is(stateMask(tcpStates), 0x3ffe);
});

const paths = [
  { seen: 'ESTABLISHED CLOSE_WAIT CLOSE', follows: true, what: 'all that lasts' },
  { seen: 'SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK CLOSE', follows: true, what: 'all of it' },
  { seen: 'ESTABLISHED CLOSE', follows: false, what: 'a lasting state is missing' },
  { seen: 'ESTABLISHED CLOSE_WAIT', follows: false, what: 'the end is missing' },
  { seen: 'ESTABLISHED CLOSE_WAIT CLOSE SYN_SENT', follows: false, what: 'there is more' },
  { seen: '', follows: false, what: 'nothing was seen' },
  { path: 'SYN_SENT CLOSE', seen: '', follows: true, what: 'an attempt that nobody saw' },
  { path: 'SYN_SENT CLOSE', seen: 'SYN_SENT CLOSE', follows: true, what: 'an attempt' },
  { path: 'SYN_SENT CLOSE', seen: 'SYN_SENT', follows: false, what: 'an attempt without its end' },
  { path: 'TIME_WAIT SYN_SENT CLOSE', seen: 'TIME_WAIT', follows: true, what: 'one after another' },
  { path: 'SYN_RECV CLOSE', seen: '', follows: false, what: 'no attempt of its own' },
];

for (const {
  path = 'SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK CLOSE',
  seen,
  follows,
  what,
} of paths) {
  test(`${seen || 'nothing'} ${follows ? 'follows' : 'does not follow'} ${path}: ${what}`, (t) => {
    const words = (text: string): string[] => text.split(' ').filter(Boolean);
    t.is(followsPath(words(seen), words(path)), follows);
  });
}

test('what is passing, or momentary, may be missing from a path, and nothing else', (t) => {
  const path = ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'];
  t.true(followsPath(path, path));
  t.true(followsPath(['ESTABLISHED', 'FIN_WAIT2', 'TIME_WAIT'], path));
  t.false(followsPath(['ESTABLISHED', 'TIME_WAIT'], path));
  t.true(followsPath(['ESTABLISHED', 'TIME_WAIT'], path, ['FIN_WAIT2']));
  t.true(followsPath(path, path, ['FIN_WAIT2']));
  t.false(followsPath(['TIME_WAIT'], path, ['FIN_WAIT2']));
  t.false(followsPath([...path, 'CLOSE'], path, ['FIN_WAIT2']));
});

test('any number has a name', (t) => {
  fc.assert(fc.property(fc.integer(), (number) => stateName(number).length > 0));
  t.pass();
});
