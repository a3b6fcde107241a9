import type { Sighting, Source } from './event.js';

/** What a source says of itself when it joins a timeline. */
export interface FeedOptions {
  readonly name: Source;
  /** How much earlier than its `tNs` something can have happened: a clock's error, or the time between two looks. */
  readonly latenessNs: number;
  /**
   * `promptly`: as it happens, so that nobody waits for it. `in-order`: each delivery tells that nothing earlier will come.
   * Left out: in any order, so that only `advance` tells. One who looks at several ends is not in order: what it finds at one
   * says nothing of the other until that has been looked at as well.
   */
  readonly delivers?: 'promptly' | 'in-order';
  /**
   * How it sees states: `transitions`, each of them; `samples`, what it finds when it looks. Left out: it sees none.
   */
  readonly states?: 'transitions' | 'samples';
}

/** What a feed tells of its timeline; the feed's own half of it. */
export interface FeedOwner {
  /** Something came. */
  arrived(feed: Feed, sighting: Sighting): void;
  /** Nothing up to `heardNs` will come any more: the feed's settled events are in their order. */
  settled(feed: Feed): void;
  /** The source is no more; `error` says why if that was not meant to be. */
  ended(feed: Feed, error?: Error): void;
}

/** A first-in, first-out list that stays sorted by time. */
class SortedQueue {
  #items: Sighting[] = [];
  #from = 0;

  get length(): number {
    return this.#items.length - this.#from;
  }

  get first(): Sighting | undefined {
    return this.#items[this.#from];
  }

  /** Sources are nearly in order: the place is at the end or close to it. */
  insert(sighting: Sighting): void {
    let at = this.#items.length;
    for (; at > this.#from; at--) {
      const earlier = this.#items[at - 1];
      if (earlier === undefined || earlier.tNs <= sighting.tNs) break;
    }
    if (at === this.#items.length) this.#items.push(sighting);
    else this.#items.splice(at, 0, sighting);
  }

  shift(): Sighting | undefined {
    const item = this.#items[this.#from];
    if (item === undefined) return undefined;
    this.#from++;
    if (this.#from > 1024 && this.#from * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#from);
      this.#from = 0;
    }
    return item;
  }

  *[Symbol.iterator](): Generator<Sighting> {
    for (let i = this.#from; i < this.#items.length; i++) {
      const item = this.#items[i];
      if (item !== undefined) yield item;
    }
  }
}

/** A source's way into a timeline: `push` what was seen, and `advance` to say how far it has been looked. */
export class Feed {
  readonly name: Source;
  readonly latenessNs: number;
  readonly delivers: 'promptly' | 'in-order' | undefined;
  readonly states: 'transitions' | 'samples' | undefined;
  /** Delivered, and something earlier may still come. */
  readonly unsettled = new SortedQueue();
  /** Delivered and in order; they wait for the other sources. */
  readonly ready = new SortedQueue();
  /** Everything up to here has been delivered, CLOCK_MONOTONIC nanoseconds. */
  heardNs = -1n;
  open = true;
  /** How many came behind `heardNs`, and by how much the latest of them. */
  late = 0;
  worstLateNs = 0n;
  /** What the source itself has lost. */
  lost = 0;
  readonly #owner: FeedOwner;

  constructor(owner: FeedOwner, { name, latenessNs, delivers, states }: FeedOptions) {
    this.#owner = owner;
    this.name = name;
    this.latenessNs = latenessNs;
    this.delivers = delivers;
    this.states = states;
  }

  /** Delivers what was seen. After `close` it is ignored. */
  push(sighting: Sighting): void {
    if (!this.open) return;
    this.#owner.arrived(this, sighting);
  }

  /** Says that everything up to and including this time has been delivered. Time that goes backwards is ignored. */
  advance(toNs: bigint): void {
    if (!this.open || toNs <= this.heardNs) return;
    this.heardNs = toNs;
    this.#owner.settled(this);
  }

  /** Says how many events the source has lost so far. */
  lose(total: number): void {
    this.lost = total;
  }

  /** Ends the feed: nobody waits for this source any more. What it has not `advance`d over it cannot attest. Idempotent. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.#owner.ended(this);
  }

  /** Ends the feed and with it the timeline: whoever reads or waits gets the error. */
  fail(error: Error): void {
    if (!this.open) return;
    this.open = false;
    this.#owner.ended(this, error);
  }
}
