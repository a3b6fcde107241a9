import type { Endpoint } from '../tcp/address.js';
import type { SourceLine } from './server.js';

/** The two ends of a connection. */
export type End = 'client' | 'server';

/** What both ends of an experiment can be asked, whoever acts them. */
export interface Role extends AsyncDisposable {
  readonly end: End;
  /** The process that acts it; undefined until it is started. */
  readonly pid: number | undefined;
  /** The thread that makes its calls; undefined until it is started. */
  readonly tid: number | undefined;
  /** What is known of the program behind it, where the end is acted by a program of its own. */
  readonly program?: ActingProgram;
  /**
   * Runs `look` with a descriptor of the connection's socket, or returns undefined where there is none any more. The
   * descriptor is a loan: it is closed, or not ours, when `look` has returned. While it is open the other end sees no
   * FIN, so `look` must be quick.
   */
  withDescriptor<T>(look: (fd: number) => T): T | undefined;
}

/** A program that acts an end on its own account: what it does is not asked for, only waited for. */
export interface ActingProgram {
  /** Where in its source a call is missing that would end the connection. */
  readonly missingCall?: SourceLine;
}

/** The passive side: it serves one connection and echoes. */
export interface ServerRole extends Role {
  readonly end: 'server';
  /** Where it can be reached; undefined until it listens. */
  readonly address: Endpoint | undefined;
  /** Starts to listen; where it can be reached. */
  listen(): Promise<Endpoint>;
  /** Accepts one connection. */
  accept(): Promise<void>;
  /** Reads once and writes back what it read; a program does so by itself. */
  echo(): Promise<void>;
  /** Reads the end of the stream: read() returns 0; a program does so by itself. */
  readEnd(): Promise<void>;
  /**
   * Writes although the peer has closed; the errno name where the kernel refuses, undefined where it takes it. Throws
   * where a program acts: it writes only what it has read.
   */
  writeLate(): Promise<string | undefined>;
  /** Closes the connection: by close(), or by ending the program that never will. */
  close(): Promise<void>;
}

/** The active side. */
export interface ClientRole extends Role {
  readonly end: 'client';
  connect(to: Endpoint): Promise<void>;
  send(text: string): Promise<void>;
  /** What one read() brought. */
  receive(): Promise<string>;
  close(): Promise<void>;
}

/** Who acts: by system calls on actors, or as programs of their own. */
export type DriverName = 'raw' | 'program';

/** A driver's cast for one run. Disposing of it stops both. */
export interface Cast extends AsyncDisposable {
  readonly driver: DriverName;
  readonly server: ServerRole;
  readonly client: ClientRole;
  /** Called when the server listens; it goes on when that has resolved, and only then anyone else is told where. */
  onListen: (address: Endpoint) => Promise<void>;
  /** Called when a thread has been started that acts an end, before it is waited for; those that `tid` tells of are not. */
  onStart: (tid: number, end: End) => Promise<void>;
  /** What each program printed and was told, where there are programs. */
  transcripts(): { readonly server?: string; readonly client?: string };
}
