import type { Endpoint } from '../tcp/address.js';
import type { NodeClientSide, NodeServerSide, NodeSide } from './node-side.js';
import { CannotExpress, type DriverName, type Duplicate, type End, type Role } from './role.js';

/** An end whose driver has nothing in place of a call, until it says otherwise. */
export abstract class LimitedEnd implements Role {
  abstract readonly end: End;
  abstract readonly pid: number | undefined;
  abstract readonly tid: number | undefined;
  abstract readonly driver: DriverName;
  abstract readonly node: NodeSide;
  /** It makes its calls when it sees fit. */
  readonly blocks: boolean = false;

  abstract withDescriptor<T>(look: (fd: number) => T): T | undefined;
  abstract send(data: string | Uint8Array): Promise<number>;
  abstract receive(): Promise<string>;
  abstract readEnd(): Promise<void>;
  abstract close(): Promise<void>;
  abstract [Symbol.asyncDispose](): Promise<void>;

  protected cannot(what: string): Promise<never> {
    return Promise.reject(new CannotExpress(this.driver, what));
  }

  fill(): Promise<number> {
    return this.cannot('a write that does not wait');
  }

  shutdown(how: string): Promise<void> {
    return this.cannot(`shutdown(${how})`);
  }

  abort(): Promise<void> {
    return this.cannot('setsockopt(SO_LINGER)');
  }

  setOption(name: string): Promise<void> {
    return this.cannot(`setsockopt(${name})`);
  }

  getOption(name: string, ..._about: readonly unknown[]): Promise<never> {
    return this.cannot(`getsockopt(${name})`);
  }

  setNonblocking(): Promise<void> {
    return this.cannot('fcntl(O_NONBLOCK)');
  }

  discardArriving(): Promise<void> {
    return this.cannot('setsockopt(SO_ATTACH_FILTER)');
  }

  duplicate(): Promise<Duplicate> {
    return this.cannot('dup()');
  }

  local(): Promise<Endpoint> {
    return this.cannot('getsockname()');
  }

  peer(): Promise<Endpoint> {
    return this.cannot('getpeername()');
  }

  destroy(): Promise<void> {
    return this.cannot('SOCK_DESTROY');
  }

  thread(): Promise<this> {
    return this.cannot('another thread');
  }
}

/** The active side of such a driver. */
export abstract class LimitedClient extends LimitedEnd {
  readonly end = 'client';

  open(): Promise<void> {
    return this.cannot('socket() without connect()');
  }

  bind(_port: number): Promise<void> {
    return this.cannot('bind() of a client');
  }

  fastOpen(_to: Endpoint, _data: string): Promise<number> {
    return this.cannot('sendto(MSG_FASTOPEN)');
  }

  disconnect(): Promise<void> {
    return this.cannot('connect(AF_UNSPEC)');
  }

  get node(): NodeClientSide {
    throw new CannotExpress(this.driver, 'node:net');
  }

  another(): Promise<never> {
    return this.cannot('another connection');
  }
}

/** The passive side of such a driver. */
export abstract class LimitedServer extends LimitedEnd {
  readonly end = 'server';
  address: Endpoint | undefined;

  bind(_port: number): Promise<void> {
    return this.cannot('bind() without listen()');
  }

  connect(_to: Endpoint): Promise<void> {
    return this.cannot('connect() of a server');
  }

  stopListening(): Promise<void> {
    return this.cannot('close() of the listener');
  }

  get node(): NodeServerSide {
    throw new CannotExpress(this.driver, 'node:net');
  }

  another(): Promise<never> {
    return this.cannot('another connection');
  }
}
