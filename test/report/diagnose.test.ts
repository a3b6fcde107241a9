import test from 'ava';
import type { Diagnosis, SocketReport } from '../../src/diagnose/record.js';
import { formatDiagnosis } from '../../src/report/diagnose.js';

const plain = (_style: string, text: string): string => text;

const socket: SocketReport = {
  ...{ pid: 10, comm: 'app', fd: 4, state: 'CLOSE_WAIT', recvQ: 0, sendQ: 0 },
  local: { address: '127.0.0.1', port: 80 },
  remote: { address: '127.0.0.1', port: 1000 },
  ...{ ageMs: 1500, ageFrom: 'since the last ACK', cause: 'not-closed', leak: true },
  evidence: ['Recv-Q 0: everything was read, the EOF too'],
  holders: [{ pid: 10, fd: 4, comm: 'app' }],
  listener: { address: '0.0.0.0', port: 80 },
  ...{ watches: null, source: null, runtime: 'native', uid: 0, inode: 5, cookie: 1n, netns: 1 },
  ...{ timer: 'off', timerMs: 0, retransmits: 0, totalRetrans: 0, advice: 'Close it.' },
};

const counts: Diagnosis['counts'] = {
  ...{ sockets: 0, leaks: 0, passing: 0, 'eof-unread': 0, 'not-closed': 0, 'never-accepted': 0 },
  ...{ 'shared-fd': 0, 'still-sending': 0, ghost: 0, 'peer-never-closes': 0 },
};

const nothing: Diagnosis = {
  ...{ sockets: [], counts, processes: [], namespaces: [1], incomplete: [], sufficient: true },
};

test('nothing found', (t) => {
  t.is(formatDiagnosis(nothing, plain), '0 leaks, 0 suspicious sockets\n');
});

test('what a process chose of itself cannot command the terminal', (t) => {
  const text = formatDiagnosis(
    {
      ...nothing,
      sockets: [
        {
          ...{ ...socket, comm: '\x1b[2J' },
          holders: [...socket.holders, { pid: 11, fd: 4, comm: 'b\x1b[2J' }],
          source: {
            ...{ kind: 'client', file: '/a\x1b[2J.js', line: 1, stack: [], lastEvents: [] },
            ...{ allowHalfOpen: false, paused: false, flowing: null, readableEnded: false },
            ...{ writableEnded: false, destroyed: false },
          },
        },
      ],
      processes: [
        {
          ...{ pid: 10, comm: 'a\n\x1b[2J', threads: [] },
          stacks: { command: 'x', text: 'f\x1b[2J\n' },
        },
      ],
    },
    plain,
  );
  t.notRegex(text, /[^\P{Cc}\n]/u);
  for (const what of ['a??[2J (pid 10)', 'b?[2J (pid 11)', '/a?[2J.js:1', '    f?[2J\n']) {
    t.true(text.includes(what), text);
  }
});

test('many of a kind are one paragraph: the oldest in full, the advice once', (t) => {
  const sockets = Array.from({ length: 5 }, (_, i) => ({ ...socket, fd: i, ageMs: 1000 + i }));
  const text = formatDiagnosis(
    {
      ...nothing,
      sockets,
      counts: { ...counts, sockets: 5, leaks: 5, 'not-closed': 5, passing: 2 },
      processes: [
        {
          ...{ pid: 10, comm: 'app', runtime: 'native' },
          threads: [
            { tid: 10, comm: 'app', state: 'S', call: 'accept4', fd: 3, wchan: 'inet_csk_accept' },
            { tid: 11, comm: 'app', state: 'R', reason: 'running' },
          ],
        },
      ],
      incomplete: ['EACCES: 1 process'],
    },
    plain,
  );
  t.is(
    text,
    `5 leaks, 5 suspicious sockets: 5 not-closed; 2 more had moved on at the second look

app (pid 10, native)
  1 thread in accept4(3) in inet_csk_accept
  1 thread in state R: running
  not-closed: 5 sockets
    5 x CLOSE_WAIT by listener 0.0.0.0:80, remote 127.0.0.1, for at least 1.0 s
      fd 4: 127.0.0.1:80 <- 127.0.0.1:1000, Recv-Q 0, Send-Q 0, >= 1.0 s
      fd 3: 127.0.0.1:80 <- 127.0.0.1:1000, Recv-Q 0, Send-Q 0, >= 1.0 s
      fd 2: 127.0.0.1:80 <- 127.0.0.1:1000, Recv-Q 0, Send-Q 0, >= 1.0 s
      and 2 more (--json lists all)
      - Recv-Q 0: everything was read, the EOF too
    => Close it.

Not seen
- EACCES: 1 process
`,
  );
});

test('remotes, states and causes apart; what nobody holds under its own heading', (t) => {
  const sockets: SocketReport[] = [
    socket,
    { ...socket, remote: { address: '10.0.0.1', port: 1 } },
    {
      ...socket,
      cause: 'shared-fd',
      holders: [...socket.holders, { pid: 11, fd: 4, comm: 'kid' }],
    },
    { ...socket, pid: null, fd: null, comm: null, holders: [], remote: null },
  ];
  const text = formatDiagnosis({ ...nothing, sockets, processes: [] }, plain);
  t.is(text.match(/1 x CLOSE_WAIT/g)?.length, 4);
  t.regex(text, /also kid \(pid 11\) fd 4/);
  t.regex(text, /no process that can be seen\n.*not-closed: 1 socket\n.*remote unknown/s);
});
