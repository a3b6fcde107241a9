import * as sys from '../syscall/sys.js';
import {
  type Check,
  checkedFields,
  checkFunction,
  checkMs,
  checkString,
  mustBe,
} from '../tcp/argument.js';
import { encodePacketFilter, PACKET_FILTER, type PacketFilter } from '../tcp/packet-filter.js';
import type { RingPacket, RingSize, StampSource } from '../tcp/packet-ring.js';
import { decodeFrame, type Segment } from '../tcp/segment.js';
import { CAPTURE_OPTIONS, type CaptureOptions, MOST_SNAPLEN } from './capture-options.js';
import { ClockMap, type ClockStep, readClocks } from './clock-map.js';
import type { Availability } from './observer.js';
import { openPacketSource, type PacketBatch, type PacketSource } from './packet-source.js';

export type { CaptureOptions };

/** One frame as the interface saw it. */
export interface Frame {
  /** When the kernel took it, CLOCK_REALTIME nanoseconds: what tcpdump prints. */
  readonly realtimeNs: bigint;
  /** The same moment on CLOCK_MONOTONIC. */
  readonly monotonicNs: bigint;
  readonly stamp: StampSource;
  /** Sent by this machine; never on a loopback interface, where what is sent is seen as it arrives. */
  readonly outgoing: boolean;
  /** What was captured of it. It shares memory with its neighbours, which nobody writes to again. */
  readonly bytes: Uint8Array;
  /** How long it was. */
  readonly wireLength: number;
  /** Its TCP segment; undefined for anything else. */
  readonly segment: Segment | undefined;
}

const RING: RingSize = { blockBytes: 1 << 17, blocks: 64, retireMs: 4 };
const LIMIT = { bytes: 1 << 26, frames: 250_000 };
/** Often enough for a step of the clock to be noticed soon; rare enough to cost nothing. */
const CLOCK_CHECK_MS = 1000;
const FLUSH_DEADLINE_MS = 5000;

const checkActor: Check = (what, value) => {
  const isActor = typeof (value as Partial<sys.Actor> | null | undefined)?.stop === 'function';
  if (!isActor) throw mustBe(what, 'an Actor', value);
};

const FACTS = {
  name: 'capture',
  sees: "every frame of an interface, once, with the kernel's time stamp",
  blindTo: 'what is never put on a wire, and why a segment was sent',
  costs: 'one copy of a frame in the kernel, one of a block here; a wake-up every 4 ms or 128 KiB',
  needs: 'CAP_NET_RAW in the network namespace',
  clock: 'CLOCK_REALTIME, mapped to CLOCK_MONOTONIC within 1 us; handed over up to 4 ms late',
} as const;

/**
 * The packets of one interface.
 *
 * Sees: every frame that reaches the interface of the actor's namespace, once, with the kernel's time stamp. Blind to:
 * what the kernel never puts on a wire (a connect() to a closed port of a dropped socket, say), and the reason behind a
 * segment; what its filter keeps out. Costs: the kernel copies each frame into a ring, from which it is copied a block at
 * a time; the actor's thread wakes when a block is full or 4 ms old. Memory: the ring, 8 MiB, and `limit`. Needs:
 * CAP_NET_RAW in the namespace. Clock: CLOCK_REALTIME as stamped by the kernel, mapped to CLOCK_MONOTONIC;
 * `clockErrorNs` is the mapping's error, `clockSteps` the times somebody set the clock. Stamps are made
 * as a frame enters the kernel's queue. Where nothing else on the machine wanted stamps before, the kernel switches them
 * on in the background: until then a frame is stamped as it leaves the queue (`copy`), after some that follow it.
 * Source: packet(7); net/packet/af_packet.c; net_enable_timestamp() in net/core/dev.c.
 */
export class Capture implements AsyncDisposable {
  /** Those kept so far, in the kernel's order. */
  readonly frames: Frame[] = [];
  /** `ring`, or `recvmsg` where no ring could be had: `viaReason` says why. */
  readonly via: 'ring' | 'recvmsg';
  readonly viaReason: string | undefined;
  /** Frames the kernel had no room for, as of the last flush() or stop(). */
  dropped = 0;
  /** How often the ring was full, as of then. */
  freezes = 0;
  /** Frames that came through but found the limit of `frames` reached. */
  discarded = 0;
  readonly #actor: sys.Actor;
  readonly #source: PacketSource;
  readonly #clock: ClockMap;
  readonly #snaplen: number;
  readonly #limit: { readonly bytes: number; readonly frames: number };
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();
  readonly #done: Promise<void>;
  #keptBytes = 0;
  /** How many frames the kernel has put where we can take them, and how many we have taken. */
  #offered = 0;
  #taken = 0;
  #ended = false;
  #stopping: Promise<void> | undefined;

  private constructor(
    actor: sys.Actor,
    { source, reason }: { source: PacketSource; reason?: string },
    { limit, snaplen = MOST_SNAPLEN }: CaptureOptions,
  ) {
    this.#actor = actor;
    this.#source = source;
    this.via = source.via;
    this.viaReason = reason;
    this.#snaplen = snaplen;
    this.#limit = { ...LIMIT, ...limit };
    this.#clock = new ClockMap(readClocks(16));
    this.#done = this.#run().finally(() => {
      this.#ended = true;
      this.#wake();
    });
    this.#done.catch(() => {});
  }

  /**
   * Starts to capture on an interface of the actor's network namespace. The actor is the capture's alone from now on, and
   * stopped with it. Throws SyscallError: EPERM without CAP_NET_RAW, ENODEV for an interface that is not there;
   * UnavailableError for one whose frames have no Ethernet header (a TUN, WireGuard, PPP); a TypeError or RangeError for options
   * that are none.
   */
  static async start(
    actor: sys.Actor,
    interfaceName = 'lo',
    asked: CaptureOptions = {},
  ): Promise<Capture> {
    checkActor('actor', actor);
    try {
      checkString('interfaceName', interfaceName);
      const options = checkedFields('options', asked, CAPTURE_OPTIONS);
      const { filter = {}, snaplen = MOST_SNAPLEN, ring = RING, hardwareStamps = false } = options;
      const opened = await openPacketSource(actor, {
        interfaceName,
        program: encodePacketFilter(filter, snaplen),
        ring: ring === false ? undefined : ring,
        hardwareStamps,
      });
      return new Capture(actor, opened, options);
    } catch (error) {
      await actor.stop();
      throw error;
    }
  }

  /** Whether this process may capture in the network namespace it is in. */
  static availability(): Availability {
    try {
      sys.close(sys.socket(sys.AF_PACKET, sys.SOCK_RAW | sys.SOCK_CLOEXEC, 0));
      return { ...FACTS, available: true };
    } catch (error) {
      if (!(error instanceof sys.SyscallError)) throw error;
      return { ...FACTS, available: false, reason: `${error.message}: needs CAP_NET_RAW` };
    }
  }

  /** The most `monotonicNs` is wrong by; more than before where the clock was set and could not be read as well after it. */
  get clockErrorNs(): bigint {
    return this.#clock.errorNs;
  }

  /** The times CLOCK_REALTIME was set: frames taken in between may be mapped wrong by as much. */
  get clockSteps(): readonly ClockStep[] {
    return this.#clock.steps;
  }

  /** Whether no frame will come any more: the capture was stopped, or its actor was, or it failed. */
  get ended(): boolean {
    return this.#ended;
  }

  async #run(): Promise<void> {
    const { fd } = this.#source;
    const { signal } = this.#stop;
    try {
      for (;;) {
        const request = [{ fd, events: sys.POLLIN }];
        const [result] = await this.#actor.poll(request, CLOCK_CHECK_MS, { signal });
        if (this.drain() === 0) this.#clock.observe(readClocks(3));
        if (((result?.revents ?? 0) & sys.POLLERR) !== 0) this.#throwPending();
      }
    } catch (error) {
      if (!(error instanceof sys.AbortError)) throw error;
    }
  }

  /** What POLLERR stands for: ENETDOWN when the interface goes down. */
  #throwPending(): void {
    const errno = sys.getOption(this.#source.fd, 'SO_ERROR');
    if (errno !== 0) throw new sys.SyscallError('poll', -errno, { fd: this.#source.fd });
  }

  /** Takes in what is ready by now, without waiting for a block that still has room; returns how many frames came. */
  drain(): number {
    if (this.#ended) return 0;
    const before = this.#taken;
    const batches: PacketBatch[] = [];
    // Under a flood there is always more: what has been taken must be dealt with at some time.
    while (batches.length < RING.blocks) {
      const batch = this.#source.take();
      if (batch === undefined) break;
      batches.push(batch);
    }
    if (batches.length === 0) return 0;
    // Read after the frames were stamped, so that no stamp lies in its future.
    const toMonotonic = this.#clock.observe(readClocks(3));
    for (const batch of batches) {
      for (const packet of batch.packets) this.#keep(batch.bytes, packet, toMonotonic);
      if (batch.malformed !== undefined) throw new Error(`capture ring: ${batch.malformed}`);
    }
    this.#wake();
    return this.#taken - before;
  }

  #keep(bytes: Uint8Array, packet: RingPacket, toMonotonic: (realtimeNs: bigint) => bigint): void {
    this.#taken++;
    if (
      this.frames.length >= this.#limit.frames ||
      this.#keptBytes + packet.length > this.#limit.bytes
    ) {
      this.discarded++;
      return;
    }
    this.#keptBytes += packet.length;
    this.frames.push(new CapturedFrame(bytes, packet, toMonotonic));
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /** Removes and returns the frames kept so far: who reads as it goes on needs no limit. */
  take(): Frame[] {
    this.#keptBytes = 0;
    return this.frames.splice(0);
  }

  /** Puts another filter in place of the present one, at once; a frame already in the ring stays. */
  attachFilter(filter: PacketFilter): void {
    // The descriptor's number may be somebody else's by now.
    if (this.#stopping !== undefined) throw new Error('the capture was stopped');
    const checked = checkedFields('filter', filter, PACKET_FILTER);
    sys.attachFilter(this.#source.fd, encodePacketFilter(checked, this.#snaplen));
  }

  /**
   * Waits until `seen` is true of the frames so far, and returns whether it became so within the deadline. What a socket
   * has done shows here a little later: a block has to fill or to come of age, and this thread has to be woken.
   */
  async until(seen: (frames: readonly Frame[]) => boolean, deadlineMs: number): Promise<boolean> {
    checkFunction('seen', seen);
    return await this.#until(() => seen(this.frames), deadlineMs);
  }

  async #until(holds: () => boolean, deadlineMs: number): Promise<boolean> {
    checkMs('deadlineMs', deadlineMs);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, deadlineMs);
    try {
      while (!holds()) {
        if (late || this.#ended) return false;
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
      return true;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Waits until every frame that the kernel has taken in by now is in `frames`, and brings the counts up to date. The
   * kernel's own count says how many that are. Throws what ended the capture.
   */
  async flush(): Promise<void> {
    if (this.#stopping !== undefined) return await this.#stopping;
    await this.#catchUp();
    if (this.#ended) await this.#done;
  }

  async #catchUp(): Promise<void> {
    this.#count();
    const target = this.#offered;
    if (await this.#until(() => this.#taken >= target, FLUSH_DEADLINE_MS)) return;
    if (!this.#ended) {
      throw new Error(`capture: of ${target} frames the kernel handed over ${this.#taken}`);
    }
  }

  #count(): void {
    const { packets, drops, freezes } = this.#source.statistics();
    this.#offered += packets - drops;
    this.dropped += drops;
    this.freezes += freezes;
  }

  /** Takes in what the kernel holds by now, counts the drops and ends. Idempotent. Throws what ended the capture early. */
  stop(): Promise<void> {
    this.#stopping ??= this.#end();
    return this.#stopping;
  }

  async #end(): Promise<void> {
    try {
      await this.#catchUp();
      this.#stop.abort();
      await this.#done;
    } finally {
      await this.#actor.stop();
      this.#source.close();
    }
  }

  /** Stops; a second time does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    // An error of the capture must not hide the one that is on its way.
    await this.stop().catch(() => {});
  }
}

/** Decodes what it is asked for when it is asked: few of many frames are ever looked at. */
class CapturedFrame implements Frame {
  readonly #memory: Uint8Array;
  readonly #packet: RingPacket;
  readonly #toMonotonic: (realtimeNs: bigint) => bigint;
  #segment: Segment | undefined | null = null;

  constructor(memory: Uint8Array, packet: RingPacket, toMonotonic: (realtimeNs: bigint) => bigint) {
    this.#memory = memory;
    this.#packet = packet;
    this.#toMonotonic = toMonotonic;
  }

  get realtimeNs(): bigint {
    return BigInt(this.#packet.seconds) * 1_000_000_000n + BigInt(this.#packet.nanoseconds);
  }

  get monotonicNs(): bigint {
    return this.#toMonotonic(this.realtimeNs);
  }

  get stamp(): StampSource {
    return this.#packet.stamp;
  }

  get outgoing(): boolean {
    return this.#packet.outgoing;
  }

  get wireLength(): number {
    return this.#packet.wireLength;
  }

  get bytes(): Uint8Array {
    const { offset, length } = this.#packet;
    return this.#memory.subarray(offset, offset + length);
  }

  get segment(): Segment | undefined {
    if (this.#segment === null) {
      const { bytes, wireLength } = this;
      this.#segment = decodeFrame(bytes, { linkType: 'ethernet', wireLength }).segment;
    }
    return this.#segment;
  }
}
