import { textsOf, wrapped } from './cell.js';
import type { Paint } from './terminal.js';

/** Runs side by side: a heading for each, and what they are compared by. */
export interface SideBySide {
  readonly labels: readonly string[];
  readonly facts: readonly ReadonlyMap<string, unknown>[];
  /** The facts' names, in the order to tell them. */
  readonly names: readonly string[];
  /** The facts that count as different. */
  readonly differing: ReadonlySet<string>;
}

export interface CompareFormat {
  readonly paint: Paint;
  /** How wide a line may be; never less than 60 columns are used. */
  readonly width: number;
}

const NARROWEST = 60;
const NAME_WIDTH = 24;
const GAP = 2;
/** Of a column: so many that they are narrower make the line longer. */
const LEAST = 8;

/**
 * Facts side by side, a column for each run. What the runs have in common is said once. Where they differ a list has a
 * line for each of its items, in step with the others', and a line that differs begins with `!`. Ends in a newline.
 */
export function formatComparison(
  { labels, facts, names, differing }: SideBySide,
  { paint, width }: CompareFormat,
): string {
  const room = Math.max(NARROWEST, width) - 2;
  const column = Math.max(LEAST, Math.floor((room - NAME_WIDTH) / labels.length) - GAP);
  const line = (mark: string, what: string, cells: readonly string[]): string => {
    const columns = [wrapped(what, NAME_WIDTH), ...cells.map((cell) => wrapped(cell, column))];
    const height = Math.max(...columns.map(({ length }) => length));
    return Array.from({ length: height }, (_, at) => {
      const parts = columns.map((each, i) =>
        (each[at] ?? '').padEnd(i === 0 ? NAME_WIDTH : column),
      );
      return `${mark} ${parts.join(' '.repeat(GAP))}`.trimEnd();
    }).join('\n');
  };
  const lines = [paint('bold', line(' ', '', labels))];
  for (const what of names) {
    const values = facts.map((each) => each.get(what));
    if (!differing.has(what)) {
      lines.push(paint('dim', common(what, values, room - NAME_WIDTH - GAP)));
      continue;
    }
    for (const [i, row] of rowsOf(values).entries()) {
      const cells = labels.map((_, at) => row[at] ?? '');
      const differs = new Set(cells).size > 1;
      const text = line(differs ? '!' : ' ', i === 0 ? what : '', cells);
      lines.push(differs ? paint('yellow', text) : text);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** What is the same, or near enough, in all. */
function common(what: string, values: readonly unknown[], room: number): string {
  const known = values.filter((value) => value !== undefined);
  const texts = [...new Set(known.map((value) => textsOf(value).join(', ')))].join(' | ');
  return wrapped(texts, room)
    .map((text, i) => `  ${(i === 0 ? what : '').padEnd(NAME_WIDTH)}  ${text}`.trimEnd())
    .join('\n');
}

function rowsOf(values: readonly unknown[]): Row[] {
  const lists = values.map(textsOf);
  return values.some(Array.isArray) ? inStep(lists) : [lists.map(([text]) => text)];
}

/** One cell of each column, or undefined where a column has nothing at that place. */
type Row = (string | undefined)[];

/** Puts lists beside each other so that what they have in common, in the same order, stands in the same row. */
export function inStep(columns: readonly (readonly string[])[]): Row[] {
  let rows: Row[] = [];
  for (const [at, column] of columns.entries()) {
    const common = commonRows(rows, column);
    const merged: Row[] = [];
    let [row, item] = [0, 0];
    for (const [nextRow, nextItem] of [...common, [rows.length, column.length] as const]) {
      for (; row < nextRow; row++) merged.push(rows[row] ?? []);
      for (; item < nextItem; item++) merged.push(placed([], at, column[item]));
      const shared = rows[row];
      if (shared === undefined || item >= column.length) continue;
      merged.push(placed(shared, at, column[item]));
      row++;
      item++;
    }
    rows = merged;
  }
  return rows.map((row) => columns.map((_, at) => row[at]));
}

function placed(row: Row, at: number, text: string | undefined): Row {
  const copy = [...row];
  copy[at] = text;
  return copy;
}

/** The longest common subsequence of rows and a further column: pairs of their places. */
function commonRows(
  rows: readonly Row[],
  column: readonly string[],
): (readonly [number, number])[] {
  const lengths: number[][] = Array.from({ length: rows.length + 1 }, () =>
    new Array<number>(column.length + 1).fill(0),
  );
  const at = (row: number, item: number): number => lengths[row]?.[item] ?? 0;
  const match = (row: number, item: number): boolean => rows[row]?.includes(column[item]) ?? false;
  for (let row = rows.length - 1; row >= 0; row--) {
    for (let item = column.length - 1; item >= 0; item--) {
      const best = match(row, item)
        ? at(row + 1, item + 1) + 1
        : Math.max(at(row + 1, item), at(row, item + 1));
      (lengths[row] as number[])[item] = best;
    }
  }
  const pairs: [number, number][] = [];
  for (let [row, item] = [0, 0]; row < rows.length && item < column.length; ) {
    if (match(row, item)) pairs.push([row++, item++]);
    else if (at(row + 1, item) >= at(row, item + 1)) row++;
    else item++;
  }
  return pairs;
}
