/** The thread that looks on: see Watchdog. */
import { readFileSync, writeSync } from 'node:fs';
import { Session } from 'node:inspector';
import { workerData } from 'node:worker_threads';
import type { Watched } from './watchdog.js';

const { turns, everyMs, loopMs, processMs, end } = workerData as Watched;
/** A loop is paused again while it is found within Node, so often. */
const MOST_PAUSES = 200;
/** USER_HZ, in which /proc counts, is 100 on every machine that Node runs on (include/asm-generic/param.h). */
const TICK_MS = 10;
/** Since the event loop turned last. By this thread's own turns: a process that was stopped has not waited meanwhile. */
let waitedMs = 0;
let computedMs = 0;
/** What the main thread had computed by then. */
let thenMs = 0;
let last = -1;
let asked = false;

setInterval(() => {
  const now = Atomics.load(turns, 0);
  const { isRunning, cpuMs } = mainThread();
  if (now !== last) {
    waitedMs = 0;
    thenMs = cpuMs;
  } else if (!isRunning) waitedMs += everyMs;
  computedMs = cpuMs - thenMs;
  last = now;
  if (waitedMs + computedMs >= processMs) endProcess();
  else if (computedMs >= loopMs && !asked) endLoop();
}, everyMs);

/**
 * Whether the main thread computes or would, had it a processor, and for how long it has: one that waits in a call may yet come
 * back by itself, and one that waits for a processor has not looped.
 */
function mainThread(): { readonly isRunning: boolean; readonly cpuMs: number } {
  const { pid } = process;
  const stat = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'latin1');
  // The name may hold anything, parentheses too. What is behind it proc_pid_stat(5) counts from 3: utime is 14, stime 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    isRunning: fields[0] === 'R',
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
  };
}

function endLoop(): void {
  asked = true;
  const session = new Session();
  session.connectToMainThread();
  let pauses = 0;
  session.on('Debugger.paused', ({ params: { callFrames } }) => {
    pauses += 1;
    for (const { callFrameId } of callFrames.slice(0, 1)) {
      const expression = `globalThis[Symbol.for('${end}')]?.(${pauses >= MOST_PAUSES})`;
      session.post('Debugger.evaluateOnCallFrame', { callFrameId, expression });
    }
    // It is still here: it was within Node, between two turns of the loop.
    session.post('Debugger.resume');
  });
  session.on('Debugger.resumed', () => session.post('Debugger.pause'));
  session.post('Debugger.enable');
  session.post('Debugger.pause');
}

function endProcess(): void {
  writeSync(
    2,
    `closewait: killed: one call that blocks has gone on for ${(waitedMs + computedMs) / 1000} s\n`,
  );
  process.kill(process.pid, 'SIGKILL');
}
