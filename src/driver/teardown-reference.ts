import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as sys from '../syscall/sys.js';
import type { World } from '../world/world.js';
import { RECORD, type TeardownArm, type TeardownDriver, type TeardownMode } from './teardown.js';

const PROGRAM = fileURLToPath(new URL('../../../build/Release/teardown', import.meta.url));
const PIPE_BYTES = 1 << 16;

/**
 * native/reference/teardown.c: both ends in one thread (`c`), or two processes (`program`). It runs in the world, and ends
 * with this object or with this process.
 */
export class ReferenceArm implements TeardownArm {
  readonly driver: TeardownDriver;
  readonly port: number;
  readonly tids: readonly number[];
  readonly #actor: sys.Actor;
  readonly #fds: sys.Descriptors;
  readonly #child: sys.Spawned;
  readonly #stdin: number;
  readonly #stdout: number;
  readonly #signal: AbortSignal | undefined;
  #ended = false;

  private constructor(
    driver: TeardownDriver,
    port: number,
    running: Running,
    signal: AbortSignal | undefined,
  ) {
    this.driver = driver;
    this.port = port;
    this.tids = [running.child.pid, ...childrenOf(running.child.pid)];
    this.#actor = running.actor;
    this.#fds = running.fds;
    this.#child = running.child;
    this.#stdin = running.stdin;
    this.#stdout = running.stdout;
    this.#signal = signal;
  }

  /** Starts the program. Throws SyscallError, ENOENT from execve where it was not built. */
  static async start(
    world: World,
    driver: 'c' | 'program',
    mode: TeardownMode,
    signal?: AbortSignal,
  ): Promise<ReferenceArm> {
    const running = await spawnIn(world, driver, mode);
    try {
      const [port, ready] = await greeting(running);
      if (ready !== 'ready') throw new Error(`teardown ${mode.name}: it is not ready`);
      return new ReferenceArm(driver, Number(port), running, signal);
    } catch (error) {
      await end(running);
      throw error;
    }
  }

  async run(records: BigInt64Array): Promise<void> {
    const { length, buffer, byteOffset, byteLength } = records;
    sys.write(this.#stdin, `${length / RECORD.length}\n`);
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    const options: [] | [sys.CallOptions] =
      this.#signal === undefined ? [] : [{ signal: this.#signal }];
    for (let filled = 0; filled < bytes.length; ) {
      const room = bytes.subarray(filled, filled + PIPE_BYTES);
      const count = await this.#actor.read(this.#stdout, room, ...options);
      if (count === 0) throw new Error('teardown ended before its round was over');
      filled += count;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await end({
      actor: this.#actor,
      fds: this.#fds,
      child: this.#child,
      stdin: this.#stdin,
      stdout: this.#stdout,
    });
  }
}

interface Running {
  readonly actor: sys.Actor;
  readonly fds: sys.Descriptors;
  readonly child: sys.Spawned;
  readonly stdin: number;
  readonly stdout: number;
}

async function spawnIn(world: World, driver: string, mode: TeardownMode): Promise<Running> {
  const actor = await world.actor(driver);
  const fds = new sys.Descriptors();
  const pipe = (): [number, number] => {
    const [read, write] = sys.pipe2(sys.O_CLOEXEC);
    return [fds.own(read), fds.own(write)];
  };
  try {
    const [input, stdin] = pipe();
    const [stdout, output] = pipe();
    const argv = ['teardown', mode.name, ...(driver === 'program' ? ['--processes'] : [])];
    const child = await actor.spawn(PROGRAM, { argv, stdio: [input, output, 2] });
    fds.own(child.pidfd);
    fds.close(input);
    fds.close(output);
    return { actor, fds, child, stdin, stdout };
  } catch (error) {
    await actor.stop();
    fds[Symbol.dispose]();
    throw error;
  }
}

function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`; // absent without CONFIG_PROC_CHILDREN
  return existsSync(path)
    ? readFileSync(path, 'latin1').split(' ').filter(Boolean).map(Number)
    : [];
}

/** The two lines it begins with. */
async function greeting({ actor, stdout }: Running): Promise<string[]> {
  const bytes = new Uint8Array(64);
  let text = '';
  while (text.split('\n').length < 3) {
    const count = await actor.read(stdout, bytes);
    if (count === 0) break;
    text += Buffer.from(bytes.subarray(0, count)).toString('latin1');
  }
  return text.split('\n');
}

async function end({ actor, fds, child }: Running): Promise<void> {
  try {
    sys.pidfd_send_signal(child.pidfd, sys.SIGKILL);
    await actor.waitid(sys.P_PIDFD, child.pidfd);
  } finally {
    await actor.stop();
    fds[Symbol.dispose]();
  }
}
