import test from 'ava';
import { flagsOf } from '../../src/experiment/repeats.js';

/** `C F. 5 1 +3`: sender, flags, sequence and acknowledgment numbers, payload. */
const segmentsOf = (text: string) =>
  text.split(', ').map((line) => {
    const [end, flags = '', sequence, acknowledgment, payload] = line.split(' ');
    const segment = {
      source: { address: '192.0.2.1', port: end === 'C' ? 1 : 2 },
      ...{ flags, sequence: Number(sequence), acknowledgment: Number(acknowledgment) },
      payloadLength: Number(payload ?? 0),
    };
    return { segment };
  });

for (const { name, segments, expected, flags } of [
  {
    name: 'what was expected',
    segments: 'C S 0 0, S S. 0 1, C . 1 1',
    expected: 'S S. .',
    flags: 'S S. .',
  },
  {
    name: 'a SYN that the kernel has sent again, unexpected',
    segments: 'C S 0 0, C S 0 0, S S. 0 1, C . 1 1',
    expected: 'S S. .',
    flags: 'S S. .',
  },
  {
    name: 'ECN, which nobody expected, given up in a SYN that was sent again',
    segments: 'C SEW 0 0, C S 0 0, S S.E 0 1, C . 1 1',
    expected: 'S S. .',
    flags: 'S S. .',
  },
  {
    name: 'ECN that was expected, and not agreed on',
    segments: 'C SEW 0 0, S S. 0 1, C . 1 1',
    expected: 'SEW S.E .',
    flags: 'SEW S. .',
  },
  {
    name: 'a repeat that was expected',
    segments: 'C S 0 0, S S. 0 1, S S. 0 1, C . 1 1',
    expected: 'S S. S. .',
    flags: 'S S. S. .',
  },
  {
    name: 'a FIN sent again with a newer ACK, and the answer to both',
    segments: 'C F. 5 1, C F. 5 2, S . 2 6, S . 2 6',
    expected: 'F. .',
    flags: 'F. .',
  },
  {
    name: 'a FIN sent again before the FIN of the other end, which has the same flags',
    segments: 'C F. 5 1, C F. 5 1, S F. 1 6, C . 6 2',
    expected: 'F. F. .',
    flags: 'F. F. .',
  },
  {
    name: 'a FIN sent again before that, and an ACK too many',
    segments: 'C F. 5 1, C F. 5 1, S F. 1 6, C . 6 2, C . 6 3',
    expected: 'F. F. .',
    flags: 'F. F. F. . .',
  },
  {
    name: 'an ACK of something new',
    segments: 'C F. 5 1, S . 1 6, S . 1 7',
    expected: 'F. .',
    flags: 'F. . .',
  },
  {
    name: 'the same flags from the other end',
    segments: 'C F. 5 1, S F. 5 1',
    expected: 'F.',
    flags: 'F. F.',
  },
  {
    name: 'a second reset, which nobody sends again',
    segments: 'C R 5 0, C R 5 0',
    expected: 'R',
    flags: 'R R',
  },
  {
    name: 'more data',
    segments: 'C P. 1 1 +5, C P. 6 1 +5',
    expected: 'P.',
    flags: 'P. P.',
  },
  { name: 'one that is missing', segments: 'C S 0 0', expected: 'S S.', flags: 'S' },
]) {
  test(`flags of ${name}`, (t) => {
    t.is(flagsOf(segmentsOf(segments), expected.split(' ')).join(' '), flags);
  });
}

test('no segments have none', (t) => {
  t.deepEqual(flagsOf([], ['S']), []);
});
