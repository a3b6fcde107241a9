import * as sys from '../syscall/sys.js';
import type { Endpoint } from '../tcp/address.js';
import { encodeDump, encodeGet, NetlinkCursor, NLMSG_DONE, NLMSG_ERROR } from '../tcp/inet-diag.js';
import { type SocketRow, SocketTable } from '../tcp/socket-table.js';
import { stateMask, type TcpStateName, tcpStates } from '../tcp/states.js';

/** Which sockets to list. */
export interface SnapshotOptions {
  /** Only sockets in these states; the kernel filters. Left out: all, TIME_WAIT and request sockets among them. */
  readonly states?: Iterable<TcpStateName>;
  /** 4 or 6. Left out: both; an IPv6 socket that speaks IPv4 is listed under 6. */
  readonly family?: 4 | 6;
  /** TCP_INFO of every socket with it, which makes the answer five times as long. */
  readonly info?: boolean;
}

/** A connection, seen from one of its ends. */
export interface FourTuple {
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

// The kernel fills messages up to the room that the receiver has shown, at most 32 KiB (netlink_dump()).
const CHUNK = 32768;
const ATTEMPTS = 4;

// A socket that is bound and nothing else is in no state of TCP, and netstat has no row for it.
const connectionStates = tcpStates.filter((state) => state !== 'BOUND_INACTIVE');

/**
 * The TCP sockets of one network namespace, asked for over a netlink socket of that namespace.
 *
 * Sees: every TCP socket with its state, queues, timer, inode, uid, cookie. Blind to: sockets in CLOSE, which are in no
 * table; everything between two requests. Costs: the kernel walks all its buckets, 0.1 ms when there are few sockets, 1 us
 * a socket; an exact look-up a few microseconds. Needs: nothing; a plain user sees the sockets of others too. Clock: the
 * moment of the call; a dump is not one moment. Source: sock_diag(7); net/ipv4/inet_diag.c.
 */
export class SockDiag implements Disposable {
  readonly #fd: number;
  #sequence = 0;
  #open = true;

  /** Takes over `fd`, a netlink socket of the namespace to look at (see `SockDiag.socket`), and closes it when disposed. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Opens an observer of the caller's own network namespace. */
  static open(): SockDiag {
    return new SockDiag(sys.socket(...SockDiag.socket));
  }

  /** The arguments of socket(2) for such a socket; an actor in another namespace can make the call. */
  static get socket(): [domain: number, type: number, protocol: number] {
    return [sys.AF_NETLINK, sys.SOCK_RAW | sys.SOCK_CLOEXEC, sys.NETLINK_SOCK_DIAG];
  }

  /**
   * All sockets, as columns. A dump that changes cut through is asked for again; if it stays so, `incomplete` of the table
   * says it. Throws SyscallError.
   */
  snapshot({ states, family, info = false }: SnapshotOptions = {}): SocketTable {
    const families = family === undefined ? [sys.AF_INET, sys.AF_INET6] : [familyNumber(family)];
    const mask = { states: stateMask(states ?? connectionStates) };
    for (let attempt = 1; ; attempt++) {
      const chunks: Uint8Array[] = [];
      for (const each of families) {
        const sequence = ++this.#sequence;
        sys.send(
          this.#fd,
          encodeDump({
            family: each as 2 | 10,
            sequence,
            extensions: { info },
            ...mask,
          }),
        );
        this.#receive(sequence, chunks);
      }
      const table = new SocketTable(chunks, { dumps: families.length });
      if (table.complete || attempt === ATTEMPTS) return table;
    }
  }

  /** One connection by its addresses, or undefined if the kernel has none (a listener on `local` is not one). */
  find({ local, remote }: FourTuple): SocketRow | undefined {
    const family = local.address.includes(':') ? sys.AF_INET6 : sys.AF_INET;
    const sequence = ++this.#sequence;
    sys.send(this.#fd, encodeGet({ family: family as 2 | 10, local, remote, sequence }));
    const bytes = new Uint8Array(CHUNK);
    const answer = bytes.subarray(0, sys.recv(this.#fd, bytes));
    const cursor = new NetlinkCursor(answer);
    if (!cursor.next()) throw new Error(`sock_diag: ${cursor.malformed ?? 'an empty answer'}`);
    if (cursor.type === NLMSG_ERROR) {
      const errno = cursor.errno();
      if (errno === sys.ENOENT) return undefined;
      throw new sys.SyscallError('sock_diag', -errno, local);
    }
    const row = new SocketTable([answer], { dumps: 0 }).at(0);
    return row?.remote.port === remote.port ? row : undefined;
  }

  #receive(sequence: number, chunks: Uint8Array[]): void {
    let block = new Uint8Array(0);
    for (;;) {
      if (block.length < CHUNK) block = new Uint8Array(CHUNK * 32);
      const length = sys.recv(this.#fd, block);
      const chunk = block.subarray(0, length);
      block = block.subarray((length + 7) & ~7);
      // The end is the last message of a chunk or alone in one: the others need not be looked at twice.
      const cursor = new NetlinkCursor(chunk);
      let last = 0;
      let error = 0;
      while (cursor.next()) {
        last = cursor.sequence === sequence ? cursor.type : 0;
        if (last === NLMSG_ERROR) error = cursor.errno();
      }
      if (error !== 0) throw new sys.SyscallError('sock_diag', -error);
      chunks.push(chunk);
      if (last === NLMSG_DONE || length === 0) return;
    }
  }

  /** Closes the netlink socket. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    sys.close(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function familyNumber(family: unknown): number {
  if (family === 4) return sys.AF_INET;
  if (family === 6) return sys.AF_INET6;
  throw new RangeError(`family must be 4 or 6, received ${String(family)}`);
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
