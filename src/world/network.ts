import type * as sys from '../syscall/sys.js';
import { type Checks, checkBoolean, checkedFields, integer, oneOf } from '../tcp/argument.js';
import type { VethEnd } from '../tcp/rtnetlink.js';
import { networkAddresses, PREFIX_LENGTHS } from './addresses.js';
import type { End } from './fault.js';
import type { Addresses, Host, Place } from './host.js';
import { Interfaces } from './interfaces.js';
import { Link } from './link.js';
import { Namespace } from './namespace.js';
import { type Privilege, privilege } from './privilege.js';
import { Wire, type WireOptions } from './wire.js';

/** A host of a network; its interface is `eth0`. */
export class NetworkHost implements Host {
  readonly namespace: Namespace;
  readonly addresses: Addresses;
  /** Of `eth0`. */
  readonly linkAddress: string;

  constructor(namespace: Namespace, addresses: Addresses, linkAddress: string) {
    this.namespace = namespace;
    this.addresses = addresses;
    this.linkAddress = linkAddress;
  }

  get inode(): number {
    return this.namespace.inode;
  }

  actor(name: string): Promise<sys.Actor> {
    return this.namespace.actor(name);
  }

  setSysctl(path: string, value: string): Promise<void> {
    return this.namespace.setSysctl(path, value);
  }
}

const ETH0 = 'eth0';
// Locally administered, so no vendor's; telling in a capture.
const LINK_ADDRESSES = { client: '02:00:00:00:00:01', server: '02:00:00:00:00:02' } as const;

const MTU = 1500;
const HEADERS = { 4: 40, 6: 60 } as const;
const WIRE_PORT = 40_000;

/** How two hosts are joined. */
export interface NetworkOptions {
  /** Puts the wire into this process's hands: see Link. Left out: the kernel's own, which loses nothing. */
  readonly link?: boolean;
  /** Leaves an end without a stack: its addresses are known to nobody there, so that a Wire can speak in their name. */
  readonly wire?: End;
}

/** A conversation of the end without a stack. */
export interface ConversationOptions extends Pick<WireOptions, 'iss' | 'mss' | 'wscale'> {
  /** The IP version; left out: 4. */
  readonly version?: 4 | 6;
  /** The wire's port; left out: 40000. */
  readonly port?: number;
}

const OPTIONS: Checks<NetworkOptions> = { link: checkBoolean, wire: oneOf('client', 'server') };
const CONVERSATION: Checks<ConversationOptions> = {
  version: oneOf(4, 6),
  port: integer(0, 0xffff),
  iss: integer(0, 0xffff_ffff),
  mss: integer(0, 0xffff),
  wscale: integer(0, 0xff),
};

/** A network whose wire is in our hands. */
export type LinkedNetwork = Network & { readonly link: Link };

/**
 * Two hosts, each a network namespace, and the wire between their `eth0`: a veth pair, or two with a program between them
 * in a namespace of its own. There is no offload, so a frame on it is a segment with its checksum.
 */
export class Network implements Place {
  readonly kind = 'network';
  readonly privilege: Privilege = privilege();
  readonly client: NetworkHost;
  readonly server: NetworkHost;
  readonly link: Link | undefined;
  readonly #wire: End | undefined;
  readonly #namespaces: readonly Namespace[];

  private constructor(
    client: NetworkHost,
    server: NetworkHost,
    link: Link | undefined,
    wire: End | undefined,
    namespaces: readonly Namespace[],
  ) {
    this.client = client;
    this.server = server;
    this.link = link;
    this.#wire = wire;
    this.#namespaces = namespaces;
  }

  /**
   * Opens two hosts that reach each other over IPv4 and IPv6. Throws SyscallError, EPERM from unshare, where this process
   * may not make namespaces; TypeError for options that are none.
   *
   * @example
   * await using network = await Network.open({ link: true });
   * const lost = network.link.drop({ from: 'client', flags: 'F', nth: 1 });
   */
  static open(options: NetworkOptions & { readonly link: true }): Promise<LinkedNetwork>;
  static open(options?: NetworkOptions): Promise<Network>;
  static async open(options: NetworkOptions = {}): Promise<Network> {
    const { link: linked = false, wire } = checkedFields('options', options, OPTIONS);
    const namespaces: Namespace[] = [];
    try {
      const client = await openHost('client', namespaces);
      const server = await openHost('server', namespaces, client.inode);
      if (!linked) {
        await joinHosts(client, server, wire);
        return new Network(client, server, undefined, wire, namespaces);
      }
      const middle = await Namespace.open();
      namespaces.push(middle);
      await Promise.all([client, server].map(({ namespace }) => namespace.bePatient()));
      await joinThrough(middle, client, server, wire);
      return new Network(client, server, await Link.open(middle), wire, namespaces);
    } catch (error) {
      await closeAll(namespaces);
      throw error;
    }
  }

  /**
   * Begins a conversation for the end without a stack: see Wire. It is over with the network at the latest. Throws
   * SyscallError, TypeError or RangeError for options that are none.
   */
  async wire(options: ConversationOptions = {}): Promise<Wire> {
    const checked = checkedFields('options', options, CONVERSATION);
    const { version = 4, port = WIRE_PORT, mss = MTU - HEADERS[version], ...rest } = checked;
    if (this.#wire === undefined) throw new Error('both hosts of this network have a stack');
    const [host, peer] =
      this.#wire === 'client' ? [this.client, this.server] : [this.server, this.client];
    const [address, peerAddress] = [host.addresses[version], peer.addresses[version]];
    if (address === undefined || peerAddress === undefined) {
      throw new Error('this kernel has no IPv6');
    }
    return await Wire.open(await host.actor('wire'), {
      ...rest,
      mss,
      interfaceName: ETH0,
      local: { address, port },
      linkAddress: host.linkAddress,
      peer: { address: peerAddress, linkAddress: peer.linkAddress },
    });
  }

  /** Lets the hosts go, with the actors and programs that live there, and the link. Idempotent. */
  async close(): Promise<void> {
    await this.link?.close();
    await closeAll(this.#namespaces);
  }

  /** Closes it; a second time does nothing. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The host's end of a veth pair that is made in another namespace. */
const endOf = ({ namespace: { netns }, linkAddress }: NetworkHost): VethEnd => ({
  name: ETH0,
  linkAddress,
  netns,
});

/** Joins two hosts by one veth pair. */
async function joinHosts(
  client: NetworkHost,
  server: NetworkHost,
  wire: End | undefined,
): Promise<void> {
  await client.namespace.during('veth', async (actor) => {
    using interfaces = await Interfaces.open(actor);
    await interfaces.createVeth(endOf(client), endOf(server));
  });
  await attachAll(client, server, wire);
}

/** Joins each of two hosts to a namespace between them; its interfaces have the names of the ends they lead to. */
async function joinThrough(
  middle: Namespace,
  client: NetworkHost,
  server: NetworkHost,
  wire: End | undefined,
): Promise<void> {
  await middle.during('veth', async (actor) => {
    using interfaces = await Interfaces.open(actor);
    for (const [name, host] of Object.entries({ client, server })) {
      await interfaces.createVeth({ name }, endOf(host));
      await setUpQuietly(interfaces, name);
    }
  });
  await attachAll(client, server, wire);
}

/** Makes a host without a wire; `network` is the inode that names the network, by default its own. */
async function openHost(
  end: 'client' | 'server',
  namespaces: Namespace[],
  network?: number,
): Promise<NetworkHost> {
  const namespace = await Namespace.open();
  namespaces.push(namespace);
  const own = networkAddresses(network ?? namespace.inode, end === 'client' ? 1 : 2);
  const ipv6 = await namespace.enableIpv6();
  return new NetworkHost(namespace, ipv6 ? own : { ...own, 6: undefined }, LINK_ADDRESSES[end]);
}

/** Sets up both ends, at the same time: one runs when the other is up. */
async function attachAll(
  client: NetworkHost,
  server: NetworkHost,
  wire: End | undefined,
): Promise<void> {
  await Promise.all([
    attach(client, server, wire !== 'client'),
    attach(server, client, wire !== 'server'),
  ]);
}

/** Sets up a host's end of the wire, and waits until it carries. */
function attach(
  { namespace, addresses }: NetworkHost,
  peer: NetworkHost,
  hasStack: boolean,
): Promise<void> {
  return namespace.during('attach', async (actor) => {
    using interfaces = await Interfaces.open(actor);
    await interfaces.setUp('lo');
    await setUpQuietly(interfaces, ETH0);
    for (const version of [4, 6] as const) {
      const [own, other] = [addresses[version], peer.addresses[version]];
      if (!hasStack || own === undefined || other === undefined) continue;
      await interfaces.addAddress(ETH0, own, PREFIX_LENGTHS[version]);
      await interfaces.addNeighbour(ETH0, other, peer.linkAddress);
    }
    await interfaces.running(ETH0);
  });
}

/** Sets an end of a pair up that sends what it is told to, and nothing else. */
async function setUpQuietly(interfaces: Interfaces, name: string): Promise<void> {
  await interfaces.switchOffloadOff(name);
  await interfaces.quieten(name);
  await interfaces.setUp(name);
}

async function closeAll(namespaces: readonly Namespace[]): Promise<void> {
  for (const namespace of [...namespaces].reverse()) await namespace.close();
}
