import { setTimeout as tick } from 'node:timers/promises';
import * as sys from '../syscall/sys.js';
import { decodeTcpInfo, TCP_INFO_SIZE } from '../tcp/info.js';

const CHUNK = new Uint8Array(1 << 16);
/** Of what the kernel has sent again so often in vain nobody expects an answer: 1.4 s of a quick connection, 7 s where TCP is patient. */
const HOPELESS = 3;

/**
 * Writes until the buffers of both ends are full; how many bytes that took. A buffer that is full because acknowledgments
 * are on their way has room again when they come: so it goes on until nothing is on its way or could be, or nobody answers.
 * Throws SyscallError, and AbortError when the signal says so.
 */
export async function fill(
  actor: sys.Actor,
  fd: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  for (let total = 0; ; ) {
    // Asked before: acknowledgments that come after the refusal make room again, and leave nothing on its way.
    const underWay = isUnderWay(fd);
    try {
      total += await actor.send(fd, CHUNK, sys.MSG_DONTWAIT);
    } catch (error) {
      if (!(error instanceof sys.SyscallError && error.code === 'EAGAIN')) throw error;
      if (!underWay) return total;
      await tick(1, undefined, { signal });
    }
  }
}

/** Whether segments of a socket are still to be acknowledged, or are to be sent where there is room for one. */
function isUnderWay(fd: number): boolean {
  const answer = new Uint8Array(TCP_INFO_SIZE);
  const info = decodeTcpInfo(
    answer.subarray(0, sys.getsockopt(fd, sys.IPPROTO_TCP, sys.TCP_INFO, answer)),
  );
  const { unacked = 0, retransmits = 0, notsentBytes = 0, sndWndBytes = 0, sndMssBytes = 0 } = info;
  if (retransmits >= HOPELESS) return false;
  // With nothing on its way a kernel may be slow to send: by a pace of its congestion control, or by the persist timer only.
  return unacked > 0 || (notsentBytes > 0 && sndWndBytes >= sndMssBytes);
}
