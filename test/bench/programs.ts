import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Arm, timed } from './pair.js';

/** The path of something node-gyp built for the benchmarks. */
export function built(file: string): string {
  return fileURLToPath(new URL(`../../../build/Release/${file}`, import.meta.url));
}

/** A running program of native/reference/, which speaks the protocol of rounds.h. Ends at dispose. */
export class Reference implements AsyncDisposable {
  readonly #file: string;
  readonly #child: ChildProcess;
  readonly #stdin: Writable;
  readonly #lines: AsyncIterator<string>;

  private constructor(file: string, child: ChildProcess, stdin: Writable, stdout: Readable) {
    this.#file = file;
    this.#child = child;
    this.#stdin = stdin;
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    // Writing to a program that died: the line it no longer answers with reports that better.
    stdin.on('error', () => {});
  }

  /** Starts build/Release/`name` and waits until it is ready. */
  static async start(name: string, ...args: string[]): Promise<Reference> {
    const file = built(name);
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(child, 'spawn');
    const reference = new Reference(file, child, child.stdin, child.stdout);
    const line = await reference.#answer();
    if (line !== 'ready') throw new Error(`${file}: expected "ready", got "${line}"`);
    return reference;
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid as number;
  }

  /** One round: an arm. */
  readonly run: Arm = async (iterations) => {
    this.#stdin.write(`${iterations}\n`);
    const line = await this.#answer();
    if (!/^\d+$/.test(line)) throw new Error(`${this.#file}: expected nanoseconds, got "${line}"`);
    return Number(line);
  };

  async #answer(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error(`${this.#file} ended where an answer was expected`);
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#stdin.end();
    await exited;
  }
}

/** An arm whose iteration is one run of a command, from spawn to exit; its output is thrown away. */
export function command(file: string, ...args: string[]): Arm {
  return timed(() => {
    const { error, status, signal } = spawnSync(file, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    if (error) throw error;
    if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${signal ?? status}`);
  });
}
