import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { EXPECTATION_FAILED, type Io } from './command.js';

/** What the thread that looks on is given. */
export interface Watched {
  /** Goes up whenever the event loop turns. */
  readonly turns: Int32Array;
  /** How often that is looked at. */
  readonly everyMs: number;
  /** A loop is ended when it has computed for so long, and nothing has turned. */
  readonly loopMs: number;
  /** The process is, where that did not help. */
  readonly processMs: number;
  /**
   * A global function that ends the command, by a name that nobody else has. It does nothing if what it is called from is
   * nobody's place, unless it is given true.
   */
  readonly end: string;
}

const EVERY_MS = 100;
const LONGEST_LOOP_MS = 10_000;
const MERCY_MS = 5000;
const END = 'closewait.end';
const OURS = new URL('../', import.meta.url).href;

/**
 * Ends the command where the code of a scenario file never lets the event loop go on: no time-out and no Ctrl-C would come
 * through, nor does what observes the run.
 *
 * A thread of its own looks on. It pauses the loop as a debugger does and has it say, from within, where that is. A blocking
 * call cannot be paused: where one goes on for longer than a run may take, the process is killed.
 */
export class Watchdog implements Disposable {
  readonly #worker: Worker;
  readonly #timer: NodeJS.Timeout;

  private constructor(workerData: Watched) {
    const { turns, everyMs } = workerData;
    this.#timer = setInterval(() => Atomics.add(turns, 0, 1), everyMs).unref();
    this.#worker = new Worker(new URL('./watchdog-thread.js', import.meta.url), { workerData });
  }

  /** Looks on from now. `timeoutMs` is how long a run may take; `also` is disposed of before the command is ended. */
  static async start(
    io: Io,
    also: Disposable,
    timeoutMs = Number.POSITIVE_INFINITY,
  ): Promise<Watchdog> {
    const loopMs = Math.min(timeoutMs, LONGEST_LOOP_MS);
    const value = (wherever: boolean): void => {
      const where = placesIn(new Error().stack);
      if (where === '' && !wherever) return;
      also[Symbol.dispose]();
      io.status?.('');
      io.chatter(`a loop that lets nothing else go on was ended after ${loopMs / 1000} s${where}`);
      // Where Node would say that it waits for a debugger.
      closeSync(2);
      io.endNow(EXPECTATION_FAILED);
    };
    Object.defineProperty(globalThis, Symbol.for(END), { value, configurable: true });
    const watchdog = new Watchdog({
      turns: new Int32Array(new SharedArrayBuffer(4)),
      everyMs: EVERY_MS,
      loopMs,
      processMs: timeoutMs + MERCY_MS,
      end: END,
    });
    await once(watchdog.#worker, 'online');
    watchdog.#worker.unref();
    return watchdog;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    Reflect.deleteProperty(globalThis, Symbol.for(END));
    void this.#worker.terminate();
    // Which has it count as going on until it is gone: that may last, and it is nothing a scenario has left.
    this.#worker.unref();
  }
}

/** What to say of a stack: its lines that are neither Node's nor this package's own, if there are any. */
function placesIn(stack = ''): string {
  const lines = stack.split('\n').filter((line) => /file:|\//.test(line));
  const theirs = lines.filter((line) => !/node:|\beval\b/.test(line) && !line.includes(OURS));
  return theirs.length === 0 ? '' : `, ${theirs.map((line) => line.trim()).join(' ')}`;
}
