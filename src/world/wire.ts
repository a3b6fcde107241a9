import * as sys from '../syscall/sys.js';
import { type Endpoint, formatEndpoint } from '../tcp/address.js';
import {
  type Check,
  type Checks,
  checkBoolean,
  checkedFields,
  checkInteger,
  checkMs,
  integer,
  mustBe,
} from '../tcp/argument.js';
import { verifyChecksum } from '../tcp/checksum.js';
import {
  ControlBlock,
  type ControlBlockOptions,
  distance,
  encodeData,
  plus,
  type SegmentBody,
  type SegmentSpec,
} from '../tcp/control-block.js';
import { decodeFrame, IPPROTO_TCP, isInitialSyn, type Segment } from '../tcp/segment.js';
import { checkOptions, encodeSegment, spellFlags } from '../tcp/segment-encode.js';
import { formatSegment, quote } from '../tcp/segment-line.js';
import { PacketPort } from './packet-port.js';

/** Where a wire is and who is at its other end. */
export interface WireOptions extends ControlBlockOptions {
  /** The interface, in the namespace of the actor. */
  readonly interfaceName: string;
  /** Nobody else's: no stack may have this address. The port is the wire's for as long as it is open. */
  readonly local: Endpoint;
  readonly linkAddress: string;
  /** The host it speaks to. */
  readonly peer: { readonly address: string; readonly linkAddress: string };
}

/** What to send. */
export interface SendOptions extends SegmentSpec {
  /** The peer's port, from now on. Left out: the one spoken to, or the one of the last SYN. */
  readonly to?: number;
  /** A wrong checksum: the peer has to discard the segment, so its numbers are still the next ones. */
  readonly badChecksum?: boolean;
}

/** What a segment has to be like, besides its flags. */
export interface ExpectOptions {
  /** How far from the peer's next number; left out: 0. A SYN may have any, since it starts a numbering. */
  readonly seq?: number | 'any';
  /** How far from our next number; left out: 0, all that was sent without a hole is acknowledged. A SYN is to our SYN. */
  readonly ack?: number | 'any';
  /** As it stands in the header. Left out: any. */
  readonly win?: number;
  /** The whole payload. Left out: any. */
  readonly data?: string | Uint8Array;
  /** A segment that has been expected before and was sent again. Left out: such a one is passed over. */
  readonly again?: boolean;
  /** Left out: 5000. */
  readonly deadlineMs?: number;
}

/** Something else came than was expected, or nothing did. The message has the conversation so far. */
export class UnexpectedSegmentError extends Error {
  override readonly name = 'UnexpectedSegmentError';
  readonly code = 'ERR_UNEXPECTED_SEGMENT';
  /** What came; undefined if nothing did. */
  readonly observed: Segment | undefined;

  constructor(message: string, observed: Segment | undefined) {
    super(message);
    this.observed = observed;
  }
}

const DEADLINE_MS = 5000;
/** Of the conversation, in an error's message. */
const MOST_LINES = 40;
const ETHERNET = { linkType: 'ethernet' } as const;
const checkDistance = integer(-(2 ** 32), 2 ** 32);
const checkDistanceOrAny: Check = (what, value) => {
  if (value !== 'any') checkDistance(what, value);
};
const checkWindow = integer(0, 0xffff);
const checkData: Check = (what, value) => {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
    throw mustBe(what, 'text or bytes', value);
  }
};
const SENT: Checks<SendOptions> = {
  ...{ seq: checkDistance, ack: checkDistance, ts: checkDistance, win: checkWindow },
  ...{ urgent: checkWindow, data: checkData, options: checkOptions },
  ...{ to: integer(1, 0xffff), badChecksum: checkBoolean },
};
const EXPECTED: Checks<ExpectOptions> = {
  ...{ seq: checkDistanceOrAny, ack: checkDistanceOrAny, win: checkWindow, data: checkData },
  ...{ again: checkBoolean, deadlineMs: checkMs },
};
const PATIENCE: Checks<Pick<ExpectOptions, 'deadlineMs'>> = { deadlineMs: checkMs };

/** What a segment is to be like, in the numbers that are on the wire; what is undefined may be anything. */
interface Wanted {
  readonly flags: string;
  readonly sequence: number | undefined;
  readonly acknowledgment: number | undefined;
  readonly window: number | undefined;
  readonly payload: Uint8Array | undefined;
}

/**
 * One end of a conversation without a TCP behind it: segments are sent by hand, and what comes is told from what was
 * expected. It answers nothing by itself, not even a SYN to where nobody listens; the host at its other end is real.
 *
 * It fills in the numbers, the checksums and the timestamps, so that a line of a script says what is special about a
 * segment. Flags are tcpdump's. Numbers in a script count from what is next, so that 0, which can be left out, is the right
 * one. What has come counts when it has been expected: `send` acknowledges that, and nothing else.
 *
 * `expect` passes over nothing but segments that it has had before (the host sends again what is not acknowledged in time):
 * so what is not between two expected segments did not come between them.
 *
 * @example
 * await using wire = await network.wire({ version: 4, port: 80 });
 * const connecting = client.connect(fd, wire.local);
 * await wire.expect('S');
 * wire.send('S.');
 * await wire.expect('.');
 * await connecting;
 * wire.send('R', { seq: +1 }); // in the window, but not exact
 * await wire.expect('.'); // the challenge ACK of RFC 5961
 */
export class Wire implements AsyncDisposable {
  readonly local: Endpoint;
  readonly #port: PacketPort;
  readonly #ethernet: { readonly source: Uint8Array; readonly destination: Uint8Array };
  readonly #block: ControlBlock;
  readonly #conversation: string[] = [];
  #remote: Endpoint;
  #expecting = false;
  #closed = false;
  #fences = 0;

  private constructor(port: PacketPort, options: WireOptions) {
    const { local, linkAddress, peer } = options;
    this.local = local;
    this.#port = port;
    this.#remote = { address: peer.address, port: 0 };
    this.#ethernet = { source: bytesOf(linkAddress), destination: bytesOf(peer.linkAddress) };
    this.#block = new ControlBlock(options);
  }

  /**
   * Opens a wire on an interface of the actor's namespace. The actor is the wire's alone, and stopped with it. Throws
   * SyscallError, EPERM without CAP_NET_RAW, and a RangeError for a port or an initial number that is none.
   */
  static async open(actor: sys.Actor, options: WireOptions): Promise<Wire> {
    const { interfaceName, local, peer } = options;
    const filter = { addresses: [peer.address], ports: [local.port], protocol: IPPROTO_TCP };
    const port = await PacketPort.open(actor, interfaceName, filter);
    try {
      return new Wire(port, options);
    } catch (error) {
      await port.close();
      throw error;
    }
  }

  /** Who it speaks to; port 0 is nobody yet. */
  get remote(): Endpoint {
    return this.#remote;
  }

  /** What was sent and what came in, a line each: `>` is ours. */
  get conversation(): string {
    return this.#conversation.join('\n');
  }

  /**
   * Sends a segment: `send('F.')`. What takes up sequence numbers moves the next number on, unless it leaves a hole. Returns
   * what was sent. Throws RangeError or TypeError for what does not fit into a segment, SyscallError.
   */
  send(flags: string, options: SendOptions = {}): SegmentBody {
    const checked = checkedFields('what to send', options, SENT);
    const spelled = spellFlags(flags);
    const { to, badChecksum = false, ...spec } = checked;
    const remote = { address: this.#remote.address, port: to ?? this.#remote.port };
    if (remote.port === 0) throw new Error('nobody to send to: expect a SYN, or say `to`');
    const body = this.#block.fill(spelled, spec);
    this.#put(body, remote, badChecksum);
    this.#remote = remote;
    if (!badChecksum) this.#block.countSent(body);
    this.#note('>', body, badChecksum ? ', checksum wrong' : '');
    return body;
  }

  /**
   * Waits for the next segment and returns it, if it is the one expected: these flags, the next number, and all of ours
   * acknowledged, where the options do not say otherwise. A SYN makes its sender the one that is spoken to. Throws
   * UnexpectedSegmentError for any other segment, for one with a wrong checksum, and at the deadline.
   */
  async expect(flags: string, options: ExpectOptions = {}): Promise<Segment> {
    const checked = checkedFields('what to expect', options, EXPECTED);
    const { again = false, deadlineMs = DEADLINE_MS } = checked;
    const wanted = this.#wanted(spellFlags(flags), checked);
    const expected = this.#describe(wanted, again);
    return await this.#await(expected, deadlineMs, (segment) => {
      if (isFromNobody(segment)) return false;
      const line = this.#note('<', segment);
      const repeated = this.#block.isRepeat(segment);
      if (repeated && !again) return false;
      if (repeated !== again || !this.#isWanted(segment, wanted)) {
        throw this.#unexpected(expected, line, segment);
      }
      if (isInitialSyn(segment.flags)) this.#remote = segment.source;
      this.#block.countReceived(segment);
      return true;
    });
  }

  /**
   * Makes sure that nothing new has come that was not expected. The absence of an answer shows by the presence of another: a
   * segment to port 0, where nobody can be, is answered with a reset at once, and what was answered at once to a segment
   * before it has come before. That supposes that the host takes them in order, as it does unless a call of its own holds
   * the socket; and what it sends later, when a program or a timer has it do so, is not covered.
   */
  async expectNothing(options: Pick<ExpectOptions, 'deadlineMs'> = {}): Promise<void> {
    const { deadlineMs = DEADLINE_MS } = checkedFields('options', options, PATIENCE);
    const acknowledgment = ++this.#fences;
    const destination = { address: this.#remote.address, port: 0 };
    this.#put({ flags: '.', acknowledgment }, destination);
    const expected = 'nothing but the reset of a probe';
    await this.#await(expected, deadlineMs, (segment) => {
      if (isFromNobody(segment)) return segment.sequence === acknowledgment;
      const line = this.#note('<', segment);
      if (!this.#block.isRepeat(segment)) throw this.#unexpected(expected, line, segment);
      return false;
    });
  }

  /** Begins a connection to a port of the host, as connect(2) would. */
  async connect(port: number): Promise<void> {
    checkInteger('port', port, 1, 0xffff);
    this.send('S', { to: port });
    await this.expect('S.');
    this.send('.');
  }

  /** Takes a connection that the host begins, as accept(2) would. */
  async accept(): Promise<void> {
    await this.expect('S');
    this.send('S.');
    await this.expect('.');
  }

  #put(body: Partial<SegmentBody>, destination: Endpoint, badChecksum = false): void {
    // The descriptor's number may be somebody else's by now.
    if (this.#closed) throw new Error('the wire is closed');
    const ethernet = this.#ethernet;
    const segment = { ...body, source: this.local, destination };
    this.#port.send(encodeSegment(segment, { ethernet, badChecksum }));
  }

  /** Hands on segments until one is taken. */
  async #await(
    expected: string,
    deadlineMs: number,
    take: (segment: Segment) => boolean,
  ): Promise<Segment> {
    if (this.#expecting) throw new Error('a segment is being waited for already');
    const signal = AbortSignal.timeout(Math.ceil(deadlineMs));
    this.#expecting = true;
    try {
      for (;;) {
        const frame = await this.#port.receive(signal);
        const { lost } = this.#port;
        if (lost > 0) throw new Error(`${lost} frames were lost at the wire itself`);
        const segment = this.#decode(frame, expected);
        if (segment.destination.port === this.local.port && take(segment)) return segment;
      }
    } catch (error) {
      if (!(error instanceof sys.AbortError && signal.aborted)) throw error;
      throw this.#unexpected(expected, `nothing within ${deadlineMs} ms`);
    } finally {
      this.#expecting = false;
    }
  }

  #decode(frame: Uint8Array, expected: string): Segment {
    const { segment, reason } = decodeFrame(frame, ETHERNET);
    if (segment === undefined) throw this.#unexpected(expected, `a frame without TCP: ${reason}`);
    const checksum = verifyChecksum(frame, ETHERNET);
    if (checksum === 'correct') return segment;
    const line = this.#note('<', segment, `, checksum ${checksum}`);
    throw this.#unexpected(expected, line, segment);
  }

  #wanted(flags: string, { seq = 0, ack = 0, win, data, again }: ExpectOptions): Wanted {
    const { peerNext, next, syn } = this.#block;
    const isSyn = flags.includes('S');
    // What is sent again has an old number.
    const isAny = isSyn || again || seq === 'any' || peerNext === undefined;
    const isUnsaid = ack === 'any' || !flags.includes('.');
    return {
      flags,
      sequence: isAny ? undefined : plus(peerNext, seq),
      acknowledgment: isUnsaid ? undefined : plus(isSyn ? syn.next : next, ack),
      window: win,
      payload: data === undefined ? undefined : encodeData(data),
    };
  }

  #isWanted(segment: Segment, wanted: Wanted): boolean {
    const { flags, sequence, acknowledgment, window, payload } = wanted;
    return (
      segment.flags === flags &&
      (isInitialSyn(flags) || segment.source.port === this.#remote.port) &&
      segment.sequence === (sequence ?? segment.sequence) &&
      segment.acknowledgment === (acknowledgment ?? segment.acknowledgment) &&
      segment.window === (window ?? segment.window) &&
      (payload === undefined || Buffer.from(payload).equals(segment.payload))
    );
  }

  #describe({ flags, sequence, acknowledgment, window, payload }: Wanted, again: boolean): string {
    const { first, peerFirst, syn } = this.#block;
    const parts = [again ? `${flags} again` : flags];
    if (sequence !== undefined) parts.push(`seq ${distance(peerFirst ?? 0, sequence)}`);
    if (acknowledgment !== undefined) {
      const base = flags.includes('S') ? syn.sequence : first;
      parts.push(`ack ${distance(base, acknowledgment)}`);
    }
    if (window !== undefined) parts.push(`win ${window}`);
    if (payload !== undefined) parts.push(quote(payload));
    return parts.join(', ');
  }

  /** Adds a line to the conversation, and returns it. */
  #note(direction: '<' | '>', segment: SegmentBody, remark = ''): string {
    const { first, peerFirst, syn } = this.#block;
    const isSyn = segment.flags.includes('S');
    const ours = isSyn ? syn.sequence : first;
    const theirs = isSyn && direction === '<' ? segment.sequence : peerFirst;
    const line =
      direction === '>'
        ? formatSegment(segment, { sequence: ours, acknowledgment: peerFirst })
        : formatSegment(segment, { sequence: theirs, acknowledgment: ours });
    this.#conversation.push(`${direction} ${line}${remark}`);
    return line + remark;
  }

  #unexpected(expected: string, observed: string, segment?: Segment): UnexpectedSegmentError {
    const stranger =
      segment === undefined || segment.source.port === this.#remote.port
        ? ''
        : ` from ${formatEndpoint(segment.source)}`;
    const message = `expected ${expected}; observed ${observed}${stranger}`;
    const lines = this.#conversation.slice(-MOST_LINES);
    const left = this.#conversation.length - lines.length;
    if (left > 0) lines.unshift(`... ${left} before`);
    return new UnexpectedSegmentError(
      [message, ...lines.map((line) => `  ${line}`)].join('\n'),
      segment,
    );
  }

  /** Closes it; a wait that is under way ends with AbortError. Idempotent. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#port.close();
  }

  /** Closes it; a second time does nothing. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Port 0 cannot be listened on, so whatever comes from it answers our own question. */
const isFromNobody = ({ source }: Segment): boolean => source.port === 0;

function bytesOf(linkAddress: string): Uint8Array {
  return Uint8Array.from(linkAddress.split(':'), (pair) => Number.parseInt(pair, 16));
}
