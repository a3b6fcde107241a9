import * as sys from '../syscall/sys.js';
import type { Endpoint } from '../tcp/address.js';
import type { World } from '../world/world.js';
import type { Cast, ClientRole, ServerRole } from './role.js';

const BUFFER_SIZE = 1024;
const BACKLOG = 5;

/** One end whose calls an actor makes. */
abstract class RawEnd {
  protected readonly fds = new sys.Descriptors();
  protected readonly actor: sys.Actor;
  readonly #signal: AbortSignal | undefined;
  protected connection = -1;
  readonly pid = process.pid;

  readonly tid: number;

  constructor(actor: sys.Actor, tid: number, signal: AbortSignal | undefined) {
    this.actor = actor;
    this.tid = tid;
    this.#signal = signal;
  }

  /** What a call that may block takes besides its arguments. */
  protected get options(): [] | [sys.CallOptions] {
    return this.#signal === undefined ? [] : [{ signal: this.#signal }];
  }

  withDescriptor<T>(look: (fd: number) => T): T | undefined {
    return this.connection < 0 ? undefined : look(this.connection);
  }

  protected async read(): Promise<Uint8Array> {
    const buffer = new Uint8Array(BUFFER_SIZE);
    const length = await this.actor.read(this.connection, buffer, ...this.options);
    return buffer.subarray(0, length);
  }

  async close(): Promise<void> {
    const fd = this.fds.release(this.connection);
    this.connection = -1;
    await this.actor.close(fd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // First the thread: closing under a call that blocks would leave the FIN unsent.
    await this.actor.stop();
    this.fds[Symbol.dispose]();
  }
}

class RawServer extends RawEnd implements ServerRole {
  readonly end = 'server';
  address: Endpoint | undefined;
  onListen: Cast['onListen'] = async () => {};
  #listener = -1;

  async listen(): Promise<Endpoint> {
    this.#listener = this.fds.own(
      await this.actor.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC),
    );
    await this.actor.bind(this.#listener, { address: '127.0.0.1', port: 0 });
    await this.actor.listen(this.#listener, BACKLOG);
    this.address = await this.actor.getsockname(this.#listener);
    await this.onListen(this.address);
    return this.address;
  }

  async accept(): Promise<void> {
    const { fd } = await this.actor.accept(this.#listener, ...this.options);
    this.connection = this.fds.own(fd);
  }

  async echo(): Promise<void> {
    await this.actor.write(this.connection, await this.read());
  }

  async writeLate(): Promise<string | undefined> {
    try {
      await this.actor.write(this.connection, 'late\n');
      return undefined;
    } catch (error) {
      if (error instanceof sys.SyscallError) return error.code;
      throw error;
    }
  }

  async readEnd(): Promise<void> {
    const { length } = await this.read();
    if (length > 0) throw new Error(`server: expected the end of the stream, read ${length} bytes`);
  }
}

class RawClient extends RawEnd implements ClientRole {
  readonly end = 'client';

  async connect(to: Endpoint): Promise<void> {
    this.connection = this.fds.own(
      await this.actor.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC),
    );
    await this.actor.connect(this.connection, to, ...this.options);
  }

  async send(text: string): Promise<void> {
    await this.actor.write(this.connection, text);
  }

  async receive(): Promise<string> {
    return Buffer.from(await this.read()).toString();
  }
}

/** Casts both ends with actors in a world: raw system calls, each end on a thread of its own. */
export async function castRaw(world: World, signal?: AbortSignal): Promise<Cast> {
  const start = async (name: string): Promise<[sys.Actor, number]> => {
    const actor = await world.actor(name);
    return [actor, await actor.gettid()];
  };
  const server = new RawServer(...(await start('server')), signal);
  const client = new RawClient(...(await start('client')), signal);
  return {
    driver: 'raw',
    server,
    client,
    set onListen(heard: Cast['onListen']) {
      server.onListen = heard;
    },
    onStart: async () => {},
    transcripts: () => ({}),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
