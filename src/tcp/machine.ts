import { isInitialSyn, type Segment } from './segment.js';
import type { TcpStateName } from './states.js';

/** What the machine needs of a segment. */
export interface MachineSegment
  extends Pick<Segment, 'flags' | 'sequence' | 'acknowledgment' | 'payloadLength'> {
  /** Who sent it. */
  readonly end: 'client' | 'server';
  /** It was lost between the place of capture and the socket. */
  readonly discarded?: true;
  /** At which end it was seen: what leaves one may reach the other later, or never. Left out: both ends are here. */
  readonly seen?: 'departing' | 'arriving';
}

/** A state that follows from a segment. */
export interface ImpliedState<S extends MachineSegment = MachineSegment> {
  readonly end: 'client' | 'server';
  readonly state: TcpStateName;
  readonly segment: S;
  /** `sent` is certain; `received` supposes that the segment reached the socket. */
  readonly by: 'sent' | 'received';
}

/**
 * The states that the segments of one connection imply for both ends, in order; RFC 9293, section 3.10.
 *
 * A segment takes effect on its sender and, unless it was discarded there, on its receiver; one that was seen at one end, on
 * that end. What a
 * timer or a call does without a segment is not implied. A conversation whose first segment is no SYN implies nothing.
 */
export function impliedStates<S extends MachineSegment>(segments: readonly S[]): ImpliedState<S>[] {
  const [first] = segments;
  if (first === undefined || !isInitialSyn(first.flags)) return [];
  const machineOf = (end: MachineSegment['end']): Machine =>
    new Machine(end === first.end ? 'CLOSE' : 'LISTEN');
  const machines = { client: machineOf('client'), server: machineOf('server') };
  const implied: ImpliedState<S>[] = [];
  for (const segment of segments) {
    const { end } = segment;
    const peer = end === 'client' ? 'server' : 'client';
    const sent = segment.seen === 'arriving' ? [] : machines[end].send(segment);
    for (const state of sent) {
      implied.push({ end, state, segment, by: 'sent' });
    }
    const lost = segment.discarded || segment.seen === 'departing';
    const received = lost ? [] : machines[peer].receive(segment);
    for (const state of received) {
      implied.push({ end: peer, state, segment, by: 'received' });
    }
  }
  return implied;
}

/**
 * Whether a socket that goes from one state to another hands its connection over to a timewait mini-socket.
 *
 * Then CLOSE is the end of the socket only: the connection may go on, in FIN_WAIT2 or TIME_WAIT, where sock_diag shows it
 * and no tracepoint does. A reset looks the same. tcp_time_wait() in net/ipv4/tcp_minisocks.c.
 */
export function mayHandOver(from: string | undefined, to: string): boolean {
  return to === 'CLOSE' && (from === 'FIN_WAIT1' || from === 'FIN_WAIT2' || from === 'CLOSING');
}

const synchronized: ReadonlySet<TcpStateName> = new Set([
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT1',
  'FIN_WAIT2',
  'CLOSE_WAIT',
  'CLOSING',
  'LAST_ACK',
  'TIME_WAIT',
]);

/** Sequence space that came before its turn. */
interface Held {
  readonly start: number;
  readonly length: number;
  readonly fin: boolean;
}

/** One side of a connection. `send` and `receive` return the states entered, none, one or several. */
class Machine {
  #state: TcpStateName;
  /** The sequence number after our SYN, after the data it carried (RFC 7413), and after our FIN. */
  #afterSyn: number | undefined;
  #afterSynData = 0;
  #afterFin: number | undefined;
  /** RCV.NXT. */
  #next: number | undefined;
  #held: Held[] = [];

  constructor(state: TcpStateName) {
    this.#state = state;
  }

  send({ flags, sequence, acknowledgment, payloadLength }: MachineSegment): TcpStateName[] {
    if (flags.includes('R')) return this.#reset();
    if (flags.includes('S')) {
      this.#afterSyn = (sequence + 1) >>> 0;
      this.#afterSynData = (this.#afterSyn + payloadLength) >>> 0;
      // Who calls has not listened, though its was not the first call.
      if (!flags.includes('.')) return this.#go({ CLOSE: 'SYN_SENT', LISTEN: 'SYN_SENT' });
      // Of the other's SYN it has taken this much: data too, where it is fast open.
      this.#next = acknowledgment;
      return this.#go({ LISTEN: 'SYN_RECV', SYN_SENT: 'SYN_RECV', TIME_WAIT: 'SYN_RECV' });
    }
    if (!flags.includes('F')) return [];
    this.#afterFin = (sequence + payloadLength + 1) >>> 0;
    return this.#go({ SYN_RECV: 'FIN_WAIT1', ESTABLISHED: 'FIN_WAIT1', CLOSE_WAIT: 'LAST_ACK' });
  }

  receive(segment: MachineSegment): TcpStateName[] {
    const { flags, sequence, payloadLength } = segment;
    if (flags.includes('R')) return this.#receiveReset(segment);
    if (flags.includes('S')) {
      if (!synchronized.has(this.#state) || this.#state === 'TIME_WAIT') {
        this.#next = (sequence + 1) >>> 0;
        this.#held = [];
      }
      if (!flags.includes('.') || !this.#acks(segment, this.#afterSyn)) return [];
      // In SYN_RECV: both have called, and both answer.
      return this.#go({ SYN_SENT: 'ESTABLISHED', SYN_RECV: 'ESTABLISHED' });
    }
    const entered: TcpStateName[] = [];
    if (this.#acks(segment, this.#afterSyn)) entered.push(...this.#go({ SYN_RECV: 'ESTABLISHED' }));
    if (this.#acks(segment, this.#afterFin)) {
      entered.push(
        ...this.#go({ FIN_WAIT1: 'FIN_WAIT2', CLOSING: 'TIME_WAIT', LAST_ACK: 'CLOSE' }),
      );
    }
    const fin = flags.includes('F');
    if ((payloadLength > 0 || fin) && this.#take({ start: sequence, length: payloadLength, fin })) {
      entered.push(
        ...this.#go({
          ESTABLISHED: 'CLOSE_WAIT',
          FIN_WAIT1: 'CLOSING',
          FIN_WAIT2: 'TIME_WAIT',
        }),
      );
    }
    return entered;
  }

  /** In SYN_SENT a reset counts if it acknowledges the SYN, later if it is next in sequence (RFC 5961, section 3.2). */
  #receiveReset(segment: MachineSegment): TcpStateName[] {
    const counts =
      this.#state === 'SYN_SENT'
        ? this.#acks(segment, this.#afterSyn) && !before(this.#afterSynData, segment.acknowledgment)
        : segment.sequence === this.#next;
    return counts ? this.#reset() : [];
  }

  #reset(): TcpStateName[] {
    if (this.#state !== 'SYN_SENT' && !synchronized.has(this.#state)) return [];
    this.#state = 'CLOSE';
    return ['CLOSE'];
  }

  #go(table: Partial<Record<TcpStateName, TcpStateName>>): TcpStateName[] {
    const next = table[this.#state];
    if (next === undefined) return [];
    this.#state = next;
    return [next];
  }

  #acks({ flags, acknowledgment }: MachineSegment, number: number | undefined): boolean {
    return number !== undefined && flags.includes('.') && !before(acknowledgment, number);
  }

  /** Takes in sequence space, and whatever had waited for it; whether that brought the FIN in its turn. */
  #take(part: Held): boolean {
    if (this.#next === undefined) return false;
    this.#held.push(part);
    for (;;) {
      const next: number = this.#next;
      const index = this.#held.findIndex(({ start }) => !before(next, start));
      const [ready] = index < 0 ? [] : this.#held.splice(index, 1);
      if (ready === undefined) return false;
      const end = (ready.start + ready.length) >>> 0;
      // A retransmission ends before what is next; its FIN, if it has one, has been taken.
      if (before(end, next)) continue;
      this.#next = ready.fin ? (end + 1) >>> 0 : end;
      if (ready.fin) return true;
    }
  }
}

/** Whether a comes before b, modulo 2^32 (RFC 9293, section 3.4). */
function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}
