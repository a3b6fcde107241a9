import { mayHandOver } from '../tcp/machine.js';
import type { TcpState } from '../tcp/states.js';
import type { End, StateEvent, TimelineEvent } from './event.js';

/** What a mini-socket goes through, in order. */
const AFTER_HAND_OVER: readonly TcpState[] = ['FIN_WAIT2', 'TIME_WAIT', 'CLOSE'];

/**
 * The states that an end went through, by what was seen of it. Where a source tells each transition it is believed, and
 * samples add only what no transition tells: what becomes of a connection that was handed over to a mini-socket. Where
 * none does the path is that of the samples, and what came and went between two looks is missing.
 */
export function pathOf(events: readonly TimelineEvent[], end: End): TcpState[] {
  const own = events.filter(
    (event): event is StateEvent => event.kind === 'state' && event.end === end && !event.listener,
  );
  const transitions = own.some(({ oldState }) => oldState !== undefined);
  const path: TcpState[] = [];
  const enter = (state: TcpState): void => {
    if (path.at(-1) !== state) path.push(state);
  };
  let handedOver = false;
  for (const { oldState, state } of own) {
    if (oldState !== undefined) {
      handedOver = mayHandOver(oldState, state);
      if (!handedOver) enter(state);
    } else if (!transitions) {
      // Before the connection there is nothing to see; CLOSE means something only after it.
      if (state !== 'CLOSE' || path.length > 0) enter(state);
    } else if (
      handedOver &&
      AFTER_HAND_OVER.indexOf(state) > AFTER_HAND_OVER.indexOf(path.at(-1) ?? state)
    ) {
      enter(state);
    }
  }
  return path;
}

/** The states that the listening socket went through, where a source tells transitions. */
export const listenerPathOf = (events: readonly TimelineEvent[]): TcpState[] =>
  events.flatMap((event) => (event.kind === 'state' && event.listener ? [event.state] : []));

/**
 * Whether looks at an end that went along `path` could have been `seen`: states of it, in its order, up to its last. What
 * else there was came and went between two looks, for all that can be told.
 */
export function isSampleOf(seen: readonly string[], path: readonly string[]): boolean {
  let next = 0;
  for (const state of path) if (seen[next] === state) next++;
  return next === seen.length && seen.at(-1) === path.at(-1);
}
