// What `closewait bench` says, in the shape that `--json` prints.

import type { End } from '../driver/role.js';
import type { TeardownDriver } from '../driver/teardown.js';
import type { Privilege, WorldKind } from '../world/world.js';

/** How long something took, over all cycles. Of nothing all is NaN, which JSON has as null. */
export interface Spread {
  readonly count: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

/** The states a teardown passes through. */
export type ClosingState = 'FIN_WAIT1' | 'FIN_WAIT2' | 'CLOSE_WAIT' | 'LAST_ACK' | 'CLOSING';

/** A ratio over rounds: each is the median of one round by that of the C program's next to it. */
export interface Ratio {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/** Cycles that did not end as they should: what happened, and how often. */
export interface FaultCount {
  readonly what: string;
  readonly count: number;
}

/** One driver in one mode; the percentiles are of the whole teardown, from its first call to the end of its last. */
export interface DriverBench extends Spread {
  readonly driver: TeardownDriver;
  /** Cycles that ended as they should: only those are in the percentiles. */
  readonly cycles: number;
  readonly faults: readonly FaultCount[];
  readonly ratioToC: number;
  readonly ratio: Ratio;
  /** The ratio of each round. */
  readonly ratios: readonly number[];
  /** The median of each round, in us. */
  readonly roundsUs: readonly number[];
  /** From the closing call to the peer's EOF or error. */
  readonly closeToEof: Spread;
  /** Connections made and ended in a second, the making included. */
  readonly cyclesPerSecond: number;
  /** System calls between the first and the last of a teardown, counted by the kernel; absent where it could not be asked. */
  readonly systemCalls?: number;
  /** Time in each state, from rounds of their own in which the tracepoints were on. */
  readonly states?: Partial<Readonly<Record<ClosingState, Spread>>>;
  /** How many connections each end stayed in TIME_WAIT for, those of the warm-up and of the observed rounds included. */
  readonly timeWait: Readonly<Record<End, number>>;
  /** Sockets that are left besides those. */
  readonly socketsLeft: number;
  /** RSTs after the end: an ACK was on its way to a socket that was gone. They end a TIME_WAIT early (RFC 1337). */
  readonly strayResets: number;
  /** The distribution: lower edge in us and how many. */
  readonly bars: readonly (readonly [fromUs: number, count: number])[];
}

/** Where the time of a teardown goes, call by call; parts of the median, in us. */
export interface Costs {
  readonly calls: number;
  /** Into the addon and out again. */
  readonly crossingUs: number;
  /** Into the kernel and out again. */
  readonly systemCallUs: number;
  /** What the kernel does there. */
  readonly kernelUs: number;
  /** The rest: arguments, results, the clock, and what the caches forgot meanwhile. */
  readonly jsUs: number;
}

export interface ModeBench {
  readonly mode: string;
  readonly title: string;
  readonly kind: 'graceful' | 'reset';
  readonly drivers: readonly DriverBench[];
  /** The C program against a second instance of itself: what differs from 1 is the machine's noise. */
  readonly control?: Ratio;
  readonly costs?: Costs;
}

/** One point of the curve: so many connections held in CLOSE_WAIT, and torn down. */
export interface ScalePoint {
  readonly connections: number;
  readonly processes: number;
  readonly closeUs: number;
  /** What /proc/net/sockstat charges (TCP: mem) for the data of each. */
  readonly kernelBytesPerSocket: number;
  /** By how much the kernel's slabs have grown for each: both ends, file and inode included. */
  readonly slabBytesPerConnection: number;
}

export interface BenchRecord {
  readonly kernel: string;
  readonly node: string;
  readonly cpu: string;
  readonly world: { readonly kind: WorldKind; readonly privilege: Privilege };
  /** Cycles asked for, of each driver in each mode. */
  readonly cycles: number;
  readonly ok: boolean;
  readonly interrupted: boolean;
  /** What this process had in memory after its first session, and at the end: it should not grow with the cycles. */
  readonly rssBytes?: { readonly first: number; readonly last: number };
  readonly modes: readonly ModeBench[];
  /** With `--scale`. */
  readonly scale?: readonly ScalePoint[];
  readonly doubts: readonly string[];
}
