import type { Released, ReleaseTarget } from '../diagnose/release.js';
import { formatEndpoint } from '../tcp/address.js';

/** What is done to a connection. */
export type ReleaseAction = 'shutdown' | 'reset' | 'destroy';

const DOES: Readonly<Record<ReleaseAction, string>> = {
  shutdown:
    'shutdown(SHUT_RDWR) on a copy of its descriptor: the peer gets a FIN, once what was written has been sent; whoever reads gets the end',
  reset:
    'connect(AF_UNSPEC) on a copy of its descriptor: the peer gets a RST; what is unread or unsent is lost',
  destroy:
    'SOCK_DESTROY: its owner gets ECONNABORTED, the peer a RST; what is unread or unsent is lost',
};

/** Says, before anything is done, what is going to be done and to what. */
export function formatPlan(
  action: ReleaseAction,
  { state, local, remote, holders }: Omit<ReleaseTarget, 'pid' | 'fd'>,
): string {
  const who = holders.map(({ pid, fd }) => `pid ${pid} fd ${fd}`).join(', ');
  return `${state} ${formatEndpoint(local)} <- ${formatEndpoint(remote)}, held by ${who || 'nobody that can be seen'}: ${DOES[action]}`;
}

/** Says what came of it. */
export function formatReleased({ helped, before, after, stillHeld, tookMs }: Released): string {
  const held = stillHeld.map(({ pid, fd }) => `pid ${pid} fd ${fd}`).join(', ');
  const left =
    held === '' ? '' : `; the descriptor is still open (${held}): only its owner can close it`;
  const outcome = helped ? 'the connection has ended' : 'that did not help';
  return `${outcome}: ${before} -> ${after} in ${tookMs} ms${left}\n`;
}
