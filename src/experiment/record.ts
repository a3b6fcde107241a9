// What a run says, in the shape that `--json` prints.

import type { AppEvent, DriverName, End } from '../driver/role.js';
import type { SourceLine } from '../driver/server.js';
import type { Thread } from '../observer/process.js';
import type { Endpoint } from '../tcp/address.js';
import type { Cause } from '../tcp/cause.js';
import type { Segment } from '../tcp/segment.js';
import type { TimerName } from '../tcp/socket-table.js';
import type { TcpState } from '../tcp/states.js';
import type { Privilege, WorldKind } from '../world/world.js';
import type { Finding, Source, TimelineEvent } from './event.js';

/** What a run has shown; `inconclusive` is neither: an observer failed or had gaps, or the machine had too little. */
export type Verdict = 'reproduced' | 'not-reproduced' | 'inconclusive' | 'skipped';

/** An expectation and what came. */
export interface Check {
  readonly what: string;
  readonly expected: unknown;
  readonly observed: unknown;
  readonly source: Source;
  readonly ok: boolean;
}

/** Whether an observer could look, and why not; how late its news can be. */
export interface ObserverReport {
  readonly name: string;
  readonly available: boolean;
  readonly reason?: string;
  readonly latenessNs?: number;
  /** How much it missed, at most; what it missed speaks neither for nor against a run. */
  readonly lost?: number;
  /** By how much CLOCK_REALTIME was set while it looked: what it saw may be out of its place by as much. */
  readonly clockSetMs?: readonly number[];
  /** Which way in it took, where there are several. */
  readonly via?: string;
}

/** A socket of the experiment at a moment. */
export interface MomentSocket {
  readonly end: End | 'listener';
  readonly family: number;
  readonly state: TcpState;
  readonly recvQ: number;
  readonly sendQ: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly inode: number;
  readonly timer: TimerName;
  readonly timerMs: number;
  /** The first of its holders; absent where nobody holds it. */
  readonly owner?: { readonly pid: number; readonly fd: number; readonly program: string };
}

/** Why a socket of the experiment stays, and who must act. */
export interface Diagnosis {
  readonly end: End;
  readonly cause: Cause;
  readonly evidence: readonly string[];
  /** What the thread behind the socket is blocked in. */
  readonly thread?: Thread;
  /** Where the call that would end it is missing. */
  readonly missing?: SourceLine;
}

/** What every observer saw at one moment. */
export interface Moment {
  readonly name: string;
  readonly tNs: number;
  readonly sockets: readonly MomentSocket[];
  /** The states that getsockopt(TCP_INFO) gave on the ends' own descriptors; absent where an end has none left. */
  readonly tcpInfo: Partial<Readonly<Record<End, TcpState>>>;
  readonly diagnoses: readonly Diagnosis[];
}

/** What was there when the story was over and nobody had been stopped yet. */
export type Left = Pick<Moment, 'sockets' | 'tcpInfo' | 'diagnoses'>;

/** What an application did or was told; `tNs` as in `events`. */
export type AppRecord = Omit<AppEvent, 'tNs'> & { readonly tNs: number };

/** A captured segment and its frame. */
export interface CapturedFrame {
  /** The interface that it was taken from, and whose: `lo`, `eth0 of the client`. */
  readonly tap: string;
  readonly realtimeNs: bigint;
  readonly tNs: number;
  /** From the link-layer header on; of a long frame its beginning. */
  readonly bytes: Uint8Array;
  /** How many bytes there were. */
  readonly wireLength: number;
  readonly segment: Segment;
}

/** One run of one scenario. */
export interface RunRecord {
  readonly scenario: string;
  readonly driver: DriverName;
  /** What ran the ends, where that may differ: `node v26.0.0`. */
  readonly runtime?: string;
  /** The end that was a command, which nobody drove, and its command line. */
  readonly command?: { readonly end: End; readonly line: string };
  /** The IP version. */
  readonly family: 4 | 6;
  readonly kernel: string;
  readonly ok: boolean;
  readonly verdict: Verdict;
  /** Why it was skipped, or the first thing that went wrong. */
  readonly reason?: string;
  /** `network`: two hosts. */
  readonly world: { readonly kind: WorldKind | 'network'; readonly privilege: Privilege };
  readonly ends: Readonly<Record<End, { readonly path: readonly TcpState[] }>>;
  readonly checks: readonly Check[];
  /** `tNs`: nanoseconds since the run began, CLOCK_MONOTONIC. */
  readonly events: readonly TimelineEvent[];
  /** Where sources do not agree, or something is missing. */
  readonly findings: readonly Finding[];
  readonly observers: readonly ObserverReport[];
  readonly moments: readonly Moment[];
  /** What each program printed and was told. */
  readonly transcripts: Partial<Readonly<Record<End, string>>>;
  /** Absent where it was skipped. */
  readonly left?: Left;
  /** What each end's application did and was told, in order. Absent where it was skipped. */
  readonly application?: Readonly<Record<End, readonly AppRecord[]>>;
}

/** A run with the bytes that do not go into its record. */
export interface Run {
  readonly record: RunRecord;
  readonly frames: readonly CapturedFrame[];
}
