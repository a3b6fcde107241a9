/** A kind must tell whatever causeOf() tells: every combination of what it goes by is held against it. */
import test from 'ava';
import { causeOfKind, GHOST, KINDS, kindAt } from '../../src/diagnose/kind.js';
import { causeOf } from '../../src/tcp/cause.js';
import { timerName } from '../../src/tcp/socket-table.js';
import { stateName, stateNumber, tcpStates } from '../../src/tcp/states.js';

const few = [0, 1, 70_000];

test('causes by kind are those by socket', (t) => {
  const kinds = new Set<number>();
  for (const name of tcpStates) {
    for (const recvQ of few) {
      for (const sendQ of few) {
        for (const inode of [0, 4242]) {
          for (const timer of [0, 1, 2, 3, 4]) {
            for (const retransmits of [0, 3]) {
              for (const shared of [false, true]) {
                const state = stateNumber(name);
                const columns = {
                  state: Uint8Array.of(state),
                  recvQ: Uint32Array.of(recvQ),
                  sendQ: Uint32Array.of(sendQ),
                  inode: Uint32Array.of(inode),
                  timer: Uint8Array.of(timer),
                  retransmits: Uint8Array.of(retransmits),
                };
                const kind = kindAt(columns, 0, shared);
                kinds.add(kind);
                const holder = { pid: 7, fd: 8 };
                const expected = causeOf({
                  ...{ state: stateName(state), recvQ, sendQ, inode, retransmits },
                  timer: timerName(timer),
                  holders: shared ? [holder, { pid: 9, fd: 10 }] : [holder],
                })?.cause;
                if (causeOfKind(kind) !== expected) {
                  t.fail(JSON.stringify({ name, recvQ, sendQ, inode, timer, retransmits, shared }));
                }
              }
            }
          }
        }
      }
    }
  }
  t.true([...kinds].every((kind) => kind >= 0 && kind < KINDS));
});

test('the kind of a ghost is one', (t) => {
  t.is(causeOfKind(GHOST), 'ghost');
  t.is(GHOST, stateNumber('CLOSE'));
});
