/** What a shell would make something else of than a part of a word. */
const SHELLS = '|&;<>()$`';
const SPACE = /\s/;

/**
 * The words of a command line, by a shell's quoting and nothing else of a shell: `'...'` as it is, `"..."` with `\"` and
 * `\\`, and `\` before any character outside. Throws an Error that says what is wrong, also with what only a shell would
 * understand.
 */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const letter = line.charAt(at);
    const next = line.charAt(at + 1);
    if (quote !== '' && letter === quote) {
      quote = '';
    } else if (letter === '\\' && quote !== "'" && (quote === '' || '"\\'.includes(next))) {
      if (next === '') throw new Error('it ends in a "\\" that has nothing behind it');
      word = (word ?? '') + next;
      at++;
    } else if (quote !== '') {
      word = (word ?? '') + letter;
    } else if (letter === "'" || letter === '"') {
      quote = letter;
      word ??= '';
    } else if (SPACE.test(letter)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (SHELLS.includes(letter)) {
      throw new Error(`no shell reads it: quote the "${letter}", or say sh -c '...'`);
    } else {
      word = (word ?? '') + letter;
    }
  }
  if (quote !== '') throw new Error(`it has a ${quote} that is not closed`);
  if (word !== undefined) words.push(word);
  if ((words[0] ?? '') === '') throw new Error('it names no program');
  return words;
}
