import type {
  SocketOptionName,
  SocketOptionQuestion,
  SocketOptionValue,
} from '../syscall/option.js';
import * as sys from '../syscall/sys.js';
import { AF_INET, AF_INET6, type Endpoint } from '../tcp/address.js';
import { encodeDestroy } from '../tcp/inet-diag.js';
import { NetlinkCursor } from '../tcp/netlink.js';
import type { Host } from '../world/host.js';
import { dropArriving } from '../world/socket-fault.js';
import { fill } from './fill.js';
import type { NodeClientSide, NodeServerSide } from './node-side.js';
import {
  CannotExpress,
  type Cast,
  type CastOptions,
  type ClientRole,
  type Direction,
  type Duplicate,
  type End,
  type Hosts,
  type ListenOptions,
  type Role,
  type ServerRole,
} from './role.js';

const BUFFER_SIZE = 1024;
const BACKLOG = 5;
const DIRECTIONS = { SHUT_RD: sys.SHUT_RD, SHUT_WR: sys.SHUT_WR, SHUT_RDWR: sys.SHUT_RDWR };

/** Where and how an end acts. */
interface Setting {
  readonly host: Host;
  readonly family: 4 | 6;
  readonly signal: AbortSignal | undefined;
  /** The end's own address. */
  readonly address: string;
  /** Hears of discardArriving. */
  readonly discards: (on: boolean) => void;
}

/** What is still on its way when a story ends is nobody's to catch; who awaits it hears of its end. */
function pending<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** One end whose calls an actor makes. */
abstract class RawEnd implements Role {
  readonly blocks = true;
  abstract readonly end: End;
  readonly pid = process.pid;
  readonly tid: number;
  protected readonly actor: sys.Actor;
  protected readonly setting: Setting;
  protected readonly fds: sys.Descriptors;
  /** Shared by the threads of one end. */
  protected readonly socket: { fd: number };
  #deaf: Disposable | undefined;

  constructor(
    [actor, tid]: readonly [sys.Actor, number],
    setting: Setting,
    socket = { fd: -1 },
    fds = new sys.Descriptors(),
  ) {
    this.actor = actor;
    this.tid = tid;
    this.setting = setting;
    this.socket = socket;
    this.fds = fds;
  }

  /** The connection's descriptor. Throws where there is none: to a story that says more than EBADF. */
  protected get fd(): number {
    const { fd } = this.socket;
    if (fd < 0)
      throw new Error(`the ${this.end} has no connection: ${this.lacks}, or has closed it`);
    return fd;
  }

  /** How it comes that there is no connection. */
  protected abstract readonly lacks: string;

  /** What a call that may block takes besides its arguments. */
  protected get options(): [] | [sys.CallOptions] {
    const { signal } = this.setting;
    return signal === undefined ? [] : [{ signal }];
  }

  protected get domain(): number {
    return this.setting.family === 6 ? sys.AF_INET6 : sys.AF_INET;
  }

  withDescriptor<T>(look: (fd: number) => T): T | undefined {
    const { fd } = this.socket;
    return fd < 0 ? undefined : look(fd);
  }

  send(data: string | Uint8Array): Promise<number> {
    const send = async () => await this.actor.write(this.fd, data, ...this.options);
    return pending(send());
  }

  async fill(): Promise<number> {
    return await fill(this.actor, this.fd, this.setting.signal);
  }

  protected async read(): Promise<Uint8Array> {
    const buffer = new Uint8Array(BUFFER_SIZE);
    const length = await this.actor.read(this.fd, buffer, ...this.options);
    return buffer.subarray(0, length);
  }

  receive(): Promise<string> {
    return pending(this.read().then((bytes) => Buffer.from(bytes).toString()));
  }

  async readEnd(): Promise<void> {
    const { length } = await this.read();
    if (length === 0) return;
    throw new Error(`${this.end}: expected the end of the stream, read ${length} bytes`);
  }

  async shutdown(how: Direction): Promise<void> {
    await this.actor.shutdown(this.fd, DIRECTIONS[how]);
  }

  async close(): Promise<void> {
    const fd = this.fds.release(this.fd);
    this.socket.fd = -1;
    await this.actor.close(fd);
  }

  async abort(): Promise<void> {
    sys.setOption(this.fd, 'SO_LINGER', { on: true, seconds: 0 });
    await this.close();
  }

  async setOption<N extends SocketOptionName>(name: N, value: SocketOptionValue<N>): Promise<void> {
    sys.setOption(this.fd, name, value);
  }

  async getOption<N extends SocketOptionName>(
    name: N,
    ...about: SocketOptionQuestion<N>
  ): Promise<SocketOptionValue<N>> {
    return sys.getOption(this.fd, name, ...about);
  }

  async setNonblocking(on: boolean): Promise<void> {
    const flags = sys.fcntl(this.fd, sys.F_GETFL);
    const { O_NONBLOCK } = sys;
    sys.fcntl(this.fd, sys.F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
  }

  async discardArriving(on: boolean): Promise<void> {
    if (on) this.#deaf = dropArriving(this.fd);
    this.setting.discards(on);
    if (!on) this.#deaf?.[Symbol.dispose]();
  }

  async duplicate(): Promise<Duplicate> {
    const copy = this.fds.own(await this.actor.dup(this.fd));
    return { close: () => this.actor.close(this.fds.release(copy)) };
  }

  async open(): Promise<void> {
    this.socket.fd = this.fds.own(
      await this.actor.socket(this.domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC),
    );
  }

  async bind(port: number): Promise<void> {
    if (this.socket.fd < 0) await this.open();
    await this.actor.bind(this.fd, { address: this.setting.address, port });
  }

  connect(to: Endpoint): Promise<void> {
    const connect = async (): Promise<void> => {
      if (this.socket.fd < 0) await this.open();
      await this.actor.connect(this.fd, to, ...this.options);
    };
    return pending(connect());
  }

  async local(): Promise<Endpoint> {
    return await this.actor.getsockname(this.fd);
  }

  async peer(): Promise<Endpoint> {
    return await this.actor.getpeername(this.fd);
  }

  async destroy(): Promise<void> {
    const local = sys.getsockname(this.fd);
    const remote = sys.getpeername(this.fd);
    const netlink = this.fds.own(
      await this.actor.socket(
        sys.AF_NETLINK,
        sys.SOCK_RAW | sys.SOCK_CLOEXEC,
        sys.NETLINK_SOCK_DIAG,
      ),
    );
    try {
      const request = encodeDestroy({
        ...{ family: this.setting.family === 6 ? AF_INET6 : AF_INET, local, remote, sequence: 1 },
      });
      await this.actor.send(netlink, request);
      const answer = new Uint8Array(BUFFER_SIZE);
      const cursor = new NetlinkCursor(
        answer.subarray(0, await this.actor.recv(netlink, answer, ...this.options)),
      );
      const errno = cursor.next() ? cursor.errno() : sys.EPROTO;
      if (errno !== 0) throw new sys.SyscallError('sock_destroy', -errno, remote);
    } finally {
      this.fds.close(netlink);
    }
  }

  get node(): NodeServerSide & NodeClientSide {
    throw new CannotExpress('raw', 'node:net');
  }

  protected async startThread(): Promise<readonly [sys.Actor, number]> {
    return await startActor(this.setting.host, this.end);
  }

  abstract thread(): Promise<this>;

  async [Symbol.asyncDispose](): Promise<void> {
    // First the thread: closing under a call that blocks would leave the FIN unsent.
    await this.actor.stop();
    this.fds[Symbol.dispose]();
  }
}

class RawServer extends RawEnd implements ServerRole {
  readonly end = 'server';
  protected readonly lacks = 'it has accepted none';
  address: Endpoint | undefined;
  onListen: Cast['onListen'] = async () => {};
  #socket = -1;

  get #listener(): number {
    if (this.#socket < 0) throw new Error('the server does not listen');
    return this.#socket;
  }

  async listen(options: ListenOptions = {}): Promise<Endpoint> {
    const { port = 0, backlog = BACKLOG, reuseAddress = false, fastOpen } = options;
    const listener = this.fds.own(
      await this.actor.socket(this.domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC),
    );
    if (reuseAddress) sys.setOption(listener, 'SO_REUSEADDR', true);
    if (fastOpen !== undefined) sys.setOption(listener, 'TCP_FASTOPEN', fastOpen);
    try {
      await this.actor.bind(listener, { address: this.setting.address, port });
      await this.actor.listen(listener, backlog);
    } catch (error) {
      this.fds.close(listener);
      throw error;
    }
    this.#socket = listener;
    this.address = sys.getsockname(listener);
    await this.onListen(this.address);
    return this.address;
  }

  override async bind(port: number): Promise<void> {
    await super.bind(port);
    this.address = await this.local();
    await this.onListen(this.address);
  }

  async stopListening(): Promise<void> {
    await this.actor.close(this.fds.release(this.#listener));
    this.#socket = -1;
  }

  accept(): Promise<void> {
    const accept = async (): Promise<void> => {
      const { fd } = await this.actor.accept(this.#listener, ...this.options);
      this.socket.fd = this.fds.own(fd);
    };
    return pending(accept());
  }

  async echo(): Promise<void> {
    await this.actor.write(this.fd, await this.read());
  }

  async another(): Promise<ServerRole> {
    const other = new RawServer(
      await this.startThread(),
      { ...this.setting, discards: () => {} },
      undefined,
      this.fds,
    );
    other.address = this.address;
    other.#socket = this.#socket;
    return other;
  }

  async thread(): Promise<this> {
    const other = new RawServer(await this.startThread(), this.setting, this.socket, this.fds);
    other.address = this.address;
    other.#socket = this.#socket;
    return other as this;
  }
}

class RawClient extends RawEnd implements ClientRole {
  readonly end = 'client';
  protected readonly lacks = 'it has opened none';

  async fastOpen(to: Endpoint, data: string): Promise<number> {
    if (this.socket.fd < 0) await this.open();
    const bytes = new TextEncoder().encode(data);
    return await this.actor.sendto(this.fd, bytes, sys.MSG_FASTOPEN, to);
  }

  async disconnect(): Promise<void> {
    await this.actor.connect(this.fd, Uint8Array.of(sys.AF_UNSPEC, 0));
  }

  async another(): Promise<ClientRole> {
    const { host, family } = this.setting;
    // Another address of the same host: what tells it from the story's own.
    const address = family === 4 ? '127.0.0.1' : '::1';
    if (this.setting.address === address || !this.setting.address.startsWith('127.')) {
      if (family === 4) throw new CannotExpress('raw', 'another connection on this network');
    }
    const other = new RawClient(
      await startActor(host, 'client'),
      { ...this.setting, address, discards: () => {} },
      undefined,
      this.fds,
    );
    await other.open();
    // The address now, the port at connect(2): until then it can be limited.
    await other.setOption('IP_BIND_ADDRESS_NO_PORT', true);
    await other.bind(0);
    return other;
  }

  async thread(): Promise<this> {
    return new RawClient(await this.startThread(), this.setting, this.socket, this.fds) as this;
  }
}

async function startActor(host: Host, name: string): Promise<readonly [sys.Actor, number]> {
  const actor = await host.actor(name);
  return [actor, await actor.gettid()];
}

/** Casts both ends with actors: raw system calls, each end on a thread of its own. */
export async function castRaw(
  hosts: Hosts,
  { family = 4, signal }: CastOptions = {},
): Promise<Cast> {
  let onDiscard: Cast['onDiscard'] = () => {};
  const setting = (end: End): Setting => {
    const host = hosts[end];
    const address = host.addresses[family];
    if (address === undefined) throw new CannotExpress('raw', 'IPv6: this kernel has none');
    return { host, family, signal, address, discards: (on) => onDiscard(end, on) };
  };
  const server = new RawServer(await startActor(hosts.server, 'server'), setting('server'));
  const client = new RawClient(await startActor(hosts.client, 'client'), setting('client'));
  return {
    driver: 'raw',
    server,
    client,
    set onListen(heard: Cast['onListen']) {
      server.onListen = heard;
    },
    set onDiscard(heard: Cast['onDiscard']) {
      onDiscard = heard;
    },
    onStart: async () => {},
    transcripts: () => ({}),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
