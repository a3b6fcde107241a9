import { type ImpliedState, impliedStates, mayHandOver } from '../tcp/machine.js';
import type {
  DepartureEvent,
  End,
  Finding,
  SegmentEvent,
  Source,
  StateEvent,
  TimelineEvent,
} from './event.js';

/** What is known of a source besides its events. */
export interface SourceFacts {
  readonly name: Source;
  readonly states: 'transitions' | 'samples' | undefined;
  /** How far it has been heard of, nanoseconds since the run began. */
  readonly heardNs: number;
  /** How many events came too late, and how late the latest. */
  readonly late: number;
  readonly worstLateNs: number;
  readonly lost: number;
}

export interface DisagreementOptions {
  /** How many events are missing at the front. */
  readonly dropped?: number;
  /** Sources may differ by this much about when: a socket leaves its table before it is in CLOSE, and the kernel may be
   * interrupted in between. */
  readonly toleranceNs?: number;
  /** The ends that have a socket, so that its states could be seen. Left out: both. */
  readonly ends?: readonly End[];
}

/** States that no socket enters unless a segment reached it. */
const NEEDS_SEGMENT: ReadonlySet<string> = new Set([
  'ESTABLISHED',
  'FIN_WAIT2',
  'CLOSING',
  'CLOSE_WAIT',
  'TIME_WAIT',
]);

/** What only request and mini-sockets go through: inet_sock_set_state does not fire for them. */
const NO_TRANSITION: ReadonlySet<string> = new Set(['SYN_RECV', 'TIME_WAIT']);

const ENDS: readonly End[] = ['client', 'server'];

type Passing = SegmentEvent | DepartureEvent;
type Implied = ImpliedState<Passing>;

/** Finds where the sources of a run contradict each other, or what one says is not enough. Events come in order. */
export function disagreements(
  events: readonly TimelineEvent[],
  sources: readonly SourceFacts[],
  { dropped = 0, toleranceNs = 1e6, ends = ENDS }: DisagreementOptions = {},
): Finding[] {
  const states = events.filter(
    (event) => event.kind === 'state' && !event.listener,
  ) as StateEvent[];
  const segments = events.filter(
    (event) => event.kind === 'segment' || event.kind === 'departure',
  ) as Passing[];
  const implied = impliedStates(segments);
  return [
    ...missing(sources, dropped),
    ...gaps(states, dropped),
    ...contradictions(states, sources, toleranceNs),
    // A segment that was not kept may explain anything.
    ...(dropped > 0 ? [] : unexplained(events, states, segments, implied, sources, toleranceNs)),
    ...unseen(states, segments, implied, sources, toleranceNs, ends),
  ];
}

function missing(sources: readonly SourceFacts[], dropped: number): Finding[] {
  const findings: Finding[] = [];
  const lost = (what: string, by: Source[], count: number): void => {
    findings.push({ kind: 'lost', what, sources: by, values: { lost: count } });
  };
  if (dropped > 0) lost(`the timeline kept none of its first ${dropped} events`, [], dropped);
  for (const source of sources) {
    if (source.lost > 0)
      lost(`${source.name} lost ${source.lost} events`, [source.name], source.lost);
    if (source.late === 0) continue;
    findings.push({
      kind: 'late',
      what: `${source.name} delivered ${source.late} events after it had said that nothing so early would come`,
      sources: [source.name],
      values: { late: source.late, worstLateNs: source.worstLateNs },
    });
  }
  return findings;
}

/** Transitions of one socket that do not join: one between them was not reported. */
function gaps(states: readonly StateEvent[], dropped: number): Finding[] {
  const last = new Map<string, StateEvent>();
  const findings: Finding[] = [];
  for (const event of states) {
    const { end, tNs, source, oldState, state, socket } = event;
    if (oldState === undefined) continue;
    const key = `${source} ${end} ${socket}`;
    const before = last.get(key);
    last.set(key, event);
    // An accepted connection starts as its listener's copy, perhaps where another socket was before.
    if (oldState === 'LISTEN') continue;
    // A socket is made in CLOSE: whatever else its first transition comes from, one before it is missing.
    const was = before?.state ?? (dropped > 0 ? oldState : 'CLOSE');
    if (was === oldState) continue;
    const after = before === undefined ? 'first' : `after ... -> ${was}`;
    findings.push({
      ...{ kind: 'gap', tNs, end, sources: [source] },
      what: `${end}: ${source} reports ${oldState} -> ${state} ${after}`,
      values: { [source]: [was, oldState, state] },
    });
  }
  return findings;
}

/** Samples that the transitions around them do not allow. */
function contradictions(
  states: readonly StateEvent[],
  sources: readonly SourceFacts[],
  toleranceNs: number,
): Finding[] {
  const reporter = sources.find((source) => source.states === 'transitions');
  if (reporter === undefined) return [];
  const findings: Finding[] = [];
  const found = new Set<string>();
  for (const end of ENDS) {
    const own = states.filter((event) => event.end === end);
    const transitions = own.filter(({ source }) => source === reporter.name);
    for (const { tNs, latenessNs, state, source, oldState } of own) {
      if (oldState !== undefined || tNs + toleranceNs > reporter.heardNs) continue;
      const allowed = held(end, transitions, tNs - latenessNs - toleranceNs, tNs + toleranceNs);
      const key = `${end} ${source} ${state}`;
      if (allowed.has(state) || found.has(key)) continue;
      found.add(key);
      findings.push({
        ...{ kind: 'contradiction', tNs, end, sources: [source, reporter.name] },
        what: `${end}: ${source} saw ${state}, which ${reporter.name} did not report`,
        values: { [source]: state, [reporter.name]: [...allowed] },
      });
    }
  }
  return findings;
}

/** The states that a socket may have shown in a span of time, by its transitions. */
function held(
  end: End,
  transitions: readonly StateEvent[],
  fromNs: number,
  toNs: number,
): Set<string> {
  const states = new Set<string>();
  const start = transitions[0]?.oldState ?? (end === 'server' ? 'LISTEN' : 'CLOSE');
  // Before there is a socket there may be a request for one.
  let current = start === 'LISTEN' ? ['LISTEN', 'SYN_RECV', 'CLOSE'] : [start];
  let sinceNs = Number.NEGATIVE_INFINITY;
  for (const { tNs, oldState, state } of transitions) {
    if (sinceNs <= toNs && tNs >= fromNs) for (const each of current) states.add(each);
    sinceNs = tNs;
    // What is in TIME_WAIT may give way to a request; where somebody listens, so may what has ended.
    if (mayHandOver(oldState, state)) current = ['CLOSE', 'FIN_WAIT2', 'TIME_WAIT', 'SYN_RECV'];
    else current = state === 'CLOSE' && start === 'LISTEN' ? ['CLOSE', 'SYN_RECV'] : [state];
  }
  if (sinceNs <= toNs) for (const each of current) states.add(each);
  return states;
}

/** States and resets that no captured segment accounts for. */
function unexplained(
  events: readonly TimelineEvent[],
  states: readonly StateEvent[],
  segments: readonly Passing[],
  implied: readonly Implied[],
  sources: readonly SourceFacts[],
  toleranceNs: number,
): Finding[] {
  const capture = sources.find(({ name }) => name === 'capture');
  // A capture that began in the middle of the connection explains nothing, and what one has lost may explain anything.
  if (capture === undefined || capture.lost > 0) return [];
  if (segments.length > 0 && implied.length === 0) return [];
  const findings: Finding[] = [];
  const flags = segments
    .filter(({ seen }) => seen !== 'departing')
    .map((each) => `${each.end} ${each.flags}`);
  const found = new Set<string>();
  for (const { state, end, tNs, source, oldState } of states) {
    if (!NEEDS_SEGMENT.has(state) || tNs + toleranceNs > capture.heardNs) continue;
    const explains = (each: Implied): boolean =>
      each.end === end && each.state === state && each.segment.tNs <= tNs + toleranceNs;
    const key = `${end} ${source} ${state}`;
    if (implied.some(explains) || found.has(key)) continue;
    found.add(key);
    const says = oldState === undefined ? state : `${oldState} -> ${state}`;
    findings.push({
      ...{ kind: 'unexplained', tNs, end, sources: [source, 'capture'] },
      what: `${end}: ${source} says ${says}, and capture has no segment that leads there`,
      values: { [source]: says, capture: flags },
    });
  }
  for (const { kind, end, tNs, source } of events) {
    if (kind !== 'send-reset' && kind !== 'receive-reset') continue;
    if (end === null || tNs + toleranceNs > capture.heardNs) continue;
    // How long a reset takes from its sender's hands to the wire, and from there to its socket, is the machine's affair: a
    // processor may be away in between, or be a virtual one that stands still.
    const passed = segments.some(
      (each) =>
        each.flags.includes('R') &&
        // Who answers data after close by a reset ends itself as if it had got one (TCPABORTONDATA).
        (each.end === end
          ? each.seen !== 'arriving'
          : kind === 'receive-reset' && each.seen !== 'departing' && each.tNs <= tNs + toleranceNs),
    );
    if (passed) continue;
    findings.push({
      ...{ kind: 'unexplained', tNs, end, sources: [source, 'capture'] },
      what: `${end}: ${source} says ${kind}, and capture has no reset`,
      values: { [source]: kind, capture: flags },
    });
  }
  return findings;
}

/** States that the segments imply and no source saw, though one should have. */
function unseen(
  states: readonly StateEvent[],
  segments: readonly Passing[],
  implied: readonly Implied[],
  sources: readonly SourceFacts[],
  toleranceNs: number,
  ends: readonly End[],
): Finding[] {
  const findings: Finding[] = [];
  for (const end of ends) {
    const own = states.filter((event) => event.end === end);
    const seen = new Set(own.flatMap(({ state, oldState }) => [state, oldState]));
    for (const { state, segment, by, previous } of stays(implied, end)) {
      if (seen.has(state)) continue;
      const { tNs, flags } = segment;
      const knownNs = by === 'sent' ? tNs : takenNs(segment, segments);
      const blamed = sources.filter((source) => {
        if (source.states === undefined || source.heardNs <= tNs + toleranceNs) return false;
        if (source.states === 'transitions') {
          // A request that ends without an accepted connection never was a socket.
          return !NO_TRANSITION.has(state) && !(state === 'CLOSE' && previous === 'SYN_RECV');
        }
        // Who never saw this end did not know yet what to look for.
        if (own.every((each) => each.source !== source.name)) return false;
        if (source.heardNs <= knownNs + toleranceNs) return false;
        // What it found next had begun since its look before: that look was in time, or the state fell between two.
        const next = own.find((each) => each.source === source.name && each.tNs >= tNs);
        return next === undefined || next.tNs - next.latenessNs > knownNs + toleranceNs;
      });
      if (blamed.length === 0) continue;
      const path = (name: Source): string[] =>
        own.filter(({ source }) => source === name).map((each) => each.state);
      findings.push({
        ...{ kind: 'unseen', tNs, end, sources: ['capture', ...blamed.map(({ name }) => name)] },
        what: `${end}: the segments imply ${state}, and ${blamed.map(({ name }) => name).join(' and ')} did not see it`,
        values: {
          capture: `${state}, ${flags} ${by}`,
          ...Object.fromEntries(blamed.map(({ name }) => [name, path(name)])),
        },
      });
    }
  }
  return findings;
}

/**
 * When a segment had come to its socket at the latest: a packet that was seen may lie in the kernel's queue for as long as a
 * processor is away, but not when it has been acknowledged.
 */
function takenNs(segment: Passing, segments: readonly Passing[]): number {
  const { end, tNs, sequence, payloadLength, flags } = segment;
  const after = sequence + payloadLength + (/[SF]/.test(flags) ? 1 : 0);
  const answer = segments.find(
    (each) =>
      each.end !== end &&
      each.tNs > tNs &&
      each.seen !== 'arriving' &&
      each.flags.includes('.') &&
      ((each.acknowledgment - after) | 0) >= 0,
  );
  return answer?.tNs ?? Number.POSITIVE_INFINITY;
}

/** The implied states of an end that lasted: those that one segment passes through are never to be seen. */
function stays(implied: readonly Implied[], end: End): (Implied & { previous?: string })[] {
  const own = implied.filter((each) => each.end === end);
  return own
    .map((each, at) => ({ ...each, ...(at > 0 && { previous: own[at - 1]?.state ?? '' }) }))
    .filter(({ segment }, at) => own[at + 1]?.segment !== segment);
}

/**
 * The findings that show a hit of the tracepoint nobody counted: a state was sampled that it told of at no time, or its own
 * transitions do not join. What it told of, and at another time, is none of these.
 */
export function untold(
  findings: readonly Finding[],
  events: readonly TimelineEvent[],
): readonly Finding[] {
  const told = new Set(
    events.flatMap((event) =>
      event.kind === 'state' && event.source === 'tracepoint' ? `${event.end} ${event.state}` : [],
    ),
  );
  return findings.filter(
    ({ kind, end, sources, values }) =>
      sources.includes('tracepoint') &&
      (kind === 'gap' || (kind === 'contradiction' && !told.has(`${end} ${values['polling']}`))),
  );
}
