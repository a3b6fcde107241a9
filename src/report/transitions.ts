import type { StateEvent, TimelineEvent } from '../experiment/event.js';
import { mayHandOver } from '../tcp/machine.js';
import { attach } from './attach.js';
import { callOf } from './comments.js';

/**
 * One line for each transition: when, whose, from and to which state, what did it, who saw it.
 *
 * Where a source only samples, the state before is the one it saw before (`?` at first), and the time is when it looked.
 * What did it: the segment that leads to the state, the call, both, or `-` where it is neither (a timer).
 */
export function formatTransitions(events: Iterable<TimelineEvent>): string {
  const all = [...events];
  const { segmentOf } = attach(all);
  const last = new Map<string, string>();
  const rows: string[][] = [];
  for (const event of all) {
    if (event.kind !== 'state') continue;
    const key = `${event.source} ${event.end} ${event.listener}`;
    const before = event.oldState ?? last.get(key) ?? '?';
    last.set(key, event.state);
    if (before === event.state) continue;
    rows.push([
      `${(event.tNs / 1e6).toFixed(6)} ms`,
      event.listener ? 'listener' : event.end,
      before,
      '->',
      event.state,
      reasonOf(event, segmentOf.get(event)) || '-',
      lateness(event),
    ]);
  }
  const widths = [0, 1, 2, 3, 4, 5].map((column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padStart(width) : cell.padEnd(width);
      })
      .join(' ');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}

function reasonOf(
  { cause, end, oldState, state }: StateEvent,
  segment: { flags: string; end: string } | undefined,
) {
  const parts: string[] = [];
  if (segment === undefined && mayHandOver(oldState, state)) parts.push('a mini-socket may go on');
  if (segment !== undefined) {
    parts.push(
      segment.end === end ? `${segment.flags} sent` : `${segment.flags} from ${segment.end}`,
    );
  }
  if (cause !== undefined) parts.push(callOf(cause));
  return parts.join(', ');
}

function lateness({ source, latenessNs }: StateEvent): string {
  return latenessNs < 1e4 ? source : `${source} (up to ${(latenessNs / 1e6).toFixed(2)} ms late)`;
}
