import type { Endpoint } from '../tcp/address.js';
import type { SocketRow } from '../tcp/socket-table.js';

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

/** What a row in LISTEN says of its listener: its queues count connections. */
export function listenerOf(netns: number, { local, inode, recvQ, sendQ }: SocketRow): Listener {
  return { netns, local, inode, queued: recvQ, backlog: sendQ };
}

const NONE: readonly Listener[] = [];

/** Those of one port. */
interface Port {
  readonly listeners: Listener[];
  /** Answers given, by the connection's address. */
  readonly answers: Map<string, readonly Listener[]>;
}

/** All listeners, found by the address of a connection. */
export class Listeners {
  readonly #byNetns = new Map<number, Map<number, Port>>();
  readonly #queues = new Map<readonly Listener[], readonly Listener[]>();

  constructor(listeners: Iterable<Listener>) {
    for (const listener of listeners) {
      const { netns, local } = listener;
      const ports = this.#byNetns.get(netns) ?? new Map<number, Port>();
      this.#byNetns.set(netns, ports);
      const same = ports.get(local.port);
      if (same === undefined) {
        ports.set(local.port, { listeners: [listener], answers: new Map() });
      } else same.listeners.push(listener);
    }
  }

  /**
   * The listeners a connection may have come in by: those on its very address, else those on any address. SO_REUSEPORT
   * makes several; none is left where the listener was closed, or where this end had connected. All connections of one
   * address get the same list.
   */
  of({ netns, local }: { readonly netns: number; readonly local: Endpoint }): readonly Listener[] {
    const port = this.#byNetns.get(netns)?.get(local.port);
    if (port === undefined) return NONE;
    let answer = port.answers.get(local.address);
    if (answer === undefined) {
      answer = listenersAt(local.address, port.listeners);
      port.answers.set(local.address, answer);
    }
    return answer;
  }

  /**
   * The listeners that a connection which nobody has accepted may wait at: of those, the ones with a queue. All of them where
   * none had one when they were listed. All connections of one address get the same list.
   */
  queuesOf(connection: { readonly netns: number; readonly local: Endpoint }): readonly Listener[] {
    const all = this.of(connection);
    if (all.length < 2) return all;
    let queues = this.#queues.get(all);
    if (queues === undefined) {
      const waiting = all.filter(({ queued }) => queued > 0);
      queues = waiting.length > 0 ? waiting : all;
      this.#queues.set(all, queues);
    }
    return queues;
  }
}

function listenersAt(address: string, listeners: readonly Listener[]): readonly Listener[] {
  const exact = listeners.filter((each) => each.local.address === address);
  if (exact.length > 0) return exact;
  // What an IPv6 listener takes over IPv4 is shown as ::ffff:a.b.c.d.
  const any = address.includes(':') ? '::' : '0.0.0.0';
  return listeners.filter(({ local }) => local.address === any);
}
