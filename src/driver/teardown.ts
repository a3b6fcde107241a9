// The ways a connection can end, step by step. native/reference/teardown.c has the same table, and a test compares them.

import { ECONNRESET, errnoName } from '../syscall/errno.js';
import type { End } from './role.js';

/** Who acts in a benchmark. */
export type TeardownDriver = 'c' | 'raw' | 'raw-composite' | 'libuv' | 'program';
export const teardownDrivers: readonly TeardownDriver[] = [
  'c',
  'raw',
  'raw-composite',
  'libuv',
  'program',
];

/**
 * What a step does: `read` and `write` return how many bytes, `error` is the socket's SO_ERROR, which tells of a RST
 * without an exception on the way.
 */
export type Act = 'close' | 'shutdown' | 'read' | 'write' | 'error' | 'linger0' | 'linger2';

export interface Step {
  readonly end: End;
  readonly act: Act;
  /** What the call returns if all goes as it should; of `error`, whether there is one. */
  readonly expected: number;
}

/** One way to end a connection. */
export interface TeardownMode {
  readonly name: string;
  readonly title: string;
  /** Whether both ends say FIN, or a RST ends it. */
  readonly kind: 'graceful' | 'reset';
  /** Which end stays in TIME_WAIT. */
  readonly payer: End | 'nobody';
  /** What is done to the connection beforehand, and not timed. */
  readonly before: readonly Step[];
  readonly steps: readonly Step[];
  /** The step that closes: the index. */
  readonly closing: number;
  /** The step in which the other end sees it. */
  readonly seeing: number;
}

/** How many bytes are written where something is. */
export const PAYLOAD = 64;

const step = (end: End, act: Act, expected = 0): Step => ({ end, act, expected });
const client = (act: Act, expected?: number): Step => step('client', act, expected);
const server = (act: Act, expected?: number): Step => step('server', act, expected);

export const teardownModes: readonly TeardownMode[] = [
  {
    name: 'client-first',
    title: 'both close(), the client first',
    kind: 'graceful',
    payer: 'client',
    before: [],
    steps: [client('close'), server('read'), server('close')],
    closing: 0,
    seeing: 1,
  },
  {
    name: 'server-first',
    title: 'both close(), the server first',
    kind: 'graceful',
    payer: 'server',
    before: [],
    steps: [server('close'), client('read'), client('close')],
    closing: 0,
    seeing: 1,
  },
  {
    name: 'shutdown-drain',
    title: 'shutdown(SHUT_WR), read what is still there, close()',
    kind: 'graceful',
    payer: 'client',
    before: [server('write', PAYLOAD)],
    steps: [
      client('shutdown'),
      server('read'),
      server('close'),
      client('read', PAYLOAD),
      client('read'),
      client('close'),
    ],
    closing: 0,
    seeing: 1,
  },
  {
    name: 'abort',
    title: 'close() with SO_LINGER {1, 0}: RST',
    kind: 'reset',
    payer: 'nobody',
    before: [client('linger0')],
    steps: [client('close'), server('error', ECONNRESET), server('close')],
    closing: 0,
    seeing: 1,
  },
  {
    name: 'unread-data',
    title: 'close() with unread data: RST',
    kind: 'reset',
    payer: 'nobody',
    before: [client('write', PAYLOAD)],
    steps: [server('close'), client('error', ECONNRESET), client('close')],
    closing: 0,
    seeing: 1,
  },
  {
    name: 'linger2',
    title: 'TCP_LINGER2 -1, shutdown(), close(): no FIN_WAIT2 without an owner',
    kind: 'reset',
    payer: 'nobody',
    before: [client('linger2')],
    steps: [client('shutdown'), client('close'), server('read'), server('close')],
    closing: 1,
    seeing: 2,
  },
  {
    name: 'half-close',
    title: 'shutdown(SHUT_WR), and an answer after it',
    kind: 'graceful',
    payer: 'client',
    before: [],
    steps: [
      client('shutdown'),
      server('read'),
      server('write', PAYLOAD),
      server('close'),
      client('read', PAYLOAD),
      client('read'),
      client('close'),
    ],
    closing: 0,
    seeing: 1,
  },
  {
    name: 'http',
    title: 'request, response, and the server closes, as HTTP/1.0 does',
    kind: 'graceful',
    payer: 'server',
    before: [],
    steps: [
      client('write', PAYLOAD),
      server('read', PAYLOAD),
      server('write', PAYLOAD),
      server('close'),
      client('read', PAYLOAD),
      client('read'),
      client('close'),
    ],
    closing: 3,
    seeing: 5,
  },
];

/** What of a cycle is where in its record: CLOCK_MONOTONIC, and the step that failed, from 1, with what it returned. */
export const RECORD = { start: 0, closing: 1, seen: 2, end: 3, fault: 4, returned: 5, length: 6 };

/** Somebody who can live connections and end them, each timed. */
export interface TeardownArm extends AsyncDisposable {
  readonly driver: TeardownDriver;
  /** The port of its own listener: what tells its sockets from those of the other drivers. */
  readonly port: number;
  /** The threads that make its calls. */
  readonly tids: readonly number[];
  /** Lives as many cycles as there is room for, one RECORD each. */
  run(records: BigInt64Array): Promise<void>;
}

/** What went wrong in a cycle, in words; undefined if nothing did. */
export function faultOf(
  mode: TeardownMode,
  records: BigInt64Array,
  at: number,
): string | undefined {
  const failed = Number(records[at + RECORD.fault]);
  if (failed === 0) return;
  const returned = Number(records[at + RECORD.returned]);
  const { end, act, expected } = mode.steps[failed - 1] ?? { end: '', act: '', expected: 0 };
  const got = returned < 0 ? errnoName(returned) : String(returned);
  const wanted = act === 'error' ? errnoName(expected) : String(expected);
  return `step ${failed}, ${end} ${act}: expected ${wanted}, got ${got}`;
}
