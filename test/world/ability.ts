/** What this process may do, for the titles of tests that must be skipped. */
import type { ExecutionContext } from 'ava';
import { test } from '../fixture/descriptors.js';

export * from './why-not.js';

/** A test, or a skipped one whose title says why. */
export function testUnless(
  reason: string | undefined,
  title: string,
  run: (t: ExecutionContext) => Promise<void>,
): void {
  if (reason === undefined) test(title, run);
  else test.skip(`${title} (${reason})`, run);
}
