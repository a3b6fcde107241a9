import { setTimeout as tick } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as sys from '../syscall/sys.js';
import type { Endpoint } from '../tcp/address.js';
import { stateNumber } from '../tcp/states.js';
import type { Host } from '../world/host.js';
import { hasSaidWhy } from './article.js';
import { borrowSocket } from './borrow.js';
import { LimitedClient, LimitedServer } from './limited.js';
import { textOf } from './processes.js';
import { Program } from './program.js';
import type {
  ActingProgram,
  Cast,
  CastOptions,
  ClientRole,
  End,
  Hosts,
  ListenOptions,
  ServerRole,
} from './role.js';
import { NotReady } from './running.js';
import { missingClose } from './server.js';

const DEADLINE_MS = 10_000;
const REPLY = 'Message from server: ';
const cli = fileURLToPath(new URL('../cli.js', import.meta.url));

/**
 * Whether the server has read the end: it sleeps then, and does nothing else after (proc(5), /proc/pid/syscall). Where nobody
 * may look at its calls, its socket tells: in CLOSE_WAIT, and nothing unread, of which a FIN counts as one (/proc/pid/net/tcp).
 */
function hasReadEnd(pid: number, { address, port }: Endpoint): boolean {
  const [number = ''] = textOf(`/proc/${pid}/syscall`).split(' ', 1);
  // In restart_syscall it goes on to sleep when it has been stopped.
  const asleep = ['clock_nanosleep', 'restart_syscall'];
  if (number !== '') return asleep.includes(sys.syscallName(Number(number)) ?? '');
  const table = textOf(`/proc/${pid}/net/tcp${address.includes(':') ? '6' : ''}`);
  const [local, state] = [hex(port, 4), hex(stateNumber('CLOSE_WAIT'), 2)];
  return new RegExp(`^ *\\d+: \\w+:${local} \\w+:\\w+ ${state} \\w+:0+ `, 'm').test(table);
}

const hex = (number: number, digits: number): string =>
  number.toString(16).toUpperCase().padStart(digits, '0');

/** One of the article's programs, as a process of its own under the name it shows in netstat. */
class Acting {
  onStart: Cast['onStart'] = async () => {};
  process: Program | undefined;
  readonly #end: End;
  readonly #host: Host;
  /** All that were begun: a story may ask again. */
  readonly #started: Promise<Program>[] = [];
  #killed = false;

  constructor(end: End, host: Host) {
    this.#end = end;
    this.#host = host;
  }

  async start(...args: readonly string[]): Promise<Program> {
    this.#unlessKilled();
    const name = this.#end;
    const argv = [`closewait-${name}`, cli, name, ...args];
    const starting = Program.start(this.#host, {
      ...{ name, path: process.execPath, argv },
      // Its first calls are followed, too, however late it is when they can be.
      onProcess: async (pid) => {
        this.#unlessKilled();
        await this.onStart(pid, name);
      },
    });
    this.#started.push(starting);
    this.process = await starting;
    // While it was being spawned there was nothing to send a signal to.
    if (this.#killed) this.process.signal(sys.SIGKILL);
    this.#unlessKilled();
    return this.process;
  }

  #unlessKilled(): void {
    if (this.#killed) throw new Error(`the ${this.#end} program has been ended`);
  }

  /** Ends it, and lets none be started any more. */
  kill(): void {
    this.#killed = true;
    this.process?.signal(sys.SIGKILL);
  }

  /** Ends whatever was started, also what is still being started, and closes all. Idempotent. */
  async stop(): Promise<void> {
    this.kill();
    for (const started of await Promise.allSettled(this.#started)) {
      if (started.status === 'fulfilled') await started.value.stop();
    }
  }

  get running(): Program {
    if (this.process === undefined) throw new Error(`the ${this.#end} program is not started`);
    return this.process;
  }

  /**
   * Waits until `ready` is true of the program. Throws an Error where it has ended with what failed: that is an answer of the
   * kernel's. Throws NotReady where it has ended otherwise, or the time is over: a program that is stopped, that the machine
   * gives no time or too little memory, tells nothing of TCP.
   */
  async until(what: string, ready: (program: Program) => boolean): Promise<void> {
    const program = this.running;
    try {
      await program.until(what, () => ready(program), DEADLINE_MS);
    } catch (error) {
      if (hasSaidWhy(program.printed('error'))) throw error;
      throw new NotReady((error as Error).message);
    }
  }

  /** Types a line into it. Throws as `until` does, where nobody reads it any more. */
  async type(line: string): Promise<void> {
    try {
      this.running.type(line);
    } catch (error) {
      if (!(error instanceof sys.SyscallError && error.code === 'EPIPE')) throw error;
      await this.until(`${JSON.stringify(line)} to be read`, () => false);
    }
  }

  /** Waits for its end, which is to be this one, and for its last words. Throws as `until` does. */
  async ended(how: string): Promise<void> {
    await this.until(`its end with ${how}`, ({ ending }) => ending === how);
    await this.running.exited;
  }
}

/** The article's server. What it does on its own account is not asked for, only waited for. */
class ServerProgram extends LimitedServer implements ServerRole {
  readonly driver = 'program';
  readonly acting: Acting;
  onListen: Cast['onListen'] = async () => {};
  readonly #family: 4 | 6;

  constructor(host: Host, family: 4 | 6) {
    super();
    this.acting = new Acting(this.end, host);
    this.#family = family;
  }

  get pid(): number | undefined {
    return this.acting.process?.pid;
  }

  /** It has one thread that matters: the first. */
  get tid(): number | undefined {
    return this.pid;
  }

  get program(): ActingProgram {
    const missingCall = missingClose();
    return missingCall === undefined ? {} : { missingCall };
  }

  withDescriptor<T>(fn: (fd: number) => T): T | undefined {
    return borrowSocket(this.acting.process, fn);
  }

  async listen(options: ListenOptions = {}): Promise<Endpoint> {
    const { port = 0, ...others } = options;
    for (const name of Object.keys(others)) await this.cannot(`listen() with ${name}`);
    const host = this.#family === 6 ? ['--host', '::1'] : [];
    const server = await this.acting.start(String(port), ...host);
    const line = /Listening on \S+:(\d+)\n/;
    await this.acting.until('its port', () => line.test(server.printed('error')));
    const address = this.#family === 6 ? '::1' : '127.0.0.1';
    this.address = { address, port: Number(line.exec(server.printed('error'))?.[1]) };
    await this.onListen(this.address);
    return this.address;
  }

  async accept(): Promise<void> {
    await this.acting.until('a client', (server) => server.printed().includes('Connected'));
  }

  async echo(): Promise<void> {}

  send(): Promise<number> {
    return this.cannot('a write of its own: the server writes what it has read');
  }

  receive(): Promise<string> {
    return this.cannot('a read of its own: the server reads until the end');
  }

  async readEnd(): Promise<void> {
    const { pid } = this.acting.running;
    const deadline = performance.now() + DEADLINE_MS;
    const { address } = this;
    if (address === undefined) throw new Error('the server program does not listen');
    while (!hasReadEnd(pid, address)) {
      const { ending } = this.acting.running;
      const late = performance.now() > deadline;
      if (late || ending !== undefined) {
        const instead = ending === undefined ? '' : `: it ended with ${ending}`;
        throw new NotReady(`the server program has not gone to sleep${instead}`);
      }
      await tick(1);
    }
  }

  /** Ctrl-C: the only way this program ever closes anything. */
  async close(): Promise<void> {
    this.acting.running.signal(sys.SIGINT);
    await this.acting.ended(`signal ${sys.SIGINT}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.acting.stop();
  }
}

class ClientProgram extends LimitedClient implements ClientRole {
  readonly driver = 'program';
  readonly acting: Acting;
  /** Where the last reply began when something was sent. */
  #before = -1;

  constructor(host: Host) {
    super();
    this.acting = new Acting(this.end, host);
  }

  get pid(): number | undefined {
    return this.acting.process?.pid;
  }

  get tid(): number | undefined {
    return this.pid;
  }

  get program(): ActingProgram {
    return {};
  }

  withDescriptor<T>(fn: (fd: number) => T): T | undefined {
    return borrowSocket(this.acting.process, fn);
  }

  async connect(to: Endpoint): Promise<void> {
    await this.acting.start(to.address, String(to.port));
    await this.acting.until('its prompt', (client) => client.printed().includes('quit): '));
  }

  async send(data: string | Uint8Array): Promise<number> {
    const text = typeof data === 'string' ? data : Buffer.from(data).toString();
    if (!text.endsWith('\n')) return await this.cannot('a write of anything but whole lines');
    this.#before = this.acting.running.printed().lastIndexOf(REPLY);
    await this.acting.type(text);
    return Buffer.byteLength(text);
  }

  async receive(): Promise<string> {
    const isNext = (client: Program) => client.printed().lastIndexOf(REPLY) > this.#before;
    await this.acting.until(JSON.stringify(REPLY), isNext);
    const reply = /Message from server: ([^\n]*\n)Input message\(Q to quit\): $/;
    await this.acting.until('the prompt', (client) => reply.test(client.printed()));
    return reply.exec(this.acting.running.printed())?.[1] ?? '';
  }

  readEnd(): Promise<void> {
    return this.cannot('a read that nothing was sent for');
  }

  async close(): Promise<void> {
    await this.acting.type('Q\n');
    await this.acting.ended('exit code 0');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.acting.stop();
  }
}

/** Casts both ends with the article's two programs, as real processes. */
export async function castPrograms(
  hosts: Hosts,
  { family = 4, signal }: CastOptions = {},
): Promise<Cast> {
  const server = new ServerProgram(hosts.server, family);
  const client = new ClientProgram(hosts.client);
  const actors = [client.acting, server.acting];
  // Whoever waits for a program hears of its end.
  const end = (): void => {
    for (const acting of actors) acting.kill();
  };
  signal?.addEventListener('abort', end);
  return {
    driver: 'program',
    server,
    client,
    set onListen(heard: Cast['onListen']) {
      server.onListen = heard;
    },
    onDiscard: () => {},
    set onStart(started: Cast['onStart']) {
      for (const acting of actors) acting.onStart = started;
    },
    transcripts: () => ({
      ...(server.acting.process && { server: server.acting.process.transcript }),
      ...(client.acting.process && { client: client.acting.process.transcript }),
    }),
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener('abort', end);
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
