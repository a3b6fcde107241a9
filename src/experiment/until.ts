import { setTimeout as pause } from 'node:timers/promises';

/** How long to look. */
export interface UntilOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks again and again until it is so. Throws when the deadline has passed, with `what` was expected and what was seen
 * last; or the signal's reason.
 */
export async function until(
  what: string,
  look: () => readonly [ok: boolean, seen: unknown],
  { deadlineMs, signal }: UntilOptions,
): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    signal?.throwIfAborted();
    const [ok, seen] = look();
    if (ok) return;
    if (performance.now() > endMs) {
      const within = `within ${deadlineMs / 1000} s`;
      throw new Error(`expected ${what} ${within}, observed ${JSON.stringify(seen)}`);
    }
    await pause(1);
  }
}
