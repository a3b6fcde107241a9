import { once } from 'node:events';
import { Socket } from 'node:net';
import * as sys from '../syscall/sys.js';
import type { Host } from '../world/host.js';

/** Of what a program prints, in characters: one that prints without end must not fill the memory. */
const MOST_KEPT = 1 << 20;

/** Whether an error is that of a program's start, before it came to which program it is. */
export const failedToStart = (error: unknown): boolean =>
  error instanceof sys.SyscallError && ['clone', 'close_range'].includes(error.syscall);

/** How to start a program. */
export interface ProgramOptions {
  /** For messages and events. */
  readonly name: string;
  readonly path: string;
  /** argv, argv[0] included: what ps and netstat show. */
  readonly argv: readonly string[];
  /** Left out: this process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A pid namespace of its own: all that it starts ends with it. */
  readonly newPid?: boolean;
  /** Is told the pid, as the process sees it itself, before the process becomes the program, which it does when this has resolved. */
  readonly onProcess?: (pid: number) => Promise<void>;
  /** Gets what goes to standard output, which is then not kept in `events`: for a program that is not read by people. */
  readonly onOutput?: (text: string) => void;
}

/** What a program printed or was given, in order, as a terminal would show it. */
export interface ProgramEvent {
  readonly kind: 'output' | 'input' | 'error';
  readonly text: string;
  readonly tNs: bigint;
}

/**
 * A real process on a host, its standard streams in our hands. It dies with this object, and with this process
 * however that ends (PR_SET_PDEATHSIG on the thread that started it).
 */
export class Program implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly pidfd: number;
  /** Resolves when the process has ended and all it printed is in `events`. */
  readonly exited: Promise<sys.Exit>;
  /** The last of them, where it is very much. */
  readonly events: ProgramEvent[] = [];
  /** How many characters went before those. */
  dropped = 0;
  readonly #actor: sys.Actor;
  readonly #streams: readonly Socket[];
  #stdin: number;
  #kept = 0;
  #ended = false;
  #exit: sys.Exit | undefined;
  #heard = false;
  #disposed = false;
  /** Those who wait for something to happen to it. */
  readonly #waiting = new Set<() => void>();

  private constructor(
    name: string,
    actor: sys.Actor,
    { pid, pidfd }: sys.Spawned,
    [stdin, stdout, stderr]: readonly [number, number, number],
    onOutput?: (text: string) => void,
  ) {
    this.name = name;
    this.pid = pid;
    this.pidfd = pidfd;
    this.#actor = actor;
    this.#stdin = stdin;
    this.#streams = [
      listen(stdout, onOutput ?? ((text) => this.#record('output', text))),
      listen(stderr, (text) => this.#record('error', text)),
    ];
    this.exited = this.#wait();
    // Asked about or not, the end of a program is not an unhandled rejection of the lab.
    this.exited.catch(() => {});
  }

  /** Starts a program on a host. Throws SyscallError, from execve if the program cannot be run. */
  static async start(
    host: Host,
    { name, path, argv, env, newPid = false, onProcess, onOutput }: ProgramOptions,
  ): Promise<Program> {
    const actor = await host.actor(name);
    using fds = new sys.Descriptors();
    const pipe = (): [number, number] => {
      const [read, write] = sys.pipe2(sys.O_CLOEXEC);
      return [fds.own(read), fds.own(write)];
    };
    try {
      const [stdin, input] = pipe();
      const [output, stdout] = pipe();
      const [error, stderr] = pipe();
      const stdio: [number, number, number] = [stdin, stdout, stderr];
      // What is typed at the terminal is for who runs the experiment: a program that Ctrl-C ends has not failed.
      const options = { argv, stdio, newPid, newGroup: true, ...(env && { env }) };
      const spawn = (latch: object): Promise<sys.Spawned> =>
        actor.spawn(path, { ...options, ...latch });
      const child = await (onProcess ? hold(spawn, onProcess) : spawn({}));
      for (const fd of [input, output, error]) fds.release(fd);
      return new Program(name, actor, child, [input, output, error], onOutput);
    } catch (error) {
      await actor.stop();
      throw error;
    }
  }

  async #wait(): Promise<sys.Exit> {
    const heard = Promise.all(this.#streams.map((stream) => once(stream, 'close')));
    try {
      const exit = await this.#actor.waitid(sys.P_PIDFD, this.pidfd);
      this.#ended = true;
      this.#exit = exit;
      // Its last words are still in the pipes, and may say why it ended.
      await heard;
      return exit;
    } finally {
      this.#heard = true;
      this.#wake();
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #record(kind: ProgramEvent['kind'], text: string): void {
    this.events.push({ kind, text, tNs: process.hrtime.bigint() });
    this.#kept += text.length;
    while (this.#kept > MOST_KEPT) {
      const { length } = this.events.shift()?.text ?? '';
      this.#kept -= length;
      this.dropped += length;
    }
    this.#wake();
  }

  /** What was printed on standard output so far, or on standard error. */
  printed(kind: 'output' | 'error' = 'output'): string {
    return this.events
      .filter((event) => event.kind === kind)
      .map(({ text }) => text)
      .join('');
  }

  /** The whole conversation as a terminal would show it, without what went to standard error. */
  get transcript(): string {
    return this.events
      .filter(({ kind }) => kind !== 'error')
      .map(({ text }) => text)
      .join('');
  }

  /** Types text into standard input. */
  type(text: string): void {
    this.#record('input', text);
    sys.write(this.#stdin, text);
  }

  /**
   * Waits until `ready` is true of this program; it is asked after each thing that happens to it. Throws an Error with
   * what was printed if the program ends first, and how it ended, or if the deadline passes.
   */
  async until(what: string, ready: () => boolean, deadlineMs: number): Promise<void> {
    const deadline = AbortSignal.timeout(deadlineMs);
    while (!ready()) {
      if (this.#heard || deadline.aborted) {
        const how = this.ending === undefined ? '' : `, with ${this.ending}`;
        const why = deadline.aborted ? `not within ${deadlineMs} ms` : `it ended first${how}`;
        throw new Error(
          `${this.name} (pid ${this.pid}): waited for ${what}: ${why}. It printed: ` +
            JSON.stringify(this.printed() + this.printed('error')),
        );
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          deadline.removeEventListener('abort', wake);
          this.#waiting.delete(wake);
          resolve();
        };
        deadline.addEventListener('abort', wake);
        this.#waiting.add(wake);
      });
    }
  }

  /** How it ended, in words; undefined while it runs. */
  get ending(): string | undefined {
    if (this.#exit === undefined) return undefined;
    const { code, status } = this.#exit;
    return code === sys.CLD_EXITED ? `exit code ${status}` : `signal ${status}`;
  }

  /** Sends a signal; nothing happens if the process has ended. */
  signal(number: number): void {
    if (this.#ended || this.#disposed) return;
    try {
      sys.pidfd_send_signal(this.pidfd, number);
    } catch (error) {
      // The actor may know of the end before this thread does.
      if (!(error instanceof sys.SyscallError && error.code === 'ESRCH')) throw error;
    }
  }

  /** Ends the process, waits for its end and closes all. Idempotent. */
  async stop(): Promise<void> {
    if (this.#disposed) return;
    this.signal(sys.SIGKILL);
    this.#disposed = true;
    // What it leaves running may keep the pipes open.
    for (const stream of this.#streams) stream.destroy();
    await this.exited.catch(() => {});
    sys.close(this.#stdin);
    sys.close(this.pidfd);
    await this.#actor.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Starts a program, and keeps it from running before who is told its pid is ready for it. */
async function hold(
  spawn: (latch: { readonly latch: number }) => Promise<sys.Spawned>,
  onProcess: (pid: number) => Promise<void>,
): Promise<sys.Spawned> {
  using fds = new sys.Descriptors();
  const [outside, latch] = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM | sys.SOCK_CLOEXEC);
  fds.own(latch);
  const keeper = new Socket({ fd: outside });
  const child = spawn({ latch });
  try {
    await Promise.race([once(keeper, 'readable'), child]);
    const pid: Buffer | null = keeper.read(4);
    // Null of one that has ended already, as for want of memory.
    if (pid !== null) await onProcess(pid.readInt32LE());
    sys.write(outside, 'g');
  } catch (error) {
    keeper.destroy();
    await child.catch(() => {});
    throw error;
  }
  keeper.destroy();
  return await child;
}

function listen(fd: number, heard: (text: string) => void): Socket {
  const stream = new Socket({ fd, readable: true, writable: false });
  stream.setEncoding('utf8');
  stream.on('data', heard);
  stream.on('error', () => {});
  return stream;
}
