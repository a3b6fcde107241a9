import type { Endpoint } from '../tcp/address.js';
import type { Segment } from '../tcp/segment.js';
import type { End, Sighting, TimelineEvent } from './event.js';
import type { Feed } from './feed.js';
import { CallPairing } from './pairing.js';
import type { Observation } from './wait.js';
import { type Surroundings, Who } from './who.js';

/** What every event says, before it is known what kind it is. */
type Stamp = Pick<TimelineEvent, 'id' | 'tNs' | 'source' | 'latenessNs' | 'late'>;

/** Makes events of sightings: whose it was, and by which call. Sightings of other connections are none. */
export class Interpreter {
  readonly #who = new Who();
  readonly #pairing = new CallPairing();
  /** When each end began to throw away what arrives, and when it ceased, in turn. */
  readonly #deaf: Readonly<Record<End, number[]>> = { client: [], server: [] };
  #knowsServer = false;

  serverListens(address: Endpoint, surroundings?: Surroundings): void {
    this.#who.serverListens(address, surroundings);
    this.#knowsServer = true;
  }

  threadActs(tid: number, end: End): void {
    this.#who.threadActs(tid, end);
  }

  /** An end throws away what arrives from a moment on, or does so no more. */
  discards(end: End, on: boolean, tNs: number): void {
    const turns = this.#deaf[end];
    if (on === (turns.length % 2 === 0)) turns.push(tNs);
  }

  /** Until somebody has said where the server listens, nothing can be told apart. */
  get ready(): boolean {
    return this.#knowsServer;
  }

  /** Whether a sighting surely belongs to somebody else. */
  isForeign(sighting: Sighting): boolean {
    return this.ready && isPlaced(sighting) && this.#placeOf(sighting) === undefined;
  }

  /** The state of an end that a sighting tells of; undefined where it tells of none. */
  observe(feed: Feed, sighting: Sighting): Observation | undefined {
    if (sighting.kind !== 'state') return undefined;
    const { tNs } = sighting;
    if ('end' in sighting) {
      const { end, state, latenessNs } = sighting;
      return { end, state, tNs, latenessNs };
    }
    const place = this.#placeOf(sighting);
    if (place === undefined || place.listener) return undefined;
    const { oldState, newState } = sighting;
    return { end: place.end, state: newState, oldState, tNs, latenessNs: feed.latenessNs };
  }

  /** Sightings must come in order here: calls are paired with what follows. */
  eventOf(seen: Stamp, sighting: Sighting): TimelineEvent | undefined {
    switch (sighting.kind) {
      case 'moment':
        return { ...seen, kind: sighting.kind, end: null, name: sighting.name };
      case 'enter': {
        const { kind, tid, syscall, args } = sighting;
        const event = { ...seen, kind, end: this.#who.endOfThread(tid), tid, syscall, args };
        this.#pairing.enter(event);
        return event;
      }
      case 'exit': {
        const { kind, tid, syscall, result } = sighting;
        const event = { ...seen, kind, end: this.#who.endOfThread(tid), tid, syscall, result };
        return { ...event, ...this.#pairing.exit(event) };
      }
      case 'state':
        return this.#stateEvent(seen, sighting);
      default:
        return this.#packetEvent(seen, sighting);
    }
  }

  #stateEvent(
    seen: Stamp,
    sighting: Extract<Sighting, { kind: 'state' }>,
  ): TimelineEvent | undefined {
    if ('end' in sighting) {
      const { kind, end, state, latenessNs } = sighting;
      return { ...seen, kind, end, state, latenessNs };
    }
    const place = this.#placeOf(sighting);
    if (place === undefined) return undefined;
    const { kind, oldState, newState, socket, tid } = sighting;
    const { end, listener } = place;
    const event = {
      ...{ ...seen, kind, end, state: newState, oldState },
      ...(listener && { listener }),
      ...(socket !== undefined && { socket }),
      ...(tid !== undefined && { tid }),
    };
    const cause = tid === undefined ? undefined : this.#pairing.causeOnThread(event, tid);
    return { ...event, ...(cause && { cause }) };
  }

  #packetEvent(
    seen: Stamp,
    sighting: Extract<
      Sighting,
      { kind: 'segment' | 'departure' | 'send-reset' | 'receive-reset' | 'retransmit' }
    >,
  ): TimelineEvent | undefined {
    const place = this.#placeOf(sighting);
    if (place === undefined) return undefined;
    const { end } = place;
    if ('segment' in sighting) {
      const { flags, sequence, acknowledgment, window, payloadLength } = sighting.segment;
      const cause = this.#pairing.causeInTime(end, seen.tNs, seen.latenessNs);
      const turns = this.#deaf[end === 'client' ? 'server' : 'client'];
      const discarded = turns.filter((turnNs) => turnNs <= seen.tNs).length % 2 === 1;
      const facts = {
        ...{ ...seen, end, flags, sequence, acknowledgment, window, payloadLength },
        ...(cause && { cause }),
      };
      if (sighting.kind === 'departure') return { ...facts, kind: 'departure', seen: 'departing' };
      return {
        ...{ ...facts, kind: 'segment' as const },
        ...(sighting.seen && { seen: sighting.seen }),
        ...(discarded && { discarded }),
      };
    }
    if (sighting.kind === 'retransmit') return { ...seen, kind: sighting.kind, end };
    const { kind, tid, reason } = sighting;
    const cause =
      tid === undefined ? undefined : this.#pairing.causeOnThread({ tNs: seen.tNs, end }, tid);
    return { ...seen, kind, end, ...(reason && { reason }), ...(cause && { cause }) };
  }

  #placeOf(sighting: Placed) {
    if (!('segment' in sighting)) return this.#who.placeOf(sighting);
    const { source, destination } = sighting.segment;
    return this.#who.placeOf({ local: source, remote: destination });
  }
}

/** A sighting that says where by addresses. */
type Placed = Extract<Sighting, { local: Endpoint } | { segment: Segment }>;

function isPlaced(sighting: Sighting): sighting is Placed {
  return 'local' in sighting || 'segment' in sighting;
}
