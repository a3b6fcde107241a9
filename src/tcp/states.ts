import { mustBe, outOfRange } from './argument.js';

/** A TCP state as include/net/tcp_states.h and netstat spell it. */
export type TcpStateName = (typeof tcpStates)[number];

/** A state's name, or `UNKNOWN(n)` where the kernel is newer than this list. */
export type TcpState = TcpStateName | `UNKNOWN(${number})`;

/**
 * Every state in kernel order: `tcpStates[n - 1]` is state number n, ESTABLISHED being 1.
 *
 * BOUND_INACTIVE (Linux 6.7) is for sock_diag's request mask only: it selects sockets that are bound
 * but neither listening nor connected, and the kernel answers with CLOSE. NEW_SYN_RECV is a request
 * socket inside the kernel; sock_diag and /proc/net/tcp show it as SYN_RECV.
 */
export const tcpStates = [
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT1',
  'FIN_WAIT2',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'CLOSING',
  'NEW_SYN_RECV',
  'BOUND_INACTIVE',
] as const;

const numbers: ReadonlyMap<string, number> = new Map(
  tcpStates.map((name, index) => [name, index + 1]),
);

/** The name of a kernel state number. */
export function stateName(number: number): TcpState {
  return tcpStates[number - 1] ?? `UNKNOWN(${number})`;
}

/** The kernel's number for a state name; undefined for a name that is none. */
export function stateNumber(name: TcpStateName): number;
export function stateNumber(name: string): number | undefined;
export function stateNumber(name: string): number | undefined {
  return numbers.get(name);
}

/** Refuses what is no state's name. */
export function checkState(what: string, value: unknown): void {
  if (numbers.has(value as string)) return;
  throw mustBe(what, 'a TCP state as netstat spells it (FIN_WAIT2)', value);
}

/** The set of states as `1 << number` bits, the shape of `inet_diag_req_v2.idiag_states`. */
export function stateMask(states: Iterable<TcpStateName>): number {
  let mask = 0;
  for (const name of states) {
    // Shifting by undefined would ask for no state at all.
    const number: number | undefined = stateNumber(name);
    if (number === undefined) throw outOfRange(`not a TCP state: ${String(name)}`);
    mask |= 1 << number;
  }
  return mask;
}

const passing: ReadonlySet<string> = new Set([
  'SYN_SENT',
  'SYN_RECV',
  'NEW_SYN_RECV',
  'FIN_WAIT1',
  'CLOSING',
  'LAST_ACK',
]);

/**
 * Whether a state ends by a segment that the peer's kernel sends on its own: SYN_SENT, SYN_RECV, FIN_WAIT1, CLOSING,
 * LAST_ACK. Without a fault it lasts from nothing to a delayed ACK's 40 ms, so one who looks now and then may miss it.
 */
export function isPassing(state: string): boolean {
  return passing.has(state);
}

/**
 * Whether `observed` goes along `path`, leaving out nothing but passing states, those that are momentary here, and attempts
 * to connect that came to nothing: what is from SYN_SENT to CLOSE in no time was never there to be seen.
 */
export function followsPath(
  observed: readonly string[],
  path: readonly string[],
  momentary: readonly string[] = [],
): boolean {
  let next = 0;
  let attempt = false;
  for (const state of path) {
    const seen = observed[next] === state;
    const mayBeMissed =
      isPassing(state) || momentary.includes(state) || (attempt && state === 'CLOSE');
    if (seen) next++;
    else if (!mayBeMissed) return false;
    attempt = !seen && state === 'SYN_SENT';
  }
  return next === observed.length;
}
