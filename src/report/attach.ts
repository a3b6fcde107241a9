import type {
  DepartureEvent,
  SegmentEvent,
  StateEvent,
  TimelineEvent,
} from '../experiment/event.js';
import { impliedStates } from '../tcp/machine.js';
import type { TcpStateName } from '../tcp/states.js';

/** A socket enters its state before its segment passes: never this much before. */
const SETTLE_NS = 1e6;

/** What a segment did to an end: the state that follows from it, and who saw the end in it, earliest first. */
export interface Effect {
  readonly end: StateEvent['end'];
  readonly state: TcpStateName;
  /** The end sent the segment, entering the state; or it did so on receiving it. */
  readonly by: 'sent' | 'received';
  readonly seen: readonly StateEvent[];
}

/** Segments and the states that belong to them. */
export interface Attached {
  readonly effects: ReadonlyMap<SegmentEvent, readonly Effect[]>;
  /** The segment of a state event; absent where none leads to it. */
  readonly segmentOf: ReadonlyMap<StateEvent, SegmentEvent>;
}

/**
 * Puts state changes to the segments they belong to, as RFC 9293 has it.
 *
 * The states that segments imply tell which segment a state belongs to; a state that an end was seen in belongs to the
 * nearest one that had passed. What no segment implies (a timer's or a call's doing) stays alone.
 */
export function attach(events: readonly TimelineEvent[]): Attached {
  const segments = events.filter(
    (event) => event.kind === 'segment' || event.kind === 'departure',
  ) as (SegmentEvent | DepartureEvent)[];
  const states = events.filter(
    (event) => event.kind === 'state' && !event.listener,
  ) as StateEvent[];
  const implied = impliedStates(segments).flatMap(({ segment, ...each }) =>
    // A departure has no arrow of its own to stand beside.
    segment.kind === 'segment' ? [{ ...each, segment, seen: [] as StateEvent[] }] : [],
  );
  const segmentOf = new Map<StateEvent, SegmentEvent>();
  for (const event of states) {
    const distance = ({ segment }: { segment: SegmentEvent }): number =>
      Math.abs(segment.tNs - event.tNs);
    const [nearest] = implied
      .filter(({ end, state, segment }) => {
        const causal = segment.tNs <= event.tNs + SETTLE_NS;
        return causal && end === event.end && state === event.state;
      })
      .sort((a, b) => distance(a) - distance(b));
    if (nearest === undefined) continue;
    nearest.seen.push(event);
    segmentOf.set(event, nearest.segment);
  }
  const effects = new Map<SegmentEvent, Effect[]>();
  for (const { segment, ...effect } of implied) {
    effects.set(segment, [...(effects.get(segment) ?? []), effect]);
  }
  return { effects, segmentOf };
}

/** What left for a link and arrived nowhere. Of two alike the earlier one is the lost one. */
export function lostOf(events: readonly TimelineEvent[]): Set<DepartureEvent> {
  const lost = new Set<DepartureEvent>();
  for (const event of events) {
    if (event.kind === 'departure') lost.add(event);
    if (event.kind !== 'segment') continue;
    const [sent] = [...lost].reverse().filter((each) => isSame(each, event));
    if (sent !== undefined) lost.delete(sent);
  }
  return lost;
}

function isSame(one: DepartureEvent, other: SegmentEvent): boolean {
  return (
    one.end === other.end &&
    one.flags === other.flags &&
    one.sequence === other.sequence &&
    one.acknowledgment === other.acknowledgment &&
    one.payloadLength === other.payloadLength
  );
}
