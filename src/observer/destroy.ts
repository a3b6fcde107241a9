import * as sys from '../syscall/sys.js';
import { type SocketRow, SocketTable } from '../tcp/socket-table.js';
import { Feed } from './feed.js';
import type { Availability } from './observer.js';

/** A TCP socket that is no more. */
export interface SocketDestroyed {
  /** CLOCK_MONOTONIC, when we heard. */
  readonly tNs: bigint;
  readonly source: 'sock_diag';
  /**
   * What was left of it: `cookie` (SO_COOKIE) is its own, the state is CLOSE, and the kernel has often cleared ports and
   * addresses by then. Only the cookie tells whose end this is.
   */
  readonly socket: SocketRow;
}

// linux/netlink.h, linux/sock_diag.h.
const NETLINK_ADD_MEMBERSHIP = 1;
const SKNLGRP_INET_TCP_DESTROY = 1;
const SKNLGRP_INET6_TCP_DESTROY = 3;

const SOCKADDR_NL_LENGTH = 12;
const ROOM = 8192;
const LIMIT = 65_536;

const FACTS = {
  name: 'sock_diag destroy',
  sees: 'the end of every TCP socket of the network namespace, by its cookie',
  blindTo:
    'states on the way; addresses the kernel has cleared; the end of TIME_WAIT, which is no full socket',
  costs: 'nothing while no socket dies; a message and a wake-up for each that does',
  needs: 'CONFIG_INET_DIAG',
  clock: 'CLOCK_MONOTONIC at receipt; the kernel tells from a work queue, without a bound',
} as const;

/**
 * The kernel's word when a TCP socket is freed: by then nobody holds a descriptor and no segment is on its way.
 *
 * Sees: every TCP socket of the namespace that is freed. Blind to: its states before; often its
 * addresses; TIME_WAIT and request sockets, which are no full sockets. Costs: one message each, on the actor's thread. Needs: nothing but INET_DIAG in the kernel.
 * Clock: the moment of receipt, later than the end by as much as a work queue takes. Source:
 * sock_diag_broadcast_destroy() in net/core/sock_diag.c.
 */
export class DestroyObserver implements AsyncIterable<SocketDestroyed>, AsyncDisposable {
  /** How often the kernel had more to say than the socket had room for: that many times some were lost. */
  overruns = 0;
  readonly #actor: sys.Actor;
  readonly #fd: number;
  readonly #feed = new Feed<SocketDestroyed>(LIMIT);
  readonly #done: Promise<void>;
  #stopping: Promise<void> | undefined;

  private constructor(actor: sys.Actor, fd: number) {
    this.#actor = actor;
    this.#fd = fd;
    this.#done = this.#run();
  }

  /** Starts to listen in the actor's namespace. The actor is this observer's alone, and stopped with it. Throws SyscallError. */
  static async start(actor: sys.Actor): Promise<DestroyObserver> {
    using fds = new sys.Descriptors();
    try {
      const type = sys.SOCK_RAW | sys.SOCK_CLOEXEC;
      const fd = fds.own(await actor.socket(sys.AF_NETLINK, type, sys.NETLINK_SOCK_DIAG));
      // A netlink socket without a port id hears no multicast; an address of zeros asks for one.
      const address = new Uint8Array(SOCKADDR_NL_LENGTH);
      new DataView(address.buffer).setUint16(0, sys.AF_NETLINK, true);
      await actor.bind(fd, address);
      for (const group of [SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY]) {
        sys.setsockopt(fd, sys.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
      }
      return new DestroyObserver(actor, fds.release(fd));
    } catch (error) {
      await actor.stop();
      throw error;
    }
  }

  /** Whether this kernel lets this process join. */
  static availability(): Availability {
    using fds = new sys.Descriptors();
    try {
      const type = sys.SOCK_RAW | sys.SOCK_CLOEXEC;
      const fd = fds.own(sys.socket(sys.AF_NETLINK, type, sys.NETLINK_SOCK_DIAG));
      sys.setsockopt(fd, sys.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, SKNLGRP_INET_TCP_DESTROY);
      return { ...FACTS, available: true };
    } catch (error) {
      if (!(error instanceof sys.SyscallError)) throw error;
      return { ...FACTS, available: false, reason: error.message };
    }
  }

  /** Notices nobody read in time. */
  get dropped(): number {
    return this.#feed.dropped;
  }

  async #run(): Promise<void> {
    for (;;) {
      try {
        const bytes = new Uint8Array(ROOM);
        const length = await this.#actor.recv(this.#fd, bytes);
        const tNs = process.hrtime.bigint();
        for (const socket of new SocketTable([bytes.subarray(0, length)], { dumps: 0 })) {
          this.#feed.push({ tNs, source: 'sock_diag', socket });
        }
      } catch (error) {
        if (error instanceof sys.SyscallError && error.code === 'ENOBUFS') {
          this.overruns++;
          continue;
        }
        return this.#feed.end(error instanceof sys.AbortError ? undefined : error);
      }
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<SocketDestroyed> {
    return this.#feed[Symbol.asyncIterator]();
  }

  /** Ends it, and the reader's loop after what has come. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      await this.#actor.stop();
      await this.#done;
      sys.close(this.#fd);
    })();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
