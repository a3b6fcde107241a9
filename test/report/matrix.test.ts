import test from 'ava';
import { formatMatrix, type MatrixRow } from '../../src/report/matrix.js';

const plain = (_style: string, text: string): string => text;
const LABELS = ['v20.20.2', 'v22.23.3', 'v24.21.0'];
const ROWS: readonly MatrixRow[] = [
  { what: 'same', values: ['reproduced', 'reproduced', 'reproduced'] },
  { what: 'reads', values: [1, 1, 2], detail: true },
  {
    what: 'events',
    values: [['data 9', 'end'], ['data 9', 'error ECONNRESET'], undefined],
    detail: true,
  },
];

test('what fits stands in its column, else a letter does, and what it stands for below', (t) => {
  t.is(
    formatMatrix(LABELS, ROWS, { paint: plain, width: 72 }),
    [
      '                            v20.20.2       v22.23.3       v24.21.0',
      '  same                      reproduced     reproduced     reproduced',
      '!   reads                   1              1              2',
      '!   events                  A              B              C',
      '      A  data 9, end',
      '      B  data 9, error ECONNRESET',
      '      C  -',
      '',
    ].join('\n'),
  );
});

test('no line is wider than asked for, from 60 columns on, and nothing long is lost', (t) => {
  const long = {
    what: 'verdict',
    values: ['yes', `not-reproduced: ${'why '.repeat(60)}end`, 'yes'],
  };
  for (const width of [1, 60, 80, 200]) {
    const text = formatMatrix(LABELS, [...ROWS, long], { paint: plain, width });
    for (const line of text.split('\n')) t.true(line.length <= Math.max(60, width), line);
    t.true(text.includes('end\n'));
  }
});

test('a row that differs is painted', (t) => {
  const paint = (style: string, text: string): string => `<${style}>${text}`;
  const styles = formatMatrix(LABELS, ROWS, { paint, width: 80 }).match(/<\w+>/g);
  t.deepEqual(styles, ['<bold>', '<yellow>', '<yellow>']);
});
