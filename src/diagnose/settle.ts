import { setTimeout as delay } from 'node:timers/promises';
import { nowMs } from '../observer/until.js';
import type { Suspect } from './namespace.js';

/** A suspect that was watched for a while. */
export interface Watched {
  readonly suspect: Suspect;
  /** For how long it was seen to be as it is; 0 where one look was enough. */
  readonly watchedMs: number;
  /** What it sent meanwhile. */
  readonly sentBytes: number;
}

export interface Settled {
  readonly watched: Watched[];
  /** How many suspects had moved on when they were looked at again: a program at work. */
  readonly passing: number;
}

/** How old a socket certainly is, and what that is known from. */
export interface Age {
  readonly ms: number;
  readonly from: string;
}

/**
 * How long at least a socket has been in its state. The kernel keeps no time of a change of state, but that of the last ACK
 * which came in. In CLOSE_WAIT and FIN_WAIT2 that is the segment which led there, or a later one.
 */
export function ageOf(suspect: Suspect, watchedMs = 0): Age {
  const from =
    silentMsOf(suspect) === undefined
      ? 'as long as it was watched: the kernel keeps no time of the change'
      : 'since the last ACK: one that came later than the change of state makes it younger';
  return { ms: ageMsOf(suspect, watchedMs), from };
}

/** `ageOf().ms` */
export function ageMsOf(suspect: Suspect, watchedMs = 0): number {
  const silentMs = silentMsOf(suspect);
  return silentMs === undefined ? watchedMs : Math.max(silentMs, watchedMs);
}

function silentMsOf(suspect: Suspect): number | undefined {
  const { state } = suspect;
  if (state !== 'CLOSE_WAIT' && state !== 'FIN_WAIT2') return undefined;
  return suspect.lastAckRecvMs ?? suspect.info?.lastAckRecvMs;
}

const STEPS = 2;

/**
 * Tells what stays from what a working program is about to close. A suspect that has not certainly stood still for `settleMs`
 * is looked at again until it has, or until all such have moved on.
 */
export async function settle(
  first: readonly Suspect[],
  look: (suspects: readonly Suspect[]) => readonly Suspect[],
  { settleMs, signal }: { readonly settleMs: number; readonly signal?: AbortSignal | undefined },
): Promise<Settled> {
  const start = nowMs();
  const young: Suspect[] = [];
  let youngest = settleMs;
  for (const suspect of first) {
    const stoodMs = mayBeLeak(suspect) ? stoodMsOf(suspect) : settleMs;
    if (stoodMs >= settleMs) continue;
    young.push(suspect);
    youngest = Math.min(youngest, stoodMs);
  }
  const asSeen = (suspect: Suspect): Watched => ({ suspect, watchedMs: 0, sentBytes: 0 });
  if (young.length === 0) return { watched: first.map(asSeen), passing: 0 };
  let end = start + settleMs - youngest;
  let now: ReadonlyMap<bigint, Suspect>;
  do {
    const beganMs = nowMs();
    const waitMs = Math.min(Math.max(0, end - beganMs), settleMs / STEPS);
    await delay(waitMs, undefined, { signal });
    // While this process had no processor, others may have had none either: what was waited too long counts for nothing.
    end += Math.max(0, nowMs() - beganMs - waitMs);
    now = new Map(look(young).map((each) => [each.cookie, each]));
  } while (nowMs() < end && young.some((each) => !hasMoved(each, now.get(each.cookie))));
  const watchedMs = Math.floor(nowMs() - start);
  const watched: Watched[] = [];
  const isYoung = new Set(young);
  for (const before of first) {
    if (!isYoung.has(before)) {
      watched.push(asSeen(before));
      continue;
    }
    const suspect = now.get(before.cookie);
    if (suspect === undefined || hasMoved(before, suspect)) continue;
    watched.push({ suspect, watchedMs, sentBytes: sent(suspect) - sent(before) });
  }
  return { watched, passing: first.length - watched.length };
}

/** Unanswered FINs are none, and their age is not known. */
function mayBeLeak({ state }: Suspect): boolean {
  return state === 'CLOSE_WAIT' || state === 'FIN_WAIT2' || state === 'CLOSE';
}

/** For how long at least nothing has happened to it. Whoever reads what is there, slowly, leaves no trace but a shorter Recv-Q. */
function stoodMsOf(suspect: Suspect): number {
  const { state, recvQ, inode } = suspect;
  const fin = state === 'CLOSE_WAIT' ? 1 : 0;
  return inode !== 0 && recvQ > fin ? 0 : ageMsOf(suspect);
}

/** Whether something happened to a socket besides sending. */
function hasMoved(before: Suspect, after: Suspect | undefined): boolean {
  return (
    after === undefined ||
    after.state !== before.state ||
    after.inode !== before.inode ||
    after.recvQ !== before.recvQ ||
    after.info?.bytesReceived !== before.info?.bytesReceived
  );
}

function sent({ info }: Suspect): number {
  return (info?.bytesSent ?? 0) - (info?.bytesRetrans ?? 0);
}
