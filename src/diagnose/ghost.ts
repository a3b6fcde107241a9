import { codeOf, inodeOf } from '../observer/proc.js';
import type { SocketDescriptor } from '../observer/process.js';
import type { FourTuple } from '../observer/sock-diag.js';
import { tcpInfo } from '../observer/tcp-info.js';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  SIOCGSKNS,
  SIOCINQ,
  SIOCOUTQ,
  SO_COOKIE,
  SO_DOMAIN,
  SO_PEERNAME,
  SO_PROTOCOL,
  SOL_SOCKET,
} from '../syscall/constants.js';
import { close, Descriptors, ioctl } from '../syscall/descriptor.js';
import { getxattr } from '../syscall/directory.js';
import { SyscallError } from '../syscall/error.js';
import { pidfd_getfd } from '../syscall/process.js';
import { decodeAddress } from '../syscall/sockaddr.js';
import { getsockname, getsockopt } from '../syscall/socket.js';
import type { Endpoint } from '../tcp/address.js';
import { wasConnected } from '../tcp/cause.js';
import { type Suspect, suspiciousStates } from './namespace.js';
import { openPidfd } from './pidfd.js';

/** What looking for ghosts in one process came to. */
export interface Ghosts {
  readonly suspects: Suspect[];
  /** Sockets that are in a table of the kernel, and no dump has shown them. */
  readonly strays: Stray[];
  /** Why some of its descriptors could not be looked at. */
  readonly incomplete: string[];
}

/** A socket by what finds it again. */
export interface Stray {
  readonly fd: number;
  readonly inode: number;
  /** The inode number of its own network namespace, which need not be its process's; undefined if that is not told us. */
  readonly netns: number | undefined;
  /** Its addresses, if its connection is half over. */
  readonly tuple?: FourTuple;
}

// sizeof(struct sockaddr_in), sizeof(struct sockaddr_in6): SO_PEERNAME wants no more room than the address takes.
const SOCKADDR_SIZES = [28, 16] as const;

/**
 * Finds, among descriptors whose sockets no sock_diag answer has shown, those of TCP connections that are over.
 *
 * CLOSE is in no table of the kernel, so each descriptor is copied (pidfd_getfd), asked, and the copy closed at once:
 * while it exists, the owner's close() would send no FIN. A socket that never was connected is CLOSE as well; it has
 * delivered no SYN. The cookie tells the socket from any later one of the same number.
 */
export function findGhosts(
  { pid, tid, netns }: { readonly pid: number; readonly tid: number; readonly netns: number },
  descriptors: readonly SocketDescriptor[],
): Ghosts {
  const suspects: Suspect[] = [];
  const strays: Stray[] = [];
  if (descriptors.length === 0) return { suspects, strays, incomplete: [] };
  const refused = new Map<string, number>();
  using owned = new Descriptors();
  let pidfd: number;
  try {
    pidfd = owned.own(openPidfd(pid, tid));
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return { suspects, strays, incomplete: [] };
    if (tid === pid || codeOf(error) !== 'EINVAL') throw error;
    const reason = `ghosts of pid ${pid} cannot be seen: its first thread has ended, which takes Linux 6.9`;
    return { suspects, strays, incomplete: [reason] };
  }
  for (const { fd, inode } of descriptors) {
    if (isOtherThanTcp(pid, tid, fd)) continue;
    try {
      const found = ghostAt(pidfd, fd, inode, netns);
      if (found === undefined) continue;
      if ('state' in found) suspects.push(found);
      else strays.push(found);
    } catch (error) {
      const code = codeOf(error);
      // The descriptor, or its process, went meanwhile.
      if (code === 'EBADF' || code === 'ESRCH') continue;
      if (!(error instanceof SyscallError)) throw error;
      refused.set(error.message, (refused.get(error.message) ?? 0) + 1);
    }
  }
  const incomplete = [...refused].map(
    ([message, count]) => `ghosts among ${count} sockets of pid ${pid} cannot be seen: ${message}`,
  );
  return { suspects, strays, incomplete };
}

const protocolName = new Uint8Array(32);

/**
 * Whether a descriptor is known to be of another protocol. Asking touches nothing of its owner's, and is allowed where copying
 * is not (Yama). False where nobody tells.
 */
function isOtherThanTcp(pid: number, tid: number, fd: number): boolean {
  let length: number;
  try {
    length = getxattr(`/proc/${pid}/task/${tid}/fd/${fd}`, 'system.sockprotoname', protocolName);
  } catch {
    return false;
  }
  const name = Buffer.from(protocolName.subarray(0, length)).toString('latin1');
  return name !== '\0' && name !== 'TCP\0' && name !== 'TCPv6\0';
}

function ghostAt(
  pidfd: number,
  fd: number,
  inode: number,
  netns: number,
): Suspect | Stray | undefined {
  const copy = pidfd_getfd(pidfd, fd);
  try {
    if (inodeOf(copy) !== inode) return;
    const domain = getsockopt(copy, SOL_SOCKET, SO_DOMAIN);
    if (domain !== AF_INET && domain !== AF_INET6) return;
    if (getsockopt(copy, SOL_SOCKET, SO_PROTOCOL) !== IPPROTO_TCP) return;
    const info = tcpInfo(copy);
    const remote = peerOf(copy);
    if (info.state !== 'CLOSE') {
      const isOver = (suspiciousStates as readonly unknown[]).includes(info.state);
      const tuple = remote && isOver ? { local: getsockname(copy), remote } : undefined;
      return { fd, inode, netns: netnsOfSocket(copy), ...(tuple && { tuple }) };
    }
    if (!wasConnected(info)) return;
    return {
      netns,
      state: 'CLOSE',
      local: getsockname(copy),
      ...(remote && { remote }),
      recvQ: ioctl(copy, SIOCINQ),
      sendQ: ioctl(copy, SIOCOUTQ),
      inode,
      timer: 'off',
      timerMs: 0,
      retransmits: info.retransmits ?? 0,
      cookie: cookieOf(copy),
      info,
    };
  } finally {
    close(copy);
  }
}

/** The inode number of a socket's network namespace; undefined where CAP_NET_ADMIN in it is missing. */
function netnsOfSocket(fd: number): number | undefined {
  let netns: number;
  try {
    netns = ioctl(fd, SIOCGSKNS, new Uint8Array(4));
  } catch (error) {
    if (codeOf(error) !== 'EPERM') throw error;
    return undefined;
  }
  try {
    return inodeOf(netns);
  } finally {
    close(netns);
  }
}

/**
 * Opens the network namespace of a process's socket, by a copy of its descriptor that is closed again at once; undefined if the
 * descriptor leads elsewhere by now. The caller closes it. Throws SyscallError.
 */
export function openNetnsOf(
  pid: number,
  tid: number,
  { fd, inode }: SocketDescriptor,
): number | undefined {
  using owned = new Descriptors();
  const copy = owned.own(pidfd_getfd(owned.own(openPidfd(pid, tid)), fd));
  if (inodeOf(copy) !== inode) return undefined;
  return ioctl(copy, SIOCGSKNS, new Uint8Array(4));
}

function cookieOf(fd: number): bigint {
  const cookie = new BigUint64Array(1);
  getsockopt(fd, SOL_SOCKET, SO_COOKIE, new Uint8Array(cookie.buffer));
  return cookie[0] as bigint;
}

/** getpeername() answers ENOTCONN in CLOSE and SYN_SENT; SO_PEERNAME still tells whose connection it was, or is to be. */
export function peerOf(fd: number): Endpoint | undefined {
  for (const size of SOCKADDR_SIZES) {
    const bytes = new Uint8Array(size);
    try {
      const length = getsockopt(fd, SOL_SOCKET, SO_PEERNAME, bytes);
      return decodeAddress(bytes.subarray(0, length));
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOTCONN') return;
      if (code !== 'EINVAL') throw error;
    }
  }
  return;
}
