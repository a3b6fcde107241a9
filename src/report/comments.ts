import type { Cause, End, TimelineEvent } from '../experiment/event.js';
import { mayHandOver } from '../tcp/machine.js';
import { attach, type Effect } from './attach.js';

/** A frame, by the time it has on the timeline. */
interface Frame {
  readonly tNs: number;
}

const ENDS: readonly End[] = ['client', 'server'];

/**
 * Says beside each frame what it did to both ends: `client ESTABLISHED -> FIN_WAIT1 (tracepoint);
 * server ESTABLISHED; in close() by client`. A state without a change is the latest one seen; a state in brackets follows from the segments, and
 * nobody saw it. Frames without an event of their own get no comment.
 */
export function frameComments<F extends Frame>(
  frames: readonly F[],
  events: readonly TimelineEvent[],
): (F & { comment?: string })[] {
  const { effects } = attach(events);
  const current = new Map<End, string>();
  const comments = new Map<number, string[]>();
  const attached = new Set(
    [...effects.values()].flatMap((each) => each.flatMap(({ seen }) => seen)),
  );
  for (const event of events) {
    if (event.kind === 'state' && !event.listener && !attached.has(event)) {
      // The connection may go on without its socket.
      if (!mayHandOver(event.oldState, event.state)) current.set(event.end, event.state);
    }
    if (event.kind !== 'segment') continue;
    const parts = ENDS.flatMap((end) =>
      describe(end, effects.get(event) ?? [], current, event.cause),
    );
    if (event.cause !== undefined) parts.push(`in ${callOf(event.cause)}`);
    comments.set(event.tNs, [...(comments.get(event.tNs) ?? []), parts.join('; ')]);
  }
  return frames.map((frame) => {
    const comment = comments.get(frame.tNs)?.shift();
    return { ...frame, ...(comment && { comment }) };
  });
}

/** An end at a segment, and what of it the segment's own cause does not say. */
function describe(
  end: End,
  effects: readonly Effect[],
  current: Map<End, string>,
  cause: Cause | undefined,
): string[] {
  const own = effects.filter((effect) => effect.end === end);
  const before = current.get(end);
  const names = own.map(({ state, seen }) => (seen.length > 0 ? state : `[${state}]`));
  const last = names.at(-1);
  if (last === undefined) return before === undefined ? [] : [`${end} ${before}`];
  current.set(end, last);
  const start = own[0]?.seen[0]?.oldState ?? before;
  const path = start === undefined ? names : [start, ...names];
  const seen = own.flatMap((effect) => effect.seen);
  const calls = seen.flatMap((event) =>
    event.cause === undefined || event.cause.id === cause?.id ? [] : [callOf(event.cause)],
  );
  const notes = [...new Set([...seen.map(({ source }) => source), ...calls])];
  return [`${end} ${path.join(' -> ')}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`];
}

/** `close() by client`; a thread that acts no end goes by its number. */
export function callOf({ syscall, end, tid }: Cause): string {
  return `${syscall}() by ${end ?? `thread ${tid}`}`;
}
