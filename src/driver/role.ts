import type {
  SocketOptionName,
  SocketOptionQuestion,
  SocketOptionValue,
} from '../syscall/option.js';
import type { Endpoint } from '../tcp/address.js';
import type { Place } from '../world/host.js';
import type { NodeClientSide, NodeServerSide, NodeSide } from './node-side.js';
import type { SourceLine } from './server.js';

/** The two ends of a connection. */
export type End = 'client' | 'server';

/** What shutdown(2) closes. */
export type Direction = 'SHUT_RD' | 'SHUT_WR' | 'SHUT_RDWR';

/** Another descriptor of a socket. */
export interface Duplicate {
  /** Closes it; the others stay. */
  close(): Promise<void>;
}

/**
 * What an end of an experiment can be asked, whoever acts it. A verb is one system call, or what the driver has in its
 * place; it throws what that throws, so an error has the kernel's errno as its `code`. A driver that has nothing in a
 * verb's place throws CannotExpress.
 */
export interface Role extends AsyncDisposable {
  readonly end: End;
  /** The process that acts it; undefined until it is started. */
  readonly pid: number | undefined;
  /** The thread that makes its calls; undefined until it is started. */
  readonly tid: number | undefined;
  /** Whether its thread waits in the calls it makes for the story, so that it can be seen there. */
  readonly blocks: boolean;
  /** What is known of the program behind it, where the end is acted by a program of its own. */
  readonly program?: ActingProgram;
  /**
   * Runs `look` with a descriptor of the connection's socket, or returns undefined where there is none any more. The
   * descriptor is a loan: it is closed, or not ours, when `look` has returned. While it is open the other end sees no
   * FIN, so `look` must be quick.
   */
  withDescriptor<T>(look: (fd: number) => T): T | undefined;

  /** write(2); how many bytes were taken. */
  send(data: string | Uint8Array): Promise<number>;
  /** Writes until the buffers of both ends are full; how many bytes that took. */
  fill(): Promise<number>;
  /** read(2); '' at the end of the stream. */
  receive(): Promise<string>;
  /** Reads the end of the stream, and throws if it is data; a program reads on its own account. */
  readEnd(): Promise<void>;
  /** shutdown(2). */
  shutdown(how: Direction): Promise<void>;
  /** close(2), or ending the program that never will. */
  close(): Promise<void>;
  /** close(2) with SO_LINGER {on, 0 s}: a reset instead of a FIN. */
  abort(): Promise<void>;
  /** setsockopt(2). */
  setOption<N extends SocketOptionName>(name: N, value: SocketOptionValue<N>): Promise<void>;
  /** getsockopt(2). */
  getOption<N extends SocketOptionName>(
    name: N,
    ...about: SocketOptionQuestion<N>
  ): Promise<SocketOptionValue<N>>;
  /** fcntl(2) O_NONBLOCK. */
  setNonblocking(on: boolean): Promise<void>;
  /** Loses every segment that arrives at the socket from now on, or no more: a socket filter. */
  discardArriving(on: boolean): Promise<void>;
  /** dup(2). */
  duplicate(): Promise<Duplicate>;
  /** getsockname(2). */
  local(): Promise<Endpoint>;
  /** getpeername(2). */
  peer(): Promise<Endpoint>;
  /** Ends the connection by SOCK_DESTROY of sock_diag(7), as `ss -K` does. */
  destroy(): Promise<void>;
  /** The same end by another thread: it acts on the same socket. */
  thread(): Promise<this>;
  /** What an end that is a Node program can be asked besides. Throws CannotExpress at any other. */
  readonly node: NodeSide;
}

/** A program that acts an end on its own account: what it does is not asked for, only waited for. */
export interface ActingProgram {
  /** Where in its source a call is missing that would end the connection. */
  readonly missingCall?: SourceLine;
}

/** How to listen. */
export interface ListenOptions {
  /** Left out: 0, so that the kernel chooses. */
  readonly port?: number;
  /** Left out: 5, as in the article. */
  readonly backlog?: number;
  /** SO_REUSEADDR. Left out: false. */
  readonly reuseAddress?: boolean;
  /** TCP_FASTOPEN: how many requests may wait. Left out: none. */
  readonly fastOpen?: number;
}

/** The passive side. */
export interface ServerRole extends Role {
  readonly end: 'server';
  readonly node: NodeServerSide;
  /** Where it can be reached; undefined until it listens or is bound. */
  readonly address: Endpoint | undefined;
  /** Starts to listen; where it can be reached. */
  listen(options?: ListenOptions): Promise<Endpoint>;
  /** socket(2) and bind(2) of a server that will call instead of listening: from here on it can be reached. */
  bind(port: number): Promise<void>;
  /** connect(2), where it has been bound. */
  connect(to: Endpoint): Promise<void>;
  /** Closes the listening socket. */
  stopListening(): Promise<void>;
  /** Accepts one connection. */
  accept(): Promise<void>;
  /** Reads once and writes back what it read; a program does so by itself. */
  echo(): Promise<void>;
  /** For one more connection of the same listener. */
  another(): Promise<ServerRole>;
}

/** The active side. */
export interface ClientRole extends Role {
  readonly end: 'client';
  readonly node: NodeClientSide;
  /** socket(2): before it is connected options can be set. `connect` does so where nobody has. */
  open(): Promise<void>;
  /** bind(2) to a port of the client's address. */
  bind(port: number): Promise<void>;
  /** connect(2), until the connection is established or refused. */
  connect(to: Endpoint): Promise<void>;
  /** sendto(2) with MSG_FASTOPEN: data in the SYN, where the kernel has a cookie or needs none. */
  fastOpen(to: Endpoint, data: string): Promise<number>;
  /** connect(2) to AF_UNSPEC: the socket forgets its connection and can be used again. */
  disconnect(): Promise<void>;
  /** For one more connection, from another address: what it does is not part of the story's paths. */
  another(): Promise<ClientRole>;
}

/** Who acts: by system calls on actors, by node:net in programs of Node, or as the article's programs. */
export type DriverName = 'raw' | 'libuv' | 'program';

/** One thing that the application at an end did, or was told. */
export interface AppEvent {
  /** CLOCK_MONOTONIC, nanoseconds; of a call, when it returned. */
  readonly tNs: bigint;
  /** `call`: a verb of its role. `event`: what its runtime told it. */
  readonly kind: 'call' | 'event';
  readonly name: string;
  /** What came of it, if anything: bytes as their number. */
  readonly result?: string | number;
  /** The code of the error that came of it. */
  readonly code?: string;
}

/** A driver's cast for one run. Disposing of it stops both. */
export interface Cast extends AsyncDisposable {
  readonly driver: DriverName;
  /** What runs the ends, where that may differ: `node v26.0.0`. */
  readonly runtime?: string;
  /** The end that is a command: nobody drives it, what it does is waited for. */
  readonly command?: { readonly end: End; readonly line: string };
  readonly server: ServerRole;
  readonly client: ClientRole;
  /** Called when the server can be reached; it goes on when that has resolved, and only then anyone else is told where. */
  onListen: (address: Endpoint) => Promise<void>;
  /** Called when a thread has been started that acts an end, before it is waited for; those that `tid` tells of are not. */
  onStart: (tid: number, end: End) => Promise<void>;
  /** Called when an end has begun to throw away what arrives, and when it is about to cease. */
  onDiscard: (end: End, on: boolean) => void;
  /** What each program printed and was told, where there are programs. */
  transcripts(): { readonly server?: string; readonly client?: string };
  /** What each end's runtime told it unasked, where it has one that does. */
  heard?(): Readonly<Record<End, readonly AppEvent[]>>;
}

/** Where both ends of a connection live; the same host twice, or one each. */
export type Hosts = Pick<Place, 'client' | 'server'>;

/** What a cast is told besides where. */
export interface CastOptions {
  /** Left out: 4. */
  readonly family?: 4 | 6;
  /** The Node that runs the ends, where one does: a path. Left out: this one. */
  readonly node?: string;
  /** Ends what blocks. */
  readonly signal?: AbortSignal | undefined;
}

/** A driver has nothing that does what a scenario asks for: the scenario cannot be told by it. */
export class CannotExpress extends Error {
  override readonly name = 'CannotExpress';
  readonly code = 'ERR_CANNOT_EXPRESS';

  constructor(driver: string, what: string) {
    super(`driver ${driver} cannot express ${what}`);
  }
}
