import { cut, textsOf, wrapped } from './cell.js';
import type { Paint } from './terminal.js';

/** One line of a matrix: what, and a value for each column. */
export interface MatrixRow {
  readonly what: string;
  readonly values: readonly unknown[];
  /** What it is part of is above it. */
  readonly detail?: true;
}

export interface MatrixFormat {
  readonly paint: Paint;
  /** How wide a line may be; never less than 60 columns are used. */
  readonly width: number;
}

const NARROWEST = 60;
const NAME_WIDTH = 24;
const GAP = 2;
/** Of a column: so many that they are narrower make the line longer. */
const LEAST = 2;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

/**
 * A table of values, a column for each of those compared. A row whose values differ begins with `!`. Where they do not fit
 * into their columns each value has a letter, and what the letters stand for is below. Ends in a newline.
 */
export function formatMatrix(
  labels: readonly string[],
  rows: readonly MatrixRow[],
  { paint, width }: MatrixFormat,
): string {
  const room = Math.max(NARROWEST, width);
  const names = Math.max(
    NAME_WIDTH,
    ...rows.map(({ what, detail }) => nameOf(what, detail).length),
  );
  const column = Math.max(LEAST, Math.floor((room - 2 - names) / labels.length) - GAP);
  const line = (mark: string, name: string, cells: readonly string[]): string =>
    `${mark} ${[name.padEnd(names), ...cells.map((cell) => cut(cell, column).padEnd(column))].join(' '.repeat(GAP))}`.trimEnd();
  const lines = [paint('bold', line(' ', '', labels))];
  for (const { what, values, detail } of rows) {
    const texts = values.map((value) => textsOf(value).join(', '));
    const kinds = [...new Set(texts)];
    const differs = kinds.length > 1;
    const fits = texts.every((text) => text.length <= column);
    const letter = (text: string): string => LETTERS.charAt(kinds.indexOf(text)) || '?';
    const head = line(differs ? '!' : ' ', nameOf(what, detail), fits ? texts : texts.map(letter));
    lines.push(differs ? paint('yellow', head) : head);
    if (fits) continue;
    for (const kind of kinds) {
      const [first = '', ...more] = wrapped(kind, room - LEGEND);
      lines.push(`${' '.repeat(LEGEND - 3)}${letter(kind)}  ${first}`.trimEnd());
      lines.push(...more.map((each) => `${' '.repeat(LEGEND)}${each}`));
    }
  }
  return `${lines.join('\n')}\n`;
}

const LEGEND = 9;
const nameOf = (what: string, detail: true | undefined): string => (detail ? `  ${what}` : what);
