import test from 'ava';
import { formatComparison, inStep } from '../../src/report/compare.js';

const plain = (_style: string, text: string): string => text;

for (const { title, columns, rows } of [
  { title: 'nothing', columns: [], rows: [] },
  { title: 'the same', columns: [['a'], ['a']], rows: [['a', 'a']] },
  {
    title: 'one is longer',
    columns: [
      ['a', 'c'],
      ['a', 'b', 'c'],
    ],
    rows: [
      ['a', 'a'],
      [undefined, 'b'],
      ['c', 'c'],
    ],
  },
  {
    title: 'nothing in common',
    columns: [['a'], ['b']],
    rows: [
      ['a', undefined],
      [undefined, 'b'],
    ],
  },
  {
    title: 'three, the third like the second',
    columns: [['a'], ['a', 'b'], ['b']],
    rows: [
      ['a', 'a', undefined],
      [undefined, 'b', 'b'],
    ],
  },
  {
    title: 'the same item twice',
    columns: [['.', '.'], ['.']],
    rows: [
      ['.', '.'],
      ['.', undefined],
    ],
  },
]) {
  test(`lists in step: ${title}`, (t) => t.deepEqual(inStep(columns), rows));
}

const SIDES = {
  labels: ['raw', 'libuv'],
  names: ['path', 'events', 'reads', 'verdict'],
  facts: [
    new Map<string, unknown>([
      ['path', ['A', 'B']],
      ['events', []],
      ['verdict', 'reproduced'],
    ]),
    new Map<string, unknown>([
      ['path', ['A', 'B']],
      ['events', ['data 5', 'end']],
      ['reads', 2],
      ['verdict', 'skipped: driver libuv cannot express dup()'],
    ]),
  ],
  differing: new Set(['events', 'reads', 'verdict']),
};

test('what differs is marked, what does not has one line', (t) => {
  t.is(
    formatComparison(SIDES, { paint: plain, width: 60 }),
    [
      '                            raw              libuv',
      '  path                      A, B',
      '! events                    (none)',
      '!                                            data 5',
      '!                                            end',
      '! reads                     -                2',
      '! verdict                   reproduced       skipped: driver',
      '!                                            libuv cannot',
      '!                                            express dup()',
      '',
    ].join('\n'),
  );
});

test('no line is wider than asked for, from 60 columns on', (t) => {
  for (const width of [1, 60, 80, 200]) {
    const text = formatComparison(SIDES, { paint: plain, width });
    for (const line of text.split('\n')) t.true(line.length <= Math.max(60, width), line);
  }
});

test('more columns than a line has room for make the line longer', (t) => {
  const labels = Array.from({ length: 40 }, (_, i) => `node ${i}`);
  const facts = labels.map((label) => new Map<string, unknown>([['verdict', label]]));
  const text = formatComparison(
    { labels, names: ['verdict'], facts, differing: new Set(['verdict']) },
    { paint: plain, width: 80 },
  );
  for (const label of labels) t.true(text.includes(label), label);
});
