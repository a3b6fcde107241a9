/** Servers that many people run, under storms of closes, half-closes and aborts: no false alarm. */
import { testUnless } from '../world/ability.js';
import { servers, weathered } from './real-servers.js';

for (const server of servers) {
  testUnless(
    server.missing,
    `${server.name}: no false alarm under a storm, and none after it`,
    async (t) => {
      const { looks } = await weathered(t, server, server.lives);
      t.true(looks.length >= 2);
      for (const { counts, sockets } of looks) {
        const [leak] = sockets.filter(({ leak }) => leak);
        t.is(counts.leaks, 0, JSON.stringify(leak));
      }
    },
  );
}
