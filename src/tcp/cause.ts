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
  switch (facts.state) {
    case 'CLOSE_WAIT':
      return closeWaitCause(facts);
    case 'FIN_WAIT2':
      return finWait2Cause(facts);
    case 'FIN_WAIT1':
    case 'CLOSING':
    case 'LAST_ACK':
      return unansweredCause(facts);
    case 'CLOSE':
      return ghostCause(facts);
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

function closeWaitCause(facts: SocketFacts): CauseFound {
  const { recvQ, sendQ, inode, timer, holders, sentBytes = 0 } = facts;
  if (inode === 0) {
    return found('never-accepted', 'inode 0: still in the accept queue', unread(recvQ));
  }
  if (sendQ > 0) {
    return found(
      'still-sending',
      `Send-Q ${sendQ}: written, not yet acknowledged`,
      timer === 'persist' ? "timer persist: the peer's window is closed" : `timer ${timer}`,
      unread(recvQ),
      shared(holders),
    );
  }
  if (sentBytes > 0) {
    return found(
      'still-sending',
      `${sentBytes} bytes sent while watched`,
      unread(recvQ),
      shared(holders),
    );
  }
  if (recvQ > 0) return found('eof-unread', unread(recvQ), shared(holders));
  if (holders.length > 1) return found('shared-fd', unread(recvQ), shared(holders));
  return found('not-closed', unread(recvQ), held(inode, holders));
}

function finWait2Cause({ inode, timer, holders }: SocketFacts): CauseFound | undefined {
  // An orphan has inode 0, and a timer that ends it.
  if (inode === 0) return;
  const clock =
    timer === 'keepalive'
      ? 'timer keepalive: finds a dead peer, not one that never closes'
      : `timer ${timer}`;
  return found('peer-never-closes', held(inode, holders), clock, shared(holders));
}

/** Without a fault these states last a round trip; one that is retransmitted, or probes a closed window, stays. */
function unansweredCause({ sendQ, inode, timer, holders, retransmits = 0 }: SocketFacts) {
  if (retransmits === 0 && timer !== 'persist') return;
  return found(
    'still-sending',
    `Send-Q ${sendQ}: not acknowledged, the FIN counting as one`,
    timer === 'persist'
      ? "timer persist: the peer's window is closed"
      : `timer ${timer}: ${retransmits} retransmissions without an answer`,
    inode === 0 ? 'inode 0: an orphan, the kernel alone keeps it' : held(inode, holders),
  );
}

function ghostCause({ inode, holders, connected }: SocketFacts): CauseFound | undefined {
  if (holders.length === 0 || connected === false) return;
  return found(
    'ghost',
    held(inode, holders),
    'in no answer of sock_diag: its state is CLOSE',
    connected === undefined
      ? 'no TCP_INFO: it may never have been connected'
      : 'TCP_INFO counts a delivered SYN: it was connected',
    shared(holders),
  );
}

function found(cause: Cause, ...evidence: (string | undefined)[]): CauseFound {
  return { cause, evidence: evidence.filter((phrase) => phrase !== undefined) };
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
