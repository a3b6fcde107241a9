import { getsockopt, IPPROTO_TCP, TCP_INFO } from '../syscall/sys.js';
import { decodeTcpInfo, type TcpInfo } from '../tcp/info.js';

// A typed array with memory of its own costs as much as the system call. So one piece of memory serves many calls, each
// of which gets a part that nobody writes to again.
const SLAB_SIZE = 16384;
let slab = new ArrayBuffer(SLAB_SIZE);
let used = 0;

// More than any kernel's struct tcp_info until the first answer has said how long this kernel's is.
let size = 1024;

/**
 * `getsockopt(fd, IPPROTO_TCP, TCP_INFO)`: what the kernel knows of a TCP socket, now. `fd` may be a copy of another
 * process's descriptor. Fields are decoded as they are read.
 *
 * Sees: the state and counters of one socket. Blind to: TIME_WAIT and request sockets, which have no descriptor (the
 * descriptor of a connection in TIME_WAIT reads CLOSE); everything between two calls. Costs: one system call.
 * Needs: a descriptor. Clock: the moment of the call. Source: tcp(7); tcp_get_info() in net/ipv4/tcp.c.
 *
 * Throws SyscallError: EBADF, ENOTSOCK, EOPNOTSUPP or ENOPROTOOPT for what is not a TCP socket.
 */
export function tcpInfo(fd: number): TcpInfo {
  if (used + size > SLAB_SIZE) {
    slab = new ArrayBuffer(SLAB_SIZE);
    used = 0;
  }
  const bytes = new Uint8Array(slab, used, size);
  const length = getsockopt(fd, IPPROTO_TCP, TCP_INFO, bytes);
  if (length === size) {
    used += (length + 7) & ~7;
    return decodeTcpInfo(bytes);
  }
  size = length;
  return decodeTcpInfo(bytes.slice(0, length));
}
