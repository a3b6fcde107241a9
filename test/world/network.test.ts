import type { ExecutionContext } from 'ava';
import * as sys from '../../src/syscall/sys.js';
import type { Host } from '../../src/world/host.js';
import { Network } from '../../src/world/network.js';
import { noNamespace, testUnless } from './ability.js';

const inNamespaces = (title: string, run: (t: ExecutionContext) => Promise<void>): void =>
  testUnless(noNamespace, title, run);

for (const version of [4, 6] as const) {
  inNamespaces(`hosts speak TCP over IPv${version}, and see each other's address`, async (t) => {
    await using network = await Network.open();
    using fds = new sys.Descriptors();
    const [client, server] = [await network.client.actor('c'), await network.server.actor('s')];
    const domain = version === 4 ? sys.AF_INET : sys.AF_INET6;
    const at = ({ addresses }: Host) => addresses[version] ?? 'no IPv6';
    const [from, to] = [at(network.client), at(network.server)];
    const listener = fds.own(await server.socket(domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    await server.bind(listener, { address: to, port: 0 });
    await server.listen(listener, 1);
    const address = await server.getsockname(listener);
    const fd = fds.own(await client.socket(domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    await client.connect(fd, address);
    const accepted = await server.accept(listener);
    fds.own(accepted.fd);
    t.is(accepted.address, from);
    await client.write(fd, 'test');
    const buffer = new Uint8Array(8);
    t.is(await server.read(accepted.fd, buffer), 4);
  });
}
