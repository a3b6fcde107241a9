/** A program: diagnoses the process that is named, again and again, until it is ended; says so once it has begun. */
import { diagnose } from '../../src/diagnose/diagnose.js';

const pids = [Number(process.argv[2])];
for (;;) {
  await diagnose({ pids, settleMs: 0 });
  process.stdout.write('.');
}
