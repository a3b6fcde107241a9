import type { Cause } from '../tcp/cause.js';
import type { TcpState } from '../tcp/states.js';

/** Sockets of one process, listener, state and cause. */
export interface GroupTick {
  /** Null where nobody that can be seen holds them. */
  readonly pid: number | null;
  readonly comm: string | null;
  readonly state: TcpState;
  readonly cause: Cause;
  /** Whether something has to change; `still-sending` is listed only. */
  readonly leak: boolean;
  /** The local port if one listens there: they came in by it. Null for connections that the process has made. */
  readonly listener: number | null;
  readonly sockets: number;
  /** Those among them that the look before had seen as they are, and that are known not to be in use. */
  readonly standing: number;
  /** For how long the first of them has been seen as it is. */
  readonly oldestMs: number;
  /** Null before the third look. */
  readonly perMinute: number | null;
  /** When the process will be out of descriptors if this group alone goes on as it does; null if it does not grow. */
  readonly fullInMs: number | null;
}

/** How many descriptors of a process are used up. */
export interface ProcessTick {
  readonly pid: number;
  readonly comm: string;
  readonly openFds: number;
  /** The soft RLIMIT_NOFILE; null where there is none. */
  readonly maxFds: number | null;
  readonly perMinute: number | null;
  readonly fullInMs: number | null;
}

/** One look. */
export interface Tick {
  /** When, as ISO 8601 in UTC. */
  readonly time: string;
  /** Since the watch began. */
  readonly elapsedMs: number;
  readonly sockets: number;
  /** Sockets whose cause is a leak and that the look before had seen as they are. */
  readonly leaks: number;
  /** The fastest growing first, then the largest. */
  readonly groups: readonly GroupTick[];
  readonly processes: readonly ProcessTick[];
  /** Sockets that no look into /proc has met yet: in the next one they will have a process. */
  readonly unattributed: number;
  readonly incomplete: readonly string[];
}
