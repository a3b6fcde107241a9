import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** FIN_WAIT1 that lasts, since the FIN is behind data that nobody reads. */
export const zeroWindowFinWait1: Scenario = {
  name: 'zero-window-fin-wait1',
  title: 'FIN_WAIT1 behind a closed window: the peer does not read',
  source:
    'tcp(7), tcp_orphan_retries; RFC 9293, section 3.8.6.1; tcp_probe_timer() in net/ipv4/tcp_timer.c',
  summary:
    'The server does not read, its window is closed, and the client closes. The FIN waits behind the data: FIN_WAIT1 with ' +
    'Send-Q, and the persist timer asks for room. The server is still ESTABLISHED and knows of no end: it must read.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  proof: { client: 'FIN_WAIT1' },
  expected: { stuck: { client: { owned: false, sendQ: 'some', timer: 'persist' } } },
  control: {
    what: 'nothing waits to be sent',
    async run(stage) {
      const { client, reach, moment } = stage;
      await establish(stage);
      await client.close();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('stuck');
    },
  },

  async run(stage) {
    const { client, reach, timer, moment } = stage;
    await establish(stage);
    await client.fill();
    await client.close();
    await reach({ client: 'FIN_WAIT1', server: 'ESTABLISHED' });
    await timer('client', 'persist');
    await moment('stuck');
  },
};
