import type { Endpoint } from '../tcp/address.js';
import type { Listener } from './listeners.js';

/** Instead of a pid: nobody has looked yet. */
export const UNKNOWN = -1;

/** One socket, over the looks that see it. */
export interface Known {
  /** Since when it has been as it is. */
  sinceMs: number;
  /** As it was seen last. */
  state: number;
  recvQ: number;
  sendQ: number;
  /** Whose it is: a pid, 0 if nobody's that can be seen, UNKNOWN, or that of nobody asked for. */
  owner: number;
  /** The bytes that had passed when that was asked last, if it ever was. */
  passed: number | undefined;
  /** Whether more had passed than the time before; undefined while it was not asked twice. */
  isUsed: boolean | undefined;
  shared: boolean;
  /** The last look that saw it. */
  look: number;
  /** Its own address, where that was asked for. */
  local: Endpoint | undefined;
  /** While it has no descriptor: the listeners of this look that it may have come in by. It is theirs. */
  listeners: readonly Listener[] | undefined;
}

/** One that nobody has seen before. Written out: there are tens of thousands, and a spread makes objects that are slow to read. */
export function firstSeen(sinceMs: number): Known {
  return {
    sinceMs,
    state: 0,
    recvQ: 0,
    sendQ: 0,
    owner: UNKNOWN,
    passed: undefined,
    isUsed: undefined,
    shared: false,
    look: 0,
    local: undefined,
    listeners: undefined,
  };
}

/** Notes how it is: what has gone on to another state, or was read or acknowledged meanwhile, did not stand. */
export function note(
  known: Known,
  state: number,
  recvQ: number,
  sendQ: number,
  nowMs: number,
): void {
  if (known.state === state && known.recvQ === recvQ && known.sendQ === sendQ) return;
  known.state = state;
  known.recvQ = recvQ;
  known.sendQ = sendQ;
  known.sinceMs = nowMs;
}
