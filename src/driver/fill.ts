import { setTimeout as tick } from 'node:timers/promises';
import * as sys from '../syscall/sys.js';
import { decodeTcpInfo, TCP_INFO_SIZE } from '../tcp/info.js';

const CHUNK = new Uint8Array(1 << 16);
/** Of what the kernel has sent again so often in vain nobody expects an answer: 1.4 s of a quick connection. */
const HOPELESS = 3;

/**
 * Writes until the buffers of both ends are full; how many bytes that took. A buffer that is full because acknowledgments
 * are on their way has room again when they come: so it goes on until nothing is on its way, or nobody answers. Throws
 * SyscallError, and AbortError when the signal says so.
 */
export async function fill(
  actor: sys.Actor,
  fd: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  for (let total = 0; ; ) {
    try {
      total += await actor.send(fd, CHUNK, sys.MSG_DONTWAIT);
    } catch (error) {
      if (!(error instanceof sys.SyscallError && error.code === 'EAGAIN')) throw error;
      if (!isUnderWay(fd)) return total;
      await tick(1, undefined, { signal });
    }
  }
}

/** Whether segments of a socket are still to be acknowledged. */
function isUnderWay(fd: number): boolean {
  const answer = new Uint8Array(TCP_INFO_SIZE);
  const { unacked = 0, retransmits = 0 } = decodeTcpInfo(
    answer.subarray(0, sys.getsockopt(fd, sys.IPPROTO_TCP, sys.TCP_INFO, answer)),
  );
  return unacked > 0 && retransmits < HOPELESS;
}
