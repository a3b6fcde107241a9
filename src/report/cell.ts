// What a cell of a table can hold.

/** A value as the lines that say it, one for each item of a list. */
export function textsOf(value: unknown): string[] {
  if (value === undefined || value === null) return ['-'];
  const texts = Array.isArray(value) ? value.map(String) : [String(value)];
  return texts.length === 0 ? ['(none)'] : texts;
}

/** The words of a text in lines; a word that is too long is broken. */
export function wrapped(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`.trimStart();
    if (longer.length <= width) {
      lines[lines.length - 1] = longer;
      continue;
    }
    if (lines.at(-1) === '') lines.pop();
    for (let at = 0; at < word.length; at += width) lines.push(word.slice(at, at + width));
  }
  return lines;
}

/** A text that fits: what is too long ends in an ellipsis. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
