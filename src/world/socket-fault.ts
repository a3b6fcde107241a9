import * as sys from '../syscall/sys.js';

/** struct sock_filter {code, jt, jf, k}: BPF_RET | BPF_K with k 0, keep no byte of it. */
const KEEP_NOTHING = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0);

/**
 * Discards every segment that arrives at a socket, as if it had been lost on the way, until the result is disposed. What
 * the socket sends still goes out; a connection accepted from a deaf listener is born deaf. It takes the place of any
 * other filter of the socket. Throws SyscallError: EPERM for a plain user outside a user namespace on some kernels.
 *
 * @example
 * using _deaf = dropArriving(fd);
 */
export function dropArriving(fd: number): Disposable {
  sys.attachFilter(fd, KEEP_NOTHING);
  let deaf = true;
  return {
    [Symbol.dispose]() {
      if (!deaf) return;
      deaf = false;
      try {
        sys.setOption(fd, 'SO_DETACH_FILTER', 0);
      } catch (error) {
        // Closed meanwhile, or without the filter: nothing is left to undo.
        if (!(error instanceof sys.SyscallError)) throw error;
        if (error.code !== 'EBADF' && error.code !== 'ENOENT') throw error;
      }
    },
  };
}
