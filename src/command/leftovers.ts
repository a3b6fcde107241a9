import { readdirSync, readlinkSync } from 'node:fs';
import type { Io } from './command.js';

/** What the code of scenario files leaves behind in this process: nobody else would say so, and all of it ends with us. */
export class Leftovers {
  readonly #io: Io;
  readonly #before = new Set(socketsHeld());
  readonly #goingOn = process.getActiveResourcesInfo();
  #strays = 0;

  /** From here on an error that nobody awaits is said, and does not end the process and with it the other runs. */
  constructor(io: Io) {
    this.#io = io;
    process.on('unhandledRejection', this.#stray);
    process.on('uncaughtException', this.#stray);
  }

  #stray = (error: unknown): void => {
    this.#strays++;
    this.#io.status?.('');
    // What it is and where it began; the rest is the lab's own.
    const [what, where = ''] = (error instanceof Error && error.stack?.split('\n')) || [`${error}`];
    const said = `${what} ${where.trim()}`.trim();
    this.#io.chatter(`an error that nobody awaited: ${said}`);
  };

  /** Says what is left when all has ended; false if there was any of it. */
  async report(): Promise<boolean> {
    // What was rejected last is told when the microtasks are done.
    await new Promise(setImmediate);
    const left = socketsHeld().filter((each) => !this.#before.has(each));
    if (left.length > 0) this.#io.chatter(`left open by a scenario: ${left.join(', ')}`);
    this.#io.endSoon(this.#goingOn);
    return left.length === 0 && this.#strays === 0;
  }
}

/** The sockets this process holds, as `fd 21 socket:[4242]`. */
function socketsHeld(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith('socket:') ? [`fd ${fd} ${target}`] : [];
    } catch {
      // The descriptor that this very listing used.
      return [];
    }
  });
}
