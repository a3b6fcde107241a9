import type { Endpoint } from '../tcp/address.js';
import type { End } from './event.js';

/** A socket's addresses, from its own side. */
interface Addresses {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly netns?: number;
}

/** What else is known of a connection than where its server listens. */
export interface Surroundings {
  /** The inode number of its network namespace, where sources tell namespaces apart and both ends are in the same. */
  readonly netns?: number;
  /** The client's address: connections from others are not meant. */
  readonly from?: string;
}

/** Whose socket something was seen on. */
export interface Place {
  readonly end: End;
  readonly listener: boolean;
}

/** Who is who in one experiment: tells its sockets and threads from everybody else's. */
export class Who {
  readonly #threads = new Map<number, End>();
  #server: Endpoint | undefined;
  #netns: number | undefined;
  #from: string | undefined;

  serverListens(address: Endpoint, { netns, from }: Surroundings = {}): void {
    this.#server = { address: plain(address.address), port: address.port };
    this.#netns = netns;
    this.#from = from;
  }

  /** A thread acts one of the ends. */
  threadActs(tid: number, end: End): void {
    this.#threads.set(tid, end);
  }

  endOfThread(tid: number): End | null {
    return this.#threads.get(tid) ?? null;
  }

  /** Undefined for sockets of others, and as long as nobody has said where the server listens. */
  placeOf({ local, remote, netns }: Addresses): Place | undefined {
    if (this.#netns !== undefined && netns !== undefined && netns !== this.#netns) return undefined;
    const listener = remote.port === 0;
    // It may listen on every address, the one it is reached by among them.
    const everywhere = listener && local.port === this.#server?.port && isAny(local.address);
    if (listener)
      return everywhere || this.#isServer(local) ? { end: 'server', listener } : undefined;
    if (this.#isServer(local) && this.#isClient(remote)) return { end: 'server', listener };
    return this.#isServer(remote) && this.#isClient(local)
      ? { end: 'client', listener }
      : undefined;
  }

  #isClient({ address }: Endpoint): boolean {
    return this.#from === undefined || this.#from === plain(address);
  }

  #isServer({ address, port }: Endpoint): boolean {
    const server = this.#server;
    if (server === undefined || server.port !== port) return false;
    return isAny(server.address) || server.address === plain(address);
  }
}

/** An IPv6 socket that speaks IPv4 has mapped addresses; its packets have not. */
export function plain(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}

function isAny(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}
