// A peer that has died without a word, and what finds out.

import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

/** Nothing arrives any more at either end. */
async function cutOff({ client, server }: Stage): Promise<void> {
  await client.discardArriving(true);
  await server.discardArriving(true);
}

async function keepAlive({ client }: Stage): Promise<void> {
  await client.setOption('SO_KEEPALIVE', true);
  await client.setOption('TCP_KEEPIDLE', 1);
  await client.setOption('TCP_KEEPINTVL', 1);
  await client.setOption('TCP_KEEPCNT', 2);
}

/** Probes that nobody answers. */
export const keepaliveDeath: Scenario = {
  name: 'keepalive-death',
  title: 'Keepalive: a dead peer is found by those who only read',
  source:
    'tcp(7), TCP_KEEPIDLE; RFC 9293, section 3.8.4; tcp_keepalive_timer() in net/ipv4/tcp_timer.c',
  summary:
    'Nothing arrives any more in either direction. The client, blocked in read(), probes after 1 s and again after 1 s, ' +
    'twice, and gives up: ETIMEDOUT after 3 s. The server has no keepalive and stays ESTABLISHED for ever.',
  needsNamespace: true,
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  resets: ['client'],
  expected: {
    'cut off': { client: { timer: 'keepalive' }, server: { timer: 'off' } },
    dead: { server: { owned: true, timer: 'off', recvQ: 0 } },
  },
  control: {
    what: 'the peer answers',
    async run(stage) {
      await establish(stage);
      await keepAlive(stage);
      await stage.moment('cut off');
      // Longer than a dead peer is believed in; the kernel of this one answers the probes meanwhile.
      await stage.client.setOption('SO_RCVTIMEO', 3.5);
      await stage.fails('the read of the client', 'ETIMEDOUT', stage.client.receive());
      await stage.moment('dead');
    },
  },

  async run(stage) {
    const { client, reach, moment, fails } = stage;
    await establish(stage);
    await keepAlive(stage);
    await cutOff(stage);
    await moment('cut off');
    await fails('the read of the client', 'ETIMEDOUT', client.receive());
    await reach({ client: 'CLOSE', server: 'ESTABLISHED' });
    await moment('dead');
  },
};

/** Data that nobody acknowledges. */
export const userTimeout: Scenario = {
  name: 'user-timeout',
  title: 'TCP_USER_TIMEOUT: how long unacknowledged data is believed in',
  source: 'tcp(7), TCP_USER_TIMEOUT; RFC 5482; tcp_write_timeout() in net/ipv4/tcp_timer.c',
  summary:
    'The client writes and nothing is acknowledged. Without TCP_USER_TIMEOUT it would try for a quarter of an hour ' +
    '(tcp_retries2); with 1.5 s the retransmission after that is not made: ETIMEDOUT. The server knows nothing.',
  needsNamespace: true,
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  expected: {
    unacknowledged: { client: { sendQ: 6, timer: 'on' } },
    dead: { server: { owned: true, timer: 'off', recvQ: 0 } },
  },
  control: {
    what: 'the peer acknowledges',
    async run(stage) {
      const { client, server, moment, fails } = stage;
      await establish(stage);
      await client.setOption('TCP_USER_TIMEOUT', 1500);
      await client.send('hello\n');
      await server.echo();
      await moment('unacknowledged');
      await fails('the read of the client', 'ETIMEDOUT', client.receive());
      await moment('dead');
    },
  },

  async run(stage) {
    const { client, reach, moment, fails } = stage;
    await establish(stage);
    await client.setOption('TCP_USER_TIMEOUT', 1500);
    await cutOff(stage);
    await client.send('hello\n');
    await moment('unacknowledged');
    await fails('the read of the client', 'ETIMEDOUT', client.receive());
    await reach({ client: 'CLOSE', server: 'ESTABLISHED' });
    await moment('dead');
  },
};
