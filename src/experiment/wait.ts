import { mayHandOver } from '../tcp/machine.js';
import type { TcpState, TcpStateName } from '../tcp/states.js';
import type { End, Source } from './event.js';
import type { Feed } from './feed.js';

/** What to wait for: an end in a state. */
export interface Condition {
  readonly end: End;
  readonly state: TcpStateName;
}

export interface WaitOptions {
  /** From now, milliseconds. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** The end must be in the state then or later, CLOCK_MONOTONIC nanoseconds. Left out: the moment of the call. */
  readonly sinceNs?: bigint;
}

/** Who saw the state, and when it was entered as far as that source can tell. */
export interface Reached extends Condition {
  readonly source: Source;
  readonly enteredNs: bigint;
}

/** A state as one source saw it. */
export interface Observation {
  readonly end: End;
  readonly state: TcpState;
  readonly oldState?: TcpState | undefined;
  readonly tNs: bigint;
  readonly latenessNs: number;
}

/** The deadline of a wait has passed. The message has the path that each source saw. */
export class WaitTimeoutError extends Error {
  override readonly name = 'TimeoutError';
  readonly code = 'ERR_WAIT_TIMEOUT';
}

interface Wait extends Condition {
  readonly sinceNs: bigint;
  readonly resolve: (reached: Reached) => void;
  readonly reject: (error: Error) => void;
}

/** What a source knows of an end. */
interface Track {
  /** Undefined where the source cannot tell: see mayHandOver. */
  state: TcpState | undefined;
  enteredNs: bigint;
  path: TcpState[];
}

const PATH_LIMIT = 32;

/**
 * Those who wait for states. A wait is over when some source tells that the end was in the state at any moment from
 * `sinceNs` on: the state was entered later, or it was entered earlier and not left before.
 */
export class Waits {
  readonly #feeds = new Set<Feed>();
  readonly #tracks = new Map<Feed, Map<End, Track>>();
  readonly #waits = new Set<Wait>();
  readonly #now: () => bigint;

  constructor(now: () => bigint) {
    this.#now = now;
  }

  join(feed: Feed): void {
    if (feed.states === undefined) return;
    this.#feeds.add(feed);
    this.#tracks.set(feed, new Map());
  }

  /** A state has just been reported, perhaps out of order. Entered after a wait began, it is enough. */
  arrived(feed: Feed, observation: Observation): void {
    const { end, state, tNs } = observation;
    if (!isSure(observation)) return;
    for (const wait of this.#waits) {
      if (wait.end !== end || wait.state !== state || tNs < wait.sinceNs) continue;
      wait.resolve({ end, state: wait.state, source: feed.name, enteredNs: tNs });
    }
  }

  /** A state comes in its order: until then the end was in the one before. */
  settled(feed: Feed, observation: Observation): void {
    const { end, state, tNs, latenessNs } = observation;
    const track = this.#trackOf(feed, end);
    const leftNs = feed.states === 'samples' ? tNs - BigInt(Math.ceil(latenessNs)) : tNs;
    if (track.state !== state) this.#resolveHeld(feed, end, track, leftNs);
    if (track.path.at(-1) !== state) {
      track.path.push(state);
      if (track.path.length > PATH_LIMIT) track.path.shift();
      track.enteredNs = tNs;
    }
    track.state = isSure(observation) ? state : undefined;
  }

  /** The source has been heard of up to its `heardNs`: what it reported last was still so. */
  heard(feed: Feed): void {
    if (this.#waits.size === 0) return;
    for (const [end, track] of this.#tracks.get(feed) ?? []) {
      this.#resolveHeld(feed, end, track, feed.heardNs);
    }
  }

  #resolveHeld(feed: Feed, end: End, { state, enteredNs }: Track, untilNs: bigint): void {
    if (state === undefined) return;
    for (const wait of this.#waits) {
      if (wait.end !== end || wait.state !== state || untilNs < wait.sinceNs) continue;
      wait.resolve({ end, state: wait.state, source: feed.name, enteredNs });
    }
  }

  wait(condition: Condition, options: WaitOptions): Promise<Reached> {
    const { end, state } = condition;
    const { deadlineMs, signal, sinceNs = this.#now() } = options;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waits.delete(wait);
      };
      const wait: Wait = {
        ...{ end, state, sinceNs },
        resolve(reached) {
          done();
          resolve(reached);
        },
        reject(error) {
          done();
          reject(error);
        },
      };
      const onAbort = (): void => wait.reject(signal?.reason);
      const timer = setTimeout(() => {
        const expected = `expected ${end} in ${state} within ${deadlineMs / 1000} s`;
        wait.reject(new WaitTimeoutError(`${expected}; ${this.describe(end)}`));
      }, deadlineMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waits.add(wait);
      for (const feed of this.#feeds) this.heard(feed);
    });
  }

  /** Rejects every wait; what the sources saw goes into the message. */
  end(why: string, cause?: Error): void {
    for (const wait of this.#waits) {
      const expected = `expected ${wait.end} in ${wait.state}, but ${why}`;
      wait.reject(new Error(`${expected}; ${this.describe(wait.end)}`, { cause }));
    }
  }

  /** Whether no source is left that could see a state. */
  get blind(): boolean {
    return ![...this.#feeds].some(({ open }) => open);
  }

  /** The path of an end as each source saw it. */
  describe(end: End): string {
    if (this.#feeds.size === 0) return 'no source sees states';
    // One source may come by several ways, of which some never see this end.
    const feeds = new Map<Source, Feed>();
    for (const feed of this.#feeds) {
      const other = feeds.get(feed.name);
      if (other === undefined || this.#trackOf(other, end).path.length === 0) {
        feeds.set(feed.name, feed);
      }
    }
    const each = [...feeds.values()].map((feed) => {
      const { path } = this.#trackOf(feed, end);
      const seen = path.length === 0 ? 'nothing' : path.join(' > ');
      const agoMs = Number(this.#now() - feed.heardNs) / 1e6;
      const heard = feed.heardNs < 0n ? 'not heard of' : `heard of ${agoMs.toFixed(1)} ms ago`;
      return `${feed.name} saw ${seen} (${feed.open ? heard : 'ended'})`;
    });
    return each.join('; ');
  }

  #trackOf(feed: Feed, end: End): Track {
    const tracks = this.#tracks.get(feed) ?? new Map<End, Track>();
    const known = tracks.get(end);
    if (known !== undefined) return known;
    const track = { state: undefined, enteredNs: 0n, path: [] };
    tracks.set(end, track);
    return track;
  }
}

/** Whether the connection is in the state that its socket is in. */
export function isSure({ oldState, state }: Pick<Observation, 'oldState' | 'state'>): boolean {
  return !mayHandOver(oldState, state);
}
