/** What takes no column, or two: the jamo behind the first of a syllable, as wcwidth(3) of glibc has it. */
const NONE = /[\p{Mn}\p{Me}\p{Cf}\u{1160}-\u{11ff}]/u;
const TWO =
  /[\p{Emoji_Presentation}\u{1100}-\u{115f}\u{2e80}-\u{303e}\u{3041}-\u{a4cf}\u{ac00}-\u{d7a3}\u{f900}-\u{faff}\u{fe30}-\u{fe6f}\u{ff00}-\u{ff60}\u{ffe0}-\u{ffe6}\u{20000}-\u{3fffd}]/u;

/** How many columns of a terminal a text takes: of Korean, Chinese and Japanese each character takes two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += columnsOf(character);
  return width;
}

/** A text that takes just so many columns: what is too long ends in a tilde, what is too short in spaces. */
export function fitted(text: string, width: number): string {
  const own = widthOf(text);
  if (own <= width) return text + ' '.repeat(width - own);
  let start = '';
  let left = width - 1;
  for (const character of text) {
    const columns = columnsOf(character);
    if (columns > left) break;
    left -= columns;
    start += character;
  }
  return `${start}~${' '.repeat(left)}`;
}

function columnsOf(character: string): 0 | 1 | 2 {
  if (NONE.test(character)) return 0;
  return TWO.test(character) ? 2 : 1;
}
