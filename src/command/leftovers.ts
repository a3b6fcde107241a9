import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { numbersIn } from '../observer/proc.js';
import { EXPECTATION_FAILED, type Io } from './command.js';

/** What the code of scenario files does to this process: nobody else would say so, and all of it ends with us. */
export class Leftovers implements Disposable {
  readonly #io: Io;
  #before: ReadonlySet<string | number> = new Set();
  readonly #ended = new Set<number>();
  #goingOn: readonly string[] = [];
  #strays = 0;
  #reported = false;

  /** From here on an end of the process that the command has not asked for is said, and is no success. */
  constructor(io: Io) {
    this.#io = io;
    process.on('beforeExit', this.#drained);
    process.on('exit', this.#exit);
  }

  /**
   * The files are loaded. What there is now is theirs to keep; from here on an error that nobody awaits is said, and does not
   * end the process and with it the other runs.
   */
  begin(): void {
    this.#before = new Set([...filesHeld(), ...children()]);
    this.#goingOn = process.getActiveResourcesInfo();
    process.on('unhandledRejection', this.#stray);
    process.on('uncaughtException', this.#stray);
  }

  #say(what: string, error: unknown): void {
    this.#io.status?.('');
    this.#io.chatter(`${what}: ${summaryOf(error)}`);
  }

  #stray = (error: unknown): void => {
    this.#strays++;
    // It may come when the command has said its exit code.
    process.exitCode = EXPECTATION_FAILED;
    this.#say('an error that nobody awaited', error);
  };

  #drained = (): void => {
    this.#unsaid('a file waits for what never comes: nothing is going on any more');
  };

  #exit = (code: number): void => {
    // This runs within process.exit(): the stack says who called it.
    const [, ...lines] = new Error().stack?.split('\n') ?? [];
    const where = lines.find((line) => !/node:|leftovers\.[jt]s/.test(line))?.trim() ?? '';
    // The command itself, whose reader has seen enough.
    if (/\/cli\.[jt]s:/.test(where)) return;
    this.#unsaid(`a file has ended the command, by process.exit(${code}) ${where}`.trim());
  };

  #unsaid(what: string): void {
    this[Symbol.dispose]();
    this.#io.status?.('');
    this.#io.chatter(what);
    process.exitCode = EXPECTATION_FAILED;
  }

  /** Says what is left when all has ended, and ends it; false if there was any of it. */
  async report(): Promise<boolean> {
    this.#reported = true;
    // What was rejected last is told when the microtasks are done.
    await new Promise(setImmediate);
    const left = filesHeld().filter((each) => !this.#before.has(each));
    if (left.length > 0) this.#io.chatter(`left open by a scenario: ${left.join(', ')}`);
    const ended = this.#endChildren();
    this.#io.endSoon(this.#goingOn);
    return left.length === 0 && !ended && this.#strays === 0;
  }

  /** Whether there were any. */
  #endChildren(): boolean {
    const left = children().filter((pid) => !this.#before.has(pid) && !this.#ended.has(pid));
    for (const pid of left) {
      this.#io.chatter(`left running by a scenario, and ended: ${nameOf(pid)} (pid ${pid})`);
      end(pid);
      this.#ended.add(pid);
    }
    return left.length > 0;
  }

  /** The command is over, one way or the other. */
  [Symbol.dispose](): void {
    process.off('beforeExit', this.#drained);
    process.off('exit', this.#exit);
    if (!this.#reported) {
      // What the command itself dies of is no scenario's.
      process.off('unhandledRejection', this.#stray);
      process.off('uncaughtException', this.#stray);
    }
    this.#endChildren();
  }
}

/** What an error is and where it began; the rest is the lab's own. */
function summaryOf(error: unknown): string {
  const [what, where = ''] = (error instanceof Error && error.stack?.split('\n')) || [`${error}`];
  return `${what} ${where.trim()}`.trim();
}

/** What this process holds open, but for what Node opens when it sees fit: as `fd 21 socket:[4242]`, in their order. */
function filesHeld(): string[] {
  return numbersIn('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return /^(socket|net):|^\/(?!dev\/|proc\/)/.test(target) ? [`fd ${fd} ${target}`] : [];
    } catch {
      // The descriptor that this very listing used.
      return [];
    }
  });
}

/** The processes that this one has started. */
function children(): number[] {
  return readdirSync('/proc/self/task').flatMap((tid) => {
    try {
      const list = readFileSync(`/proc/self/task/${tid}/children`, 'utf8').trim();
      return list === '' ? [] : list.split(' ').map(Number);
    } catch {
      // The thread has ended since, or the kernel has no such list.
      return [];
    }
  });
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'a process';
  }
}

/** Ends a child of ours. Nobody reaps it meanwhile, so its number is its own. */
function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
