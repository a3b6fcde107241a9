import test from 'ava';
import { formatDiagram } from '../../src/report/diagram.js';
import type { DiagramEdge } from '../../src/tcp/diagram.js';

const opens: DiagramEdge = {
  ...{ from: 'CLOSE', to: 'SYN_SENT', event: 'connect()', sends: 'S' },
  ...{ drawn: 'figure', inLinux: true },
};
const sends: DiagramEdge = {
  ...{ from: 'LISTEN', to: 'SYN_SENT', event: 'SEND', sends: 'S' },
  ...{ drawn: 'figure', inLinux: false, reason: 'no call does it' },
};
const ends: DiagramEdge = {
  ...{ from: 'LAST_ACK', to: 'CLOSE', event: 'rcv ACK of FIN', drawn: 'figure', inLinux: true },
};

test('an edge a line, in columns; who crosses it, or why nobody does', (t) => {
  const crossings = new Map([
    [opens, ['close-wait', 'syn-sent']],
    [ends, []],
  ]);
  t.is(
    formatDiagram([opens, sends, ends], crossings),
    [
      'CLOSE    -> SYN_SENT connect() / S  close-wait, syn-sent',
      'LISTEN   -> SYN_SENT SEND / S       not in Linux: no call does it',
      'LAST_ACK -> CLOSE    rcv ACK of FIN',
      '',
    ].join('\n'),
  );
});

test('of many the first, and how many there are', (t) => {
  const crossings = new Map([[ends, ['a', 'b', 'c', 'd', 'e', 'f']]]);
  t.is(
    formatDiagram([ends], crossings),
    'LAST_ACK -> CLOSE rcv ACK of FIN a, b, c, d and 2 more\n',
  );
});

test('nothing to show', (t) => {
  t.is(formatDiagram([]), '');
  t.is(formatDiagram([opens]), 'CLOSE -> SYN_SENT connect() / S\n');
});
