// The drivers of one session, each with what it has lived and what the network has seen of it.

import { readFileSync } from 'node:fs';
import {
  RECORD,
  type TeardownArm,
  type TeardownDriver,
  type TeardownMode,
} from '../driver/teardown.js';
import { LibuvArm } from '../driver/teardown-libuv.js';
import { CallByCall, Composite } from '../driver/teardown-raw.js';
import { ReferenceArm } from '../driver/teardown-reference.js';
import type { World } from '../world/world.js';

/** The second instance of the C program, by which the noise is known. */
export const TWIN = 'twin';

export type ArmName = TeardownDriver | typeof TWIN;

function openArm(
  name: ArmName,
  mode: TeardownMode,
  world: World,
  signal: AbortSignal | undefined,
): TeardownArm | Promise<TeardownArm> {
  switch (name) {
    case 'raw':
      return new CallByCall(mode);
    case 'raw-composite':
      return new Composite(mode);
    case 'libuv':
      return new LibuvArm(mode);
    default:
      return ReferenceArm.start(world, name === 'program' ? 'program' : 'c', mode, signal);
  }
}

/** How many segments with RST this network has sent: OutRsts of /proc/net/snmp (RFC 4022). */
function resetsSent(): number {
  const [names = '', values = ''] = readFileSync('/proc/thread-self/net/snmp', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'));
  return Number(values.split(' ')[names.split(' ').indexOf('OutRsts')]);
}

/** A driver can go on no more: a call that must not fail did, or its program has ended. */
export class ArmStoppedError extends Error {
  override readonly name = 'ArmStoppedError';
  readonly arm: ArmName;

  constructor(arm: ArmName, cause: Error) {
    super(cause.message, { cause });
    this.arm = arm;
  }
}

/** An arm, and how many cycles it has lived. */
export class CountedArm implements TeardownArm {
  readonly #name: ArmName;
  readonly #arm: TeardownArm;
  lived = 0;
  /** Segments with RST that the network has sent meanwhile: in a world of its own, this arm's. */
  resets = 0;

  constructor(name: ArmName, arm: TeardownArm) {
    this.#name = name;
    this.#arm = arm;
  }

  get driver(): TeardownDriver {
    return this.#arm.driver;
  }

  get port(): number {
    return this.#arm.port;
  }

  get tids(): readonly number[] {
    return this.#arm.tids;
  }

  async run(records: BigInt64Array): Promise<void> {
    const before = resetsSent();
    await this.#arm.run(records).catch((error: Error) => {
      throw new ArmStoppedError(this.#name, error);
    });
    this.resets += resetsSent() - before;
    this.lived += records.length / RECORD.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#arm[Symbol.asyncDispose]();
  }
}

/** The arms of a session. */
export class Arms implements AsyncDisposable {
  readonly named = new Map<ArmName, CountedArm>();

  /** Throws SyscallError where the lab cannot have it, ArmStoppedError where it ended as it began. */
  async open(
    name: ArmName,
    mode: TeardownMode,
    world: World,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      this.named.set(name, new CountedArm(name, await openArm(name, mode, world, signal)));
    } catch (error) {
      throw error instanceof Error && 'syscall' in error
        ? error
        : new ArmStoppedError(name, error as Error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const arm of [...this.named.values()].reverse()) await arm[Symbol.asyncDispose]();
  }
}
