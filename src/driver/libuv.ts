import type { SocketOptionName, SocketOptionValue } from '../syscall/option.js';
import type { Endpoint } from '../tcp/address.js';
import { checkEndpoint, checkFields } from '../tcp/argument.js';
import { dropArriving } from '../world/socket-fault.js';
import { borrowSocket } from './borrow.js';
import { LibuvProgram } from './libuv-program.js';
import type { ListenOrder } from './libuv-protocol.js';
import { LimitedEnd } from './limited.js';
import type {
  HttpAnswer,
  HttpRequest,
  NodeClientSide,
  NodeConnectOptions,
  NodeListenOptions,
  NodeServerSide,
  NodeSide,
} from './node-side.js';
import {
  type AppEvent,
  CannotExpress,
  type Cast,
  type CastOptions,
  type ClientRole,
  type Direction,
  type End,
  type Hosts,
  type ListenOptions,
  type ServerRole,
} from './role.js';

const DRIVER = 'libuv';
const NODE_LISTEN: Readonly<Record<keyof NodeListenOptions, true>> = {
  ...{ allowHalfOpen: true, pauseOnConnect: true, reading: true, http: true },
};
const NODE_CONNECT: Readonly<Record<keyof NodeConnectOptions, true>> = {
  ...{ allowHalfOpen: true, reading: true },
};
const HTTP_ANSWER: Readonly<Record<keyof HttpAnswer, true>> = {
  ...{ request: true, bytes: true, keepAliveMs: true, upgrade: true },
};
const HTTP_REQUEST: Readonly<Record<keyof HttpRequest, true>> = {
  ...{ keepAlive: true, body: true, response: true },
};

const describe = ({ name, code, result }: AppEvent): string =>
  [name, code ?? result].filter((part) => part !== undefined).join(' ');

/**
 * One end acted by a Node program. What it has in place of the calls:
 *
 * send: write(), until its callback. receive: resume() until one 'data' or 'end', then pause(). Node reads ahead of that:
 * after the first 'data' it goes on until its buffer is full or the stream ends, so the kernel's queue is empty sooner
 * than with read(2). readEnd: the same, where 'end' must come. shutdown(SHUT_WR): end(), until 'finish'. close: destroy(),
 * until 'close'. abort: resetAndDestroy(). Both ends have allowHalfOpen, so that the end of a stream is read and nothing
 * more: Node's default would call end() by itself. An error that comes while no verb is under way goes to the next one
 * that uses the socket, as SO_ERROR does. On an error Node closes the socket by itself.
 */
abstract class LibuvEnd extends LimitedEnd {
  readonly driver = DRIVER;
  readonly agent: LibuvProgram;
  override blocks = false;
  onDiscard: Cast['onDiscard'] = () => {};

  constructor(agent: LibuvProgram) {
    super();
    this.agent = agent;
  }

  get pid(): number {
    return this.agent.process.pid;
  }

  /** The thread of the event loop: the first. */
  get tid(): number {
    return this.pid;
  }

  withDescriptor<T>(look: (fd: number) => T): T | undefined {
    return borrowSocket(this.agent.process, look);
  }

  send(data: string | Uint8Array): Promise<number> {
    return this.agent.order('send', Buffer.from(data).toString('base64'));
  }

  receive(): Promise<string> {
    const received = this.agent.order('receive');
    const text = received.then((base64) => Buffer.from(base64, 'base64').toString());
    text.catch(() => {});
    return text;
  }

  async readEnd(): Promise<void> {
    const { length } = await this.receive();
    if (length === 0) return;
    throw new Error(`${this.end}: expected the end of the stream, read ${length} bytes`);
  }

  override async shutdown(how: Direction): Promise<void> {
    // Node shuts down what it writes, nothing else.
    if (how !== 'SHUT_WR') await this.cannot(`shutdown(${how})`);
    await this.agent.order('end');
  }

  close(): Promise<void> {
    return this.agent.order('destroy');
  }

  override abort(): Promise<void> {
    return this.agent.order('resetAndDestroy');
  }

  override async setOption<N extends SocketOptionName>(
    name: N,
    value?: SocketOptionValue<N>,
  ): Promise<void> {
    switch (name) {
      case 'TCP_NODELAY':
        return await this.agent.order('setNoDelay', Boolean(value));
      case 'SO_KEEPALIVE':
        return await this.agent.order('setKeepAlive', Boolean(value), 0);
      case 'TCP_KEEPIDLE':
        // It switches SO_KEEPALIVE on, too: Node has no other way to set it.
        return await this.agent.order('setKeepAlive', true, Number(value) * 1000);
      default:
        return await this.cannot(`setsockopt(${name})`);
    }
  }

  /** The lab's doing and not the program's: it needs nothing of Node. */
  override async discardArriving(on = true): Promise<void> {
    if (!on) this.onDiscard(this.end, on);
    this.withDescriptor((fd) => {
      const deaf = dropArriving(fd);
      if (!on) deaf[Symbol.dispose]();
    });
    if (on) this.onDiscard(this.end, on);
  }

  override peer(): Promise<Endpoint> {
    return this.agent.order('peer');
  }

  protected get side(): NodeSide {
    const { agent } = this;
    return {
      libuv: agent.libuv,
      call: (...calls) => agent.order('call', calls),
      heard: async () => {
        await agent.order('settle');
        return agent.events.map(describe);
      },
      hears: (event) =>
        agent.until(`event '${event}'`, () => agent.events.some(({ name }) => name === event)),
      block: async () => {
        await agent.order('block');
        this.blocks = true;
      },
      unblock: async () => {
        this.blocks = false;
        await agent.order('unblock');
      },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.agent[Symbol.asyncDispose]();
  }
}

class LibuvServer extends LibuvEnd implements ServerRole {
  readonly end = 'server';
  address: Endpoint | undefined;
  onListen: Cast['onListen'] = async () => {};
  readonly #host: string;

  constructor(agent: LibuvProgram, host: string) {
    super(agent);
    this.#host = host;
  }

  async #listen(options: Omit<ListenOrder, 'address'>): Promise<Endpoint> {
    this.address = await this.agent.order('listen', { address: this.#host, ...options });
    await this.onListen(this.address);
    return this.address;
  }

  /** Node sets SO_REUSEADDR on every listener. */
  async listen({
    port = 0,
    backlog,
    reuseAddress,
    fastOpen,
  }: ListenOptions = {}): Promise<Endpoint> {
    if (reuseAddress === false) await this.cannot('bind() without SO_REUSEADDR');
    if (fastOpen !== undefined) await this.cannot('setsockopt(TCP_FASTOPEN)');
    const options = { port, allowHalfOpen: true, pauseOnConnect: true };
    return await this.#listen({ ...options, ...(backlog !== undefined && { backlog }) });
  }

  bind(_port: number): Promise<void> {
    return this.cannot('bind() without listen()');
  }

  connect(_to: Endpoint): Promise<void> {
    return this.cannot('connect() of a server');
  }

  stopListening(): Promise<void> {
    return this.agent.order('callServer', 'close');
  }

  accept(): Promise<void> {
    return this.agent.order('accept');
  }

  async echo(): Promise<void> {
    await this.send(await this.receive());
  }

  another(): Promise<never> {
    return this.cannot('another connection');
  }

  get node(): NodeServerSide {
    return {
      ...this.side,
      listen: async (options = {}) => {
        checkFields('how to listen', options, NODE_LISTEN);
        if (options.http !== undefined) checkFields('an http answer', options.http, HTTP_ANSWER);
        return await this.#listen({ port: 0, ...options });
      },
      answer: () => this.agent.order('answer'),
      callServer: (method) => this.agent.order('callServer', method),
    };
  }
}

class LibuvClient extends LibuvEnd implements ClientRole {
  readonly end = 'client';
  #localPort: number | undefined;

  open(): Promise<void> {
    return this.cannot('socket() without connect()');
  }

  /** Node binds when it connects. */
  async bind(port: number): Promise<void> {
    this.#localPort = port;
  }

  connect(to: Endpoint): Promise<void> {
    const localPort = this.#localPort;
    return this.agent.order('connect', {
      ...{ ...to, allowHalfOpen: true, paused: true },
      ...(localPort !== undefined && { localPort }),
    });
  }

  fastOpen(): Promise<number> {
    return this.cannot('sendto(MSG_FASTOPEN)');
  }

  disconnect(): Promise<void> {
    return this.cannot('connect(AF_UNSPEC)');
  }

  another(): Promise<never> {
    return this.cannot('another connection');
  }

  get node(): NodeClientSide {
    const { agent } = this;
    return {
      ...this.side,
      connect: async (to, options = {}) => {
        checkEndpoint('to', to);
        checkFields('how to connect', options, NODE_CONNECT);
        return await agent.order('connect', { ...to, ...options });
      },
      request: async (to, request = {}) => {
        checkEndpoint('to', to);
        checkFields('a request', request, HTTP_REQUEST);
        const { keepAlive = false, body = 0, response = 'read' } = request;
        return await agent.order('request', to, { keepAlive, body, response });
      },
    };
  }
}

/** Casts both ends with Node programs, each with an event loop of its own: node:net over libuv. */
export async function castLibuv(
  hosts: Hosts,
  { family = 4, signal, node = process.execPath }: CastOptions = {},
): Promise<Cast> {
  const host = hosts.server.addresses[family];
  if (host === undefined) throw new CannotExpress(DRIVER, 'IPv6: this kernel has none');
  const start = (end: End) => LibuvProgram.start(hosts[end], end, { node, signal });
  const [first, second] = await Promise.allSettled([start('server'), start('client')]);
  if (first.status === 'rejected' || second.status === 'rejected') {
    for (const each of [first, second]) {
      if (each.status === 'fulfilled') await each.value[Symbol.asyncDispose]();
    }
    throw [first, second].find((each) => each.status === 'rejected')?.reason;
  }
  const server = new LibuvServer(first.value, host);
  const client = new LibuvClient(second.value);
  return {
    driver: DRIVER,
    runtime: `node ${server.agent.version}`,
    server,
    client,
    set onListen(heard: Cast['onListen']) {
      server.onListen = heard;
    },
    set onDiscard(heard: Cast['onDiscard']) {
      server.onDiscard = heard;
      client.onDiscard = heard;
    },
    onStart: async () => {},
    transcripts: () => ({}),
    heard: () => ({ client: client.agent.events, server: server.agent.events }),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
