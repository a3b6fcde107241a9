import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as sys from '../syscall/sys.js';
import type { World } from '../world/world.js';

const BUILT = new URL('../../../build/Release/', import.meta.url);
const PACKED = new URL(`../../../prebuilds/${process.platform}-${process.arch}/`, import.meta.url);

/**
 * A program of native/reference in a world, spoken to through its standard streams. It ends with this object, or with this
 * process however that ends.
 */
export class ReferenceProgram implements AsyncDisposable {
  readonly pid: number;
  readonly #name: string;
  readonly #actor: sys.Actor;
  readonly #fds: sys.Descriptors;
  readonly #pidfd: number;
  readonly #stdin: number;
  readonly #stdout: number;
  readonly #options: [] | [sys.CallOptions];
  #gone = false;
  #ended = false;

  private constructor(
    name: string,
    actor: sys.Actor,
    fds: sys.Descriptors,
    child: sys.Spawned,
    [stdin, stdout]: readonly [number, number],
    signal: AbortSignal | undefined,
  ) {
    this.#name = name;
    this.#actor = actor;
    this.#fds = fds;
    this.pid = child.pid;
    this.#pidfd = fds.own(child.pidfd);
    this.#stdin = stdin;
    this.#stdout = stdout;
    this.#options = signal === undefined ? [] : [{ signal }];
  }

  /**
   * Starts the program `name`: the one that was built here, or else the one that came with the package. Throws
   * SyscallError, ENOENT from execve where there is neither.
   */
  static async start(
    world: World,
    name: string,
    args: readonly string[],
    signal?: AbortSignal,
  ): Promise<ReferenceProgram> {
    const folder = [BUILT, PACKED].find((place) => existsSync(new URL(name, place))) ?? BUILT;
    const path = fileURLToPath(new URL(name, folder));
    const actor = await world.actor(name);
    const fds = new sys.Descriptors();
    const pipe = (): [number, number] => {
      const [read, write] = sys.pipe2(sys.O_CLOEXEC);
      return [fds.own(read), fds.own(write)];
    };
    try {
      const [input, stdin] = pipe();
      const [stdout, output] = pipe();
      const child = await actor.spawn(path, { argv: [name, ...args], stdio: [input, output, 2] });
      fds.close(input);
      fds.close(output);
      return new ReferenceProgram(name, actor, fds, child, [stdin, stdout], signal);
    } catch (error) {
      await actor.stop();
      fds[Symbol.dispose]();
      throw error;
    }
  }

  /** Writes a line to its standard input. Throws if it has ended. */
  async tell(line: string): Promise<void> {
    try {
      sys.write(this.#stdin, `${line}\n`);
    } catch (error) {
      if ((error as sys.SyscallError).code !== 'EPIPE') throw error;
      throw new Error(`${this.#name} ${await this.#wait()}`, { cause: error });
    }
  }

  /** Fills `bytes` from its standard output. Throws if it ends before. */
  async read(bytes: Uint8Array): Promise<void> {
    for (let filled = 0; filled < bytes.length; ) {
      const count = await this.#actor.read(this.#stdout, bytes.subarray(filled), ...this.#options);
      if (count === 0) throw new Error(`${this.#name} ${await this.#wait()}`);
      filled += count;
    }
  }

  /** The next line of its standard output. */
  async line(): Promise<string> {
    // Byte by byte: what follows the line may be the first of many records.
    const byte = new Uint8Array(1);
    let text = '';
    for (;;) {
      await this.read(byte);
      if (byte[0] === 0x0a) return text;
      text += String.fromCharCode(byte[0] ?? 0);
    }
  }

  /** Waits for its end, takes its remains away, and says how it ended. */
  async #wait(): Promise<string> {
    const { code, status } = await this.#actor.waitid(sys.P_PIDFD, this.#pidfd);
    this.#gone = true;
    return code === sys.CLD_EXITED ? `ended with ${status}` : `was ended by signal ${status}`;
  }

  /** Ends it and takes its remains away. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    try {
      if (this.#gone) return;
      sys.pidfd_send_signal(this.#pidfd, sys.SIGKILL);
      await this.#wait();
    } finally {
      await this.#actor.stop();
      this.#fds[Symbol.dispose]();
    }
  }
}
