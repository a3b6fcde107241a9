import { statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import * as sys from '../syscall/sys.js';
import type { Endpoint } from '../tcp/address.js';
import type { SocketRow } from '../tcp/socket-table.js';
import type { TcpStateName } from '../tcp/states.js';
import type { Host } from '../world/host.js';
import { descendantsOf, endDescendants, type Held, socketsOf } from './processes.js';
import { Program } from './program.js';
import type { Cast, End } from './role.js';

/** What a program does of its own accord it does soon, or not at all. */
export const ACT_MS = 5_000;
const LOOK_MS = 5;
/**
 * Becomes the program when it is told to: by then its calls are followed. In a pid namespace of its own the first process
 * only waits: it would be spared the signals that end others (pid_namespaces(7)).
 */
const LAUNCHER = {
  path: '/bin/sh',
  script: 'read -r go && exec "$@"',
  waiting: '(read -r go && exec "$@"); exit $?',
};

/** A command line that acts an end. */
export interface Command {
  readonly end: End;
  /** Its words. `{host}` and `{port}` in them are where the server is; the environment has HOST and PORT as well. */
  readonly words: readonly string[];
}

/** Who sees the TCP sockets of a network namespace. */
export interface Sockets {
  snapshot(options?: { readonly states?: readonly TcpStateName[] }): Iterable<SocketRow>;
  find(connection: { readonly local: Endpoint; readonly remote: Endpoint }): SocketRow | undefined;
}

/** What a program was waited for to do did not show. */
export class NotSeen extends Error {
  override readonly name: string = 'NotSeen';
  readonly code = 'ERR_NOT_SEEN';
}

/**
 * A command has not come so far that it could be told from none: it does not listen, or has not connected. Or one of the article's
 * programs, of which it is known what they do, has not done it: it had no time, or was ended.
 */
export class NotReady extends NotSeen {
  override readonly name = 'NotReady';
}

/** How to wait for a program. */
interface HasOptions {
  /** Left out: 5 s. */
  readonly withinMs?: number;
  /** What to say of it if it has not done so. Left out: the state of its socket. */
  readonly instead?: () => string;
  /** What to throw then. Left out: NotSeen. */
  readonly Fault?: typeof NotSeen;
}

/** A program that came with nothing but its command line: what it does is seen from outside. */
export class Running {
  onStart: Cast['onStart'] = async () => {};
  process: Program | undefined;
  /** Of the program itself; undefined until it is started. */
  pid: number | undefined;
  /** The ends of the connection, its own first. A server's is known before the other, which may be no socket of ours. */
  connection: { readonly local: Endpoint; readonly remote?: Endpoint | undefined } | undefined;
  readonly end: End;
  readonly line: string;
  readonly #words: readonly string[];
  readonly #host: Host;
  /** Those where it runs. */
  readonly sockets: Sockets;
  /** Ends what waits for it. */
  readonly signal: AbortSignal | undefined;
  #starting: Promise<void> | undefined;
  #stopped = false;
  #inode = 0;

  constructor(
    { end, words }: Command,
    host: Host,
    sockets: Sockets,
    signal: AbortSignal | undefined,
  ) {
    this.end = end;
    this.line = words.map((word) => (/^[^\s'"]+$/.test(word) ? word : `'${word}'`)).join(' ');
    this.#words = words;
    this.#host = host;
    this.sockets = sockets;
    this.signal = signal;
  }

  /** Starts it, when its calls are followed; not any more when it has been stopped. */
  async start(server: Endpoint): Promise<void> {
    if (this.#stopped) throw new Error(`${this.line} has been ended`);
    this.#starting = this.#start(server);
    await this.#starting;
  }

  async #start({ address, port }: Endpoint): Promise<void> {
    const values: Readonly<Record<string, string>> = { '{host}': address, '{port}': `${port}` };
    const words = this.#words.map((word) =>
      word.replace(/\{host\}|\{port\}/g, (place) => values[place] ?? place),
    );
    // Where the network is ours, so is the right to make a pid namespace.
    const newPid = this.#host.inode !== statSync('/proc/self/ns/net').ino;
    const script = newPid ? LAUNCHER.waiting : LAUNCHER.script;
    this.process = await Program.start(this.#host, {
      ...{ name: this.end, path: LAUNCHER.path, argv: ['sh', '-c', script, 'sh', ...words] },
      env: { ...process.env, HOST: address, PORT: `${port}` },
      newPid,
    });
    this.pid = newPid
      ? await this.has('started', () => this.#pids[1], { Fault: NotReady })
      : this.process.pid;
    await this.onStart(this.pid, this.end);
    if (!this.#stopped) this.process.type('\n');
  }

  /** The processes that live, the first first. */
  get #pids(): number[] {
    return this.process === undefined ? [] : descendantsOf(this.process.pid);
  }

  /** Whether its command line says which port is meant. */
  get namesPort(): boolean {
    return this.#words.some((word) => word.includes('{port}'));
  }

  /** The listening sockets that it holds. */
  get listeners(): SocketRow[] {
    const listening = [...this.sockets.snapshot({ states: ['LISTEN'] })];
    if (listening.length === 0) return [];
    const held = socketsOf(this.#pids);
    return listening.filter(({ inode }) => held.has(inode));
  }

  /** Its socket, as sock_diag has it; undefined where there is none: not yet, or no longer. */
  get row(): SocketRow | undefined {
    if (this.connection === undefined) return undefined;
    const { local, remote } = this.connection;
    const row =
      remote === undefined
        ? [...this.sockets.snapshot()].find(
            (each) => each.local.port === local.port && each.remote.port !== 0,
          )
        : this.sockets.find({ local, remote });
    this.#inode = row?.inode || this.#inode;
    return row;
  }

  /** What it printed, on both streams. */
  get printed(): string {
    const { events = [], dropped = 0 } = this.process ?? {};
    const texts = events.flatMap(({ kind, text }) => (kind === 'input' ? [] : [text]));
    return `${dropped > 0 ? `... ${dropped} characters before\n` : ''}${texts.join('')}`;
  }

  /** The descriptor of its socket, also of one that is in no table any more. */
  get held(): Held | undefined {
    const inode = this.row?.inode || this.#inode;
    return inode === 0 ? undefined : socketsOf(this.#pids).get(inode);
  }

  withDescriptor<T>(look: (fd: number) => T): T | undefined {
    return borrow(this.held, look);
  }

  /** Whether a listener of its own takes IPv6 alone (IPV6_V6ONLY). False where it may not be asked. */
  isIpv6Only({ inode }: SocketRow): boolean {
    const held = socketsOf(this.#pids).get(inode);
    try {
      return borrow(held, (fd) => sys.getOption(fd, 'IPV6_V6ONLY')) ?? false;
    } catch (error) {
      if (error instanceof sys.SyscallError && error.code === 'EPERM') return false;
      throw error;
    }
  }

  /**
   * Waits until the program has done something: until `seen` returns something other than nothing. Throws NotSeen, with what was seen
   * instead, when the time is over or the program is.
   */
  async has<T>(
    done: string,
    seen: () => T | undefined | false | 0,
    { withinMs = ACT_MS, instead = () => this.#state, Fault = NotSeen }: HasOptions = {},
  ): Promise<T> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      this.signal?.throwIfAborted();
      // First whether it lives: what it did last may be seen all the same.
      const over = this.process?.ending !== undefined;
      const late = performance.now() >= endMs;
      const found = seen();
      if (found) return found;
      if (over || late) throw new Fault(await this.#instead(done, late ? withinMs : 0, instead()));
      await pause(LOOK_MS);
    }
  }

  async #instead(done: string, withinMs: number, instead: string): Promise<string> {
    const { process } = this;
    if (withinMs === 0) await process?.exited;
    const ending = process?.ending;
    const { printed } = this;
    return [
      `${this.line} has not ${done}${withinMs > 0 ? ` within ${withinMs / 1000} s` : ''}: ${instead}`,
      ...(ending === undefined ? [] : [`it ended with ${ending}`]),
      ...(printed === '' ? [] : [`it printed ${JSON.stringify(printed.slice(-500))}`]),
    ].join('; ');
  }

  get #state(): string {
    const { row } = this;
    return row === undefined
      ? 'it has no connection'
      : `its socket is in ${row.state}, Recv-Q ${row.recvQ}, Send-Q ${row.sendQ}`;
  }

  /** Ends it and all that it started. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#starting?.catch(() => {});
    if (this.process !== undefined) endDescendants(this.process.pid);
    await this.process?.stop();
  }
}

/** Looks at a copy of a descriptor of another process; undefined where there is none, or not any more. */
function borrow<T>(held: Held | undefined, look: (fd: number) => T): T | undefined {
  if (held === undefined) return undefined;
  using fds = new sys.Descriptors();
  try {
    return look(fds.own(sys.pidfd_getfd(fds.own(sys.pidfd_open(held.pid)), held.fd)));
  } catch (error) {
    // The program may close it, or end, while it is looked at.
    if (error instanceof sys.SyscallError && ['EBADF', 'ESRCH'].includes(error.code)) {
      return undefined;
    }
    throw error;
  }
}
