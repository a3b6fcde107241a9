import test from 'ava';
import { impliedStates, type MachineSegment, mayHandOver } from '../../src/tcp/machine.js';

/** `C F. 1 1 +5`: sender, flags, sequence and acknowledgment numbers after the SYN's, payload; at last `x`: discarded, `>`: departing,
 * `<`: arriving. */
function segmentsOf(text: string, isn = 0): MachineSegment[] {
  return text.split(',').map((line) => {
    const words = line.trim().split(' ');
    const discarded = words.at(-1) === 'x';
    const seen = words.at(-1) === '>' ? 'departing' : words.at(-1) === '<' ? 'arriving' : undefined;
    if (discarded || seen !== undefined) words.pop();
    const [end, flags = '', sequence, acknowledgment, payload] = words;
    return {
      end: end === 'C' ? 'client' : 'server',
      flags,
      sequence: (Number(sequence) + isn) >>> 0,
      acknowledgment: (Number(acknowledgment ?? 0) + isn) >>> 0,
      payloadLength: Number(payload ?? 0),
      ...(discarded && { discarded }),
      ...(seen && { seen }),
    };
  });
}

const OPEN = 'C S 0, S S. 0 1, C . 1 1';
const OPENED = [
  'client SYN_SENT sent',
  'server SYN_RECV sent',
  'client ESTABLISHED received',
  'server ESTABLISHED received',
];

const rows = [
  { name: 'the handshake', segments: OPEN, expected: OPENED },
  {
    name: 'a handshake that offers ECN',
    segments: 'C SEW 0, S S.E 0 1, C . 1 1',
    expected: OPENED,
  },
  {
    name: 'a handshake that offers ECN, its SYN sent again without',
    segments: 'C SEW 0, C S 0, S S. 0 1, C . 1 1',
    expected: OPENED,
  },
  { name: 'an answer without its call', segments: 'S S.E 0 1, C . 1 1', expected: [] },
  { name: 'a reset with a SYN', segments: 'C SR 0, S S. 0 1', expected: [] },
  {
    name: 'an active close',
    segments: `${OPEN}, C F. 1 1, S . 1 2, S F. 1 2, C . 2 2`,
    expected: [
      ...OPENED,
      ...['client FIN_WAIT1 sent', 'server CLOSE_WAIT received', 'client FIN_WAIT2 received'],
      ...['server LAST_ACK sent', 'client TIME_WAIT received', 'server CLOSE received'],
    ],
  },
  {
    name: 'a close by the server, whose FIN acknowledges nothing new',
    segments: `${OPEN}, S F. 1 1 +5, C . 1 7, C F. 1 7, S . 7 2`,
    expected: [
      ...OPENED,
      ...['server FIN_WAIT1 sent', 'client CLOSE_WAIT received', 'server FIN_WAIT2 received'],
      ...['client LAST_ACK sent', 'server TIME_WAIT received', 'client CLOSE received'],
    ],
  },
  {
    name: 'a FIN that carries the acknowledgment of the other',
    segments: `${OPEN}, C F. 1 1, S F. 1 2, C . 2 2`,
    expected: [
      ...OPENED,
      ...['client FIN_WAIT1 sent', 'server CLOSE_WAIT received', 'server LAST_ACK sent'],
      ...['client FIN_WAIT2 received', 'client TIME_WAIT received', 'server CLOSE received'],
    ],
  },
  {
    name: 'data in the SYN that is taken, and a FIN behind it (RFC 7413)',
    segments: 'C S 0 0 +5, S S. 0 6, C . 6 1, C F. 6 1',
    expected: [...OPENED, 'client FIN_WAIT1 sent', 'server CLOSE_WAIT received'],
  },
  {
    name: 'data in the SYN that is not taken, sent again with a FIN',
    segments: 'C S 0 0 +5, S S. 0 1, C F. 1 1 +5',
    expected: [
      ...OPENED.slice(0, 3),
      ...['client FIN_WAIT1 sent', 'server ESTABLISHED received', 'server CLOSE_WAIT received'],
    ],
  },
  {
    name: 'a FIN that the receiver throws away',
    segments: `${OPEN}, C F. 1 1 x, C F. 1 1`,
    expected: [...OPENED, 'client FIN_WAIT1 sent', 'server CLOSE_WAIT received'],
  },
  {
    name: 'a simultaneous close',
    segments: `${OPEN}, C F. 1 1, S F. 1 1, S . 2 2, C . 2 2`,
    expected: [
      ...OPENED,
      ...['client FIN_WAIT1 sent', 'server CLOSE_WAIT received', 'server LAST_ACK sent'],
      ...['client CLOSING received', 'client TIME_WAIT received', 'server CLOSE received'],
    ],
  },
  {
    name: 'FINs that cross each other on a link',
    segments: `${OPEN}, C F. 1 1 >, S F. 1 1 >, C F. 1 1 <, S F. 1 1 <, S . 2 2, C . 2 2`,
    expected: [
      ...OPENED,
      ...['client FIN_WAIT1 sent', 'server FIN_WAIT1 sent', 'server CLOSING received'],
      ...['client CLOSING received', 'client TIME_WAIT received', 'server TIME_WAIT received'],
    ],
  },
  {
    name: 'a FIN that departs and is lost',
    segments: `${OPEN}, C F. 1 1 >`,
    expected: [...OPENED, 'client FIN_WAIT1 sent'],
  },
  {
    name: 'a simultaneous open',
    segments: 'C S 0, S S 0, C S. 0 1, S S. 0 1',
    expected: [
      ...['client SYN_SENT sent', 'server SYN_SENT sent', 'client SYN_RECV sent'],
      ...['server ESTABLISHED received', 'client ESTABLISHED received'],
    ],
  },
  {
    name: 'a new SYN in TIME_WAIT, and a FIN of the new connection',
    segments:
      `${OPEN}, S F. 1 1, C F. 1 2, S . 2 2, ` +
      'C S 9000, S S. 8000 9001, C . 9001 8001, C F. 9001 8001',
    expected: [
      ...OPENED,
      ...['server FIN_WAIT1 sent', 'client CLOSE_WAIT received', 'client LAST_ACK sent'],
      ...['server FIN_WAIT2 received', 'server TIME_WAIT received', 'client CLOSE received'],
      ...['client SYN_SENT sent', 'server SYN_RECV sent', 'client ESTABLISHED received'],
      ...['server ESTABLISHED received', 'client FIN_WAIT1 sent', 'server CLOSE_WAIT received'],
    ],
  },
  {
    name: 'a FIN that comes before the data it follows',
    segments: `${OPEN}, C F. 6 1, S . 1 1, C P. 1 1 +5`,
    expected: [...OPENED, 'client FIN_WAIT1 sent', 'server CLOSE_WAIT received'],
  },
  {
    name: 'segments sent again',
    segments: `C S 0, C S 0, S S. 0 1, S S. 0 1, C . 1 1, C F. 1 1, C F. 1 1, S . 1 2, S . 1 2`,
    expected: [
      ...OPENED,
      ...['client FIN_WAIT1 sent', 'server CLOSE_WAIT received', 'client FIN_WAIT2 received'],
    ],
  },
  {
    name: 'a keepalive probe',
    segments: `${OPEN}, C . 0 1, S . 1 1`,
    expected: OPENED,
  },
  {
    name: 'a refused connection',
    segments: 'C S 0, S R. 0 1',
    expected: ['client SYN_SENT sent', 'client CLOSE received'],
  },
  {
    name: 'a reset that acknowledges no SYN of ours',
    segments: 'C S 0, S R. 0 9',
    expected: ['client SYN_SENT sent'],
  },
  {
    name: 'a reset',
    segments: `${OPEN}, C R. 1 1`,
    expected: [...OPENED, 'client CLOSE sent', 'server CLOSE received'],
  },
  {
    name: 'a reset out of sequence',
    segments: `${OPEN}, C R. 77 1`,
    expected: [...OPENED, 'client CLOSE sent'],
  },
  { name: 'a conversation without its beginning', segments: 'C F. 1 1, S . 1 2', expected: [] },
  {
    name: 'an acknowledgment without its SYN',
    segments: 'C S 0, C . 1 1',
    expected: ['client SYN_SENT sent'],
  },
];

for (const { name, segments, expected } of rows) {
  for (const isn of [0, 0xffff_ffff]) {
    test(`${name}, first sequence number ${isn}`, (t) => {
      const implied = impliedStates(segmentsOf(segments, isn));
      t.deepEqual(
        implied.map(({ end, state, by }) => `${end} ${state} ${by}`),
        expected,
      );
    });
  }
}

test('no segments imply nothing', (t) => {
  t.deepEqual(impliedStates([]), []);
});

test('CLOSE may be a hand-over where a mini-socket can follow', (t) => {
  t.true(mayHandOver('FIN_WAIT2', 'CLOSE'));
  t.false(mayHandOver('LAST_ACK', 'CLOSE'));
  t.false(mayHandOver('FIN_WAIT1', 'FIN_WAIT2'));
  t.false(mayHandOver(undefined, 'CLOSE'));
});
