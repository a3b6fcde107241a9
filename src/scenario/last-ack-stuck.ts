import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** LAST_ACK that lasts: the last acknowledgment does not come. */
export const lastAckStuck: Scenario = {
  name: 'last-ack-stuck',
  title: 'LAST_ACK: the acknowledgment of the last FIN is lost',
  source: 'RFC 9293, section 3.6.1; tcp(7), tcp_orphan_retries',
  summary:
    'The client has closed, the server closes too, and whatever arrives at the server is lost. It sends its FIN again and ' +
    'again from LAST_ACK, as an orphan; the client has it, and answers from TIME_WAIT. tcp_orphan_retries ends it.',
  needsNamespace: true,
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK'],
  },
  proof: { server: 'LAST_ACK' },
  expected: {
    stuck: {
      client: { owned: false, timer: 'timewait' },
      server: { owned: false, timer: 'on', sendQ: 1 },
    },
  },
  control: {
    what: 'nothing is lost',
    async run(stage) {
      const { server, client, reach, moment } = stage;
      await establish(stage);
      await client.shutdown('SHUT_WR');
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      await moment('stuck');
    },
  },

  async run(stage) {
    const { server, client, reach, moment } = stage;
    await establish(stage);
    await client.shutdown('SHUT_WR');
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await server.discardArriving(true);
    await server.close();
    await reach({ client: 'TIME_WAIT', server: 'LAST_ACK' });
    await moment('stuck');
  },
};
