import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** FIN_WAIT1 that lasts: the FIN does not arrive. */
export const finWait1Stuck: Scenario = {
  name: 'fin-wait1-stuck',
  title: 'FIN_WAIT1: the FIN is lost, and the peer knows nothing',
  source:
    'RFC 9293, section 3.6; tcp(7), tcp_orphan_retries; tcp_write_timeout() in net/ipv4/tcp_timer.c',
  summary:
    'The client closes, and nothing arrives at the server. An orphan sends the FIN again and again from FIN_WAIT1; the ' +
    'server stays ESTABLISHED. tcp_orphan_retries ends the one, only keepalive or a write the other.',
  needsNamespace: true,
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  proof: { client: 'FIN_WAIT1' },
  expected: {
    stuck: {
      client: { owned: false, timer: 'on', sendQ: 1 },
      server: { owned: true, recvQ: 0, timer: 'off' },
    },
  },
  control: {
    what: 'nothing is lost',
    async run(stage) {
      await establish(stage);
      await stage.client.close();
      await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await stage.moment('stuck');
    },
  },

  async run(stage) {
    const { server, client, reach, moment } = stage;
    await establish(stage);
    await server.discardArriving(true);
    await client.close();
    await reach({ client: 'FIN_WAIT1', server: 'ESTABLISHED' });
    await moment('stuck');
  },
};
