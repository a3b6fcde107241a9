import { fileURLToPath } from 'node:url';
import { AbortError, SyscallError } from '../syscall/sys.js';
import type { Host } from '../world/host.js';
import type { Acts, Order, Report, ToldError } from './libuv-protocol.js';
import { Program } from './program.js';
import type { AppEvent, End } from './role.js';

const DEADLINE_MS = 20_000;
const agent = fileURLToPath(new URL('./libuv-agent.js', import.meta.url));

type Act = keyof Acts;

/** How a Node program that obeys is started. */
export interface LibuvProgramOptions {
  /** The Node to run: a path. */
  readonly node: string;
  readonly signal?: AbortSignal | undefined;
}

/** What awaits an answer. */
interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** What was to be a Node does not do what one does. */
export class NotNode extends Error {
  override readonly name = 'NotNode';
}

/** A Node program that acts an end: it obeys orders, and tells what it hears. */
export class LibuvProgram implements AsyncDisposable {
  readonly process: Program;
  /** What it heard so far, in order. */
  readonly events: AppEvent[] = [];
  /** process.version of it. */
  version = '';
  /** process.versions.uv of it. */
  libuv = '';
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<() => void>();
  #nextId = 0;
  #gone: Error | undefined;

  private constructor(process: Program) {
    this.process = process;
  }

  /** Starts one on a host and waits until it takes orders. Throws SyscallError where there is no such Node, NotNode where it is none. */
  static async start(
    host: Host,
    end: End,
    { node, signal }: LibuvProgramOptions,
  ): Promise<LibuvProgram> {
    let heard: (text: string) => void = () => {};
    const process = await Program.start(host, {
      ...{ name: end, path: node, argv: [`node-${end}`, agent] },
      onOutput: (text) => heard(text),
    });
    const program = new LibuvProgram(process);
    let line = '';
    heard = (text) => {
      const lines = `${line}${text}`.split('\n');
      line = lines.pop() ?? '';
      for (const each of lines) program.#hear(each);
    };
    const abort = (): void => {
      const cause = { cause: signal?.reason };
      program.#end(new AbortError(end, 'its signal was aborted', cause));
    };
    signal?.addEventListener('abort', abort);
    const ended = (): void => {
      signal?.removeEventListener('abort', abort);
      program.#end(new Error(`${node} has ended (${process.ending}): ${process.printed('error')}`));
    };
    process.exited.then(ended, (error: Error) => program.#end(error));
    try {
      signal?.throwIfAborted();
      await program.until('its version', () => program.version !== '');
      return program;
    } catch (error) {
      await process.stop();
      if (signal?.aborted) throw error;
      throw new NotNode(`${node} is no Node that runs here: ${(error as Error).message.trim()}`);
    }
  }

  #hear(line: string): void {
    try {
      this.#report(JSON.parse(line) as Report);
    } catch {
      // Another program than ours, or one that prints besides: no JSON, or none of these reports.
      this.#end(new Error(`${this.process.name} printed what is no report: ${line}`));
    }
  }

  #report(report: Report): void {
    switch (report.kind) {
      case 'ready':
        this.version = report.version;
        this.libuv = report.libuv;
        break;
      case 'event': {
        const { name, tNs, bytes, code } = report;
        this.events.push({
          ...{ tNs: BigInt(tNs), kind: 'event', name },
          ...(bytes !== undefined && { result: bytes }),
          ...(code !== undefined && { code }),
        });
        break;
      }
      case 'done':
        this.#waiting.get(report.id)?.resolve(report.value);
        this.#waiting.delete(report.id);
        break;
      default:
        this.#waiting.get(report.id)?.reject(errorOf(report.error));
        this.#waiting.delete(report.id);
    }
    for (const listener of this.#listeners) listener();
  }

  #end(why: Error): void {
    this.#gone ??= why;
    for (const { reject } of this.#waiting.values()) reject(this.#gone);
    this.#waiting.clear();
    for (const listener of this.#listeners) listener();
  }

  /** Gives an order; rejects with the error of the program's, or when the program ends or the signal aborts. */
  order<A extends Act>(act: A, ...args: Parameters<Acts[A]>): Promise<ReturnType<Acts[A]>> {
    const answered = new Promise<unknown>((resolve, reject) => {
      if (this.#gone !== undefined) return reject(this.#gone);
      const order: Order = { id: this.#nextId++, act, args };
      this.#waiting.set(order.id, { resolve, reject });
      try {
        this.process.type(`${JSON.stringify(order)}\n`);
      } catch (error) {
        // Nobody reads any more: of how it has ended is heard in a moment.
        if (!(error instanceof SyscallError && error.code === 'EPIPE')) throw error;
      }
    });
    // What is still on its way when a story ends is nobody's to catch; who awaits it hears of its end.
    answered.catch(() => {});
    return answered as Promise<ReturnType<Acts[A]>>;
  }

  /** Waits until `ready` is true; it is asked after each thing that the program says. */
  until(what: string, ready: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => over(new Error(`waited for ${what}: not within ${DEADLINE_MS} ms`)),
        DEADLINE_MS,
      );
      const over = (error?: Error): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        if (error === undefined) resolve();
        else reject(error);
      };
      const look = (): void => {
        if (ready()) over();
        else if (this.#gone !== undefined) over(this.#gone);
      };
      this.#listeners.add(look);
      look();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(new AbortError(this.process.name, 'the program was stopped'));
    await this.process.stop();
  }
}

/** An error that Node told its program, as far as it was told. */
function errorOf({ message, ...facts }: ToldError): Error {
  return Object.assign(new Error(message), facts);
}
