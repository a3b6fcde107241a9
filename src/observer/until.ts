import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds since this process began. Not by the global: a test runner's clock may stand in its place, and still. */
export const nowMs: () => number = performance.now.bind(performance);

/** How long to look, and how often. */
export interface UntilOptions {
  /** From now. */
  readonly deadlineMs: number;
  /** Between two looks. Left out: 1. */
  readonly everyMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks again and again until `isDone` of what is seen, or until the deadline; returns what was seen last. Throws the signal's
 * reason, and what `look` throws.
 */
export async function until<T>(
  look: () => T | Promise<T>,
  isDone: (seen: T) => boolean,
  { deadlineMs, everyMs = 1, signal }: UntilOptions,
): Promise<T> {
  const endMs = nowMs() + deadlineMs;
  for (;;) {
    signal?.throwIfAborted();
    const seen = await look();
    if (isDone(seen) || nowMs() >= endMs) return seen;
    await pause(everyMs);
  }
}
