import type { Endpoint } from '../tcp/address.js';

/** A socket in LISTEN. */
export interface Listener {
  /** Inode number of its network namespace. */
  readonly netns: number;
  readonly local: Endpoint;
  readonly inode: number;
  /** Connections that wait for accept(). */
  readonly queued: number;
  /** How many may wait. */
  readonly backlog: number;
}

const NONE: readonly Listener[] = [];

/** All listeners, found by the address of a connection. */
export class Listeners {
  readonly #byPort = new Map<number, Listener[]>();

  constructor(listeners: Iterable<Listener>) {
    for (const listener of listeners) {
      const { port } = listener.local;
      const same = this.#byPort.get(port);
      if (same === undefined) this.#byPort.set(port, [listener]);
      else same.push(listener);
    }
  }

  /**
   * The listeners a connection may have come in by: those on its very address, else those on any address. SO_REUSEPORT
   * makes several; none is left where the listener was closed, or where this end had connected.
   */
  of({ netns, local }: { readonly netns: number; readonly local: Endpoint }): readonly Listener[] {
    const anywhere = this.#byPort.get(local.port);
    if (anywhere === undefined) return NONE;
    const port = anywhere.filter((each) => each.netns === netns);
    const exact = port.filter((each) => each.local.address === local.address);
    if (exact.length > 0) return exact;
    // An IPv6 listener takes IPv4 connections as well, and shows them as ::ffff:a.b.c.d.
    const mapped = /^::ffff:\d+\./.test(local.address);
    const any = local.address.includes(':') && !mapped ? ['::'] : ['0.0.0.0', '::'];
    return port.filter(({ local: { address } }) => any.includes(address));
  }
}
