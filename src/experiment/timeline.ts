import type { Endpoint } from '../tcp/address.js';
import { disagreements, type SourceFacts } from './disagreement.js';
import type { End, Finding, Sighting, StateEvent, TimelineEvent } from './event.js';
import { Feed, type FeedOptions, type FeedOwner } from './feed.js';
import { Interpreter } from './interpreter.js';
import { type Condition, isSure, type Reached, type WaitOptions, Waits } from './wait.js';
import type { Surroundings } from './who.js';

/** Later than any clock says. */
const NEVER = 1n << 63n;

export interface TimelineOptions {
  /** When the run began, CLOCK_MONOTONIC nanoseconds: events count from here. Left out: now. */
  readonly originNs?: bigint;
  /** How many events are kept, and how many may wait for their turn. Beyond it the oldest go. */
  readonly limit?: number;
  /** The ends that have a socket. Left out: both. */
  readonly ends?: readonly End[];
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly now?: () => bigint;
}

/**
 * The events of one experiment's connection from all its sources, in order.
 *
 * An event has its place when every source has been heard of beyond it; until then it waits. Each then goes to all who
 * read, with the call that caused it. Reading starts at the oldest event kept and ends when the timeline is closed.
 *
 * @example
 * const calls = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
 * calls.push(seen);
 * calls.advance(lookedUntilNs);
 * for await (const event of timeline) console.log(event);
 */
export class Timeline implements AsyncIterable<TimelineEvent>, Disposable, FeedOwner {
  readonly originNs: bigint;
  readonly #limit: number;
  readonly #now: () => bigint;
  readonly #ends: readonly End[];
  readonly #feeds: Feed[] = [];
  readonly #interpreter = new Interpreter();
  readonly #waits: Waits;
  readonly #kept: TimelineEvent[] = [];
  /** What gave way and tells of a state: few, and without them no path begins where it began. */
  readonly #earlierStates: StateEvent[] = [];
  #nextId = 0;
  #waiting = 0;
  #releasedNs = -1n;
  #closed = false;
  #error: Error | undefined;
  #wake: () => void = () => {};
  #news = new Promise<void>((resolve) => {
    this.#wake = resolve;
  });

  constructor({
    now = process.hrtime.bigint,
    originNs = now(),
    limit = 100_000,
    ends = ['client', 'server'],
  }: TimelineOptions = {}) {
    if (!Number.isInteger(limit) || limit < 1) throw new RangeError(`not a limit: ${limit}`);
    this.originNs = originNs;
    this.#limit = limit;
    this.#now = now;
    this.#ends = ends;
    this.#waits = new Waits(now);
  }

  /** Where the server listens. Until this is known no event has a place. */
  serverListens(address: Endpoint, surroundings?: Surroundings): void {
    this.#interpreter.serverListens(address, surroundings);
    this.#release();
  }

  /** A thread acts one of the ends: its calls are that end's. */
  threadActs(tid: number, end: End): void {
    this.#interpreter.threadActs(tid, end);
  }

  /** From now on an end throws away what arrives at its socket, or does so no more. */
  discards(end: End, on: boolean): void {
    this.#interpreter.discards(end, on, this.#sinceOrigin(this.#now()));
  }

  /** Adds a source. Until it is first heard of no event has a place. */
  open(options: FeedOptions): Feed {
    if (this.#closed) throw new Error('the timeline is closed');
    const feed = new Feed(this, options);
    this.#feeds.push(feed);
    this.#waits.join(feed);
    return feed;
  }

  /** Whether it has ended, by `close` or by a source that failed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** How many events were dropped to stay within the limit. */
  get dropped(): number {
    return Math.max(0, this.#nextId - this.#limit);
  }

  /** The events kept so far, oldest first. */
  get events(): TimelineEvent[] {
    const events: TimelineEvent[] = [];
    for (let id = this.dropped; id < this.#nextId; id++) events.push(this.#at(id));
    return events;
  }

  /** The states that were seen, oldest first, also those whose events are kept no more; of these the first, up to the limit. */
  get states(): StateEvent[] {
    return [...this.#earlierStates, ...this.events].filter((event) => event.kind === 'state');
  }

  /** Where sources do not agree, in the events kept so far and as far as each source has been heard of. */
  get findings(): Finding[] {
    const sources = new Map<string, SourceFacts>();
    for (const feed of this.#feeds) {
      // One source may come by several ways; it has been heard of as far as the last of them.
      const other = sources.get(feed.name);
      sources.set(feed.name, {
        name: feed.name,
        states: other?.states ?? feed.states,
        late: (other?.late ?? 0) + feed.late,
        lost: (other?.lost ?? 0) + feed.lost,
        heardNs: Math.min(
          other?.heardNs ?? Number.POSITIVE_INFINITY,
          this.#sinceOrigin(feed.heardNs),
        ),
        worstLateNs: Math.max(other?.worstLateNs ?? 0, Number(feed.worstLateNs)),
      });
    }
    const { dropped } = this;
    const events = [...this.#earlierStates, ...this.events];
    return disagreements(events, [...sources.values()], { dropped, ends: this.#ends });
  }

  /**
   * Waits until an end was in a state at any moment from `sinceNs` on (left out: from the call on), by the word of any
   * source. A state that was left before does not count, so news from before the call never ends a wait by itself; a
   * state still held does, as soon as a source has looked again. CLOSE by a hand-over to a mini-socket is no CLOSE yet:
   * only a sampling source can tell.
   *
   * Rejects with WaitTimeoutError, with the signal's reason, or when the timeline or its last source of states ends.
   */
  async waitFor(condition: Condition, options: WaitOptions): Promise<Reached> {
    if (this.#closed || this.#waits.blind) {
      const why = this.#closed ? 'the timeline is closed' : 'no source of states is left';
      const seen = this.#waits.describe(condition.end);
      throw new Error(`expected ${condition.end} in ${condition.state}, but ${why}; ${seen}`);
    }
    const reached = this.#recall(condition, options.sinceNs);
    return reached ?? this.#waits.wait(condition, options);
  }

  /** A state that was entered since a moment in the past, among what has come and is kept. */
  #recall({ end, state }: Condition, sinceNs: bigint | undefined): Reached | undefined {
    if (sinceNs === undefined) return undefined;
    for (const event of this.events) {
      if (event.kind !== 'state' || event.listener) continue;
      const tNs = this.originNs + BigInt(event.tNs);
      if (event.end === end && event.state === state && tNs >= sinceNs && isSure(event)) {
        return { end, state, source: event.source, enteredNs: tNs };
      }
    }
    for (const feed of this.#feeds) {
      for (const sighting of [...feed.ready, ...feed.unsettled]) {
        const seen = this.#interpreter.observe(feed, sighting);
        if (seen?.end === end && seen.state === state && seen.tNs >= sinceNs && isSure(seen)) {
          return { end, state, source: feed.name, enteredNs: seen.tNs };
        }
      }
    }
    return undefined;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TimelineEvent, void, void> {
    let next = this.dropped;
    for (;;) {
      next = Math.max(next, this.dropped);
      if (next < this.#nextId) {
        yield this.#at(next++);
        continue;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#closed) return;
      await this.#news;
    }
  }

  /** Ends every source and all who read and wait; what had not got its place gets it now. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const feed of this.#feeds) feed.close();
    this.#release();
    this.#waits.end('the timeline was closed', this.#error);
    this.#announce();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Called by a feed. */
  arrived(feed: Feed, sighting: Sighting): void {
    if (this.#interpreter.isForeign(sighting)) return;
    const observation = this.#interpreter.observe(feed, sighting);
    if (observation !== undefined) this.#waits.arrived(feed, observation);
    this.#waiting++;
    if (sighting.tNs <= feed.heardNs) {
      feed.late++;
      const byNs = feed.heardNs - sighting.tNs;
      if (byNs > feed.worstLateNs) feed.worstLateNs = byNs;
      feed.ready.insert(sighting);
      this.#release();
    } else if (feed.delivers === undefined && feed.states !== 'samples') {
      feed.unsettled.insert(sighting);
    } else {
      // What a sample contradicts is over at once: a look at one end comes after the look before it.
      this.#place(feed, sighting);
      if (feed.delivers !== undefined) feed.advance(sighting.tNs - 1n);
      if (feed.delivers === 'promptly') this.#release();
    }
    while (this.#waiting > this.#limit) this.#releaseOne(this.#oldest(true));
  }

  /** Called by a feed. */
  settled(feed: Feed): void {
    this.#settle(feed, feed.heardNs);
    this.#waits.heard(feed);
    this.#release();
  }

  /** Called by a feed. */
  ended(feed: Feed, error?: Error): void {
    this.#settle(feed, NEVER);
    if (error !== undefined) {
      this.#error ??= error;
      this.close();
    } else {
      if (this.#waits.blind) this.#waits.end('its last source has ended');
      this.#release();
    }
  }

  #settle(feed: Feed, untilNs: bigint): void {
    for (;;) {
      const { first } = feed.unsettled;
      if (first === undefined || first.tNs > untilNs) return;
      feed.unsettled.shift();
      this.#place(feed, first);
    }
  }

  #place(feed: Feed, sighting: Sighting): void {
    feed.ready.insert(sighting);
    const observation = this.#interpreter.observe(feed, sighting);
    if (observation !== undefined) this.#waits.settled(feed, observation);
  }

  #release(): void {
    if (!this.#interpreter.ready && !this.#closed) return;
    let horizon = NEVER;
    for (const { open, delivers, heardNs } of this.#feeds) {
      if (open && delivers !== 'promptly' && heardNs < horizon) horizon = heardNs;
    }
    const before = this.#nextId;
    for (;;) {
      const feed = this.#oldest(false);
      const first = feed?.ready.first;
      if (first === undefined || first.tNs > horizon) break;
      this.#releaseOne(feed);
    }
    if (this.#nextId > before) this.#announce();
  }

  /** The source whose next event is the oldest; of two at the same time, the one that joined first. */
  #oldest(unsettledToo: boolean): Feed | undefined {
    let oldest: Feed | undefined;
    let oldestNs = 0n;
    for (const feed of this.#feeds) {
      const first = feed.ready.first ?? (unsettledToo ? feed.unsettled.first : undefined);
      if (first !== undefined && (oldest === undefined || first.tNs < oldestNs)) {
        oldest = feed;
        oldestNs = first.tNs;
      }
    }
    return oldest;
  }

  #releaseOne(feed: Feed | undefined): void {
    const sighting = feed?.ready.shift() ?? feed?.unsettled.shift();
    if (feed === undefined || sighting === undefined) return;
    this.#waiting--;
    const { name: source, latenessNs } = feed;
    const late = sighting.tNs < this.#releasedNs && { late: true as const };
    const tNs = this.#sinceOrigin(sighting.tNs);
    const seen = { id: this.#nextId, tNs, source, latenessNs, ...late };
    const event = this.#interpreter.eventOf(seen, sighting);
    if (event === undefined) return;
    if (sighting.tNs > this.#releasedNs) this.#releasedNs = sighting.tNs;
    const gone = this.#kept[event.id % this.#limit];
    if (gone?.kind === 'state' && this.#earlierStates.length < this.#limit) {
      this.#earlierStates.push(gone);
    }
    this.#kept[event.id % this.#limit] = event;
    this.#nextId++;
  }

  #sinceOrigin(tNs: bigint): number {
    return Number(tNs - this.originNs);
  }

  #at(id: number): TimelineEvent {
    const event = this.#kept[id % this.#limit];
    if (event === undefined) throw new RangeError(`event ${id} is not kept`);
    return event;
  }

  /** Wakes all who read and have come to the end. */
  #announce(): void {
    this.#wake();
    this.#news = new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
