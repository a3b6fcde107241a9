/** How the name of a record begins; it is the name of a file that no directory has. */
export const RECORD_NAME = 'closewait-register-';

/** Where a process that has loaded `closewait/register` keeps the function that writes its record up to date. */
export const REGISTERED: unique symbol = Symbol.for('closewait.register');

/** What happened to a socket, and when: milliseconds of CLOCK_MONOTONIC. */
export type SourceEvent = readonly [event: string, tMs: number];

/** A line of the record about a socket; a later one of the same inode takes its place. */
export interface SourceLine {
  readonly inode: number;
  readonly fd: number;
  /** Whether it has connected, or was accepted by a server. */
  readonly kind: 'client' | 'server';
  /** The number of the stack that called connect(), or the server's listen(). */
  readonly stack: number | null;
  readonly events: readonly SourceEvent[];
  readonly allowHalfOpen: boolean;
  readonly paused: boolean;
  /** As `readableFlowing`: null where nobody has ever asked for its data. */
  readonly flowing: boolean | null;
  readonly readableEnded: boolean;
  readonly writableEnded: boolean;
  readonly destroyed: boolean;
}

/** A line of the record about a stack. */
export interface StackLine {
  readonly id: number;
  readonly stack: string;
}

/** Where a socket of a Node process comes from, and how it was when something last happened to it. */
export interface Source {
  readonly kind: 'client' | 'server';
  /** The first frame that is neither Node's nor a dependency's; null where there is no stack. */
  readonly file: string | null;
  readonly line: number | null;
  /** Of connect(), or, for an accepted socket, of its server's listen(); Node's own frames left out. */
  readonly stack: readonly string[];
  readonly allowHalfOpen: boolean;
  readonly paused: boolean;
  readonly flowing: boolean | null;
  readonly readableEnded: boolean;
  readonly writableEnded: boolean;
  readonly destroyed: boolean;
  /** The last one last. */
  readonly lastEvents: readonly { readonly event: string; readonly agoMs: number }[];
}
