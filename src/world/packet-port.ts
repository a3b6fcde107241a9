import * as sys from '../syscall/sys.js';
import { encodePacketAddress } from '../tcp/packet-address.js';
import { encodePacketFilter, type PacketFilter } from '../tcp/packet-filter.js';
import { Interfaces } from './interfaces.js';

const ETHERNET_HEADER = 14;
const ETHERNET_MTU = 1500;
/** Room for a burst: the window of a connection in full-sized frames. */
const QUEUE_BYTES = 1 << 23;
/** Frames that are taken in one turn of the event loop. */
const BATCH = 64;
/** No room in a queue; the interface, or its peer, not up. */
const LOSSES = new Set(['EAGAIN', 'ENOBUFS', 'ENETDOWN']);

/** As much room for arrivals as can be had: root of a user namespace gets what net.core.rmem_max allows. */
function makeRoom(fd: number): void {
  try {
    sys.setOption(fd, 'SO_RCVBUFFORCE', QUEUE_BYTES);
  } catch (error) {
    if (!(error instanceof sys.SyscallError && error.code === 'EPERM')) throw error;
    sys.setOption(fd, 'SO_RCVBUF', QUEUE_BYTES);
  }
}

/**
 * An interface as a program has it that plays its peer: frames in, frames out, past the namespace's own stack. An actor
 * waits for the first frame of a batch; the rest, and what is sent, needs no waiting.
 */
export class PacketPort {
  /** Frames that came or were sent and got lost here. */
  #lost = 0;
  readonly #actor: sys.Actor;
  readonly #fd: number;
  readonly #room: number;
  #closed = false;

  private constructor(actor: sys.Actor, fd: number, room: number) {
    this.#actor = actor;
    this.#fd = fd;
    this.#room = room;
  }

  /**
   * Opens an interface of the actor's namespace once it runs; only what the filter lets through comes in. The actor is this
   * port's alone. Throws SyscallError.
   */
  static async open(actor: sys.Actor, name: string, filter?: PacketFilter): Promise<PacketPort> {
    try {
      using fds = new sys.Descriptors();
      using interfaces = await Interfaces.open(actor);
      const { index, mtu = ETHERNET_MTU } = await interfaces.running(name);
      // Protocol 0 receives nothing until bind says what and where.
      const fd = fds.own(await actor.socket(sys.AF_PACKET, sys.SOCK_RAW | sys.SOCK_CLOEXEC, 0));
      await actor.setsockopt(fd, sys.SOL_PACKET, sys.PACKET_IGNORE_OUTGOING, 1);
      makeRoom(fd);
      if (filter !== undefined) await actor.attachFilter(fd, encodePacketFilter(filter));
      await actor.bind(fd, encodePacketAddress(index, sys.ETH_P_ALL));
      return new PacketPort(actor, fds.release(fd), ETHERNET_HEADER + mtu);
    } catch (error) {
      await actor.stop();
      throw error;
    }
  }

  /** Waits for the next frame and takes it: the other way to have them, besides start(). Throws AbortError. */
  async receive(signal: AbortSignal): Promise<Uint8Array> {
    const buffer = new Uint8Array(this.#room);
    for (;;) {
      const length = await this.#actor.recv(this.#fd, buffer, sys.MSG_TRUNC, { signal });
      if (length <= buffer.length) return buffer.subarray(0, length);
      this.#lost++;
    }
  }

  /** Starts to hand on frames, each in memory of its own. */
  start(arrived: (frame: Uint8Array) => void, failed: (error: Error) => void): void {
    this.#run(arrived).catch((error: Error) => {
      if (!this.#closed) failed(error);
    });
  }

  async #run(arrived: (frame: Uint8Array) => void): Promise<void> {
    const buffer = new Uint8Array(this.#room);
    const take = (length: number): void => {
      if (length > buffer.length) this.#lost++;
      else arrived(buffer.slice(0, length));
    };
    for (;;) {
      take(await this.#actor.recv(this.#fd, buffer, sys.MSG_TRUNC));
      for (let more = 1; more < BATCH && !this.#closed; more++) {
        const length = this.#poll(buffer);
        if (length === undefined) break;
        take(length);
      }
    }
  }

  /** The next frame's length, if there is one now. */
  #poll(buffer: Uint8Array): number | undefined {
    try {
      return sys.recv(this.#fd, buffer, sys.MSG_TRUNC | sys.MSG_DONTWAIT);
    } catch (error) {
      if (error instanceof sys.SyscallError && error.code === 'EAGAIN') return undefined;
      throw error;
    }
  }

  /** Sends a frame now, or loses it where a queue is full or the interface down. Throws SyscallError for anything else. */
  send(frame: Uint8Array): void {
    try {
      sys.send(this.#fd, frame, sys.MSG_DONTWAIT);
    } catch (error) {
      if (!(error instanceof sys.SyscallError && LOSSES.has(error.code))) throw error;
      this.#lost++;
    }
  }

  /** Frames lost so far: too long, not taken by the interface, or no room in our queue. */
  get lost(): number {
    this.#count();
    return this.#lost;
  }

  /** Adds what the kernel dropped since it was last asked (PACKET_STATISTICS). */
  #count(): void {
    if (this.#closed) return;
    const counts = new Uint32Array(2);
    sys.getsockopt(this.#fd, sys.SOL_PACKET, sys.PACKET_STATISTICS, new Uint8Array(counts.buffer));
    this.#lost += counts[1] ?? 0;
  }

  /** Stops the actor and closes the socket. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#count();
    this.#closed = true;
    await this.#actor.stop();
    sys.close(this.#fd);
  }
}
