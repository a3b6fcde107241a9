import type { End } from '../driver/role.js';
import type { TraceEvent } from '../observer/tracepoint.js';
import type { Endpoint } from '../tcp/address.js';
import type { TcpState } from '../tcp/states.js';

/** One transition of one end, as the kernel made it. */
export interface Transition {
  readonly end: End;
  readonly state: TcpState;
  /** CLOCK_MONOTONIC. */
  readonly tNs: bigint;
}

/**
 * The transitions of one connection, in the order the kernel made them. When the kernel hands an orphan over to a
 * timewait stub the tracepoint says CLOSE: the stub itself, be it TIME_WAIT or FIN_WAIT2, is shown by sock_diag alone.
 */
export function transitionsOf(
  events: readonly TraceEvent[],
  { client, server }: Readonly<Record<End, Endpoint>>,
): Transition[] {
  return events.flatMap((event): Transition[] => {
    if (event.kind !== 'state' || event.newState === undefined) return [];
    const { newState: state, tNs } = event;
    const [local, remote] = [event.local?.port, event.remote?.port];
    if (local === server.port && remote === client.port) return [{ end: 'server', state, tNs }];
    // On its way to SYN_SENT the client has no port yet.
    const mayBeClient = local === client.port || (local === 0 && state === 'SYN_SENT');
    return mayBeClient && remote === server.port ? [{ end: 'client', state, tNs }] : [];
  });
}

/** A path as the tracepoint tells it: where the others see TIME_WAIT it says CLOSE. */
export function asTraced(path: readonly TcpState[]): TcpState[] {
  return path.map((state) => (state === 'TIME_WAIT' ? 'CLOSE' : state));
}

/** The whole path of an end: what the tracepoint saw, ended as the table of sockets says. */
export function wholePath(traced: readonly TcpState[], polled: readonly TcpState[]): TcpState[] {
  return polled.at(-1) === 'TIME_WAIT' && traced.at(-1) === 'CLOSE'
    ? [...traced.slice(0, -1), 'TIME_WAIT']
    : [...traced];
}
