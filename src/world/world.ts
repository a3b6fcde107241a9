import * as sys from '../syscall/sys.js';
import { oneOf } from '../tcp/argument.js';
import { IFF_UP } from '../tcp/rtnetlink.js';
import { loopbackAddresses } from './addresses.js';
import type { Addresses, Host, Place } from './host.js';
import { hasIpv6, Interfaces } from './interfaces.js';
import { Namespace } from './namespace.js';
import { type Privilege, privilege } from './privilege.js';

export { type Privilege, privilege };

/** What a world is: a network namespace of its own, or the network the process was started in. */
export type WorldKind = 'namespace' | 'host';

const checkKind = oneOf('namespace', 'host');

/** The network of this process has a loopback that is down: nothing on one host reaches anything. */
export class LoopbackDownError extends Error {
  override readonly name = 'LoopbackDownError';
  readonly code = 'ERR_LOOPBACK_DOWN';

  constructor() {
    super(
      'the loopback interface is down in this network namespace: `ip link set lo up` (as root)',
    );
  }
}

/**
 * Where an experiment happens on one host: both ends of a connection are on its loopback. A world of kind `namespace` has
 * nothing in it but `lo`, with addresses of its own besides the usual.
 */
export class World implements Host, Place {
  readonly kind: WorldKind;
  readonly privilege: Privilege = privilege();
  readonly addresses: Addresses;
  readonly #namespace: Namespace;

  private constructor(kind: WorldKind, namespace: Namespace, addresses: Addresses) {
    this.kind = kind;
    this.#namespace = namespace;
    this.addresses = addresses;
  }

  /**
   * Opens a world. Throws SyscallError, EPERM from unshare, where a namespace is asked for and this process may not make
   * one; LoopbackDownError where the host is asked for and its `lo` is down; TypeError for what is no kind.
   */
  static async open(kind: WorldKind): Promise<World> {
    checkKind('kind', kind);
    if (kind === 'host') {
      const shared = { 4: '127.0.0.1', 6: hasIpv6() ? '::1' : undefined };
      const current = Namespace.current();
      if (await isLoopbackDown(current)) throw new LoopbackDownError();
      return new World('host', current, shared);
    }
    const namespace = await Namespace.open();
    try {
      const own = loopbackAddresses(namespace.inode);
      const addresses = (await namespace.enableIpv6()) ? own : { ...own, 6: undefined };
      await namespace.bePatient();
      await namespace.during('world', async (actor) => {
        using interfaces = await Interfaces.open(actor);
        await interfaces.setUp('lo');
        // With a route of its own: what is sent to it is sent from it.
        await interfaces.addAddress('lo', addresses[4], 32);
        if (addresses[6] !== undefined) await interfaces.addAddress('lo', addresses[6], 128);
      });
      return new World('namespace', namespace, addresses);
    } catch (error) {
      await namespace.close();
      throw error;
    }
  }

  /** The host that plays the client: the only one there is. */
  get client(): Host {
    return this;
  }

  /** The host that plays the server: the only one there is. */
  get server(): Host {
    return this;
  }

  get inode(): number {
    return this.#namespace.inode;
  }

  /** Refuses in a world of kind `host`: there a setting would be somebody else's. */
  setSysctl(path: string, value: string): Promise<void> {
    return this.#namespace.setSysctl(path, value);
  }

  actor(name: string): Promise<sys.Actor> {
    return this.#namespace.actor(name);
  }

  /** Stops the actors, newest first, and lets the namespace go. Idempotent. */
  close(): Promise<void> {
    return this.#namespace.close();
  }

  /** Closes it; a second time does nothing. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** False also where nobody may ask: what goes wrong on it will tell. */
function isLoopbackDown(namespace: Namespace): Promise<boolean> {
  return namespace.during('world', async (actor) => {
    try {
      using interfaces = await Interfaces.open(actor);
      return ((await interfaces.find('lo')).flags & IFF_UP) === 0;
    } catch (error) {
      if (error instanceof sys.SyscallError) return false;
      throw error;
    }
  });
}
