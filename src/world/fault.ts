import { checkBoolean, checkFields, checkInteger, outOfRange, shown } from '../tcp/argument.js';
import type { Segment } from '../tcp/segment.js';

/** The hosts of a network, by the part they play. */
export type End = 'client' | 'server';

/** Which segments a fault is about. */
export interface Match {
  /** The host that sent it; left out: either. */
  readonly from?: End;
  /** Flags that are all set, in tcpdump's letters: `F` is any FIN, `S.` a SYN+ACK. */
  readonly flags?: string;
  /** Whether it carries data; left out: either way. */
  readonly payload?: boolean;
  /** The first that is meant of those that fit, counted from 1 since the fault was set. */
  readonly nth?: number;
  /** How many are meant from there on. Left out: one where `nth` is given, else all. */
  readonly count?: number;
}

/** A segment that a fault was about. */
export interface Hit {
  /** CLOCK_MONOTONIC, when the link had it in hand. */
  readonly tNs: bigint;
  readonly from: End;
  readonly segment: Segment;
}

/** A fault that has been set, and what it has done so far. */
export interface Fault extends Disposable {
  /** Segments that fit, whether or not they were meant. */
  readonly matched: number;
  /** Segments that it happened to. */
  readonly applied: number;
  /** The first of those. Rejects where the link ends before. */
  readonly hit: Promise<Hit>;
  /** Lets what comes from now on pass. Idempotent. */
  remove(): void;
}

const LETTERS = 'FSRP.UEW';
const FIELDS: Readonly<Record<keyof Match, true>> = {
  ...{ from: true, flags: true, payload: true, nth: true, count: true },
};

/** Which segments a match means, decided as they come by. */
export class Rule implements Fault {
  matched = 0;
  applied = 0;
  readonly hit: Promise<Hit>;
  readonly #match: Match;
  readonly #first: number;
  readonly #last: number;
  readonly #removed: (rule: Rule) => void;
  #resolve: (hit: Hit) => void = () => {};
  #reject: (error: Error) => void = () => {};

  /** Throws TypeError or RangeError for what cannot match. */
  constructor(match: Match, removed: (rule: Rule) => void) {
    this.#match = checked(match);
    const { nth, count } = this.#match;
    this.#first = nth ?? 1;
    this.#last = this.#first + (count ?? (nth === undefined ? Number.POSITIVE_INFINITY : 1)) - 1;
    this.#removed = removed;
    this.hit = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Nobody has to wait for it.
    this.hit.catch(() => {});
  }

  /** Counts a segment that fits, and tells whether it is meant. */
  means(segment: Segment, from: End): boolean {
    if (!fits(this.#match, segment, from)) return false;
    this.matched++;
    return this.matched >= this.#first && this.matched <= this.#last;
  }

  /** Notes that the fault has happened to a segment. */
  note(hit: Hit): void {
    this.applied++;
    this.#resolve(hit);
  }

  /** Tells who waits that nothing will come any more. */
  end(error: Error): void {
    this.#reject(error);
  }

  remove(): void {
    this.#removed(this);
    this.end(new Error('the fault was removed before a segment met it'));
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

function fits({ from, flags = '', payload }: Match, segment: Segment, sender: End): boolean {
  return (
    (from === undefined || from === sender) &&
    (payload === undefined || payload === segment.payloadLength > 0) &&
    [...flags].every((flag) => segment.flags.includes(flag))
  );
}

function isFlags(flags: unknown): boolean {
  return (
    typeof flags === 'string' && flags !== '' && [...flags].every((each) => LETTERS.includes(each))
  );
}

/** A copy: what its author does to it later is not looked at. */
function checked(match: Match): Match {
  checkFields('a match', match, FIELDS);
  const { from, flags, payload, nth, count } = match;
  if (from !== undefined && from !== 'client' && from !== 'server') {
    throw outOfRange(`from must be client or server, received ${shown(from)}`);
  }
  if (flags !== undefined && !isFlags(flags)) {
    throw outOfRange(`flags must be letters out of ${LETTERS}, received ${shown(flags)}`);
  }
  if (payload !== undefined) checkBoolean('payload', payload);
  for (const [name, value] of Object.entries({ nth, count })) {
    if (value !== undefined) checkInteger(name, value, 1, Number.MAX_SAFE_INTEGER);
  }
  return { ...match };
}
