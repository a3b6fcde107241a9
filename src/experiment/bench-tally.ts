import type { End } from '../driver/role.js';
import { faultOf, RECORD, type TeardownDriver, type TeardownMode } from '../driver/teardown.js';
import type { SocketTable } from '../tcp/socket-table.js';
import type { Observed } from './bench-observed.js';
import type { DriverBench } from './bench-record.js';
import { quantile, ratioOf, Times } from './bench-spread.js';

type Row = SocketTable extends Iterable<infer R> ? R : never;

const MOST_KINDS = 20;

/** What a driver did in a world. */
export interface Session {
  readonly port: number;
  readonly lived: number;
  readonly resets: number;
}

/** What one driver did in one mode, in memory that grows with the rounds and not with the cycles. */
export class Tally {
  readonly #mode: TeardownMode;
  readonly #whole = new Times();
  readonly #closeToEof = new Times();
  readonly #faults = new Map<string, number>();
  readonly #medians: number[] = [];
  readonly #timeWait: Record<End, number> = { client: 0, server: 0 };
  #observed: Observed | undefined;
  #socketsLeft = 0;
  #strayResets = 0;
  #cycles = 0;
  elapsedNs = 0;

  constructor(mode: TeardownMode) {
    this.#mode = mode;
  }

  get rounds(): number {
    return this.#medians.length;
  }

  get medianUs(): number {
    return this.#whole.spread.p50Us;
  }

  get bimodal(): boolean {
    return this.#whole.bimodal;
  }

  get faulty(): boolean {
    return this.#faults.size > 0;
  }

  /** Takes in the records of one round. */
  add(records: BigInt64Array): void {
    const took: number[] = [];
    for (let at = 0; at < records.length; at += RECORD.length) {
      const fault = faultOf(this.#mode, records, at);
      this.#cycles++;
      if (fault !== undefined) {
        this.#fault(fault, 1);
        continue;
      }
      const ns = Number((records[at + RECORD.end] as bigint) - (records[at] as bigint));
      took.push(ns);
      this.#whole.add(ns);
      this.#closeToEof.add(
        Number((records[at + RECORD.seen] as bigint) - (records[at + RECORD.closing] as bigint)),
      );
    }
    // A round without a single good cycle has no median; its place keeps the pairs together.
    this.#medians.push(took.length === 0 ? Number.NaN : quantile(took, 0.5) / 1000);
  }

  observe(observed: Observed): void {
    this.#observed = observed;
  }

  /** It lived no more cycles, since it could not. */
  stopped(why: string): void {
    this.#fault(`stopped: ${why}`, 1);
  }

  /**
   * Counts what a session has left behind. Of one that was not `whole` only TIME_WAIT counts: the rest is of the cycle that
   * was cut short. `alone`: with nobody else in the network, each cycle must have sent a RST where that is how the mode
   * ends, and have left one in TIME_WAIT at the client, if that closed first. Two exceptions: at a server it may have been
   * taken over by a later connection from the same port (RFC 6191), and an ACK that comes after the other end is gone draws
   * a RST that ends it early (RFC 1337).
   */
  left(
    sockets: readonly Row[],
    { port, lived, resets }: Session,
    { whole, alone }: { readonly whole: boolean; readonly alone: boolean },
  ): void {
    const own: Record<End, number> = { client: 0, server: 0 };
    for (const { state, local, remote } of sockets) {
      const end = local.port === port ? 'server' : remote.port === port ? 'client' : undefined;
      if (end === undefined || state === 'LISTEN') continue;
      if (state === 'TIME_WAIT') own[end]++;
      else if (whole) this.#socketsLeft++;
    }
    for (const end of ['client', 'server'] as const) this.#timeWait[end] += own[end];
    if (!whole) return;
    const extra = alone ? resets - (this.#mode.kind === 'reset' ? lived : 0) : 0;
    if (extra < 0) this.#fault('no RST', -extra);
    const stray = Math.max(0, extra);
    this.#strayResets += stray;
    for (const end of ['client', 'server'] as const) {
      const missing = (this.#mode.payer === end ? lived : 0) - own[end];
      if (missing < 0) this.#fault(`${end} in TIME_WAIT`, -missing);
      else if (missing > stray && alone && end === 'client') {
        this.#fault('client not in TIME_WAIT', missing - stray);
      }
    }
  }

  /** The ratio of each round to that of another driver. */
  ratiosTo(other: Tally): number[] {
    return this.#medians
      .map((us, round) => us / (other.#medians[round] ?? Number.NaN))
      .filter((ratio) => Number.isFinite(ratio));
  }

  result(driver: TeardownDriver, c: Tally): DriverBench {
    const ratios = this.ratiosTo(c);
    const ratio = ratioOf(ratios);
    const { count: cycles } = this.#whole;
    return {
      driver,
      cycles,
      ...this.#whole.spread,
      faults: [...this.#faults].map(([what, count]) => ({ what, count })),
      ratioToC: ratio.median,
      ratio,
      ratios,
      roundsUs: this.#medians,
      closeToEof: this.#closeToEof.spread,
      cyclesPerSecond: this.elapsedNs === 0 ? 0 : this.#cycles / (this.elapsedNs / 1e9),
      ...this.#observed,
      timeWait: this.#timeWait,
      socketsLeft: this.#socketsLeft,
      strayResets: this.#strayResets,
      bars: this.#whole.bars,
    };
  }

  #fault(what: string, count: number): void {
    // Of a thousand ways to go wrong the first few are enough to read.
    const key = this.#faults.has(what) || this.#faults.size < MOST_KINDS ? what : 'other faults';
    this.#faults.set(key, (this.#faults.get(key) ?? 0) + count);
  }
}
