import type { TcpState, TcpStateName } from './states.js';

/** A transition of the state diagram. */
export interface DiagramEdge {
  readonly from: TcpStateName;
  readonly to: TcpStateName;
  /** What sets it off: a call as Linux has it, a segment that arrives (`rcv`), or a timer. */
  readonly event: string;
  /** The flags of the segment that is sent along, as tcpdump spells them. Left out: none is. */
  readonly sends?: string;
  /** Whether RFC 9293 draws it (figure 5), says it beside the figure, or leaves it to the text or to the kernel. */
  readonly drawn: 'figure' | 'note' | 'no';
  /** Whether a socket of Linux can go that way. */
  readonly inLinux: boolean;
  /** What Linux does instead, or how. */
  readonly reason?: string;
}

/**
 * The diagram of RFC 9293, figure 5, with its notes and with the ways out that it leaves away for legibility; one edge for
 * each pair of states, whatever the number of events that lead along it.
 */
export const diagram: readonly DiagramEdge[] = [
  { from: 'CLOSE', to: 'LISTEN', event: 'listen()', drawn: 'figure', inLinux: true },
  { from: 'CLOSE', to: 'SYN_SENT', event: 'connect()', sends: 'S', drawn: 'figure', inLinux: true },
  { from: 'LISTEN', to: 'CLOSE', event: 'close()', drawn: 'figure', inLinux: true },
  { from: 'LISTEN', to: 'SYN_RECV', event: 'rcv SYN', sends: 'S.', drawn: 'figure', inLinux: true },
  {
    ...{ from: 'LISTEN', to: 'SYN_SENT', event: 'SEND', sends: 'S', drawn: 'figure' },
    inLinux: false,
    reason:
      'send() of a listening socket is EPIPE, connect() EISCONN: no call turns it into an active one',
  },
  {
    ...{ from: 'SYN_SENT', to: 'CLOSE', event: 'close(), rcv RST, tcp_syn_retries are over' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'SYN_SENT', to: 'SYN_RECV', event: 'rcv SYN', sends: 'S.' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'SYN_SENT', to: 'ESTABLISHED', event: 'rcv SYN, ACK', sends: '.' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'SYN_RECV', to: 'LISTEN', event: 'rcv RST', drawn: 'figure', inLinux: true },
    reason: 'the listening socket never left LISTEN: the request for a connection is forgotten',
  },
  {
    ...{ from: 'SYN_RECV', to: 'ESTABLISHED', event: 'rcv ACK of SYN' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'SYN_RECV', to: 'FIN_WAIT1', event: 'close()', sends: 'F.' },
    ...{ drawn: 'figure', inLinux: true },
    reason: 'a request has no descriptor: only after a simultaneous open, or by TCP Fast Open',
  },
  {
    ...{ from: 'SYN_RECV', to: 'CLOSE', event: 'rcv RST after connect()' },
    ...{ drawn: 'no', inLinux: true },
  },
  {
    ...{ from: 'ESTABLISHED', to: 'FIN_WAIT1', event: 'close(), shutdown()', sends: 'F.' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'ESTABLISHED', to: 'CLOSE_WAIT', event: 'rcv FIN', sends: '.' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'ESTABLISHED', to: 'CLOSE', event: 'rcv RST, or a reset of its own', sends: 'R.' },
    ...{ drawn: 'note', inLinux: true },
  },
  {
    ...{ from: 'FIN_WAIT1', to: 'FIN_WAIT2', event: 'rcv ACK of FIN' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'FIN_WAIT1', to: 'CLOSING', event: 'rcv FIN', sends: '.' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'FIN_WAIT1', to: 'TIME_WAIT', event: 'rcv FIN, ACK of FIN', sends: '.' },
    ...{ drawn: 'note', inLinux: false },
    reason:
      'the ACK is looked at first: FIN_WAIT2 lies between, for as long as the one segment takes',
  },
  {
    ...{ from: 'FIN_WAIT1', to: 'CLOSE', event: 'rcv RST, tcp_orphan_retries are over' },
    ...{ drawn: 'note', inLinux: true },
  },
  {
    ...{ from: 'FIN_WAIT2', to: 'TIME_WAIT', event: 'rcv FIN', sends: '.' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'FIN_WAIT2', to: 'CLOSE', event: 'rcv RST, tcp_fin_timeout is over' },
    ...{ drawn: 'note', inLinux: true },
    reason: 'the timer is of Linux, and of sockets that nobody holds any more',
  },
  {
    ...{ from: 'CLOSING', to: 'TIME_WAIT', event: 'rcv ACK of FIN' },
    ...{ drawn: 'figure', inLinux: true },
  },
  { from: 'CLOSING', to: 'CLOSE', event: 'rcv RST', drawn: 'note', inLinux: true },
  {
    ...{ from: 'CLOSE_WAIT', to: 'LAST_ACK', event: 'close(), shutdown()', sends: 'F.' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'CLOSE_WAIT', to: 'CLOSE', event: 'rcv RST, or a reset of its own' },
    ...{ drawn: 'note', inLinux: true },
  },
  {
    ...{ from: 'LAST_ACK', to: 'CLOSE', event: 'rcv ACK of FIN, rcv RST' },
    ...{ drawn: 'figure', inLinux: true },
  },
  {
    ...{ from: 'TIME_WAIT', to: 'CLOSE', event: '60 s are over, rcv RST' },
    ...{ drawn: 'figure', inLinux: true },
    reason: 'the figure has the timer alone; tcp_rfc1337 makes that true',
  },
  {
    ...{ from: 'TIME_WAIT', to: 'SYN_RECV', event: 'rcv newer SYN', sends: 'S.' },
    ...{ drawn: 'no', inLinux: true },
    reason: 'allowed by RFC 9293, section 3.6.1; the listening socket takes the connection over',
  },
  {
    ...{ from: 'TIME_WAIT', to: 'SYN_SENT', event: 'connect(), with tcp_tw_reuse', sends: 'S' },
    ...{ drawn: 'no', inLinux: true },
    reason: 'RFC 6191: timestamps tell the segments of the new connection from those of the old',
  },
];

/** The edge between two states, undefined where there is none. */
export function edgeBetween(from: string, to: string): DiagramEdge | undefined {
  return diagram.find((edge) => edge.from === from && edge.to === to);
}

/** Two states that follow each other on a path. */
export type Step = readonly [from: TcpState, to: TcpState];

/**
 * The steps of one end's path, with what comes before it. A passive end begins as a request to a socket that was made to
 * listen; a request that ends before there is a connection leaves that socket where it was. An attempt to connect that finds
 * no port is another socket's: it takes over no TIME_WAIT.
 */
export function stepsOf(path: readonly TcpState[]): Step[] {
  const steps: Step[] = path[0] === 'SYN_RECV' ? [['CLOSE', 'LISTEN']] : [];
  let from: TcpState = 'CLOSE';
  let isRequest = false;
  for (const [at, to] of path.entries()) {
    if (from === 'TIME_WAIT' && to === 'SYN_SENT' && path[at + 1] === 'CLOSE') from = 'CLOSE';
    const wasRequest = isRequest;
    isRequest = from === 'CLOSE' && to === 'SYN_RECV';
    if (isRequest) steps.push(['LISTEN', to]);
    else if (wasRequest && to === 'CLOSE') steps.push([from, 'LISTEN']);
    else if (to !== from) steps.push([from, to]);
    from = to;
  }
  return steps;
}
