/** A program: lists the sockets in CLOSE_WAIT and reads which descriptors lead to sockets, and does nothing with either. */
import { numbersIn } from '../../src/observer/proc.js';
import { socketsOf } from '../../src/observer/process.js';
import { snapshot } from '../../src/observer/sock-diag.js';

snapshot({ states: ['CLOSE_WAIT'], info: true });
for (const pid of numbersIn('/proc')) {
  try {
    socketsOf(pid);
  } catch {
    // It has ended.
  }
}
