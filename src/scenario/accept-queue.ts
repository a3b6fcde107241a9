// What happens before accept().

import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** CLOSE_WAIT without a descriptor. */
export const acceptQueueCloseWait: Scenario = {
  name: 'accept-queue-close-wait',
  title: 'CLOSE_WAIT in the accept queue: no process has it yet',
  source:
    'accept(2), listen(2); inet_csk_accept() in net/ipv4/inet_connection_sock.c; tcp_diag_get_info() in ' +
    'net/ipv4/tcp_diag.c',
  summary:
    'The client connects, sends and closes before the server calls accept(). The connection is in CLOSE_WAIT with inode 0: ' +
    'no descriptor, so no process is named; blame the listener. Its FIN counts as one byte of Recv-Q. accept() still ' +
    'returns it, and its data can be read.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  proof: { server: 'CLOSE_WAIT' },
  expected: {
    queued: { server: { owned: false, recvQ: 6, cause: 'never-accepted' } },
    accepted: { server: { owned: true, recvQ: 6, cause: 'eof-unread' } },
    read: { server: { owned: true, recvQ: 0, cause: 'not-closed' } },
  },
  control: {
    what: 'the server accepts first',
    async run(stage) {
      const { client, reach, moment } = stage;
      await establish(stage);
      await client.send('test\n');
      await client.close();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('queued');
    },
  },

  async run({ server, client, reach, moment, expect }) {
    await client.connect(await server.listen());
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await client.send('test\n');
    await client.close();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('queued');

    await server.accept();
    await moment('accepted');
    expect('what the server receives', 'test\n', await server.receive());
    await server.readEnd();
    await moment('read');
  },
};

/** A reset before accept(). */
export const rstBeforeAccept: Scenario = {
  name: 'rst-before-accept',
  title: 'A RST before accept(): a descriptor of a connection that is gone',
  source: 'accept(2), error handling; inet_csk_accept() in net/ipv4/inet_connection_sock.c',
  summary:
    'The client connects and resets before the server calls accept(). On Linux accept() succeeds all the same: the ' +
    'descriptor has no peer (ENOTCONN), and its first read gives ECONNRESET.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'R.'],
  resets: ['client'],
  expected: { accepted: { server: { cause: 'ghost' } } },
  control: {
    what: 'the client does not reset',
    async run(stage) {
      await establish(stage);
      await stage.moment('accepted');
      await stage.fails('getpeername()', 'ENOTCONN', stage.server.peer());
    },
  },

  async run({ server, client, reach, moment, expect, fails }) {
    await client.connect(await server.listen());
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await client.abort();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    await server.accept();
    await moment('accepted');
    await fails('getpeername()', 'ENOTCONN', server.peer());
    await fails('the first read', 'ECONNRESET', server.receive());
    expect('the second read', '', await server.receive());
  },
};

/** A listener that goes while somebody waits. */
export const listenerClosed: Scenario = {
  name: 'listener-closed',
  title: 'Closing the listener resets what waits to be accepted',
  source: 'listen(2); inet_csk_listen_stop() in net/ipv4/inet_connection_sock.c',
  summary:
    'The client is ESTABLISHED and has sent its request; the server stops without having accepted it. close() of the ' +
    'listener resets everything in its queue: ECONNRESET for a client that took itself for connected.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  listener: ['LISTEN', 'CLOSE'],
  resets: ['server'],
  control: {
    what: 'the server has accepted',
    async run(stage) {
      const { server, client, fails } = stage;
      await establish(stage);
      await client.send('request\n');
      await server.stopListening();
      await server.echo();
      await fails('the read of the client', 'ECONNRESET', client.receive());
    },
  },

  async run({ server, client, reach, timer, fails }) {
    await client.connect(await server.listen());
    await client.send('request\n');
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    // On its way still, it would draw a reset of its own.
    await timer('client', 'off');
    await server.stopListening();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    await fails('the read of the client', 'ECONNRESET', client.receive());
  },
};

const BACKLOG = 1;

/** More clients than the queue has room for. */
export const acceptQueueOverflow: Scenario = {
  name: 'accept-queue-overflow',
  title: 'A full accept queue: the next SYN is not answered',
  source: 'listen(2), tcp(7), tcp_abort_on_overflow; tcp_conn_request() in net/ipv4/tcp_input.c',
  summary:
    'Nobody calls accept(). A backlog of 1 has room for 2 connections; they are ESTABLISHED. The SYN of the third is thrown ' +
    'away, and it waits in SYN_SENT, sending again after 1 s: as soon as there is room it is let in. The listener must ' +
    'accept faster, or have a longer queue.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  proof: { client: 'SYN_SENT' },
  segments: ['S', 'S', 'S.', '.'],
  expected: { full: { client: { owned: true, timer: 'on', sendQ: 1 } } },
  control: {
    what: 'the queue has room for one more',
    async run({ server, client, moment }) {
      const address = await server.listen({ backlog: BACKLOG + 1 });
      for (let i = 0; i <= BACKLOG; i++) await (await client.another()).connect(address);
      await client.connect(address);
      await moment('full');
    },
  },

  async run({ server, client, reach, timer, moment }) {
    const address = await server.listen({ backlog: BACKLOG });
    for (let i = 0; i <= BACKLOG; i++) await (await client.another()).connect(address);
    const connecting = client.connect(address);
    await reach({ client: 'SYN_SENT' });
    // A busy machine may take its time over a SYN: if there were room by then, it would be answered. It is sent again after 1 s.
    await timer('client', 'on', { belowMs: 500 });
    await moment('full');

    await (await server.another()).accept();
    await connecting;
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  },
};
