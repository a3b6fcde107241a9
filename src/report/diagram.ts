import type { DiagramEdge } from '../tcp/diagram.js';

/** What a person is told of an edge besides itself, as the names of the scenarios that cross it. */
export type Crossings = ReadonlyMap<DiagramEdge, readonly string[]>;

/**
 * One line for each edge of a state diagram: from, to, what sets it off, what is sent along, and, where it is told, who
 * crosses it. An edge that Linux does not have says why in their place.
 */
export function formatDiagram(edges: readonly DiagramEdge[], crossings?: Crossings): string {
  const rows = edges.map((edge) => {
    const { from, to, event, sends, inLinux, reason } = edge;
    const last = inLinux
      ? (crossings?.get(edge) ?? []).join(', ')
      : `not in Linux: ${reason ?? ''}`;
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
