import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as tick } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as sys from '../syscall/sys.js';
import type { Endpoint } from '../tcp/address.js';
import type { World } from '../world/world.js';
import { Program } from './program.js';
import type { ActingProgram, Cast, ClientRole, Role, ServerRole } from './role.js';
import { missingClose } from './server.js';

const DEADLINE_MS = 10_000;
const cli = fileURLToPath(new URL('../cli.js', import.meta.url));

/** A connected socket of a program: found among its descriptors, copied, looked at, closed. */
function look<T>(program: Program | undefined, fn: (fd: number) => T): T | undefined {
  if (program === undefined) return undefined;
  for (const fd of socketDescriptors(program.pid)) {
    using fds = new sys.Descriptors();
    try {
      const copy = fds.own(sys.pidfd_getfd(program.pidfd, fd));
      if (sys.getOption(copy, 'SO_ACCEPTCONN') || sys.getOption(copy, 'SO_PROTOCOL') !== 6)
        continue;
      return fn(copy);
    } catch (error) {
      // The program may close it, or end, while it is looked at.
      const gone = ['EBADF', 'ESRCH', 'ENOPROTOOPT'];
      if (error instanceof sys.SyscallError && gone.includes(error.code)) continue;
      throw error;
    }
  }
  return undefined;
}

function socketDescriptors(pid: number): number[] {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder)
      .filter((fd) => readlinkSync(`${folder}/${fd}`).startsWith('socket:'))
      .map(Number);
  } catch (error) {
    // It has ended, or has just closed what was listed.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/** The system call that a process's first thread is blocked in (proc(5), /proc/pid/syscall). */
function blockedIn(pid: number): string | undefined {
  const [number] = readFileSync(`/proc/${pid}/syscall`, 'utf8').split(' ', 1);
  return sys.syscallName(Number(number));
}

abstract class ProgramEnd implements Role {
  abstract readonly end: 'client' | 'server';
  protected process: Program | undefined;
  onStart: Cast['onStart'] = async () => {};
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Starts the article's program as a process of its own, under the name it shows in netstat. */
  protected async start(...args: readonly string[]): Promise<Program> {
    const { end: name } = this;
    const argv = [`closewait-${name}`, cli, name, ...args];
    this.process = await Program.start(this.#world, { name, path: process.execPath, argv });
    await this.onStart(this.process.pid, name);
    return this.process;
  }

  /** The programs have one thread that matters: the first. */
  get tid(): number | undefined {
    return this.pid;
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  get program(): ActingProgram {
    return {};
  }

  kill(): void {
    this.process?.signal(sys.SIGKILL);
  }

  get transcript(): string | undefined {
    return this.process?.transcript;
  }

  protected get running(): Program {
    if (this.process === undefined) throw new Error(`the ${this.end} program is not started`);
    return this.process;
  }

  withDescriptor<T>(fn: (fd: number) => T): T | undefined {
    return look(this.process, fn);
  }

  protected printed(what: string): Promise<void> {
    const before = this.running.printed().lastIndexOf(what);
    return this.running.until(
      JSON.stringify(what),
      () => this.running.printed().lastIndexOf(what) > before,
      DEADLINE_MS,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process?.stop();
  }
}

/** The article's server. What it does on its own account is not asked for, only waited for. */
class ServerProgram extends ProgramEnd implements ServerRole {
  readonly end = 'server';
  address: Endpoint | undefined;
  onListen: Cast['onListen'] = async () => {};

  async listen(): Promise<Endpoint> {
    const server = await this.start('0');
    const line = /Listening on \S+:(\d+)\n/;
    await server.until('its port', () => line.test(server.printed('error')), DEADLINE_MS);
    const port = Number(line.exec(server.printed('error'))?.[1]);
    this.address = { address: '127.0.0.1', port };
    await this.onListen(this.address);
    return this.address;
  }

  async accept(): Promise<void> {
    const server = this.running;
    await server.until('a client', () => server.printed().includes('Connected'), DEADLINE_MS);
  }

  async echo(): Promise<void> {}

  /** The server has read the end when it sleeps: that is all it does after. */
  async readEnd(): Promise<void> {
    const { pid } = this.running;
    const deadline = performance.now() + DEADLINE_MS;
    while (blockedIn(pid) !== 'clock_nanosleep') {
      if (performance.now() > deadline) throw new Error('the server program has not gone to sleep');
      await tick(1);
    }
  }

  override get program(): ActingProgram {
    const missingCall = missingClose();
    return missingCall === undefined ? {} : { missingCall };
  }

  writeLate(): Promise<never> {
    throw new Error('the server program writes only what it has read');
  }

  /** Ctrl-C: the only way this program ever closes anything. */
  async close(): Promise<void> {
    this.running.signal(sys.SIGINT);
    await this.running.exited;
  }
}

class ClientProgram extends ProgramEnd implements ClientRole {
  readonly end = 'client';

  async connect(to: Endpoint): Promise<void> {
    const client = await this.start(to.address, String(to.port));
    await client.until('its prompt', () => client.printed().includes('quit): '), DEADLINE_MS);
  }

  async send(text: string): Promise<void> {
    this.#reply = this.printed('Message from server: ');
    this.#reply.catch(() => {});
    this.running.type(text);
  }

  #reply: Promise<void> = Promise.resolve();

  async receive(): Promise<string> {
    await this.#reply;
    const client = this.running;
    const reply = /Message from server: ([^\n]*\n)Input message\(Q to quit\): $/;
    await client.until('the prompt', () => reply.test(client.printed()), DEADLINE_MS);
    return reply.exec(client.printed())?.[1] ?? '';
  }

  async close(): Promise<void> {
    this.running.type('Q\n');
    const { code, status } = await this.running.exited;
    if (code !== sys.CLD_EXITED || status !== 0) {
      throw new Error(`the client ended with ${status}: ${this.running.printed('error')}`);
    }
  }
}

/** Casts both ends with the article's two programs, as real processes in a world. */
export async function castPrograms(world: World, signal?: AbortSignal): Promise<Cast> {
  const server = new ServerProgram(world);
  const client = new ClientProgram(world);
  // Whoever waits for a program hears of its end.
  const end = (): void => {
    server.kill();
    client.kill();
  };
  signal?.addEventListener('abort', end);
  return {
    driver: 'program',
    server,
    client,
    set onListen(heard: Cast['onListen']) {
      server.onListen = heard;
    },
    set onStart(started: Cast['onStart']) {
      server.onStart = started;
      client.onStart = started;
    },
    transcripts: () => ({
      ...(server.transcript !== undefined && { server: server.transcript }),
      ...(client.transcript !== undefined && { client: client.transcript }),
    }),
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener('abort', end);
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
