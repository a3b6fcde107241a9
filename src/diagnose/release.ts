import { fstatSync } from 'node:fs';
import { codeOf, livingThreadOf } from '../observer/proc.js';
import { type FourTuple, SockDiag } from '../observer/sock-diag.js';
import { tcpState } from '../observer/tcp-info.js';
import { until } from '../observer/until.js';
import * as sys from '../syscall/sys.js';
import {
  AF_INET,
  AF_INET6,
  type Endpoint,
  type Family,
  formatAddress,
  parseScopedAddress,
} from '../tcp/address.js';
import { encodeDestroy } from '../tcp/inet-diag.js';
import { NetlinkCursor } from '../tcp/netlink.js';
import type { SocketRow } from '../tcp/socket-table.js';
import type { TcpState } from '../tcp/states.js';
import { Census, type HeldBy } from './census.js';
import { peerOf } from './ghost.js';
import { openPidfd } from './pidfd.js';
import { openNetlinkOf, openSockDiagOf } from './socket-diag.js';

/** How a connection is ended over a copy of its descriptor. */
export type ReleaseHow = 'shutdown' | 'reset';

/** What is to be released. */
export interface ReleaseTarget {
  readonly pid: number;
  readonly fd: number;
  readonly inode: number;
  readonly state: TcpState;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** All descriptors that lead to the same socket: it ends for all of them. */
  readonly holders: readonly HeldBy[];
}

/** What came of it. */
export interface Released {
  /** Whether the connection has ended: CLOSE, or out of the kernel's tables. */
  readonly helped: boolean;
  readonly before: TcpState;
  /** The state when it was looked at last; `gone` where nothing holds the socket any more. */
  readonly after: TcpState | 'gone';
  /** The descriptors that are still open: only their owner can close them. */
  readonly stillHeld: readonly HeldBy[];
  readonly tookMs: number;
}

/** It cannot be released, and why. */
export class CannotRelease extends Error {
  override readonly name = 'CannotRelease';
}

/**
 * Says which connection a descriptor of another process leads to. The copy it is read from (pidfd_getfd(2)) is closed again at
 * once: while there is one, the owner's close() sends no FIN.
 *
 * Needs: the same user, or CAP_SYS_PTRACE. Throws CannotRelease where it is no TCP connection or cannot be had.
 */
export function findTarget(pid: number, fd: number): ReleaseTarget {
  using owned = new sys.Descriptors();
  const copy = copyOf(pid, fd, owned);
  const what = `fd ${fd} of pid ${pid}`;
  if (!isTcp(copy)) throw new CannotRelease(`${what} is no TCP socket`);
  const state = tcpState(copy);
  if (state === 'LISTEN') throw new CannotRelease(`${what} listens: it is no connection`);
  if (state === 'CLOSE') {
    throw new CannotRelease(`${what} has no connection (CLOSE): only close() is left, its owner's`);
  }
  const remote = peerOf(copy);
  if (remote === undefined) throw new CannotRelease(`${what} has no connection any more`);
  const local = sys.getsockname(copy);
  const { ino: inode } = fstatSync(copy);
  owned.close(copy);
  return { pid, fd, inode, state, local, remote, holders: holdersOf(inode) };
}

/**
 * Ends a connection over a copy of its descriptor, waits until it has ended, at most `deadlineMs`, and says what came of it.
 * Throws CannotRelease if the descriptor leads elsewhere by now, SyscallError.
 */
export async function releaseTarget(
  { pid, fd, inode, state }: ReleaseTarget,
  how: ReleaseHow,
  deadlineMs: number,
): Promise<Released> {
  const start = performance.now();
  using owned = new sys.Descriptors();
  const copy = copyOf(pid, fd, owned);
  if (fstatSync(copy).ino !== inode) {
    throw new CannotRelease(`fd ${fd} of pid ${pid} is another socket by now`);
  }
  if (how === 'shutdown') sys.shutdown(copy, sys.SHUT_RDWR);
  // A close() with SO_LINGER 0 resets nothing while others hold the socket: disconnecting does (tcp_disconnect()).
  else sys.connect(copy, new Uint8Array(SOCKADDR_SIZE));
  const after = await until(
    () => tcpState(copy),
    (each) => each === 'CLOSE',
    { deadlineMs },
  );
  const tookMs = Math.round(performance.now() - start);
  owned.close(copy);
  const stillHeld = holdersOf(inode);
  const helped = after === 'CLOSE';
  const last = helped && stillHeld.length === 0 ? 'gone' : after;
  return { helped, before: state, after: last, stillHeld, tookMs };
}

function copyOf(pid: number, fd: number, owned: sys.Descriptors): number {
  try {
    return owned.own(sys.pidfd_getfd(owned.own(openPidfd(pid, livingThreadOf(pid))), fd));
  } catch (error) {
    // The kernel speaks of our descriptors; the user has named theirs.
    const code = codeOf(error);
    if (code === 'ESRCH') throw new CannotRelease(`no process ${pid}`);
    // ENOENT since Linux 6.15.
    if (code === 'ENOENT' || code === 'EINVAL') {
      throw new CannotRelease(`pid ${pid} is a thread, or its first thread has ended`);
    }
    if (code === 'EBADF') throw new CannotRelease(`pid ${pid} has no fd ${fd}`);
    if (code !== 'EPERM') throw error;
    throw new CannotRelease(
      `EPERM: fd ${fd} of pid ${pid} may not be copied: it takes the same user and a dumpable process, or CAP_SYS_PTRACE`,
    );
  }
}

/** All descriptors that lead to a socket. */
export function holdersOf(inode: number): readonly HeldBy[] {
  return inode === 0 ? [] : new Census().holdersOf(inode);
}

// struct sockaddr with AF_UNSPEC, which is 0.
const SOCKADDR_SIZE = 16;

function isTcp(fd: number): boolean {
  if (!fstatSync(fd).isSocket()) return false;
  const domain = sys.getOption(fd, 'SO_DOMAIN');
  if (domain !== sys.AF_INET && domain !== sys.AF_INET6) return false;
  return sys.getOption(fd, 'SO_PROTOCOL') === sys.IPPROTO_TCP;
}

/**
 * The one connection that has these endpoints in the network namespace of a process, or in the caller's. A scope in an IPv6
 * address (`fe80::1%2`) is the interface that it is bound to.
 *
 * Throws CannotRelease where there is none or more than one, such as two that are bound to different interfaces.
 */
export async function findConnection(tuple: FourTuple, pid?: number): Promise<SocketRow> {
  using diag = pid === undefined ? SockDiag.open() : await openSockDiagOf(pid);
  const matching: SocketRow[] = [];
  const table = diag.snapshot();
  table.localPort.forEach((port, index) => {
    if (port !== tuple.local.port || table.remotePort[index] !== tuple.remote.port) return;
    const row = table.at(index);
    if (row && isAt(row, 'local', tuple) && isAt(row, 'remote', tuple)) {
      matching.push(row);
    }
  });
  const [row] = matching;
  if (row === undefined) throw new CannotRelease('no socket has these endpoints here');
  if (matching.length > 1) {
    throw new CannotRelease(`${matching.length} sockets have these endpoints: one at a time`);
  }
  if (row.state === 'LISTEN') throw new CannotRelease('it listens: it is no connection');
  return row;
}

/**
 * Aborts a connection by SOCK_DESTROY: its owner reads ECONNABORTED, its peer gets a RST. The cookie makes sure that it is the
 * socket which was found, and no later one. Waits until it is gone, at most `deadlineMs`.
 *
 * Needs CAP_NET_ADMIN in the namespace, and a kernel with CONFIG_INET_DIAG_DESTROY. Throws SyscallError.
 */
export async function destroyConnection(
  row: SocketRow,
  deadlineMs: number,
  pid?: number,
): Promise<Released> {
  const start = performance.now();
  using owned = new sys.Descriptors();
  const netlink = owned.own(
    pid === undefined ? sys.socket(...SockDiag.socket) : await openNetlinkOf(pid),
  );
  const { local, remote, cookie, state, inode } = row;
  const family: Family = row.family === AF_INET6 ? AF_INET6 : AF_INET;
  const request = { family, local, remote, cookie, interface: row.interface, sequence: 1 };
  sys.send(netlink, encodeDestroy(request));
  const answer = new Uint8Array(4096);
  const cursor = new NetlinkCursor(answer.subarray(0, sys.recv(netlink, answer)));
  const errno = cursor.next() ? cursor.errno() : sys.EPROTO;
  if (errno !== 0) throw new sys.SyscallError('sock_destroy', -errno, remote);
  using diag = new SockDiag(sys.dup(netlink));
  const now = (): TcpState | 'gone' => {
    return diag.find({ local, remote }, { cookie, interface: row.interface })?.state ?? 'gone';
  };
  const after = await until(now, (each) => each === 'gone', { deadlineMs });
  const tookMs = Math.round(performance.now() - start);
  const stillHeld = holdersOf(inode);
  const helped = after === 'gone';
  const last = helped && stillHeld.length > 0 ? 'CLOSE' : after;
  return { helped, before: state, after: last, stillHeld, tookMs };
}

/** Whether an end of a socket is the one that was asked for. sock_diag tells the interface, and addresses without a scope. */
function isAt(row: SocketRow, end: 'local' | 'remote', asked: FourTuple): boolean {
  const { address, port } = asked[end];
  const scope = parseScopedAddress(address)?.scope ?? 0;
  if (scope !== 0 && scope !== row.interface) return false;
  return bare(row[end].address) === bare(address) && row[end].port === port;
}

/** An address as the kernel's are written; an IPv4 connection of an IPv6 socket has mapped ones, which few people type. */
function bare(address: string): string {
  const bytes = parseScopedAddress(address)?.bytes;
  if (bytes === undefined) return address;
  const written = formatAddress(bytes, 0, bytes.length === 16 ? AF_INET6 : AF_INET);
  return written.replace(/^::ffff:(?=\d+\.)/, '');
}
