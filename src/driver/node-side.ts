// What only an end that is a Node program can be asked. Types alone: the program that obeys them loads nothing else.

import type { Endpoint } from '../tcp/address.js';

/** One call of a method of the connection's net.Socket. `write` takes text, or how many bytes it shall write. */
export type SocketCall =
  | readonly ['end' | 'destroy' | 'destroySoon' | 'resetAndDestroy' | 'pause' | 'resume']
  | readonly ['write', data: string | number];

/** A method of net.Server or http.Server. */
export type ServerCall = 'close' | 'closeAllConnections' | 'closeIdleConnections';

/** What an application reads of a connection: nothing, or everything at once ('data' has a listener). */
export type Reading = 'never' | 'always';

/** How a server of Node's listens. What is left out is Node's own default. */
export interface NodeListenOptions {
  readonly allowHalfOpen?: boolean;
  readonly pauseOnConnect?: boolean;
  /** Left out: never. */
  readonly reading?: Reading;
  /** Makes it an http.Server. */
  readonly http?: HttpAnswer;
}

/** What an http.Server does. */
export interface HttpAnswer {
  /**
   * To a request: `read` takes its body and answers, `unread` answers and leaves the body, `waits` answers when it is told
   * to, `never` does nothing.
   */
  readonly request?: 'read' | 'unread' | 'never' | 'waits';
  /** Bytes of the answer's body. Left out: 3. */
  readonly bytes?: number;
  /** keepAliveTimeout, in ms: how long a connection may be idle after a response. Left out: Node's own, 5 s. */
  readonly keepAliveMs?: number;
  /** To an upgrade: `leave` keeps the socket and does nothing, `end` reads it and ends it when the peer has. */
  readonly upgrade?: 'leave' | 'end';
}

/** How a client of Node's connects. What is left out is Node's own default. */
export interface NodeConnectOptions {
  readonly allowHalfOpen?: boolean;
  /** Left out: never. */
  readonly reading?: Reading;
}

/** One request of http.request(). */
export interface HttpRequest {
  /** An http.Agent with keepAlive; without, the connection is closed after the response. */
  readonly keepAlive: boolean;
  /** Bytes of body, sent by POST; 0 is a GET. */
  readonly body: number;
  /** What is done with the response: its body is read, or left. */
  readonly response: 'read' | 'unread';
}

/** Both sides. */
export interface NodeSide {
  /** The version of its libuv, `1.46.0`: what it does differs. */
  readonly libuv: string;
  /** Calls methods of the connection's socket, all in one turn of the event loop. Throws what the first that throws does. */
  call(...calls: readonly SocketCall[]): Promise<void>;
  /**
   * The events that the application was told so far, in order: `data 5`, `end`, `error EPIPE`, `close`. The program's
   * loop goes round some times before it answers, so what the kernel had to say by then is among them.
   */
  heard(): Promise<readonly string[]>;
  /** Waits until the application has been told an event of that name; one that it was told already counts. */
  hears(event: string): Promise<void>;
  /** Stops the event loop, which waits in read(2) from then on: until `unblock`, or anything else that is asked of it. */
  block(): Promise<void>;
  /** Lets the event loop go on. */
  unblock(): Promise<void>;
}

/** A server that is a Node program. */
export interface NodeServerSide extends NodeSide {
  /** Listens in place of `server.listen()`; gives the address to connect to. */
  listen(options?: NodeListenOptions): Promise<Endpoint>;
  /** Has the request answered that waits. */
  answer(): Promise<void>;
  /** Calls a method of the server. Does not wait for what comes of it. */
  callServer(method: ServerCall): Promise<void>;
}

/** A client that is a Node program. */
export interface NodeClientSide extends NodeSide {
  /** Connects in place of `client.connect()`. */
  connect(to: Endpoint, options?: NodeConnectOptions): Promise<void>;
  /** Sends a request, and returns when it has a socket that is connected. */
  request(to: Endpoint, request?: Partial<HttpRequest>): Promise<void>;
}
