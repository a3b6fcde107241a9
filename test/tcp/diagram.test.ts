import test from 'ava';
import { diagram, edgeBetween, stepsOf } from '../../src/tcp/diagram.js';
import { stateNumber, type TcpState } from '../../src/tcp/states.js';

test('an edge joins two states, and no two edges the same', (t) => {
  for (const edge of diagram) {
    const { from, to, inLinux, reason } = edge;
    t.is(edgeBetween(from, to), edge);
    for (const state of [from, to]) t.true((stateNumber(state) ?? 99) <= 11, state);
    t.true(inLinux || reason !== undefined, `${from} -> ${to} says why not`);
  }
  t.is(edgeBetween('LISTEN', 'ESTABLISHED'), undefined);
  t.is(edgeBetween('UNKNOWN(99)', 'CLOSE'), undefined);
});

test('the figure has twenty edges, and its note one', (t) => {
  const named = (drawn: string) => diagram.filter((edge) => edge.drawn === drawn);
  t.is(named('figure').length, 20);
  t.true(named('note').some(({ from, to }) => from === 'FIN_WAIT1' && to === 'TIME_WAIT'));
});

const paths: readonly { name: string; path: TcpState[]; steps: string }[] = [
  { name: 'no path', path: [], steps: '' },
  {
    name: 'an active end',
    path: ['SYN_SENT', 'ESTABLISHED'],
    steps: 'CLOSE>SYN_SENT SYN_SENT>ESTABLISHED',
  },
  {
    name: 'a passive end, and who listened for it',
    path: ['SYN_RECV', 'ESTABLISHED'],
    steps: 'CLOSE>LISTEN LISTEN>SYN_RECV SYN_RECV>ESTABLISHED',
  },
  {
    name: 'a request that is forgotten',
    path: ['SYN_RECV', 'CLOSE'],
    steps: 'CLOSE>LISTEN LISTEN>SYN_RECV SYN_RECV>LISTEN',
  },
  {
    name: 'a simultaneous open that fails',
    path: ['SYN_SENT', 'SYN_RECV', 'CLOSE'],
    steps: 'CLOSE>SYN_SENT SYN_SENT>SYN_RECV SYN_RECV>CLOSE',
  },
  {
    name: 'a second connection to the same listener',
    path: ['SYN_RECV', 'ESTABLISHED', 'CLOSE', 'SYN_RECV', 'CLOSE'],
    steps:
      'CLOSE>LISTEN LISTEN>SYN_RECV SYN_RECV>ESTABLISHED ESTABLISHED>CLOSE ' +
      'LISTEN>SYN_RECV SYN_RECV>LISTEN',
  },
  {
    name: 'TIME_WAIT, taken over by a new connection',
    path: ['TIME_WAIT', 'SYN_SENT', 'ESTABLISHED'],
    steps: 'CLOSE>TIME_WAIT TIME_WAIT>SYN_SENT SYN_SENT>ESTABLISHED',
  },
  {
    name: 'TIME_WAIT, and an attempt that it is in the way of',
    path: ['TIME_WAIT', 'SYN_SENT', 'CLOSE'],
    steps: 'CLOSE>TIME_WAIT CLOSE>SYN_SENT SYN_SENT>CLOSE',
  },
  {
    name: 'a listener',
    path: ['LISTEN', 'CLOSE'],
    steps: 'CLOSE>LISTEN LISTEN>CLOSE',
  },
  { name: 'one that says CLOSE itself', path: ['CLOSE', 'LISTEN'], steps: 'CLOSE>LISTEN' },
  {
    name: 'a state that is new',
    path: ['SYN_SENT', 'UNKNOWN(99)'],
    steps: 'CLOSE>SYN_SENT SYN_SENT>UNKNOWN(99)',
  },
];

for (const { name, path, steps } of paths) {
  test(`steps of ${name}`, (t) => {
    t.is(
      stepsOf(path)
        .map((step) => step.join('>'))
        .join(' '),
      steps,
    );
  });
}
