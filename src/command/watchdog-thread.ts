/** The thread that looks on: see Watchdog. */
import { readFileSync, writeSync } from 'node:fs';
import { Session } from 'node:inspector';
import { workerData } from 'node:worker_threads';
import type { Watched } from './watchdog.js';

const { turns, everyMs, loopMs, processMs, end } = workerData as Watched;
/** A loop is paused again while it is found within Node, so often. */
const MOST_PAUSES = 200;
/** By this thread's own turns: a process that was stopped has not looped meanwhile. */
let stillMs = 0;
let loopingMs = 0;
let last = -1;
let asked = false;

setInterval(() => {
  const now = Atomics.load(turns, 0);
  if (now !== last) stillMs = loopingMs = 0;
  else {
    stillMs += everyMs;
    if (isRunning()) loopingMs += everyMs;
  }
  last = now;
  if (stillMs >= processMs) endProcess();
  else if (loopingMs >= loopMs && !asked) endLoop();
}, everyMs);

/** Whether the main thread computes: one that waits in a call may yet come back by itself. */
function isRunning(): boolean {
  const { pid } = process;
  // The name before it may hold anything, parentheses too.
  const [state] = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'latin1').split(') ').slice(-1);
  return state?.startsWith('R') === true;
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
  writeSync(2, `closewait: killed: one call that blocks has gone on for ${stillMs / 1000} s\n`);
  process.kill(process.pid, 'SIGKILL');
}
