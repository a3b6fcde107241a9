// What a run consists of: what sources deliver to a timeline, and what a timeline makes of it.

import type { End } from '../driver/role.js';
import type { Endpoint } from '../tcp/address.js';
import type { Segment } from '../tcp/segment.js';
import type { TcpState } from '../tcp/states.js';

export type { End };

/** Who saw something. */
export type Source =
  | 'tracepoint'
  | 'polling'
  | 'TCP_INFO'
  | 'sock_diag'
  | 'capture'
  | 'process'
  | 'scenario';

/** What a source tells a timeline. */
export type Sighting = { readonly tNs: bigint } & (
  | StateSighting
  | SegmentSighting
  | EnterSighting
  | ExitSighting
  | ResetSighting
  | RetransmitSighting
  | MomentSighting
);

/** A transition that an event source reported. */
interface TransitionSighting {
  readonly kind: 'state';
  readonly oldState: TcpState;
  readonly newState: TcpState;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly socket?: bigint;
  readonly netns?: number;
  readonly tid?: number;
}

/** A state that a sampling source found. It was entered at most `latenessNs` before. */
interface SampleSighting {
  readonly kind: 'state';
  readonly state: TcpState;
  readonly end: End;
  readonly latenessNs: number;
}

type StateSighting = TransitionSighting | SampleSighting;

interface SegmentSighting {
  /** `departure`: it has left its sender, and what becomes of it is seen elsewhere. */
  readonly kind: 'segment' | 'departure';
  readonly segment: Segment;
  /** Where both ends are watched: this is the receiver's. */
  readonly seen?: 'arriving';
}

interface EnterSighting {
  readonly kind: 'enter';
  readonly tid: number;
  readonly syscall: string;
  readonly args: readonly bigint[];
}

interface ExitSighting {
  readonly kind: 'exit';
  readonly tid: number;
  readonly syscall: string;
  readonly result: number | bigint;
}

interface ResetSighting {
  readonly kind: 'send-reset' | 'receive-reset';
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly netns?: number;
  readonly tid?: number;
  readonly reason?: string | undefined;
}

interface RetransmitSighting {
  readonly kind: 'retransmit';
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly netns?: number;
}

interface MomentSighting {
  readonly kind: 'moment';
  readonly name: string;
}

/** What every event says. */
interface Seen {
  /** Counts the timeline's events from 0: a gap in what a reader gets was dropped. */
  readonly id: number;
  /** Nanoseconds since the run began, CLOCK_MONOTONIC. */
  readonly tNs: number;
  readonly source: Source;
  /** It happened at most this much earlier than `tNs` says; 0 for what is stamped as it happens. */
  readonly latenessNs: number;
  /** Its source had already said that nothing so early would come; the order around it is broken. */
  readonly late?: true;
}

/** The call that caused something. */
export interface Cause {
  /** The `id` of the call's `enter` event. */
  readonly id: number;
  readonly syscall: string;
  readonly end: End | null;
  readonly tid: number;
  /** `thread`: it happened on the call's thread. `time`: while the call was under way, which is an inference. */
  readonly by: 'thread' | 'time';
}

/** A socket changed its state, or was found in one. */
export interface StateEvent extends Seen {
  readonly kind: 'state';
  readonly end: End;
  readonly state: TcpState;
  /** The state it left; unknown to a sampling source. */
  readonly oldState?: TcpState;
  /** Set where it is the server's listening socket and not the connection. */
  readonly listener?: true;
  /** The kernel's address of the socket: tells sockets apart, nothing else. */
  readonly socket?: bigint;
  readonly tid?: number;
  readonly cause?: Cause;
}

/** What is told of a segment. `end` sent it. */
interface SegmentFacts extends Seen {
  readonly end: End;
  readonly flags: string;
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly window: number;
  readonly payloadLength: number;
  /** The receiver's socket threw it away: a filter was attached to it. */
  readonly discarded?: true;
  readonly cause?: Cause;
}

/** A segment passed, or arrived where a link lies between the ends. */
export interface SegmentEvent extends SegmentFacts {
  readonly kind: 'segment';
  readonly seen?: 'arriving';
}

/** A segment left its sender for a link: it arrives later, or never. */
export interface DepartureEvent extends SegmentFacts {
  readonly kind: 'departure';
  readonly seen: 'departing';
}

/** A thread entered a system call. */
export interface EnterEvent extends Seen {
  readonly kind: 'enter';
  readonly end: End | null;
  readonly tid: number;
  readonly syscall: string;
  readonly args: readonly bigint[];
}

/** A thread left a system call. */
export interface ExitEvent extends Seen {
  readonly kind: 'exit';
  readonly end: End | null;
  readonly tid: number;
  readonly syscall: string;
  /** As the kernel returns it: a failure is a negative errno. */
  readonly result: number | bigint;
  /** The `id` of the call's `enter` event, and how long it took; absent where nobody saw it enter. */
  readonly enter?: number;
  readonly durationNs?: number;
}

/** An end sent or took a reset. */
export interface ResetEvent extends Seen {
  readonly kind: 'send-reset' | 'receive-reset';
  readonly end: End;
  readonly reason?: string;
  readonly cause?: Cause;
}

/** An end sent something again. */
export interface RetransmitEvent extends Seen {
  readonly kind: 'retransmit';
  readonly end: End;
}

/** The scenario named this moment. */
export interface MomentEvent extends Seen {
  readonly kind: 'moment';
  readonly end: null;
  readonly name: string;
}

/** One thing that happened, as a timeline tells it. */
export type TimelineEvent =
  | StateEvent
  | SegmentEvent
  | DepartureEvent
  | EnterEvent
  | ExitEvent
  | ResetEvent
  | RetransmitEvent
  | MomentEvent;

/** Sources that do not agree, or one that does not agree with itself. */
export interface Finding {
  readonly kind: /** A sampled state is none that the transitions around it allow. */
    | 'contradiction'
    /** Two transitions of one socket do not join. */
    | 'gap'
    /** No segment explains a state that needs one, or a reset. */
    | 'unexplained'
    /** The segments imply a state, and no source that should have seen it did. */
    | 'unseen'
    /** A source delivered something after saying that nothing so early would come. */
    | 'late'
    /** Events are missing, here or in a source: other findings may follow from that. */
    | 'lost';
  /** When; absent where it concerns the run as a whole. */
  readonly tNs?: number;
  readonly end?: End;
  readonly what: string;
  readonly sources: readonly Source[];
  /** What each source says. */
  readonly values: Readonly<Record<string, unknown>>;
}
