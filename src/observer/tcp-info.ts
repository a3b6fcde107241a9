import { argumentError } from '../syscall/argument.js';
import { IPPROTO_TCP, TCP_INFO } from '../syscall/constants.js';
import {
  type OptionBytes,
  readOption,
  readOptionByte,
  rereadOption,
} from '../syscall/option-reading.js';
import { decodeTcpInfo, decodeTcpInfoAt, TCP_INFO_SIZE, type TcpInfo } from '../tcp/info.js';
import { stateName, type TcpState } from '../tcp/states.js';

// More than any kernel's struct tcp_info until the first answer has said how long this kernel's is.
let size = 1024;

function read(fd: number): OptionBytes {
  checkNumber(fd);
  const answer = readOption(fd, IPPROTO_TCP, TCP_INFO, size);
  // Of a socket that only takes the level's number for its own, nothing.
  if (answer.length > 0) size = answer.length;
  return answer;
}

/** Whether it can be a descriptor, the call says; a bigint or a symbol does not get that far. */
function checkNumber(fd: unknown): void {
  if (typeof fd !== 'number') throw argumentError('fd', 'a descriptor', fd);
}

function view({ bytes, words, start, length }: OptionBytes): TcpInfo {
  return length < TCP_INFO_SIZE
    ? decodeTcpInfo(bytes.subarray(start, start + length))
    : decodeTcpInfoAt(bytes, words, start);
}

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
  return view(read(fd));
}

/** `tcpInfo(fd).state`, without asking for the rest. Throws what tcpInfo throws. */
export function tcpState(fd: number): TcpState {
  checkNumber(fd);
  return stateName(readOptionByte(fd, IPPROTO_TCP, TCP_INFO));
}

/**
 * tcpInfo for tight loops: every read overwrites what the reader's reads before have returned, so no memory is made.
 * Take `toObject()` where values must last.
 */
export class TcpInfoReader {
  #answer: OptionBytes | undefined;
  #view: TcpInfo | undefined;

  /** What tcpInfo(fd) returns, until the next read. Throws what it throws: the values before stay. */
  read(fd: number): TcpInfo {
    checkNumber(fd);
    const last = this.#answer;
    const answer = last === undefined ? read(fd) : rereadOption(fd, IPPROTO_TCP, TCP_INFO, last);
    if (answer === last && this.#view !== undefined) return this.#view;
    const info = view(answer);
    this.#answer = answer;
    this.#view = info;
    return info;
  }
}
