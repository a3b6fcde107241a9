import { freePort } from '../../src/driver/free-port.js';
import { SockDiag } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import type { Host } from '../../src/world/host.js';
import { World } from '../../src/world/world.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { tcp } from '../fixture/sockets.js';

const HELD_MS = 300;

/** The host, where whatever is bound has another descriptor for a while: as in a child between fork() and exec(). */
function forking(host: Host): Host {
  const actor = async (name: string): Promise<sys.Actor> => {
    const real = await host.actor(name);
    const bind = async (...[fd, address]: Parameters<typeof sys.bind>): Promise<void> => {
      const copy = sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, 0);
      setTimeout(() => sys.close(copy), HELD_MS);
      sys.bind(fd, address);
    };
    const socket = real.socket.bind(real);
    return { bind, socket, stop: () => real.stop() } as sys.Actor;
  };
  return { ...host, addresses: host.addresses, inode: host.inode, actor };
}

test('a port is free when the last descriptor of it is closed', async (t) => {
  await using world = await World.open('host');
  using diag = SockDiag.open();
  const address = world.server.addresses[4] ?? '';
  const port = await freePort(forking(world.server), 4, address, diag);
  const fd = tcp(ownedBy(t));
  t.notThrows(() => sys.bind(fd, { address, port }));
});
