import {
  type Checks,
  checkBoolean,
  checkedFields,
  checkFunction,
  checkInteger,
  integer,
  invalidValue,
  listOf,
  oneOf,
  outOfRange,
} from '../tcp/argument.js';
import type { TraceEvent } from './tracepoint.js';

/** What to hear of, and by which means. */
export interface TracepointOptions {
  /** How; left out, BPF where it can be had, else perf. */
  readonly via?: 'bpf' | 'perf';
  /** Only sockets of the network namespace of this inode. BPF only. */
  readonly netns?: number;
  /** Only sockets with one of these ports at either end. */
  readonly ports?: readonly number[];
  /** Threads whose system calls are wanted, too. */
  readonly threads?: readonly number[];
  /** Whether sockets are wanted; false leaves the calls of `threads` alone. Left out: true. */
  readonly sockets?: boolean;
  /** Gets each event, in the order they happened; `events` then stays empty. */
  readonly onEvent?: (event: TraceEvent) => void;
  /** With `onEvent`: called when everything that happened up to then has been handed on, CLOCK_MONOTONIC. */
  readonly onSettled?: (untilNs: bigint) => void;
  /** With `onEvent`: called when the rings cannot be read any more, which ends what is handed on. Left out: it is thrown. */
  readonly onFailure?: (error: Error) => void;
  /** Bytes of the ring, and with perf of each CPU's: a power of two and whole pages. */
  readonly ringBytes?: number;
  /** Bytes of records to keep for `events`; what comes after that is counted as lost. */
  readonly keepBytes?: number;
}

export const RING_BYTES = 8 << 20;
const MOST_PORTS = 64;
const MOST_THREADS = 64;

const OPTIONS: Checks<TracepointOptions> = {
  via: oneOf('bpf', 'perf'),
  netns: integer(1, 2 ** 32 - 1),
  ports: listOf(integer(1, 65_535)),
  threads: listOf(integer(1, 2 ** 31 - 1)),
  sockets: checkBoolean,
  onEvent: checkFunction,
  onSettled: checkFunction,
  onFailure: checkFunction,
  ringBytes: integer(4096, 2 ** 30),
  keepBytes: integer(0, Number.MAX_SAFE_INTEGER),
};

/** Checks options and returns a copy. Throws TypeError or RangeError for what is none. */
export function checkedTracepointOptions(asked: TracepointOptions): TracepointOptions {
  const options = checkedFields('options', asked, OPTIONS);
  const { ports, threads, sockets, ringBytes = RING_BYTES } = options;
  if (sockets === false && threads === undefined) {
    throw invalidValue('without sockets there must be threads to follow');
  }
  if (ports) checkInteger('how many ports', ports.length, 1, MOST_PORTS);
  if (threads) checkInteger('how many threads', threads.length, 1, MOST_THREADS);
  if ((ringBytes & (ringBytes - 1)) === 0) return options;
  throw outOfRange(`ringBytes must be a power of two, received ${ringBytes}`);
}
