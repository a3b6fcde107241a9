// CLOSE_WAIT that looks the same in a table, and has other causes than a forgotten close().

import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

const path = {
  client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
  server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
} as const;

/** The application does not read. */
export const eofUnread: Scenario = {
  name: 'eof-unread',
  title: 'CLOSE_WAIT with Recv-Q: nobody has read the end',
  source: 'read(2); SIOCINQ in tcp(7); inet_diag(7), idiag_rqueue',
  summary:
    'The client sends and closes; the server does not read: paused, blocked elsewhere, not polling. Recv-Q counts the data ' +
    'and one for the FIN. The server does not know yet that there is something to close: it must read. The read that takes the last ' +
    'data takes the FIN along: Recv-Q 0 does not prove that anybody has seen the end.',
  path,
  proof: { server: 'CLOSE_WAIT' },
  expected: {
    unread: { server: { owned: true, recvQ: 6, cause: 'eof-unread' } },
    'data read': { server: { owned: true, recvQ: 0, cause: 'not-closed' } },
  },
  control: {
    what: 'the server reads to the end',
    async run(stage) {
      const { server, client, reach, moment } = stage;
      await establish(stage);
      await client.send('test\n');
      await client.close();
      await server.receive();
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('unread');
      await moment('data read');
    },
  },

  async run(stage) {
    const { server, client, reach, moment, expect } = stage;
    await establish(stage);
    await client.send('test\n');
    await client.close();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('unread');
    expect('what the server receives', 'test\n', await server.receive());
    await moment('data read');
  },
};

/** The application is at work. */
export const stillSending: Scenario = {
  name: 'still-sending',
  title: 'CLOSE_WAIT with Send-Q: the server is still answering',
  source: 'shutdown(2); RFC 9293, section 3.8.6.1; tcp_probe_timer() in net/ipv4/tcp_timer.c',
  summary:
    'The client has half-closed and reads slowly; the server has a long answer. CLOSE_WAIT with Send-Q and the persist timer ' +
    'is no leak: the client must read.',
  path,
  proof: { server: 'CLOSE_WAIT' },
  expected: {
    full: { server: { owned: true, sendQ: 'some', timer: 'persist', cause: 'still-sending' } },
  },
  control: {
    what: 'the answer is short',
    async run(stage) {
      const { server, client, reach, moment } = stage;
      await establish(stage);
      await client.shutdown('SHUT_WR');
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await server.send('short\n');
      await client.receive();
      await moment('full');
    },
  },

  async run(stage) {
    const { server, client, reach, timer, moment } = stage;
    await establish(stage);
    await client.shutdown('SHUT_WR');
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await server.fill();
    await timer('server', 'persist');
    await moment('full');
  },
};
