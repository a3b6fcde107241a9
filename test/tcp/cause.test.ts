import test from 'ava';
import { type Cause, causeOf, isLeak, type SocketFacts } from '../../src/tcp/cause.js';
import { tcpStates } from '../../src/tcp/states.js';

/** CLOSE_WAIT as the article's server leaves it: EOF read, one descriptor, no close(). */
const base: SocketFacts = {
  state: 'CLOSE_WAIT',
  recvQ: 0,
  sendQ: 0,
  inode: 1234,
  timer: 'off',
  holders: [{ pid: 10, fd: 4 }],
};
const two = [
  { pid: 10, fd: 4 },
  { pid: 11, fd: 4 },
];

const rows: { name: string; facts: Partial<SocketFacts>; cause: Cause; evidence: string[] }[] = [
  {
    name: 'EOF read, never closed',
    facts: {},
    cause: 'not-closed',
    evidence: ['Recv-Q 0: everything was read, the EOF too', 'held by pid 10, fd 4'],
  },
  {
    name: 'EOF read, holders not to be seen',
    facts: { holders: [] },
    cause: 'not-closed',
    evidence: [
      'Recv-Q 0: everything was read, the EOF too',
      'inode 1234: held, by whom cannot be seen',
    ],
  },
  {
    name: 'only the FIN unread',
    facts: { recvQ: 1 },
    cause: 'eof-unread',
    evidence: ['Recv-Q 1: the FIN is unread'],
  },
  {
    name: 'data and the FIN unread',
    facts: { recvQ: 6 },
    cause: 'eof-unread',
    evidence: ['Recv-Q 6: 5 bytes and the FIN are unread'],
  },
  {
    name: 'EOF read, two holders',
    facts: { holders: two },
    cause: 'shared-fd',
    evidence: ['Recv-Q 0: everything was read, the EOF too', '2 holders: pid 10 fd 4, pid 11 fd 4'],
  },
  {
    name: 'unread comes before shared, which stays in the evidence',
    facts: { recvQ: 1, holders: two },
    cause: 'eof-unread',
    evidence: ['Recv-Q 1: the FIN is unread', '2 holders: pid 10 fd 4, pid 11 fd 4'],
  },
  {
    name: 'still sending comes before unread',
    facts: { sendQ: 1000, recvQ: 1, timer: 'on' },
    cause: 'still-sending',
    evidence: [
      'Send-Q 1000: written, not yet acknowledged',
      'timer on',
      'Recv-Q 1: the FIN is unread',
    ],
  },
  {
    name: 'still sending to a closed window',
    facts: { sendQ: 1000, timer: 'persist' },
    cause: 'still-sending',
    evidence: [
      'Send-Q 1000: written, not yet acknowledged',
      "timer persist: the peer's window is closed",
      'Recv-Q 0: everything was read, the EOF too',
    ],
  },
  {
    name: 'in the accept queue, whatever the queues hold',
    facts: { inode: 0, holders: [], recvQ: 6, sendQ: 3 },
    cause: 'never-accepted',
    evidence: ['inode 0: still in the accept queue', 'Recv-Q 6: 5 bytes and the FIN are unread'],
  },
  {
    name: 'FIN_WAIT2 held open',
    facts: { state: 'FIN_WAIT2' },
    cause: 'peer-never-closes',
    evidence: ['held by pid 10, fd 4', 'timer off'],
  },
  {
    name: 'FIN_WAIT2 held open with keepalive',
    facts: { state: 'FIN_WAIT2', timer: 'keepalive', holders: [] },
    cause: 'peer-never-closes',
    evidence: [
      'inode 1234: held, by whom cannot be seen',
      'timer keepalive: finds a dead peer, not one that never closes',
    ],
  },
  {
    name: 'a descriptor whose connection is gone',
    facts: { state: 'CLOSE', connected: true },
    cause: 'ghost',
    evidence: [
      'held by pid 10, fd 4',
      'in no answer of sock_diag: its state is CLOSE',
      'TCP_INFO counts a delivered SYN: it was connected',
    ],
  },
  {
    name: 'a closed descriptor of unknown past',
    facts: { state: 'CLOSE' },
    cause: 'ghost',
    evidence: [
      'held by pid 10, fd 4',
      'in no answer of sock_diag: its state is CLOSE',
      'no TCP_INFO: it may never have been connected',
    ],
  },
  {
    name: 'empty queues, but bytes went out between two looks',
    facts: { sentBytes: 120 },
    cause: 'still-sending',
    evidence: ['120 bytes sent while watched', 'Recv-Q 0: everything was read, the EOF too'],
  },
  {
    name: 'an orphan whose FIN nobody answers',
    facts: { state: 'LAST_ACK', inode: 0, holders: [], sendQ: 1, timer: 'on', retransmits: 4 },
    cause: 'still-sending',
    evidence: [
      'Send-Q 1: not acknowledged, the FIN counting as one',
      'timer on: 4 retransmissions without an answer',
      'inode 0: an orphan, the kernel alone keeps it',
    ],
  },
  {
    name: 'an orphan before a closed window',
    facts: { state: 'FIN_WAIT1', inode: 0, holders: [], sendQ: 9000, timer: 'persist' },
    cause: 'still-sending',
    evidence: [
      'Send-Q 9000: not acknowledged, the FIN counting as one',
      "timer persist: the peer's window is closed",
      'inode 0: an orphan, the kernel alone keeps it',
    ],
  },
  {
    name: 'shut down, held, and the FIN unanswered',
    facts: { state: 'FIN_WAIT1', sendQ: 1, timer: 'on', retransmits: 2 },
    cause: 'still-sending',
    evidence: [
      'Send-Q 1: not acknowledged, the FIN counting as one',
      'timer on: 2 retransmissions without an answer',
      'held by pid 10, fd 4',
    ],
  },
];

for (const { name, facts, cause, evidence } of rows) {
  test(`${cause}: ${name}`, (t) => {
    t.deepEqual(causeOf({ ...base, ...facts }), { cause, evidence });
  });
}

for (const { name, facts } of [
  {
    name: 'an orphaned FIN_WAIT2',
    facts: { state: 'FIN_WAIT2', inode: 0, holders: [], timer: 'timewait' },
  },
  {
    name: 'an orphaned FIN_WAIT2 with a long timeout',
    facts: { state: 'FIN_WAIT2', inode: 0, holders: [], timer: 'keepalive' },
  },
  { name: 'a socket that never connected', facts: { state: 'CLOSE', connected: false } },
  { name: 'CLOSE that nobody holds', facts: { state: 'CLOSE', inode: 0, holders: [] } },
  { name: 'a state of a newer kernel', facts: { state: 'UNKNOWN(14)' } },
] as const) {
  test(`not suspicious: ${name}`, (t) => {
    t.is(causeOf({ ...base, ...facts }), undefined);
  });
}

for (const state of tcpStates) {
  if (['CLOSE_WAIT', 'FIN_WAIT2', 'CLOSE'].includes(state)) continue;
  test(`not suspicious: ${state}`, (t) => {
    t.is(causeOf({ ...base, state, recvQ: 5, sendQ: 5, holders: two }), undefined);
  });
}

test('every cause is a leak but still-sending', (t) => {
  const leaks = new Map(rows.map(({ cause }) => [cause, isLeak(cause)]));
  t.is(leaks.size, 7);
  for (const [cause, leak] of leaks) t.is(leak, cause !== 'still-sending', cause);
});
