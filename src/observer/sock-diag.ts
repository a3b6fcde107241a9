import { argumentError, checkDescriptor } from '../syscall/argument.js';
import { AF_NETLINK, NETLINK_SOCK_DIAG, SOCK_CLOEXEC, SOCK_RAW } from '../syscall/constants.js';
import { close } from '../syscall/descriptor.js';
import { ENOENT, ESTALE } from '../syscall/errno.js';
import { SyscallError } from '../syscall/error.js';
import { recv, send, socket } from '../syscall/socket.js';
import { AF_INET, AF_INET6, type Endpoint, type Family } from '../tcp/address.js';
import {
  type Check,
  type Checks,
  checkBoolean,
  checkEndpoint,
  checkedFields,
  checkIterable,
  mustBe,
} from '../tcp/argument.js';
import { encodeDump, encodeGet, type SocketRequest } from '../tcp/inet-diag.js';
import { NetlinkCursor, NLMSG_DONE, NLMSG_ERROR } from '../tcp/netlink.js';
import { type SocketRow, SocketTable } from '../tcp/socket-table.js';
import { SocketExtract } from '../tcp/socket-view.js';
import { stateMask, type TcpStateName, tcpStates } from '../tcp/states.js';

/** Which sockets to list. */
export interface SnapshotOptions {
  /** Only sockets in these states; the kernel filters. Left out: all, TIME_WAIT and request sockets among them. */
  readonly states?: Iterable<TcpStateName>;
  /** AF_INET (2) or AF_INET6 (10), as rows have it; 4 and 6 mean the same. Left out: both; an IPv6 socket that speaks IPv4 is an IPv6 one. */
  readonly family?: 4 | 6 | Family;
  /** TCP_INFO of every socket with it, which makes the answer five times as long. */
  readonly info?: boolean;
}

/** A connection, seen from one of its ends. */
export interface FourTuple {
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

/** Which connection, and what of it. */
export interface FindOptions {
  /** TCP_INFO with it. */
  readonly info?: boolean;
  /** A row's cookie: no later connection of the same addresses. */
  readonly cookie?: bigint;
  /** Index of the interface it is bound to; the scope of a link-local address (`fe80::1%2`), as getsockname() tells it, says so, too. */
  readonly interface?: number;
}

/**
 * How often a connection is asked for before there is none. The kernel looks without a lock: while a timewait stub takes a
 * socket's place it may find neither, or the socket, which is in CLOSE by then. Who asks again finds the stub
 * (inet_twsk_hashdance_schedule() of net/ipv4/inet_timewait_sock.c).
 */
const ASKS = 3;

/** Room for one socket with everything that may be asked for. */
const ANSWER = 4096;

// The kernel fills messages up to the room that the receiver has shown, at most 32 KiB (netlink_dump()).
const CHUNK = 32768;
// One piece of memory for many messages, not zeroed: what a chunk does not fill is never looked at.
const BLOCK = 32 * CHUNK;
const ATTEMPTS = 4;

// A socket that is bound and nothing else is in no state of TCP, and netstat has no row for it.
export const connectionStates = tcpStates.filter((state) => state !== 'BOUND_INACTIVE');

/**
 * The TCP sockets of one network namespace, asked for over a netlink socket of that namespace.
 *
 * Sees: every TCP socket with its state, queues, timer, inode, uid, cookie. Blind to: sockets in CLOSE, which are in no
 * table; everything between two requests. Costs: the kernel walks all its buckets, 0.1 ms when there are few sockets, 1 us
 * a socket; an exact look-up a few microseconds. Needs: nothing; a plain user sees the sockets of others too. Clock: the
 * moment of the call; a dump is not one moment. Source: sock_diag(7); net/ipv4/inet_diag.c.
 */
export class SockDiag implements Disposable {
  #fd: number;
  #sequence = 0;

  /** Takes over `fd`, a netlink socket of the namespace to look at (see `SockDiag.socket`), and closes it when disposed. */
  constructor(fd: number) {
    checkDescriptor('fd', fd);
    this.#fd = fd;
  }

  /** Opens an observer of the caller's own network namespace. */
  static open(): SockDiag {
    return new SockDiag(socket(...SockDiag.socket));
  }

  /** The arguments of socket(2) for such a socket; an actor in another namespace can make the call. */
  static get socket(): [domain: number, type: number, protocol: number] {
    return [AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG];
  }

  /**
   * All sockets, as columns. A dump that changes cut through is asked for again; if it stays so, `incomplete` of the table
   * says it. Throws SyscallError.
   */
  snapshot(options: SnapshotOptions = {}): SocketTable {
    return this.#dump(options, (chunks) => new SocketTable(chunks()));
  }

  /** The same by what is asked of very many; nothing else is kept. Throws SyscallError. */
  extract(options: SnapshotOptions = {}): SocketExtract {
    return this.#dump(
      options,
      (chunks) => new SocketExtract(chunks(Buffer.allocUnsafeSlow(CHUNK))),
    );
  }

  #dump<Table extends { readonly incomplete: readonly string[] }>(
    options: SnapshotOptions,
    make: (chunks: (reused?: Uint8Array) => Iterable<Uint8Array>) => Table,
  ): Table {
    const { states, family, info = false } = checkedFields('options', options, SNAPSHOT_OPTIONS);
    const request = {
      extensions: { info },
      ...(family !== undefined && { family: familyNumber(family) }),
      states: stateMask(states ?? connectionStates),
    };
    for (let attempt = 1; ; attempt++) {
      const sequence = ++this.#sequence;
      named(send, this.#fd, encodeDump({ ...request, sequence }));
      const table = make((reused) => this.#receive(sequence, reused));
      if (table.incomplete.length === 0 || attempt === ATTEMPTS) return table;
    }
  }

  /**
   * One connection by its addresses, or undefined if the kernel has none (a listener on `local` is not one), or another one
   * than that of `cookie`.
   */
  find(tuple: FourTuple, options?: FindOptions): SocketRow | undefined {
    if (typeof tuple !== 'object' || tuple === null)
      throw mustBe('tuple', '{local, remote}', tuple);
    const { local, remote } = tuple;
    checkEndpoint('local', local);
    const { info = false, ...which } =
      options === undefined ? NO_OPTIONS : checkedFields('options', options, FIND_OPTIONS);
    const family: Family = local.address.includes(':') ? AF_INET6 : AF_INET;
    const wanted = { family, local, remote, extensions: { info }, ...which };
    for (let asked = 1; ; asked++) {
      const row = this.#ask(wanted);
      if (row !== undefined || asked === ASKS) return row;
    }
  }

  #ask(wanted: Omit<SocketRequest, 'sequence'>): SocketRow | undefined {
    const sequence = ++this.#sequence;
    named(send, this.#fd, encodeGet({ ...wanted, sequence }));
    const bytes = Buffer.allocUnsafeSlow(ANSWER);
    for (;;) {
      const answer = bytes.subarray(0, named(recv, this.#fd, bytes));
      const cursor = new NetlinkCursor(answer);
      if (!cursor.next()) throw new Error(`sock_diag: ${cursor.malformed ?? 'an empty answer'}`);
      // What is left of a dump that nobody took to its end.
      if (cursor.sequence !== sequence) continue;
      if (cursor.type === NLMSG_ERROR) {
        const errno = cursor.errno();
        if (errno === ENOENT || errno === ESTALE) return undefined;
        throw new SyscallError('sock_diag', -errno, wanted.local);
      }
      const row = new SocketTable([answer], { dumps: 0 }).at(0);
      // Where there is no such connection, a listener answers.
      return row?.state === 'LISTEN' || row?.state === 'CLOSE' ? undefined : row;
    }
  }

  /** The chunks of an answer as they come, all in `reused` if given. Whoever takes them sees their end, and takes no more. */
  *#receive(sequence: number, reused?: Uint8Array): Generator<Uint8Array> {
    let block = reused ?? new Uint8Array(0);
    for (;;) {
      if (block.length < CHUNK) block = Buffer.allocUnsafeSlow(BLOCK);
      const length = named(recv, this.#fd, block);
      if (length === 0) return;
      const chunk = block.subarray(0, length);
      const first = new NetlinkCursor(chunk);
      first.next();
      // What is left of an answer that nobody took to its end.
      if (first.sequence !== sequence) continue;
      // The kernel may refuse a dump by ending it: where it has no tcp_diag (ENOENT), for one.
      const refused = first.type === NLMSG_ERROR || first.type === NLMSG_DONE ? first.errno() : 0;
      if (refused !== 0) throw new SyscallError('sock_diag', -refused);
      if (reused === undefined) block = block.subarray((length + 7) & ~7);
      yield chunk;
    }
  }

  /** Closes the netlink socket. Idempotent. */
  close(): void {
    if (this.#fd < 0) return;
    close(this.#fd);
    // Its number may soon be somebody else's.
    this.#fd = -1;
  }

  /** Closes the netlink socket; a second time does nothing. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Makes a call on a netlink socket; its error says whom it was to ask: nobody else knows that descriptor. */
function named(
  call: (fd: number, bytes: Uint8Array) => number,
  fd: number,
  bytes: Uint8Array,
): number {
  try {
    return call(fd, bytes);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new SyscallError(error.syscall, error.errno, { path: 'sock_diag', fd });
  }
}

/** What a list of sockets may be asked for with. */
export const SNAPSHOT_OPTIONS: Checks<SnapshotOptions> = {
  states: checkIterable,
  family: (_, family) => familyNumber(family),
  info: checkBoolean,
};
/** The encoder knows what fits. */
const anything: Check = () => {};
const FIND_OPTIONS: Checks<FindOptions> = {
  info: checkBoolean,
  cookie: anything,
  interface: anything,
};
const NO_OPTIONS: FindOptions = {};

/** The number of a family that an option names. Throws for any other. */
export function familyNumber(family: unknown): Family {
  if (family === 4 || family === AF_INET) return AF_INET;
  if (family === 6 || family === AF_INET6) return AF_INET6;
  throw argumentError('family', 'AF_INET, AF_INET6, 4 or 6', family);
}

/**
 * The TCP sockets of the caller's network namespace, now. See SockDiag.
 *
 * @example
 * for (const { local, remote, recvQ } of snapshot({ states: ['CLOSE_WAIT'] })) console.log(local, remote, recvQ);
 */
export function snapshot(options: SnapshotOptions = {}): SocketTable {
  using diag = SockDiag.open();
  return diag.snapshot(options);
}
