import * as sys from '../syscall/sys.js';
import type { Endpoint } from '../tcp/address.js';
import type { SocketRow } from '../tcp/socket-table.js';
import type { Host } from '../world/host.js';
import { dropArriving } from '../world/socket-fault.js';
import { freePort } from './free-port.js';
import { LimitedEnd } from './limited.js';
import type { NodeClientSide, NodeServerSide } from './node-side.js';
import { castRaw } from './raw.js';
import {
  type ActingProgram,
  CannotExpress,
  type Cast,
  type CastOptions,
  type ClientRole,
  type End,
  type Hosts,
  type ListenOptions,
  type Role,
  type ServerRole,
} from './role.js';
import { ACT_MS, type Command, NotReady, NotSeen, Running, type Sockets } from './running.js';

const READY_MS = 10_000;
const OWN: Readonly<Record<string, 4 | 6>> = { '0.0.0.0': 4, '::': 6 };

/** Whether an end may still send: it has sent no FIN and no RST. */
const isOpen = ({ state }: SocketRow): boolean =>
  ['SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'].includes(state);

/** How many bytes have come that nobody has read. An unread FIN counts as one in the kernel's table. */
const unread = ({ recvQ, state }: SocketRow): number =>
  state === 'CLOSE_WAIT' ? Math.max(0, recvQ - 1) : recvQ;

/**
 * An end that is a command. Nobody drives it: what it does of its own accord is waited for where the kernel shows it, five
 * seconds each. What it has in place of the verbs:
 *
 * accept: a descriptor holds the connection. receive: all that came is read; the text is what the other end wrote. readEnd:
 * the FIN is read as well. send, echo: something has come at the other end; how many bytes that was. shutdown, close,
 * abort: it has sent a FIN or a RST, or its socket is gone. Where nothing like it shows, the verb throws NotSeen.
 */
abstract class CommandEnd extends LimitedEnd {
  readonly driver = 'program';
  readonly running: Running;
  /** What the other end has written, as far as `receive` has not told of it. */
  #untold = '';
  onDiscard: Cast['onDiscard'] = () => {};

  readonly #other: Role;

  constructor(running: Running, other: Role) {
    super();
    this.running = running;
    this.#other = other;
  }

  /** The process that holds the connection: it may be another than the first. */
  get pid(): number | undefined {
    return this.running.held?.pid ?? this.running.pid;
  }

  get tid(): number | undefined {
    return this.pid;
  }

  get program(): ActingProgram {
    return {};
  }

  withDescriptor<T>(look: (fd: number) => T): T | undefined {
    return this.running.withDescriptor(look);
  }

  send(): Promise<number> {
    // Its own queue, and not the kernel's table: what is unread outlives the connection.
    return this.running.has('sent anything', () =>
      this.#other.withDescriptor((fd) => sys.ioctl(fd, sys.SIOCINQ)),
    );
  }

  async receive(): Promise<string> {
    await this.#has('read what was sent to it', (row) => {
      const underWay = this.#other.withDescriptor((fd) => sys.ioctl(fd, sys.SIOCOUTQ));
      return unread(row) === 0 && !underWay;
    });
    const text = this.#untold;
    this.#untold = '';
    return text;
  }

  /** The other end has written to it. */
  wasSent(bytes: Uint8Array): void {
    this.#untold += Buffer.from(bytes).toString();
  }

  /** The other end has connected from somewhere. */
  wasConnected(_from: Endpoint | undefined): void {}

  readEnd(): Promise<void> {
    return this.#has('read the end', ({ state, recvQ }) => state === 'CLOSE_WAIT' && recvQ === 0);
  }

  close(): Promise<void> {
    return this.#has('closed its end', () => false);
  }

  override shutdown(): Promise<void> {
    return this.close();
  }

  override abort(): Promise<void> {
    return this.close();
  }

  /** What has sent its end, or is gone, has nothing more to do. */
  async #has(done: string, seen: (row: SocketRow) => boolean): Promise<void> {
    await this.running.has(done, () => {
      const { row } = this.running;
      return row === undefined || !isOpen(row) || seen(row);
    });
  }

  /** The lab's doing and not the program's. */
  override async discardArriving(on = true): Promise<void> {
    if (!on) this.onDiscard(this.end, on);
    this.withDescriptor((fd) => {
      const deaf = dropArriving(fd);
      if (!on) deaf[Symbol.dispose]();
    });
    if (on) this.onDiscard(this.end, on);
  }

  get node(): NodeServerSide & NodeClientSide {
    throw new CannotExpress(this.driver, 'node:net');
  }

  another(): Promise<never> {
    return this.cannot('another connection');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.running.stop();
  }
}

class ServerCommand extends CommandEnd implements ServerRole {
  readonly end = 'server';
  address: Endpoint | undefined;
  onListen: Cast['onListen'] = async () => {};
  readonly #host: Host;
  readonly #family: 4 | 6;

  constructor(running: Running, other: Role, host: Host, family: 4 | 6) {
    super(running, other);
    this.#host = host;
    this.#family = family;
  }

  /** How it listens is its own affair. A port that is not said is a free one. */
  async listen({ port }: ListenOptions = {}): Promise<Endpoint> {
    const address = ownAddress(this.#host, this.#family);
    const told = port ?? (await freePort(this.#host, this.#family, address, this.running));
    await this.running.start({ address, port: told });
    let before = '';
    const listeners = await this.running.has(
      'started to listen',
      () => {
        const { listeners } = this.running;
        const asTold = listeners.filter(({ local }) => local.port === told);
        if (asTold.length > 0) return asTold;
        if (this.running.namesPort || listeners.length === 0) return false;
        // It may be about to open another: what is the same at two looks is all.
        const seen = places(listeners);
        if (seen !== before) {
          before = seen;
          return false;
        }
        if (new Set(listeners.map(({ local }) => local.port)).size === 1) return listeners;
        throw new NotReady(
          `${this.running.line} listens on ${seen}: let {port} in the command, or PORT in its environment, say which`,
        );
      },
      { withinMs: READY_MS, instead: () => this.#instead(told), Fault: NotReady },
    );
    this.address = this.#reached(listeners);
    this.running.connection = { local: this.address };
    await this.onListen(this.address);
    return this.address;
  }

  #instead(told: number): string {
    const seen = places(this.running.listeners);
    return seen === '' ? 'it listens on nothing' : `it listens on ${seen}, not on port ${told}`;
  }

  /** Where a listener is reached over this IP version. A dual-stack one is reached over both. */
  #reached(listeners: readonly SocketRow[]): Endpoint {
    const isReached = (row: SocketRow, version: 4 | 6): boolean =>
      version === this.#family || (version === 6 && !this.running.isIpv6Only(row));
    for (const row of listeners) {
      const { local } = row;
      const { address, port } = local;
      const everywhere = OWN[address];
      if (everywhere !== undefined && isReached(row, everywhere)) {
        return { address: ownAddress(this.#host, this.#family), port };
      }
      const version = address.includes(':') ? 6 : 4;
      if (everywhere === undefined && version === this.#family) return local;
    }
    throw new NotReady(
      `${this.running.line} listens on ${places(listeners)}, which is not reached over IPv${this.#family}`,
    );
  }

  override wasConnected(from: Endpoint | undefined): void {
    if (this.address !== undefined) {
      this.running.connection = { local: this.address, remote: from };
    }
  }

  async accept(): Promise<void> {
    await this.running.has('accepted the connection', () => (this.running.row?.inode ?? 0) !== 0);
  }

  async echo(): Promise<void> {
    await this.send();
  }

  stopListening(): Promise<void> {
    return this.cannot('close() of the listener');
  }

  bind(): Promise<void> {
    return this.cannot('bind() without listen()');
  }

  connect(): Promise<void> {
    return this.cannot('connect() of a server');
  }
}

class ClientCommand extends CommandEnd implements ClientRole {
  readonly end = 'client';

  open(): Promise<void> {
    return this.cannot('socket() without connect()');
  }

  bind(_port: number): Promise<void> {
    return this.cannot('bind() of a client');
  }

  async connect(to: Endpoint): Promise<void> {
    await this.running.start(to);
    // Both as its own socket has them: that of IPv6 which speaks IPv4 has ::ffff:127.0.0.1.
    const { local, remote } = await this.running.has(
      'connected',
      () =>
        [...this.running.sockets.snapshot()].find(
          ({ remote, state }) => remote.port === to.port && state !== 'SYN_SENT',
        ),
      { withinMs: READY_MS, instead: () => 'there is no connection', Fault: NotReady },
    );
    this.running.connection = { local, remote };
  }

  fastOpen(): Promise<number> {
    return this.cannot('sendto(MSG_FASTOPEN)');
  }

  disconnect(): Promise<void> {
    return this.cannot('connect(AF_UNSPEC)');
  }
}

const places = (listeners: readonly SocketRow[]): string =>
  listeners
    .map(({ local: { address, port } }) =>
      address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`,
    )
    .sort()
    .join(' and ');

function ownAddress(host: Host, family: 4 | 6): string {
  const address = host.addresses[family];
  if (address === undefined) throw new CannotExpress('program', 'IPv6: this kernel has none');
  return address;
}

/**
 * The end that is driven against a command: what it waits for may never come, so no act takes longer than a command has for
 * one of its own.
 */
function driven<R extends Role>(role: R, other: CommandEnd): R {
  return new Proxy(role, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const method = value.bind(target) as (...args: readonly unknown[]) => unknown;
      if (typeof property === 'symbol') return method;
      return (...args: readonly unknown[]) => {
        const result = method(...args);
        if (!(result instanceof Promise)) return result;
        return soon(
          `${target.end}: ${property}()`,
          result.then((value: unknown) => {
            if (property === 'connect') {
              other.wasConnected(target.withDescriptor(sys.getsockname));
            } else if (property === 'send') {
              const bytes = Buffer.from(args[0] as string | Uint8Array);
              other.wasSent(bytes.subarray(0, Number(value)));
            }
            return value;
          }),
        );
      };
    },
  });
}

/** The same promise, which rejects where it takes too long. */
function soon<T>(what: string, act: Promise<T>): Promise<T> {
  const bounded = new Promise<T>((resolve, reject) => {
    const late = new NotSeen(`${what} has not returned within ${ACT_MS / 1000} s`);
    const timer = setTimeout(() => reject(late), ACT_MS);
    const over = (): void => clearTimeout(timer);
    act.then(resolve, reject).finally(over);
  });
  // What is still on its way when a story ends is nobody's to catch; who awaits it hears of its end.
  bounded.catch(() => {});
  return bounded;
}

/** What is told of a cast with a command besides the rest. */
export interface CommandOptions extends CastOptions {
  readonly command: Command;
  readonly sockets: (end: End) => Sockets;
}

/** Casts one end with any command, as real processes; raw system calls act the other. */
export async function castCommand(
  hosts: Hosts,
  { family = 4, signal, command, sockets }: CommandOptions,
): Promise<Cast> {
  const host = hosts[command.end];
  const running = new Running(command, host, sockets(command.end), signal);
  const raw = await castRaw(hosts, { family, signal });
  const observed =
    command.end === 'server'
      ? new ServerCommand(running, raw.client, host, family)
      : new ClientCommand(running, raw.server);
  const client = observed.end === 'client' ? observed : driven(raw.client, observed);
  const server = observed.end === 'server' ? observed : driven(raw.server, observed);
  return {
    driver: 'program',
    runtime: running.line,
    command: { end: command.end, line: running.line },
    server,
    client,
    set onListen(heard: Cast['onListen']) {
      raw.onListen = heard;
      if (observed.end === 'server') observed.onListen = heard;
    },
    set onDiscard(heard: Cast['onDiscard']) {
      raw.onDiscard = heard;
      observed.onDiscard = heard;
    },
    set onStart(started: Cast['onStart']) {
      running.onStart = started;
    },
    transcripts: () => (running.printed === '' ? {} : { [command.end]: running.printed }),
    async [Symbol.asyncDispose]() {
      await running.stop();
      await raw[Symbol.asyncDispose]();
    },
  };
}
