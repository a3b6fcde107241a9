import { readOption } from '../syscall/socket.js';
import { IPPROTO_TCP, TCP_INFO } from '../syscall/sys.js';
import { decodeTcpInfo, decodeTcpInfoAt, TCP_INFO_SIZE, type TcpInfo } from '../tcp/info.js';

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
  const { bytes, words, start, length } = readOption(fd, IPPROTO_TCP, TCP_INFO, size);
  size = length;
  return length < TCP_INFO_SIZE
    ? decodeTcpInfo(bytes.slice(start, start + length))
    : decodeTcpInfoAt(bytes, words, start);
}
