import { atLeast } from '../tcp/argument.js';

const checkLimit = atLeast(0);

/**
 * What an observer hands to a reader who may be slower: a queue of at most `limit` events, read with `for await`. Of several
 * readers each event goes to one. What finds it full is dropped and counted.
 */
export class Feed<T extends object> implements AsyncIterable<T> {
  dropped = 0;
  readonly #limit: number;
  readonly #events: T[] = [];
  #ended = false;
  #error: unknown;
  readonly #asleep = new Set<() => void>();

  constructor(limit: number) {
    checkLimit('limit', limit);
    this.#limit = limit;
  }

  push(event: T): void {
    if (this.#ended || this.#events.length >= this.#limit) {
      this.dropped++;
      return;
    }
    this.#events.push(event);
    this.#wake();
  }

  /** Ends the reader's loop once it has read what is queued; with an error, by throwing it. Idempotent. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#asleep) resolve();
    this.#asleep.clear();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      // One at a time: a reader who leaves here and comes back goes on with the next.
      const event = this.#events.shift();
      if (event !== undefined) yield event;
      else if (this.#ended) break;
      else await new Promise<void>((resolve) => this.#asleep.add(resolve));
    }
    if (this.#error !== undefined) throw this.#error;
  }
}
