import type { Endpoint } from '../tcp/address.js';
import type { Cause } from '../tcp/cause.js';
import type { TimerName } from '../tcp/socket-table.js';
import type { TcpState } from '../tcp/states.js';
import type { Watch } from './interest.js';
import type { ProcessReport } from './process.js';
import type { Runtime } from './runtime.js';
import type { Source } from './source-record.js';

/** A descriptor that keeps a socket; for one that was never accepted, its listener's. */
export interface HolderReport {
  readonly pid: number;
  readonly fd: number;
  readonly comm: string;
}

/** A suspicious socket. What could not be found out is null. */
export interface SocketReport {
  /** The first holder, or the first of the processes asked for. */
  readonly pid: number | null;
  readonly comm: string | null;
  readonly fd: number | null;
  readonly local: Endpoint;
  readonly remote: Endpoint | null;
  readonly state: TcpState;
  readonly recvQ: number;
  readonly sendQ: number;
  /** How long it has been in its state, at least. */
  readonly ageMs: number;
  /** What the age is known from, and why it is no more than a lower bound. */
  readonly ageFrom: string;
  readonly cause: Cause;
  /** Whether something has to change; `still-sending` is listed only. */
  readonly leak: boolean;
  /** What decided on the cause, each a phrase. */
  readonly evidence: readonly string[];
  readonly holders: readonly HolderReport[];
  /** The address it came in by, if this end accepted it and the listener is still there. */
  readonly listener: Endpoint | null;
  /** The event loops of that process that still watch the descriptor; null where it has none. */
  readonly watches: readonly Watch[] | null;
  /** Where it comes from; null unless the process is a Node that has loaded `closewait/register`. */
  readonly source: Source | null;
  readonly runtime: Runtime | null;
  readonly uid: number | null;
  readonly inode: number;
  readonly cookie: bigint;
  /** Inode number of the network namespace. */
  readonly netns: number;
  readonly timer: TimerName;
  readonly timerMs: number;
  /** Timeouts of the segment in flight, or unanswered probes. */
  readonly retransmits: number;
  /** Segments retransmitted in all its life. */
  readonly totalRetrans: number | null;
  /** One paragraph on what to change. */
  readonly advice: string;
}

/** How many of what. */
export type Counts = Readonly<Record<Cause | 'sockets' | 'leaks' | 'passing', number>>;

/** What diagnose() found. */
export interface Diagnosis {
  readonly sockets: readonly SocketReport[];
  /** Sockets in all, leaks among them, by cause; `passing` had moved on when looked at again. */
  readonly counts: Counts;
  /** The processes that hold them. */
  readonly processes: readonly ProcessReport[];
  /** Inode numbers of the network namespaces looked at. */
  readonly namespaces: readonly number[];
  /** What was missed, and why. */
  readonly incomplete: readonly string[];
  /** Whether all that was asked for could be looked at. */
  readonly sufficient: boolean;
}
