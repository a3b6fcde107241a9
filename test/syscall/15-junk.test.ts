import { runJunk } from '../fixture/junk.js';

runJunk(
  'whatever it is given, a call throws a TypeError or a RangeError with a code, its own error, or works',
  new URL('./junk.js', import.meta.url),
  process.env['CLOSEWAIT_RUNS'] ?? '150',
);
