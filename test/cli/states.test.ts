import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { hasIpv6 } from '../../src/world/interfaces.js';
import { testUnless } from '../world/ability.js';
import { closewait } from './closewait.js';

const noIpv6 = hasIpv6() ? undefined : 'needs IPv6';

testUnless(noIpv6, 'states: all of tcp before tcp6, as netstat has them', async (t) => {
  const servers = ['::1', '127.0.0.1'].map((host) => createServer().listen(0, host));
  t.teardown(() => {
    for (const server of servers) server.close();
  });
  for (const server of servers) {
    if (!server.listening) await once(server, 'listening');
    const { address, port } = server.address() as AddressInfo;
    const client = connect(port, address);
    t.teardown(() => client.destroy());
    const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
    t.teardown(() => accepted.destroy());
  }
  const protocols = closewait('states').stdout.match(/^tcp6?/gm) ?? [];
  const changes = protocols.filter((protocol, row) => protocol !== protocols[row - 1]);
  t.deepEqual(changes, ['tcp', 'tcp6']);
});
