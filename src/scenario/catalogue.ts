import { closeWait } from './close-wait.js';
import { finWait2Expiry } from './fin-wait2-expiry.js';
import type { Scenario } from './scenario.js';

/** Every scenario, in the order they are listed and run. */
export const catalogue: readonly Scenario[] = [closeWait, finWait2Expiry];
