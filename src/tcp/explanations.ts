import type { Cause } from './cause.js';
import type { TcpStateName } from './states.js';

/** What a state means to those who find a socket in it. */
export interface Explanation {
  readonly meaning: string;
  /** Who must act for it to end. */
  readonly actor: string;
  /** Which call leads out of it. */
  readonly wayOut: string;
  /** What the kernel does about it on its own, and when. */
  readonly timer: string;
  /** Settings of the kernel (`net.ipv4...`) and socket options that bear on it. */
  readonly settings: readonly Setting[];
  /** What may keep a socket in it, as a diagnosis names it. */
  readonly causes: readonly Cause[];
  /** How ss(8) spells it as a filter; absent where it cannot be asked for. */
  readonly filter?: string;
  /** How to see it where ss(8) takes the filter and lists nothing. */
  readonly seen?: string;
}

export interface Setting {
  readonly name: string;
  readonly effect: string;
}

/** States that a socket, or what is left of one, can be found in. */
export type ExplainedState = Exclude<TcpStateName, 'BOUND_INACTIVE'>;

const retransmission = (name: string, effect: string): Setting[] => [
  { name, effect },
  { name: 'TCP_USER_TIMEOUT', effect: 'ends it after so many ms without an acknowledgment' },
];

/** tcp(7), ip-sysctl in the kernel's documentation, RFC 9293 section 3.3.2; the catalogue shows most of it. */
export const explanations: Readonly<Record<ExplainedState, Explanation>> = {
  ESTABLISHED: {
    meaning: 'Both ends can send. An idle connection sends nothing and may stay for ever.',
    actor: 'either application',
    wayOut: 'close() or shutdown(SHUT_WR) sends a FIN; close() with data unread sends a RST',
    timer: 'retransmission while data is unacknowledged, persist at a closed window; idle: none',
    settings: [
      ...retransmission('tcp_retries2', 'how often data is sent again before ETIMEDOUT (15)'),
      {
        name: 'SO_KEEPALIVE',
        effect: 'asks an idle peer whether it is there: TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT',
      },
    ],
    causes: [],
    filter: 'established',
  },
  SYN_SENT: {
    meaning:
      'A SYN is on its way, and nothing came back: no listener answers, or a firewall drops it.',
    actor: "the peer's kernel",
    wayOut: 'a SYN, ACK makes it ESTABLISHED; a RST is ECONNREFUSED; close() gives up',
    timer: 'retransmission of the SYN, at growing intervals, then ETIMEDOUT',
    settings: [
      { name: 'tcp_syn_retries', effect: 'how often the SYN is sent again (6)' },
      { name: 'TCP_SYNCNT', effect: 'the same for one socket' },
      { name: 'TCP_USER_TIMEOUT', effect: 'ends it after so many ms' },
    ],
    causes: [],
    filter: 'syn-sent',
  },
  SYN_RECV: {
    meaning:
      'A SYN came and was answered; its ACK has not come. There is no socket yet, only a request at the listener; after a ' +
      'simultaneous open it is the socket that called.',
    actor: "the peer's kernel",
    wayOut: 'the ACK makes it ESTABLISHED; no call does, as it has no descriptor',
    timer: 'retransmission of the SYN, ACK, then it is forgotten',
    settings: [
      { name: 'tcp_synack_retries', effect: 'how often the SYN, ACK is sent again (5)' },
      { name: 'tcp_max_syn_backlog', effect: 'how many requests a listener keeps' },
      {
        name: 'tcp_syncookies',
        effect: 'answers without keeping a request when there are too many',
      },
    ],
    causes: [],
    filter: 'syn-recv',
  },
  FIN_WAIT1: {
    meaning:
      'This end has sent its FIN, or has data to send before it; the peer has not acknowledged it.',
    actor: "the peer's kernel; where its window is closed, its application must read",
    wayOut: 'the ACK of the FIN makes it FIN_WAIT2',
    timer: 'retransmission, or persist where the window is closed',
    settings: [
      ...retransmission(
        'tcp_orphan_retries',
        'how often a socket that nobody holds tries (0 stands for 8)',
      ),
      { name: 'tcp_max_orphans', effect: 'how many of those there may be; one more is reset' },
      {
        name: 'SO_LINGER',
        effect: 'on, close() waits here, also of a non-blocking socket; with 0 s it resets',
      },
    ],
    causes: [],
    filter: 'fin-wait-1',
  },
  FIN_WAIT2: {
    meaning:
      "This end's FIN is acknowledged; the peer has not sent its own. Data can still come in.",
    actor: "the peer's application: it is in CLOSE_WAIT and must call close()",
    wayOut: "the peer's FIN makes it TIME_WAIT; close() of a held one lets the timer run",
    timer:
      'none while a descriptor holds it; after close(), tcp_fin_timeout, and then it is gone, not TIME_WAIT',
    settings: [
      { name: 'tcp_fin_timeout', effect: 'how long it lasts when nobody holds it (60 s)' },
      { name: 'TCP_LINGER2', effect: 'the same for one socket; negative: close() resets at once' },
    ],
    causes: ['peer-never-closes'],
    filter: 'fin-wait-2',
  },
  TIME_WAIT: {
    meaning:
      'Both FINs are acknowledged, and this end sent the first. What is late on the wire must not meet a new connection.',
    actor: 'nobody',
    wayOut: 'none: it has no descriptor',
    timer: '60 s, fixed when the kernel is built',
    settings: [
      { name: 'tcp_tw_reuse', effect: 'lets connect() use its port again after a second' },
      {
        name: 'SO_REUSEADDR',
        effect: 'lets bind() have its port; all listeners of the port must have it',
      },
      { name: 'tcp_max_tw_buckets', effect: 'how many there may be; one more is gone at once' },
    ],
    causes: [],
    filter: 'time-wait',
  },
  CLOSE: {
    meaning: 'There is no connection: not yet, or no more. ss and netstat do not list it.',
    actor: 'the application that holds the descriptor',
    wayOut: 'close(); of a socket not used yet connect() or listen()',
    timer: 'none',
    settings: [],
    causes: ['ghost'],
    filter: 'closed',
    seen: '`closewait diagnose` finds the descriptors that are left of one (ghosts); ss lists none',
  },
  CLOSE_WAIT: {
    meaning:
      'The peer has sent its FIN. This end can still send, and nothing but its application can end it.',
    actor: 'the application of this end',
    wayOut:
      'close() or shutdown(SHUT_WR) sends the FIN, when read() has returned 0; every copy of the descriptor counts',
    timer: 'none, whatever the age',
    settings: [
      {
        name: 'SO_KEEPALIVE',
        effect: 'meets a RST when the peer has forgotten the connection; the descriptor stays',
      },
    ],
    causes: ['eof-unread', 'not-closed', 'never-accepted', 'shared-fd', 'still-sending'],
    filter: 'close-wait',
  },
  LAST_ACK: {
    meaning: 'Both ends have sent their FIN, the peer first; the ACK of ours has not come.',
    actor: "the peer's kernel",
    wayOut: 'the ACK of the FIN ends it',
    timer: 'retransmission',
    settings: retransmission(
      'tcp_orphan_retries',
      'how often a socket that nobody holds tries (0 stands for 8)',
    ),
    causes: [],
    filter: 'last-ack',
  },
  LISTEN: {
    meaning: 'It waits for connections. Recv-Q is how many wait for accept(), Send-Q how many may.',
    actor: 'the application of this end, which must accept()',
    wayOut: 'close(), which resets what was not accepted',
    timer: 'none',
    settings: [
      { name: 'somaxconn', effect: 'the most that listen() takes for a backlog (net.core)' },
      { name: 'TCP_DEFER_ACCEPT', effect: 'connections without data do not wake it' },
    ],
    causes: [],
    filter: 'listening',
  },
  CLOSING: {
    meaning: 'Both ends have sent their FIN at the same time; the ACK of ours has not come.',
    actor: "the peer's kernel",
    wayOut: 'the ACK of the FIN makes it TIME_WAIT',
    timer: 'retransmission',
    settings: retransmission(
      'tcp_orphan_retries',
      'how often a socket that nobody holds tries (0 stands for 8)',
    ),
    causes: [],
    filter: 'closing',
  },
  NEW_SYN_RECV: {
    meaning: 'What the kernel itself calls a request; everybody is shown SYN_RECV.',
    actor: "the peer's kernel",
    wayOut: 'see SYN_RECV',
    timer: 'see SYN_RECV',
    settings: [],
    causes: [],
  },
};

/** What each cause means, in a line. */
export const causeMeanings: Readonly<Record<Cause, string>> = {
  'eof-unread': 'the FIN, or data before it, was never read: the application is not reading',
  'not-closed': 'the end was read, and close() never came',
  'never-accepted':
    'still in the accept queue: there is no descriptor yet, the listener is to blame',
  'shared-fd': 'another process or descriptor holds it, too: one close() is not enough',
  'still-sending': 'a half-closed connection with data unacknowledged: no leak',
  ghost: 'a descriptor whose connection is gone',
  'peer-never-closes': 'an open descriptor holds it: no timer will end it',
};

/** As ss prints, as its filters are spelled and as RFC 9293 does, where that is another word. */
const otherNames: ReadonlyMap<string, ExplainedState> = new Map([
  ['estab', 'ESTABLISHED'],
  ['synreceived', 'SYN_RECV'],
  ['closed', 'CLOSE'],
  ['unconn', 'CLOSE'],
  ['listening', 'LISTEN'],
]);

const plain = (name: string): string => name.toLowerCase().replace(/[-_\s]/g, '');

/** The state that a name means, spelled as by netstat, ss or RFC 9293, in any case. */
export function stateCalled(name: string): ExplainedState | undefined {
  const wanted = plain(name);
  const names = Object.keys(explanations) as ExplainedState[];
  return names.find((each) => plain(each) === wanted) ?? otherNames.get(wanted);
}
