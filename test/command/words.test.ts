import test from 'ava';
import { wordsOf } from '../../src/command/words.js';

for (const { title, line, words } of [
  {
    title: 'spaces of any kind',
    line: ' python3\tapp.py \n 80 ',
    words: ['python3', 'app.py', '80'],
  },
  { title: "'...' as it is", line: `a 'b "c" \\d' e`, words: ['a', 'b "c" \\d', 'e'] },
  {
    title: '"..." with its two escapes',
    line: String.raw`a "b \"c\" \\ \d"`,
    words: ['a', String.raw`b "c" \ \d`],
  },
  { title: 'quotes within a word', line: `--name='a b'"c"d`, words: ['--name=a bcd'] },
  { title: 'an empty word', line: `a '' ""`, words: ['a', '', ''] },
  { title: 'a backslash outside', line: String.raw`a\ b \$c \'d`, words: ['a b', '$c', "'d"] },
  {
    title: 'what a shell would take, in quotes',
    line: `sh -c 'a | b > c; $d' "(e)"`,
    words: ['sh', '-c', 'a | b > c; $d', '(e)'],
  },
  {
    title: 'braces and stars are letters',
    line: 'a {port} *.py [x]?',
    words: ['a', '{port}', '*.py', '[x]?'],
  },
]) {
  test(`words: ${title}`, (t) => t.deepEqual(wordsOf(line), words));
}

for (const { title, line, says } of [
  { title: 'nothing', line: '', says: /names no program/ },
  { title: 'spaces', line: '  ', says: /names no program/ },
  { title: 'an empty program', line: `'' a`, says: /names no program/ },
  { title: "a ' that stays open", line: `a 'b`, says: /a ' that is not closed/ },
  { title: 'a " that stays open', line: `a "b\\"`, says: /a " that is not closed/ },
  { title: 'a backslash at the end', line: 'a \\', says: /nothing behind it/ },
  ...[...'|&;<>()$`'].map((letter) => ({
    ...{ title: `a ${letter}`, line: `a ${letter} b` },
    says: /^no shell reads it: quote the ".", or say sh -c/,
  })),
]) {
  test(`no words: ${title}`, (t) => {
    t.throws(() => wordsOf(line), { message: says });
  });
}
