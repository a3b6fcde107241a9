import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** How it should be: both close, and who closed first waits. */
export const normal: Scenario = {
  name: 'normal',
  title: 'TIME_WAIT: both ends close, and the first to close waits',
  source: 'RFC 9293, sections 3.6 and 3.6.1; tcp_time_wait() in net/ipv4/tcp_minisocks.c',
  summary:
    'The client closes first, the server reads the end and closes too. TIME_WAIT is then at the client alone, without a ' +
    'process, for 60 s. Nobody must act.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  proof: { client: 'TIME_WAIT' },
  segments: ['S', 'S.', '.', 'P.', '.', 'P.', '.', 'F.', '.', 'F.', '.'],
  expected: { over: { client: { owned: false, timer: 'timewait', recvQ: 0, sendQ: 0 } } },
  control: {
    what: 'the client resets instead',
    async run(stage) {
      const { client, reach, moment } = stage;
      await establish(stage);
      await client.abort();
      await reach({ client: 'CLOSE', server: 'CLOSE' });
      await moment('over');
    },
  },

  async run(stage) {
    const { server, client, reach, moment, expect } = stage;
    await establish(stage);
    await client.send('ping\n');
    expect('what the server receives', 'ping\n', await server.receive());
    await server.send('pong\n');
    expect('what the client receives', 'pong\n', await client.receive());

    await client.close();
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await server.close();
    await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    await moment('over');
  },
};
