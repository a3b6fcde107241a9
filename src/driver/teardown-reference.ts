import { existsSync, readFileSync } from 'node:fs';
import type { World } from '../world/world.js';
import { ReferenceProgram } from './reference.js';
import { RECORD, type TeardownArm, type TeardownDriver, type TeardownMode } from './teardown.js';

/** native/reference/teardown.c: both ends in one thread (`c`), or two processes (`program`). */
export class ReferenceArm implements TeardownArm {
  readonly driver: TeardownDriver;
  readonly port: number;
  readonly tids: readonly number[];
  readonly #program: ReferenceProgram;

  private constructor(driver: TeardownDriver, port: number, program: ReferenceProgram) {
    this.driver = driver;
    this.port = port;
    this.tids = [program.pid, ...childrenOf(program.pid)];
    this.#program = program;
  }

  /** Throws SyscallError, ENOENT from execve where the program was not built. */
  static async start(
    world: World,
    driver: 'c' | 'program',
    mode: TeardownMode,
    signal?: AbortSignal,
  ): Promise<ReferenceArm> {
    const args = [mode.name, ...(driver === 'program' ? ['--processes'] : [])];
    const program = await ReferenceProgram.start(world, 'teardown', args, signal);
    try {
      const port = Number(await program.line());
      await program.line(); // ready
      return new ReferenceArm(driver, port, program);
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  async run(records: BigInt64Array): Promise<void> {
    await this.#program.tell(String(records.length / RECORD.length));
    const { buffer, byteOffset, byteLength } = records;
    await this.#program.read(new Uint8Array(buffer, byteOffset, byteLength));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]();
  }
}

function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`; // absent without CONFIG_PROC_CHILDREN
  return existsSync(path)
    ? readFileSync(path, 'latin1').split(' ').filter(Boolean).map(Number)
    : [];
}
