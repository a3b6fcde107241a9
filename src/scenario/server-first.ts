import type { ListenOptions } from '../driver/role.js';
import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

/** The server closes first and stops; then it wants its port back. */
async function restart(stage: Stage, options: ListenOptions): Promise<void> {
  const { server, client, reach, moment, fails } = stage;
  const { port } = await establish(stage, options);
  await server.close();
  await client.readEnd();
  await reach({ server: 'FIN_WAIT2', client: 'CLOSE_WAIT' });
  await client.close();
  await reach({ server: 'TIME_WAIT', client: 'CLOSE' });
  await server.stopListening();
  await moment('stopped');

  await fails('bind() without SO_REUSEADDR', 'EADDRINUSE', server.listen({ port }));
  const again = server.listen({ port, reuseAddress: true });
  await fails('bind() with SO_REUSEADDR, which the first had not', 'EADDRINUSE', again);
}

/** Why a restarted server cannot have its port. */
export const serverFirst: Scenario = {
  name: 'server-first',
  title: 'TIME_WAIT at the server: its port cannot be bound again',
  source: 'socket(7), SO_REUSEADDR; inet_csk_bind_conflict() in net/ipv4/inet_connection_sock.c',
  summary:
    'The server closes first, so TIME_WAIT is at its port. bind() gives EADDRINUSE for 60 s, with SO_REUSEADDR too if the ' +
    'first listener had it not: every listener must set it from the start.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
  },
  proof: { server: 'TIME_WAIT' },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.'],
  expected: { stopped: { server: { owned: false, timer: 'timewait' } } },
  control: {
    what: 'both listeners have SO_REUSEADDR',
    run: (stage) => restart(stage, { reuseAddress: true }),
  },

  run: (stage) => restart(stage, {}),
};
