import test from 'ava';
import { formatJson, formatJsonInPieces } from '../../src/report/json.js';

const rows: ReadonlyArray<readonly [name: string, value: object]> = [
  ['nothing', {}],
  ['no arrays', { a: 1, b: null, c: { d: 'text, with "quotes"' } }],
  ['arrays: empty, of numbers, of objects', { a: [], b: [1, 2], c: [{ d: [3] }, {}] }],
  ['64-bit numbers at every depth', { a: 2n ** 63n, b: [2n ** 53n + 1n, { c: 1n }] }],
  ['an object that writes itself', { a: [{ toJSON: () => ({ b: 5n }) }] }],
  ['more than a piece', { a: Array.from({ length: 9 }, () => 'x'.repeat(20_000)), b: 1 }],
];

for (const [name, value] of rows) {
  test(`in pieces, the same document: ${name}`, (t) => {
    const pieces = [...formatJsonInPieces(value)];
    t.deepEqual(JSON.parse(pieces.join('')), JSON.parse(formatJson(value)));
    t.true(pieces.at(-1)?.endsWith('}\n'));
    t.is(pieces.length > 1, name === 'more than a piece');
  });
}

test('in pieces, each element on a line of its own', (t) => {
  t.is(
    [...formatJsonInPieces({ a: [{ b: 1 }, { b: 2 }] })].join(''),
    '{\n  "a": [\n    {"b":1},\n    {"b":2}\n  ]\n}\n',
  );
});
