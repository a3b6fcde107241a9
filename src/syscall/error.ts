import { errnoName, errnoText } from './errno.js';

export { argumentError } from './argument.js';

/** What a failed call was about; only the parts that apply are there. */
export interface CallSite {
  readonly fd?: number;
  readonly address?: string;
  readonly port?: number;
  readonly path?: string;
}

/** The errno that means "cancelled by this library" on an actor; no call made here returns it. */
export const CANCELLED = 'ECANCELED';

function place({ fd, address, port, path }: CallSite): string {
  const parts: string[] = [];
  if (address !== undefined) {
    const host = address.includes(':') ? `[${address}]` : address;
    parts.push(port === undefined ? host : `${host}:${port}`);
  }
  if (path !== undefined) parts.push(path);
  if (fd !== undefined) parts.push(`fd ${fd}`);
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

/**
 * A system call that returned an error. Shaped like the errors of Node's own modules: `code` is the name ('EPIPE'),
 * `errno` the negative number. EINTR and EAGAIN come this way too: what to do about them is the caller's to say.
 */
export class SyscallError extends Error {
  override readonly name = 'SyscallError';
  readonly code: string;
  // Declared, not defined: a part that does not apply is absent, not undefined.
  declare readonly fd?: number;
  declare readonly address?: string;
  declare readonly port?: number;
  declare readonly path?: string;

  constructor(
    /** The system call, by its C name. */
    readonly syscall: string,
    /** Negative, as in Node. */
    readonly errno: number,
    site: CallSite = {},
  ) {
    const code = errnoName(errno);
    super(`${syscall} ${code}: ${errnoText(errno)}${place(site)}`);
    this.code = code;
    Object.assign(this, site);
  }
}

/** A call on an actor that was ended by its AbortSignal or by stopping the actor. Shaped like Node's own AbortError. */
export class AbortError extends Error {
  override readonly name = 'AbortError';
  readonly code = 'ABORT_ERR';

  constructor(syscall: string, why: string, options?: ErrorOptions) {
    super(`${syscall} was ended: ${why}`, options);
  }
}
