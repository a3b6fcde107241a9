import { close, getsockopt, read, shutdown, write } from '../syscall/gate.js';
import * as sys from '../syscall/sys.js';
import {
  PAYLOAD,
  RECORD,
  type Step,
  type TeardownArm,
  type TeardownDriver,
  type TeardownMode,
} from './teardown.js';
import { bytesBefore, encodeBefore, type Pair, PairMaker } from './teardown-pair.js';

abstract class RawArm implements TeardownArm {
  abstract readonly driver: TeardownDriver;
  protected readonly pairs: PairMaker;
  protected readonly mode: TeardownMode;
  readonly tids = [sys.gettid()];

  constructor(mode: TeardownMode) {
    this.mode = mode;
    this.pairs = new PairMaker(mode);
  }

  get port(): number {
    return this.pairs.port;
  }

  async run(records: BigInt64Array): Promise<void> {
    const pair: Pair = { client: -1, server: -1 };
    for (let at = 0; at < records.length; at += RECORD.length) {
      this.tearDown(pair, records, at);
    }
  }

  /** Opens a connection and ends it. */
  protected abstract tearDown(pair: Pair, records: BigInt64Array, at: number): void;

  async [Symbol.asyncDispose](): Promise<void> {
    this.pairs[Symbol.dispose]();
  }
}

/** The times of one cycle, and the steps that did not return what they had to. */
interface Times {
  start: bigint;
  closing: bigint;
  seen: bigint;
  end: bigint;
  fault: number;
  returned: number;
}

const now = process.hrtime.bigint;
const { SHUT_WR, SOL_SOCKET, SO_ERROR } = sys;

function expect(times: Times, step: number, returned: number, expected: number): void {
  if (returned === expected || times.fault !== 0) return;
  times.fault = step;
  times.returned = returned;
}

/** `first` closes first. */
function closeBoth(first: number, second: number, times: Times): void {
  times.start = times.closing = now();
  expect(times, 1, close(first), 0);
  expect(times, 2, read(second), 0);
  times.seen = now();
  expect(times, 3, close(second), 0);
  times.end = now();
}

/** A socket's SO_ERROR. Once in a million the kernel puts the delivery off until after the call that sent the RST. */
function errorOf(fd: number): number {
  const error = getsockopt(fd, SOL_SOCKET, SO_ERROR);
  if (error !== 0) return error;
  sys.poll([{ fd, events: 0 }], 1000);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR);
}

/** `first` sends a RST as it closes; the other end learns of it without an exception. */
function reset(first: number, second: number, times: Times): void {
  times.start = times.closing = now();
  expect(times, 1, close(first), 0);
  expect(times, 2, errorOf(second), sys.ECONNRESET);
  times.seen = now();
  expect(times, 3, close(second), 0);
  times.end = now();
}

function shutdownDrain(client: number, server: number, times: Times): void {
  times.start = times.closing = now();
  expect(times, 1, shutdown(client, SHUT_WR), 0);
  expect(times, 2, read(server), 0);
  times.seen = now();
  expect(times, 3, close(server), 0);
  expect(times, 4, read(client), PAYLOAD);
  expect(times, 5, read(client), 0);
  expect(times, 6, close(client), 0);
  times.end = now();
}

function linger2(client: number, server: number, times: Times): void {
  times.start = now();
  expect(times, 1, shutdown(client, SHUT_WR), 0);
  times.closing = now();
  expect(times, 2, close(client), 0);
  expect(times, 3, read(server), 0);
  times.seen = now();
  expect(times, 4, close(server), 0);
  times.end = now();
}

function halfClose(client: number, server: number, times: Times): void {
  times.start = times.closing = now();
  expect(times, 1, shutdown(client, SHUT_WR), 0);
  expect(times, 2, read(server), 0);
  times.seen = now();
  expect(times, 3, write(server, PAYLOAD), PAYLOAD);
  expect(times, 4, close(server), 0);
  expect(times, 5, read(client), PAYLOAD);
  expect(times, 6, read(client), 0);
  expect(times, 7, close(client), 0);
  times.end = now();
}

function http(client: number, server: number, times: Times): void {
  times.start = now();
  expect(times, 1, write(client, PAYLOAD), PAYLOAD);
  expect(times, 2, read(server), PAYLOAD);
  expect(times, 3, write(server, PAYLOAD), PAYLOAD);
  times.closing = now();
  expect(times, 4, close(server), 0);
  expect(times, 5, read(client), PAYLOAD);
  expect(times, 6, read(client), 0);
  times.seen = now();
  expect(times, 7, close(client), 0);
  times.end = now();
}

/** The steps of each mode, written out: a loop over them would take longer than a crossing does. */
const written: Readonly<Record<string, (client: number, server: number, times: Times) => void>> = {
  'client-first': closeBoth,
  'server-first': (client, server, times) => closeBoth(server, client, times),
  'shutdown-drain': shutdownDrain,
  abort: reset,
  'unread-data': (client, server, times) => reset(server, client, times),
  linger2,
  'half-close': halfClose,
  http,
};

/** Call by call: each step crosses into the addon and the kernel by itself. */
export class CallByCall extends RawArm {
  readonly driver = 'raw';
  readonly #times: Times = { start: 0n, closing: 0n, seen: 0n, end: 0n, fault: 0, returned: 0 };
  readonly #tearDown: (client: number, server: number, times: Times) => void;

  constructor(mode: TeardownMode) {
    super(mode);
    const own = written[mode.name];
    if (own === undefined) throw new TypeError(`raw has no steps for ${mode.name}`);
    this.#tearDown = own;
  }

  protected tearDown(pair: Pair, records: BigInt64Array, at: number): void {
    this.pairs.open(pair);
    const times = this.#times;
    times.fault = 0;
    times.returned = 0;
    this.#tearDown(pair.client, pair.server, times);
    records[at + RECORD.start] = times.start;
    records[at + RECORD.closing] = times.closing;
    records[at + RECORD.seen] = times.seen;
    records[at + RECORD.end] = times.end;
    records[at + RECORD.fault] = BigInt(times.fault);
    records[at + RECORD.returned] = BigInt(times.returned);
  }
}

/** The whole teardown in one crossing: the addon makes the calls one after the other and reads the clock between them. */
export class Composite extends RawArm {
  readonly driver = 'raw-composite';
  readonly #steps: Int32Array;
  /** Of each call: where it is among `#steps`, and what it must return. */
  readonly #calls: { readonly place: number; readonly step: Step }[] = [];
  readonly #results: Int32Array;
  readonly #stamps: BigInt64Array;
  readonly #bytes: Uint8Array;

  constructor(mode: TeardownMode) {
    super(mode);
    const clock = [sys.SEQUENCE.clock, 0, 0, 0];
    // As in the C program, what is done beforehand leads straight to what is timed.
    const rows: number[][] = encodeBefore(mode);
    rows.push(clock);
    for (const [i, step] of mode.before.entries()) {
      const expected = step.act === 'write' ? step.expected : 0;
      this.#calls.push({ place: i, step: { ...step, expected } });
    }
    for (const [i, step] of mode.steps.entries()) {
      if (i === mode.closing && i > 0) rows.push(clock);
      this.#calls.push({ place: rows.length, step });
      rows.push(encode(step));
      if (i === mode.seeing) rows.push(clock);
    }
    rows.push(clock);
    this.#steps = Int32Array.from(rows.flat());
    this.#results = new Int32Array(rows.length);
    this.#bytes = bytesBefore(mode);
    this.#stamps = new BigInt64Array(mode.closing > 0 ? 4 : 3);
  }

  protected tearDown(pair: Pair, records: BigInt64Array, at: number): void {
    this.pairs.connect(pair);
    for (let i = 0; i < this.#calls.length; i++) {
      const { place, step } = this.#calls[i] as { place: number; step: Step };
      this.#steps[place * sys.STEP_LENGTH + 1] = step.end === 'client' ? pair.client : pair.server;
    }
    sys.sequence(this.#steps, this.#bytes, this.#results, this.#stamps);
    const stamps = this.#stamps;
    const closing = stamps.length - 3;
    records[at + RECORD.start] = stamps[0] as bigint;
    records[at + RECORD.closing] = stamps[closing] as bigint;
    records[at + RECORD.seen] = stamps[closing + 1] as bigint;
    records[at + RECORD.end] = stamps[closing + 2] as bigint;
    records[at + RECORD.fault] = 0n;
    for (let i = 0; i < this.#calls.length; i++) {
      const { place, step } = this.#calls[i] as { place: number; step: Step };
      const result = this.#results[place] as number;
      if (result === step.expected) continue;
      records[at + RECORD.fault] = BigInt(Math.max(1, i + 1 - this.mode.before.length));
      records[at + RECORD.returned] = BigInt(result);
      return;
    }
  }
}

function encode({ act }: Step): number[] {
  const { SEQUENCE } = sys;
  switch (act) {
    case 'close':
      return [SEQUENCE.close, 0, 0, 0];
    case 'shutdown':
      return [SEQUENCE.shutdown, 0, SHUT_WR, 0];
    case 'read':
      return [SEQUENCE.read, 0, 2 * PAYLOAD, 0];
    case 'write':
      return [SEQUENCE.write, 0, PAYLOAD, 0];
    case 'error':
      return [SEQUENCE.getsockopt, 0, SOL_SOCKET, SO_ERROR];
    default:
      throw new TypeError(`${act} is no step of a teardown`);
  }
}
