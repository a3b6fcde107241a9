import { freePort } from '../../src/driver/free-port.js';
import type { Sockets } from '../../src/driver/running.js';
import { SockDiag } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import type { Host } from '../../src/world/host.js';
import { World } from '../../src/world/world.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { tcp } from '../fixture/sockets.js';

const HELD_MS = 300;

/** The host, where whatever is bound has another descriptor: as in a child between fork() and exec(). */
function forking(host: Host, onCopy: (copy: number) => void): Host {
  const actor = async (name: string): Promise<sys.Actor> => {
    const real = await host.actor(name);
    const bind = async (...[fd, address]: Parameters<typeof sys.bind>): Promise<void> => {
      const copy = sys.fcntl(fd, sys.F_DUPFD_CLOEXEC, 0);
      onCopy(copy);
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
  const host = forking(world.server, (copy) => setTimeout(() => sys.close(copy), HELD_MS));
  const port = await freePort(host, 4, address, { sockets: diag, signal: undefined });
  const fd = tcp(ownedBy(t));
  t.notThrows(() => sys.bind(fd, { address, port }));
});

test('who waits for the last descriptor of a port hears an abort', async (t) => {
  await using world = await World.open('host');
  using diag = SockDiag.open();
  const owned = ownedBy(t);
  const address = world.server.addresses[4] ?? '';
  const host = forking(world.server, (copy) => owned.own(copy));
  const controller = new AbortController();
  const reason = new Error('interrupted');
  let looks = 0;
  const sockets: Sockets = {
    snapshot(options) {
      if (++looks === 3) controller.abort(reason);
      return diag.snapshot(options);
    },
    find: (connection) => diag.find(connection),
  };
  const { signal } = controller;
  await t.throwsAsync(freePort(host, 4, address, { sockets, signal }), { is: reason });
  t.is(looks, 3);
});
