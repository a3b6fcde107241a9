import { setTimeout as delay } from 'node:timers/promises';

const STEP_MS = 5;

/** Looks until `isDone` of what it sees, at most `deadlineMs`; returns what it saw last. */
export async function until<T>(
  look: () => T | Promise<T>,
  isDone: (seen: T) => boolean,
  deadlineMs: number,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (isDone(seen) || performance.now() >= end) return seen;
    await delay(STEP_MS);
  }
}
