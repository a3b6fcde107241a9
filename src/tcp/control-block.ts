import { outOfRange, shown } from './argument.js';
import type { Segment, TcpOption } from './segment.js';

/** What to put into a segment. Numbers that are left out are the right ones. */
export interface SegmentSpec {
  /** How far from the next number of one's own: `+1000` leaves a hole, `-1` repeats the last one. */
  readonly seq?: number;
  /** How far from the peer's next number: `-1` does not acknowledge what came last. */
  readonly ack?: number;
  /** As it stands in the header, unscaled; left out: 65535. */
  readonly win?: number;
  /** How far from the next timestamp, if there are any. */
  readonly ts?: number;
  readonly urgent?: number;
  /** Text is sent as UTF-8. */
  readonly data?: string | Uint8Array;
  /** In place of those that belong there. */
  readonly options?: readonly TcpOption[];
}

/** A segment without its addresses. */
export type SegmentBody = Pick<
  Segment,
  'sequence' | 'acknowledgment' | 'flags' | 'window' | 'urgent' | 'options' | 'payload'
>;

/** What is offered in a SYN. */
export interface ControlBlockOptions {
  /** The initial sequence number. */
  readonly iss?: number;
  readonly mss?: number;
  readonly wscale?: number;
}

const WINDOW = 0xffff;

/**
 * The account that one end of a conversation keeps (RFC 9293, section 3.3.1): what is next in both numberings, which
 * options both ends have offered, whose timestamp is to be echoed. It fills in segments and has no opinion: any can be sent
 * at any time, and none is answered.
 */
export class ControlBlock {
  readonly #mss: number;
  readonly #wscale: number;
  /** ISS. */
  #first: number;
  /** SND.NXT: what comes after all that was sent without a hole. */
  #next: number;
  /** The last SYN, and what came after it. */
  #syn: number;
  #afterSyn: number;
  /** What comes after the furthest that was sent. */
  #furthest: number;
  /** IRS, once there was a SYN. */
  #peerFirst: number | undefined;
  /** RCV.NXT. */
  #peerNext: number | undefined;
  #peerSynFlags = '';
  #offered: ReadonlySet<string> = new Set();
  #peerOffered: ReadonlySet<string> | undefined;
  /** Counts segments: any clock that never goes back is good enough for PAWS (RFC 7323, section 5.2). */
  #clock = 1000;
  #echo = 0;

  /** Throws a RangeError for an initial number that is none. */
  constructor({ iss = 0, mss = 1460, wscale = 7 }: ControlBlockOptions = {}) {
    if (iss !== plus(iss, 0)) throw outOfRange(`not a sequence number: ${shown(iss)}`);
    this.#first = iss;
    this.#next = iss;
    this.#furthest = iss;
    this.#syn = iss;
    this.#afterSyn = iss;
    this.#mss = mss;
    this.#wscale = wscale;
  }

  /** The initial number of one's own. */
  get first(): number {
    return this.#first;
  }

  /** The peer's initial number; undefined before its SYN. */
  get peerFirst(): number | undefined {
    return this.#peerFirst;
  }

  /** The next number of one's own. */
  get next(): number {
    return this.#next;
  }

  /** The number of our last SYN, and the one after it and its data, whatever came of it. */
  get syn(): { readonly sequence: number; readonly next: number } {
    return { sequence: this.#syn, next: this.#afterSyn };
  }

  /** The peer's next number; undefined before its SYN. */
  get peerNext(): number | undefined {
    return this.#peerNext;
  }

  /** Fills in a segment to be sent. Throws a RangeError for a distance that is no integer. */
  fill(flags: string, spec: SegmentSpec = {}): SegmentBody {
    const { seq = 0, ack = 0, win = WINDOW, ts = 0, urgent = 0, data = '' } = spec;
    for (const [name, value] of Object.entries({ seq, ack, ts })) {
      if (!Number.isInteger(value)) {
        throw outOfRange(`${name} must be an integer, received ${shown(value)}`);
      }
    }
    const body = {
      flags,
      sequence: plus(this.#next, seq),
      acknowledgment: flags.includes('.') ? plus(this.#peerNext ?? 0, ack) : 0,
      window: win,
      urgent,
      options: spec.options ?? this.#options(flags, plus(this.#clock, ts)),
      payload: encodeData(data),
    };
    this.#clock = plus(this.#clock, 1);
    return body;
  }

  #options(flags: string, value: number): TcpOption[] {
    if (flags.includes('S')) {
      return this.#offers(value, flags.includes('.') ? this.#peerOffered : undefined);
    }
    const agreed = this.#offered.has('timestamps') && this.#peerOffered?.has('timestamps');
    // Linux puts none into a reset either.
    if (!agreed || flags.includes('R')) return [];
    return [{ kind: 'nop' }, { kind: 'nop' }, { kind: 'timestamps', value, echoReply: this.#echo }];
  }

  /** All there are, or in an answer those that were offered. */
  #offers(value: number, asked: ReadonlySet<string> | undefined): TcpOption[] {
    const offers: TcpOption[][] = [
      [{ kind: 'sackOK' }],
      [{ kind: 'timestamps', value, echoReply: asked === undefined ? 0 : this.#echo }],
      [{ kind: 'nop' }, { kind: 'wscale', value: this.#wscale }],
    ];
    const taken = offers.filter((offer) =>
      offer.every(({ kind }) => kind === 'nop' || (asked?.has(kind) ?? true)),
    );
    return [{ kind: 'mss', value: this.#mss }, ...taken.flat()];
  }

  /** Counts a segment that was sent. One that is known to be lost is not to be counted. */
  countSent({ flags, sequence, options, payload }: SegmentBody): void {
    const end = plus(sequence, spaceOf(flags, payload.length));
    const isNext = !isBefore(this.#next, sequence);
    if (flags.includes('S')) {
      this.#offered = kindsOf(options);
      this.#syn = sequence;
      this.#afterSyn = end;
    }
    if (isNext && isBefore(this.#next, end)) {
      // A SYN that leaves a hole starts a numbering when the peer takes it for one.
      if (flags.includes('S')) this.#first = sequence;
      this.#next = end;
    }
    if (isBefore(this.#furthest, end)) this.#furthest = end;
  }

  /** Counts a segment of the peer's. */
  countReceived({ flags, sequence, acknowledgment, options, payloadLength }: Segment): void {
    for (const option of options) if (option.kind === 'timestamps') this.#echo = option.value;
    const end = plus(sequence, spaceOf(flags, payloadLength));
    if (flags.includes('S')) {
      this.#peerOffered = kindsOf(options);
      this.#peerSynFlags = flags;
      this.#peerFirst = sequence;
      this.#peerNext = end;
      if (flags.includes('.') && acknowledgment === this.#afterSyn) this.#first = this.#syn;
    } else if (this.#peerNext !== undefined && !isBefore(this.#peerNext, sequence)) {
      if (isBefore(this.#peerNext, end)) this.#peerNext = end;
    }
    // What the peer has, it has without a hole, in whatever order it went out.
    const isNews = flags.includes('.') && isBefore(this.#next, acknowledgment);
    if (isNews && !isBefore(this.#furthest, acknowledgment)) this.#next = acknowledgment;
  }

  /** Whether a segment of the peer's has nothing but what was counted before: it was sent again, or twice. */
  isRepeat({ flags, sequence, payloadLength }: Segment): boolean {
    const space = spaceOf(flags, payloadLength);
    // A SYN that has learnt to acknowledge, in a simultaneous open, is another one.
    if (flags.includes('S')) {
      return this.#peerSynFlags === flags && this.#peerFirst === sequence;
    }
    if (space === 0 || this.#peerNext === undefined) return false;
    return !isBefore(this.#peerNext, plus(sequence, space));
  }
}

/** How much of the numbering a segment takes up: data, SYN, FIN. A reset has its data for the reader alone. */
function spaceOf(flags: string, payloadLength: number): number {
  if (flags.includes('R')) return 0;
  return payloadLength + Number(flags.includes('S')) + Number(flags.includes('F'));
}

const kindsOf = (options: readonly TcpOption[]): ReadonlySet<string> =>
  new Set(options.map(({ kind }) => kind));

/** Text as UTF-8, bytes as they are. */
export function encodeData(data: string | Uint8Array): Uint8Array {
  return typeof data === 'string' ? new TextEncoder().encode(data) : data;
}

/** Modulo 2^32, as all sequence numbers are. */
export function plus(number: number, distance: number): number {
  return (number + distance) >>> 0;
}

/** How far `number` is from `base`, the shorter way round. */
export function distance(base: number, number: number): number {
  return (number - base) | 0;
}

function isBefore(a: number, b: number): boolean {
  return distance(b, a) < 0;
}
