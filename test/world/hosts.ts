/** Two hosts with a connection between them, for tests of what may happen to it. */
import * as sys from '../../src/syscall/sys.js';
import type { Host } from '../../src/world/host.js';

export const versions = [4, 6] as const;
export type Version = (typeof versions)[number];

/** A host's address; where there is no IPv6, a text that is none. */
export const addressOf = ({ addresses }: Host, version: Version = 4): string =>
  addresses[version] ?? 'no IPv6';

const domainOf = (version: Version): number => (version === 4 ? sys.AF_INET : sys.AF_INET6);

/** A thread and a socket on one of the hosts. */
export interface Actor {
  readonly actor: sys.Actor;
  readonly fd: number;
}

/** A listener on a port of the kernel's choice. */
export async function listenOn(
  fds: sys.Descriptors,
  host: Host,
  version: Version = 4,
): Promise<Actor & { address: sys.SocketAddress }> {
  const actor = await host.actor('server');
  const fd = await socketOn(fds, actor, version);
  await actor.bind(fd, { address: addressOf(host, version), port: 0 });
  await actor.listen(fd, 1);
  return { actor, fd, address: await actor.getsockname(fd) };
}

export async function socketOn(
  fds: sys.Descriptors,
  actor: sys.Actor,
  version: Version = 4,
): Promise<number> {
  return fds.own(await actor.socket(domainOf(version), sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
}

/** A connection from the one host to the other. */
export async function connectHosts(
  fds: sys.Descriptors,
  { client, server }: { readonly client: Host; readonly server: Host },
  version: Version = 4,
): Promise<{ client: Actor; server: Actor; from: string }> {
  const listener = await listenOn(fds, server, version);
  const actor = await client.actor('client');
  const fd = await socketOn(fds, actor, version);
  await actor.connect(fd, listener.address);
  const accepted = await listener.actor.accept(listener.fd);
  return {
    client: { actor, fd },
    server: { actor: listener.actor, fd: fds.own(accepted.fd) },
    from: accepted.address,
  };
}

/** Reads a file as a thread of that host sees it. */
export async function readOn(actor: sys.Actor, path: string): Promise<string> {
  using fds = new sys.Descriptors();
  const fd = fds.own(await actor.open(path, sys.O_RDONLY | sys.O_CLOEXEC));
  const buffer = new Uint8Array(65536);
  return Buffer.from(buffer.subarray(0, await actor.read(fd, buffer))).toString();
}

/** The counters of TCP in a host's /proc/net/snmp. */
export async function tcpCounters(actor: sys.Actor): Promise<Record<string, number>> {
  const lines = (await readOn(actor, '/proc/thread-self/net/snmp')).split('\n');
  const [names = '', values = ''] = lines.filter((line) => line.startsWith('Tcp:'));
  const numbers = values.split(' ');
  return Object.fromEntries(names.split(' ').map((name, i) => [name, Number(numbers[i])]));
}
