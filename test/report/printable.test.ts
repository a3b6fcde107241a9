import test from 'ava';
import { printable, printableLines } from '../../src/report/printable.js';

for (const [name, text, one, lines] of [
  ['plain', 'node', 'node', 'node'],
  ['spaces and letters of anywhere', '가 b é', '가 b é', '가 b é'],
  ['an escape sequence', '\x1b[31mX', '?[31mX', '?[31mX'],
  ['a control sequence of one byte', '\x9b31mX', '?31mX', '?31mX'],
  ['a title', '\x1b]0;a\x07', '?]0;a?', '?]0;a?'],
  ['lines', 'a\n\tb\r', 'a??b?', 'a\n\tb?'],
  ['NUL and DEL', 'a\0b\x7f', 'a?b?', 'a?b?'],
] as const) {
  test(`printable: ${name}`, (t) => {
    t.is(printable(text), one);
    t.is(printableLines(text), lines);
  });
}
