import type { DiagramEdge } from '../tcp/diagram.js';

/** What a person is told of an edge besides itself, as the names of the scenarios that cross it. */
export type Crossings = ReadonlyMap<DiagramEdge, readonly string[]>;

/** More would not fit beside an edge. */
const MOST_NAMES = 4;

/**
 * One line for each edge of a state diagram: from, to, what sets it off, what is sent along, and, where it is told, who
 * crosses it, or some of them. An edge that Linux does not have says why in their place.
 */
export function formatDiagram(edges: readonly DiagramEdge[], crossings?: Crossings): string {
  const rows = edges.map((edge) => {
    const { from, to, event, sends, inLinux, reason } = edge;
    const last = inLinux ? listed(crossings?.get(edge) ?? []) : `not in Linux: ${reason ?? ''}`;
    return [from, '->', to, sends === undefined ? event : `${event} / ${sends}`, last];
  });
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) => `${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' ')}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('');
}

function listed(names: readonly string[]): string {
  const left = names.length - MOST_NAMES;
  const shown = names.slice(0, MOST_NAMES).join(', ');
  return left > 0 ? `${shown} and ${left} more` : shown;
}
