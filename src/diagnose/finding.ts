import type { Endpoint } from '../tcp/address.js';
import { type Cause, causeName, evidenceOf, isLeak, type SocketFacts } from '../tcp/cause.js';
import type { TimerName } from '../tcp/socket-table.js';
import type { TcpState } from '../tcp/states.js';
import { activityOf } from './activity.js';
import { adviceFor } from './advice.js';
import type { Census, HeldBy } from './census.js';
import type { Interest, Watch } from './interest.js';
import type { Listener, Listeners } from './listeners.js';
import type { Suspect } from './namespace.js';
import type { ProcessReport } from './process.js';
import type { HolderReport, SocketReport } from './record.js';
import type { Runtime } from './runtime.js';
import { ageMsOf, ageOf, type Watched } from './settle.js';
import type { Sources } from './source.js';
import type { Source } from './source-record.js';

/** What a finding is made from besides the socket itself. */
export interface Surroundings {
  readonly census: Census;
  readonly listeners: Listeners;
  /** The processes asked for; undefined if all were. */
  readonly pids: ReadonlySet<number> | undefined;
  /** What is known of a process; undefined once it is gone. */
  readonly processOf: (pid: number) => ProcessReport | undefined;
  /** Whether it is so young that it may have been between fork() and exec() when /proc was read. */
  readonly isYoung: (pid: number) => boolean;
  /** What its event loops watch; undefined if it has none, or none that can be seen. */
  readonly interestOf: (pid: number) => Interest | undefined;
  /** What its own record says of its sockets, where it keeps one. */
  readonly sourcesOf: (pid: number) => Sources | undefined;
}

/** The descriptors that keep a suspect: its own, or, while it has none, those of the listener it waits at. */
export function keepersOf(
  suspect: Suspect,
  { census, listeners }: Pick<Surroundings, 'census' | 'listeners'>,
): readonly HeldBy[] {
  const { inode } = suspect;
  if (inode !== 0) return census.holdersOf(inode);
  if (suspect.state !== 'CLOSE_WAIT') return [];
  return listeners.queuesOf(suspect).flatMap((listener) => census.holdersOf(listener.inode));
}

/** Those that are still there. Of several one may be a child that has had its copies for an instant only. */
function presentKeepers(suspect: Suspect, surroundings: Surroundings): readonly HeldBy[] {
  const { census, isYoung } = surroundings;
  const { inode } = suspect;
  let keepers = keepersOf(suspect, surroundings);
  if (!keepers.every(isThere, surroundings)) keepers = keepers.filter(isThere, surroundings);
  if (keepers.length < 2 || inode === 0) return keepers;
  return keepers.filter((each) => !isYoung(each.pid) || census.stillHolds(each, inode));
}

/**
 * What is known of one socket, put into words when it is asked for: of thousands, few are shown in full.
 *
 * Its fields are getters: a copy by spread would be empty, `toJSON()` makes a plain object.
 */
export class Finding implements SocketReport, SocketFacts {
  readonly suspect: Suspect;
  readonly #watched: Watched;
  readonly #surroundings: Surroundings;
  readonly pid: number | null;
  readonly fd: number | null;
  /** Whether there are more holders than the first. */
  readonly isShared: boolean;
  readonly cause: Cause;

  private constructor(
    watched: Watched,
    surroundings: Surroundings,
    known: readonly HeldBy[],
    cause: Cause,
  ) {
    this.suspect = watched.suspect;
    this.#watched = watched;
    this.#surroundings = surroundings;
    const { pids } = surroundings;
    const owner = (pids && known.find(({ pid }) => pids.has(pid))) ?? known[0];
    this.pid = owner?.pid ?? null;
    this.fd = owner?.fd ?? null;
    this.isShared = known.length > 1;
    this.cause = cause;
  }

  /** Reports on a suspect, or undefined where nothing about it is suspicious after all. */
  static of(watched: Watched, surroundings: Surroundings): Finding | undefined {
    const { suspect, sentBytes } = watched;
    const { state, recvQ, sendQ, inode, timer, retransmits } = suspect;
    const holders = presentKeepers(suspect, surroundings);
    const facts = { state, recvQ, sendQ, inode, timer, retransmits, sentBytes, holders };
    const cause = causeName(facts);
    return cause && new Finding(watched, surroundings, holders, cause);
  }

  get sentBytes(): number {
    return this.#watched.sentBytes;
  }

  get comm(): string | null {
    return this.#process?.comm ?? null;
  }

  get local(): Endpoint {
    return this.suspect.local;
  }

  get remote(): Endpoint | null {
    return this.suspect.remote ?? null;
  }

  get state(): TcpState {
    return this.suspect.state;
  }

  get recvQ(): number {
    return this.suspect.recvQ;
  }

  get sendQ(): number {
    return this.suspect.sendQ;
  }

  get ageMs(): number {
    return ageMsOf(this.suspect, this.#watched.watchedMs);
  }

  get ageFrom(): string {
    return ageOf(this.suspect, this.#watched.watchedMs).from;
  }

  get leak(): boolean {
    return isLeak(this.cause);
  }

  get evidence(): string[] {
    const { cause, state, fd, watches } = this;
    const all = evidenceOf(cause, this);
    if (cause === 'never-accepted') all.push(queueText(this.#listener));
    const silentMs = state === 'CLOSE' ? this.suspect.info?.lastAckRecvMs : undefined;
    if (silentMs !== undefined) {
      all.push(`the last ACK came ${silentMs} ms ago; when the connection ended is not kept`);
    }
    all.push(...dataText(state, this.suspect.info));
    const process = this.#process;
    if (fd !== null && process !== undefined) {
      const isQueued = cause === 'never-accepted';
      const what = isQueued ? 'the listener' : 'the descriptor';
      const isAwaited = isQueued || cause === 'eof-unread';
      all.push(...activityOf(process, { fd, watches, what, isAwaited }));
    }
    return all;
  }

  get holders(): HolderReport[] {
    const holders: HolderReport[] = [];
    for (const { pid, fd } of presentKeepers(this.suspect, this.#surroundings)) {
      const comm = this.#surroundings.processOf(pid)?.comm;
      if (comm !== undefined) holders.push({ pid, fd, comm });
    }
    return holders;
  }

  get listener(): Endpoint | null {
    return this.#listener?.local ?? null;
  }

  get watches(): readonly Watch[] | null {
    const { pid, inode, cause } = this;
    const interest = pid === null ? undefined : this.#surroundings.interestOf(pid);
    const watched = cause === 'never-accepted' ? (this.#listener?.inode ?? 0) : inode;
    return interest === undefined ? null : (interest.get(watched) ?? []);
  }

  /** Only Node processes have records. */
  get source(): Source | null {
    if (this.pid === null || this.runtime !== 'node') return null;
    return this.#surroundings.sourcesOf(this.pid)?.get(this.inode) ?? null;
  }

  get runtime(): Runtime | null {
    return this.#process?.runtime ?? null;
  }

  get uid(): number | null {
    return this.suspect.uid ?? null;
  }

  get inode(): number {
    return this.suspect.inode;
  }

  get cookie(): bigint {
    return this.suspect.cookie;
  }

  get netns(): number {
    return this.suspect.netns;
  }

  get timer(): TimerName {
    return this.suspect.timer;
  }

  get timerMs(): number {
    return this.suspect.timerMs;
  }

  get retransmits(): number {
    return this.suspect.retransmits;
  }

  get totalRetrans(): number | null {
    return this.suspect.info?.totalRetrans ?? null;
  }

  get advice(): string {
    return adviceFor(this.cause, this.#process?.runtime);
  }

  /** A suspect in CLOSE is one whose TCP_INFO has shown that it was connected. */
  get connected(): boolean {
    return true;
  }

  get #process(): ProcessReport | undefined {
    return this.pid === null ? undefined : this.#surroundings.processOf(this.pid);
  }

  /** Of several that share an address the one whose descriptor is told. */
  get #listener(): Listener | undefined {
    const { listeners, census } = this.#surroundings;
    if (this.cause !== 'never-accepted') return listeners.of(this.suspect)[0];
    const queues = listeners.queuesOf(this.suspect);
    if (queues.length < 2) return queues[0];
    const isHeld = ({ pid, fd }: HeldBy): boolean => pid === this.pid && fd === this.fd;
    return queues.find(({ inode }) => census.holdersOf(inode).some(isHeld)) ?? queues[0];
  }

  toJSON(): SocketReport {
    return {
      pid: this.pid,
      comm: this.comm,
      fd: this.fd,
      local: this.local,
      remote: this.remote,
      state: this.state,
      recvQ: this.recvQ,
      sendQ: this.sendQ,
      ageMs: this.ageMs,
      ageFrom: this.ageFrom,
      cause: this.cause,
      leak: this.leak,
      evidence: this.evidence,
      holders: this.holders,
      listener: this.listener,
      watches: this.watches,
      source: this.source,
      runtime: this.runtime,
      uid: this.uid,
      inode: this.inode,
      cookie: this.cookie,
      netns: this.netns,
      timer: this.timer,
      timerMs: this.timerMs,
      retransmits: this.retransmits,
      totalRetrans: this.totalRetrans,
      advice: this.advice,
    };
  }

  /** Printed, too, it is its fields. */
  [Symbol.for('nodejs.util.inspect.custom')](): SocketReport {
    return this.toJSON();
  }
}

function isThere(this: Surroundings, { pid }: HeldBy): boolean {
  return this.processOf(pid) !== undefined;
}

function queueText(listener: Listener | undefined): string {
  if (listener === undefined) return 'no listener is left on its address';
  return `${listener.queued} connections wait at the listener, ${listener.backlog} may`;
}

/** A half-close in use that pauses for longer than anybody watched looks like none: only when it was last used tells. */
function dataText(state: TcpState, info: Suspect['info']): string[] {
  if (info === undefined) return [];
  const { bytesSent = 0, lastDataSentMs, bytesReceived = 0, lastDataRecvMs } = info;
  if (state === 'CLOSE_WAIT' && bytesSent > 0)
    return [`data was last sent ${lastDataSentMs} ms ago`];
  if (state !== 'FIN_WAIT2' || bytesReceived === 0) return [];
  return [`data last came ${lastDataRecvMs} ms ago`];
}
