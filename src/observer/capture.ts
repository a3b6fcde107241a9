import * as sys from '../syscall/sys.js';
import { decodeFrame, type Segment } from '../tcp/segment.js';

/** One frame as the interface saw it. */
export interface Frame {
  /** When the kernel took it, CLOCK_REALTIME nanoseconds: what tcpdump prints. */
  readonly realtimeNs: bigint;
  /** The same moment on CLOCK_MONOTONIC. */
  readonly monotonicNs: bigint;
  readonly bytes: Uint8Array;
  /** Its TCP segment; undefined for anything else. */
  readonly segment: Segment | undefined;
}

const SNAPLEN = 65536 + 64;
const CONTROL = 64;
const RECEIVE_BUFFER = 4 << 20;
const IFREQ_NAME = 16;
const IFREQ_LENGTH = 40;
const SOCKADDR_LL_LENGTH = 20;

/** How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, and the most this can be wrong by, nanoseconds. */
function clockOffset(): { offset: bigint; errorNs: bigint } {
  let best = { offset: 0n, errorNs: 1n << 62n };
  // The reading in between is somewhere between the other two; the closest pair of several says most.
  for (let i = 0; i < 16; i++) {
    const before = sys.clock_gettime(sys.CLOCK_MONOTONIC);
    const realtime = sys.clock_gettime(sys.CLOCK_REALTIME);
    const width = sys.clock_gettime(sys.CLOCK_MONOTONIC) - before;
    if (width < best.errorNs * 2n) {
      best = { offset: realtime - before - width / 2n, errorNs: width / 2n + 1n };
    }
  }
  return best;
}

/**
 * The packets of one interface.
 *
 * Sees: every frame that reaches the interface of the actor's namespace, once, with the kernel's time stamp. Blind to:
 * what the kernel never puts on a wire (a connect() to a closed port of a dropped socket, say), and the reason behind a
 * segment. Costs: one copy and one recvmsg a frame, on the actor's thread. Needs: CAP_NET_RAW in the namespace.
 * Clock: CLOCK_REALTIME as stamped by the kernel, mapped to CLOCK_MONOTONIC once at the start; `clockErrorNs` is the
 * mapping's error, without steps of the clock after that. Source: packet(7); net/packet/af_packet.c.
 */
export class Capture implements AsyncDisposable {
  readonly frames: Frame[] = [];
  readonly clockErrorNs: bigint;
  /** Frames the kernel had no room for; known once stopped. */
  dropped = 0;
  readonly #actor: sys.Actor;
  readonly #fd: number;
  readonly #offset: bigint;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #changed: () => void = () => {};
  #stopped = false;

  private constructor(actor: sys.Actor, fd: number) {
    this.#actor = actor;
    this.#fd = fd;
    const { offset, errorNs } = clockOffset();
    this.#offset = offset;
    this.clockErrorNs = errorNs;
    this.#done = this.#run();
    this.#done.catch(() => {});
  }

  /**
   * Starts to capture on an interface of the actor's network namespace. The actor is the capture's alone from now on, and
   * stopped with it. Throws SyscallError: EPERM without CAP_NET_RAW, ENODEV for an interface that is not there.
   */
  static async start(actor: sys.Actor, interfaceName = 'lo'): Promise<Capture> {
    using fds = new sys.Descriptors();
    try {
      // Protocol 0 receives nothing until bind says what and where.
      const fd = fds.own(await actor.socket(sys.AF_PACKET, sys.SOCK_RAW | sys.SOCK_CLOEXEC, 0));
      const ifreq = new Uint8Array(IFREQ_LENGTH);
      ifreq.set(new TextEncoder().encode(interfaceName).subarray(0, IFREQ_NAME - 1));
      await actor.ioctl(fd, sys.SIOCGIFINDEX, ifreq);
      const index = new DataView(ifreq.buffer).getInt32(IFREQ_NAME, true);
      sys.setOption(fd, 'SO_TIMESTAMPNS', true);
      enlarge(fd);
      // A frame on lo passes twice, going out and coming in: the second is the one a peer gets.
      sys.setsockopt(fd, sys.SOL_PACKET, sys.PACKET_IGNORE_OUTGOING, 1);
      const sockaddr = new DataView(new ArrayBuffer(SOCKADDR_LL_LENGTH));
      sockaddr.setUint16(0, sys.AF_PACKET, true);
      sockaddr.setUint16(2, sys.ETH_P_ALL);
      sockaddr.setInt32(4, index, true);
      await actor.bind(fd, new Uint8Array(sockaddr.buffer));
      return new Capture(actor, fds.release(fd));
    } catch (error) {
      await actor.stop();
      throw error;
    }
  }

  async #run(): Promise<void> {
    const options = { signal: this.#stop.signal };
    try {
      for (;;) this.#keep(await this.#receive(0, options));
    } catch (error) {
      if (!(error instanceof sys.AbortError)) throw error;
    }
  }

  async #receive(flags: number, options?: sys.CallOptions): Promise<Frame> {
    const buffer = new Uint8Array(SNAPLEN);
    const into = { buffers: [buffer], controlLength: CONTROL };
    const message = await (options === undefined
      ? this.#actor.recvmsg(this.#fd, into, flags)
      : this.#actor.recvmsg(this.#fd, into, flags, options));
    const stamp = message.control.find(
      ({ level, type }) => level === sys.SOL_SOCKET && type === sys.SCM_TIMESTAMPNS,
    );
    const realtimeNs = stamp === undefined ? 0n : decodeTimespec(stamp.data);
    const bytes = buffer.slice(0, message.length);
    const { segment } = decodeFrame(bytes, { linkType: 'ethernet' });
    return { realtimeNs, monotonicNs: realtimeNs - this.#offset, bytes, segment };
  }

  #keep(frame: Frame): void {
    this.frames.push(frame);
    this.#changed();
  }

  /**
   * Waits until `seen` is true of the frames so far, and returns whether it became so within the deadline. What a socket
   * has done shows here a little later: this thread has to be woken.
   */
  async until(seen: (frames: readonly Frame[]) => boolean, deadlineMs: number): Promise<boolean> {
    const deadline = AbortSignal.timeout(deadlineMs);
    while (!seen(this.frames)) {
      if (deadline.aborted || this.#stopped) return false;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          deadline.removeEventListener('abort', wake);
          resolve();
        };
        deadline.addEventListener('abort', wake);
        this.#changed = wake;
      });
    }
    return true;
  }

  /** Takes in what the kernel still holds, counts the drops and ends. Idempotent. Throws what ended the capture early. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#changed();
    try {
      this.#stop.abort();
      await this.#done;
      await this.#drain();
      const statistics = new Uint32Array(2);
      sys.getsockopt(
        this.#fd,
        sys.SOL_PACKET,
        sys.PACKET_STATISTICS,
        new Uint8Array(statistics.buffer),
      );
      this.dropped = statistics[1] ?? 0;
    } finally {
      await this.#actor.stop();
      sys.close(this.#fd);
    }
  }

  async #drain(): Promise<void> {
    try {
      for (;;) this.#keep(await this.#receive(sys.MSG_DONTWAIT));
    } catch (error) {
      if (!(error instanceof sys.SyscallError && error.code === 'EAGAIN')) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // An error of the capture must not hide the one that is on its way.
    await this.stop().catch(() => {});
  }
}

/** Makes room for a burst where this process may; the usual room is 200 small frames. */
function enlarge(fd: number): void {
  try {
    sys.setOption(fd, 'SO_RCVBUFFORCE', RECEIVE_BUFFER);
  } catch (error) {
    if (!(error instanceof sys.SyscallError && error.code === 'EPERM')) throw error;
  }
}

function decodeTimespec(data: Uint8Array): bigint {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return view.getBigInt64(0, true) * 1_000_000_000n + view.getBigInt64(8, true);
}
