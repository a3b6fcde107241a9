import type { ObserverReport } from './record.js';

/** What one observer has to say of how it looked. */
type Facts = Required<Pick<ObserverReport, 'via' | 'latenessNs' | 'lost' | 'clockSetMs'>>;

/** What several observers of a kind have to say together. */
export function reportOf<T>(
  name: string,
  observers: readonly T[] | string,
  facts: (observer: T) => Facts,
): ObserverReport {
  if (typeof observers === 'string') return { name, available: false, reason: observers };
  const all = observers.map(facts);
  // It is one clock: who has seen most of its steps has seen them all.
  const [clockSetMs = []] = all.map((each) => each.clockSetMs).sort((a, b) => b.length - a.length);
  return {
    ...{ name, available: true, via: [...new Set(all.map(({ via }) => via))].join(', ') },
    latenessNs: Math.max(0, ...all.map(({ latenessNs }) => latenessNs)),
    lost: all.reduce((sum, { lost }) => sum + lost, 0),
    ...(clockSetMs.length > 0 && { clockSetMs }),
  };
}

/** The observers that lost something, or whose clock was set: what they alone hold against a run proves nothing. */
export function gapsIn(reports: readonly ObserverReport[]): ReadonlySet<string> {
  return new Set(
    reports.flatMap(({ name, lost = 0, clockSetMs }) =>
      lost > 0 || clockSetMs !== undefined ? [name] : [],
    ),
  );
}
