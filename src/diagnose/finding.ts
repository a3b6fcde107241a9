import { type CauseFound, causeOf, isLeak } from '../tcp/cause.js';
import { adviceFor } from './advice.js';
import type { Census, HeldBy } from './census.js';
import type { Interest, Watch } from './interest.js';
import type { Listener, Listeners } from './listeners.js';
import type { Suspect } from './namespace.js';
import type { ProcessReport, ThreadReport } from './process.js';
import type { HolderReport, SocketReport } from './record.js';
import { ageOf, type Watched } from './settle.js';

/** What a finding is made from besides the socket itself. */
export interface Surroundings {
  readonly census: Census;
  readonly listeners: Listeners;
  /** The processes asked for; undefined if all were. */
  readonly pids: ReadonlySet<number> | undefined;
  /** What is known of a process; undefined once it is gone. */
  readonly processOf: (pid: number) => ProcessReport | undefined;
  /** What its event loops watch; undefined if it has none, or none that can be seen. */
  readonly interestOf: (pid: number) => Interest | undefined;
}

/** The descriptors that keep a suspect: its own, or, while it has none, those of the listener it waits at. */
export function keepersOf(
  suspect: Suspect,
  { census, listeners }: Pick<Surroundings, 'census' | 'listeners'>,
): readonly HeldBy[] {
  if (suspect.inode !== 0) return census.holders.get(suspect.inode) ?? [];
  if (suspect.state !== 'CLOSE_WAIT') return [];
  return listeners.of(suspect).flatMap(({ inode }) => census.holders.get(inode) ?? []);
}

/** Reports on a suspect, or undefined where nothing about it is suspicious after all. */
export function findingOf(
  { suspect, watchedMs, sentBytes }: Watched,
  surroundings: Surroundings,
): SocketReport | undefined {
  const holders: HolderReport[] = [];
  for (const { pid, fd } of keepersOf(suspect, surroundings)) {
    const comm = surroundings.processOf(pid)?.comm;
    if (comm !== undefined) holders.push({ pid, fd, comm });
  }
  const queued = suspect.inode === 0 && suspect.state === 'CLOSE_WAIT';
  const { state, recvQ, sendQ, inode, timer, retransmits } = suspect;
  const found = causeOf({
    ...{ state, recvQ, sendQ, inode, timer, retransmits, sentBytes },
    holders: queued ? [] : holders,
    ...(state === 'CLOSE' && { connected: true }),
  });
  if (found === undefined) return undefined;
  const owner = holders.find(({ pid }) => surroundings.pids?.has(pid)) ?? holders[0];
  const process = owner && surroundings.processOf(owner.pid);
  const age = ageOf(suspect, watchedMs);
  const [listener] = surroundings.listeners.of(suspect);
  const interest = owner && surroundings.interestOf(owner.pid);
  const watches = interest && (interest.get(queued ? (listener?.inode ?? 0) : inode) ?? []);
  return {
    pid: owner?.pid ?? null,
    comm: owner?.comm ?? null,
    fd: owner?.fd ?? null,
    local: suspect.local,
    remote: suspect.remote ?? null,
    state: suspect.state,
    recvQ: suspect.recvQ,
    sendQ: suspect.sendQ,
    ageMs: age.ms,
    ageFrom: age.from,
    cause: found.cause,
    leak: isLeak(found.cause),
    evidence: evidenceFor(found, suspect, { listener, owner, process, watches }),
    holders,
    listener: listener?.local ?? null,
    watches: watches ?? null,
    runtime: process?.runtime ?? null,
    uid: suspect.uid ?? null,
    inode: suspect.inode,
    cookie: suspect.cookie,
    netns: suspect.netns,
    timer: suspect.timer,
    timerMs: suspect.timerMs,
    retransmits: suspect.retransmits,
    totalRetrans: suspect.info?.totalRetrans ?? null,
    advice: adviceFor(found.cause, process?.runtime),
  };
}

interface Near {
  readonly listener: Listener | undefined;
  readonly owner: HolderReport | undefined;
  readonly process: ProcessReport | undefined;
  readonly watches: readonly Watch[] | undefined;
}

function evidenceFor(
  { cause, evidence }: CauseFound,
  { state, info }: Suspect,
  { listener, owner, process, watches }: Near,
): string[] {
  const all = [...evidence];
  if (cause === 'never-accepted') {
    all.push(
      listener === undefined
        ? 'no listener is left on its address'
        : `${listener.queued} connections wait at the listener, ${listener.backlog} may`,
    );
  }
  if (state === 'CLOSE' && info?.lastAckRecvMs !== undefined) {
    all.push(
      `the last ACK came ${info.lastAckRecvMs} ms ago; when the connection ended is not kept`,
    );
  }
  if (owner !== undefined && process !== undefined) {
    all.push(...callsOn(owner.fd, process.threads));
    if (cause === 'never-accepted' && !process.threads.some(isAccepting)) {
      all.push(`no thread of pid ${owner.pid} waits in accept()`);
    }
  }
  const what = cause === 'never-accepted' ? 'the listener' : 'the descriptor';
  if (watches?.length === 0) all.push(`no event loop of the process watches ${what}`);
  for (const { epfd, events } of watches ?? []) {
    all.push(`an event loop (epoll ${epfd}) watches ${what} for ${events}`);
  }
  return all;
}

function callsOn(fd: number, threads: readonly ThreadReport[]): string[] {
  return threads
    .filter((thread) => thread.fd === fd)
    .map(({ tid, call }) => `thread ${tid} waits in ${call}(${fd})`);
}

function isAccepting({ call }: ThreadReport): boolean {
  return call === 'accept' || call === 'accept4';
}
