import type { TcpInfo } from './info.js';
import type { TimerName } from './socket-table.js';
import type { TcpState } from './states.js';

/** Why a socket stays although the connection is over, or half over. */
export type Cause =
  /** CLOSE_WAIT; the FIN, or data before it, was never read: the application is not reading. */
  | 'eof-unread'
  /** CLOSE_WAIT; the EOF was read and close() never came. */
  | 'not-closed'
  /** CLOSE_WAIT in the accept queue: there is no descriptor yet, the listener is to blame. */
  | 'never-accepted'
  /** CLOSE_WAIT held more than once: one close() does not send the FIN. */
  | 'shared-fd'
  /**
   * Half closed with something unacknowledged: data of a CLOSE_WAIT, or the FIN of FIN_WAIT1, CLOSING or LAST_ACK that the
   * peer does not answer. Listed, but not a leak: the kernel gives up by itself.
   */
  | 'still-sending'
  /** A descriptor whose connection is gone: CLOSE, which ss and netstat do not show. */
  | 'ghost'
  /** FIN_WAIT2 held by an open descriptor: no timer will end it. */
  | 'peer-never-closes';

/** Whether somebody has to change something: `still-sending` ends by itself. */
export function isLeak(cause: Cause): boolean {
  return cause !== 'still-sending';
}

/** What the classifier goes by. All but `connected` is what sock_diag and /proc tell anyone. */
export interface SocketFacts {
  readonly state: TcpState;
  readonly recvQ: number;
  readonly sendQ: number;
  /** 0 where no descriptor refers to the socket. */
  readonly inode: number;
  readonly timer: TimerName;
  /** Who holds it, as far as can be seen; empty does not prove that nobody does. */
  readonly holders: readonly Holder[];
  /** Timeouts of the segment in flight, or unanswered probes; a FIN that is retransmitted does not arrive. */
  readonly retransmits?: number;
  /** Bytes sent between two looks: a half-close is in use although the queues are empty whenever one looks. */
  readonly sentBytes?: number;
  /** Whether a handshake was ever completed (TCP_INFO counts the SYN as delivered); it tells a ghost from a new socket. */
  readonly connected?: boolean;
}

export interface Holder {
  readonly pid: number;
  readonly fd: number;
}

export interface CauseFound {
  readonly cause: Cause;
  /** The observations that led there, each a phrase. */
  readonly evidence: readonly string[];
}

/**
 * Names the cause that keeps a socket, or undefined where nothing about it is suspicious.
 *
 * Several can be true of one CLOSE_WAIT socket at once. The order answers "what has to happen next":
 *
 * 1. `never-accepted`: without a descriptor nobody can read, write or close it.
 * 2. `still-sending`: while data is unacknowledged the connection does its work, whatever else.
 * 3. `eof-unread`: who has not read the EOF does not know there is something to close.
 * 4. `shared-fd`: the EOF was read, but one close() is not enough.
 * 5. `not-closed`: nothing is missing but close().
 *
 * An unread FIN counts as one byte of Recv-Q.
 */
export function causeOf(facts: SocketFacts): CauseFound | undefined {
  const cause = causeName(facts);
  return cause && { cause, evidence: evidenceOf(cause, facts) };
}

/** What the cause alone takes: of the holders, their number. */
export interface CauseFacts extends Omit<SocketFacts, 'holders'> {
  readonly holders: { readonly length: number };
}

/** The cause alone: its evidence takes longer to put into words than the cause to find. */
export function causeName(facts: CauseFacts): Cause | undefined {
  const { inode, timer, retransmits = 0 } = facts;
  switch (facts.state) {
    case 'CLOSE_WAIT':
      return closeWaitCause(facts);
    case 'FIN_WAIT2':
      // An orphan has inode 0, and a timer that ends it.
      return inode === 0 ? undefined : 'peer-never-closes';
    case 'FIN_WAIT1':
    case 'CLOSING':
    case 'LAST_ACK':
      // Without a fault these last a round trip; one that is retransmitted, or probes a closed window, stays.
      return retransmits === 0 && timer !== 'persist' ? undefined : 'still-sending';
    case 'CLOSE':
      return facts.holders.length === 0 || facts.connected === false ? undefined : 'ghost';
    default:
      return;
  }
}

/** Whether its handshake was completed: then its SYN counts as delivered, and a round trip was measured. */
export function wasConnected({
  delivered,
  rttUs = 0,
  bytesReceived = 0,
}: Pick<TcpInfo, 'delivered' | 'rttUs' | 'bytesReceived'>): boolean {
  return (delivered ?? 0) > 0 || rttUs > 0 || bytesReceived > 0;
}

function closeWaitCause(facts: CauseFacts): Cause {
  const { recvQ, sendQ, inode, sentBytes = 0 } = facts;
  if (inode === 0) return 'never-accepted';
  if (sendQ > 0 || sentBytes > 0) return 'still-sending';
  if (recvQ > 0) return 'eof-unread';
  return facts.holders.length > 1 ? 'shared-fd' : 'not-closed';
}

/** The observations that led to that cause, each a phrase. */
export function evidenceOf(cause: Cause, facts: SocketFacts): string[] {
  return phrasesOf(cause, facts).filter((phrase) => phrase !== undefined);
}

function phrasesOf(cause: Cause, facts: SocketFacts): (string | undefined)[] {
  const { recvQ, inode, holders } = facts;
  switch (cause) {
    case 'never-accepted':
      return ['inode 0: still in the accept queue', unread(recvQ)];
    case 'still-sending':
      return unanswered(facts);
    case 'eof-unread':
    case 'shared-fd':
      return [unread(recvQ), shared(holders)];
    case 'not-closed':
      return [unread(recvQ), held(inode, holders)];
    case 'peer-never-closes':
      return [held(inode, holders), waiting(facts), shared(holders)];
    case 'ghost':
      return [
        held(inode, holders),
        'in no answer of sock_diag: its state is CLOSE',
        facts.connected === undefined
          ? 'no TCP_INFO: it may never have been connected'
          : 'TCP_INFO counts a delivered SYN: it was connected',
        shared(holders),
      ];
  }
}

function unanswered(facts: SocketFacts): (string | undefined)[] {
  const { state, recvQ, sendQ, inode, timer, holders, retransmits = 0, sentBytes = 0 } = facts;
  const closed = "timer persist: the peer's window is closed";
  if (state !== 'CLOSE_WAIT') {
    return [
      `Send-Q ${sendQ}: not acknowledged, the FIN counting as one`,
      timer === 'persist'
        ? closed
        : `timer ${timer}: ${retransmits} retransmissions without an answer`,
      inode === 0 ? 'inode 0: an orphan, the kernel alone keeps it' : held(inode, holders),
    ];
  }
  const rest = [unread(recvQ), shared(holders)];
  if (sendQ === 0) return [`${sentBytes} bytes sent while watched`, ...rest];
  const clock = timer === 'persist' ? closed : `timer ${timer}`;
  return [`Send-Q ${sendQ}: written, not yet acknowledged`, clock, ...rest];
}

function waiting({ timer }: SocketFacts): string {
  return timer === 'keepalive'
    ? 'timer keepalive: finds a dead peer, not one that never closes'
    : `timer ${timer}`;
}

function unread(recvQ: number): string {
  if (recvQ === 0) return 'Recv-Q 0: everything was read, the EOF too';
  if (recvQ === 1) return 'Recv-Q 1: the FIN is unread';
  return `Recv-Q ${recvQ}: ${recvQ - 1} bytes and the FIN are unread`;
}

function held(inode: number, holders: readonly Holder[]): string {
  const holder = holders[0];
  return holder === undefined
    ? `inode ${inode}: held, by whom cannot be seen`
    : `held by pid ${holder.pid}, fd ${holder.fd}`;
}

function shared(holders: readonly Holder[]): string | undefined {
  if (holders.length < 2) return;
  return `${holders.length} holders: ${holders.map(({ pid, fd }) => `pid ${pid} fd ${fd}`).join(', ')}`;
}
