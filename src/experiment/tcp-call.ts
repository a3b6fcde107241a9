import { AF_INET, AF_INET6 } from '../tcp/address.js';

/** <asm-generic/socket.h>: the type's number is in the low bits, flags like SOCK_CLOEXEC are above. */
const TYPE_MASK = 0xf;
const SOCK_STREAM = 1;

/**
 * Whether a call makes a TCP socket that may listen or connect. A program has others before it has one: getpwuid(3) asks
 * nscd over AF_UNIX, getaddrinfo(3) a name server over UDP.
 */
export function makesTcpSocket(call: {
  readonly syscall: string;
  readonly args: readonly bigint[];
}): boolean {
  const [domain, type] = call.args.map(Number);
  return (
    call.syscall === 'socket' &&
    (domain === AF_INET || domain === AF_INET6) &&
    type !== undefined &&
    (type & TYPE_MASK) === SOCK_STREAM
  );
}
