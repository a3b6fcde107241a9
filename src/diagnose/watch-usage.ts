import type { SockDiag } from '../observer/sock-diag.js';
import { SocketView } from '../tcp/socket-view.js';
import { stateNumber } from '../tcp/states.js';
import type { Known } from './watch-known.js';

/** The states in which data may pass although nothing is in a queue whenever one looks. */
const HALF_CLOSED = ['CLOSE_WAIT', 'FIN_WAIT2'] as const;
const [CLOSE_WAIT, FIN_WAIT2] = HALF_CLOSED.map(stateNumber);

/** Whether a socket in this state, held, may be in use. */
export function mayBeUsed(state: number): boolean {
  return state === CLOSE_WAIT || state === FIN_WAIT2;
}

/**
 * Notes of half-closed connections, by inode number, whether they are in use or only stay: whether bytes have passed since it was
 * asked last. Costs 2 us a socket, twice what a dump without TCP_INFO does.
 */
export function askForUse(diags: Iterable<SockDiag>, sockets: ReadonlyMap<number, Known>): void {
  for (const diag of diags) {
    const extract = diag.extract({ states: HALF_CLOSED, info: true });
    for (let row = 0; row < extract.length; row++) {
      const { inode, info } = new SocketView(extract, row);
      const known = inode === 0 ? undefined : sockets.get(inode);
      if (known === undefined) continue;
      const { bytesSent = 0, bytesRetrans = 0, bytesReceived = 0 } = info ?? {};
      const passed = bytesSent - bytesRetrans + bytesReceived;
      if (known.passed !== undefined) known.isUsed = known.passed !== passed;
      known.passed = passed;
    }
  }
}
