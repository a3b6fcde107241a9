import test from 'ava';
import fc from 'fast-check';
import { stateMask, stateName, stateNumber, tcpStates } from '../../src/tcp/states.js';

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

test('any number has a name', (t) => {
  fc.assert(fc.property(fc.integer(), (number) => stateName(number).length > 0));
  t.pass();
});
