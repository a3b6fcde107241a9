// shutdown(2), in the directions that are not a half-close.

import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** The direction that TCP has no word for. */
export const shutdownRead: Scenario = {
  name: 'shutdown-read',
  title: 'shutdown(SHUT_RD): the peer is told nothing',
  source: 'shutdown(2); tcp_recvmsg_locked() in net/ipv4/tcp.c',
  summary:
    'The server will not read any more. No segment says so: the client writes as before and is acknowledged. On Linux what ' +
    'arrives can even be read; when nothing is there read() gives the end instead of waiting.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  segments: ['S', 'S.', '.', 'P.', '.'],
  expected: {
    shut: { client: { timer: 'off' }, server: { owned: true, recvQ: 0, sendQ: 0 } },
    written: { server: { recvQ: 6 } },
  },
  control: {
    what: 'the client closes: its FIN ends the stream, and there is nothing more',
    async run(stage) {
      const { server, client, reach, moment, expect } = stage;
      await establish(stage);
      await client.close();
      await reach({ server: 'CLOSE_WAIT' });
      await moment('shut');
      expect('the read of the server', '', await server.receive());
      await moment('written');
    },
  },

  async run(stage) {
    const { server, client, reach, timer, moment, expect } = stage;
    await establish(stage);
    await server.shutdown('SHUT_RD');
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await moment('shut');
    expect('the read of the server', '', await server.receive());

    expect('the write of the client', 6, await client.send('still\n'));
    // It has come when it is acknowledged.
    await timer('client', 'off');
    await moment('written');
    expect('what the server reads all the same', 'still\n', await server.receive());
    expect('its next read', '', await server.receive());
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  },
};

/** Both directions at once, and the descriptor kept. */
export const shutdownBoth: Scenario = {
  name: 'shutdown-both',
  title: 'shutdown(SHUT_RDWR): a FIN, and a RST for whoever answers',
  source:
    'shutdown(2); RFC 1122, section 4.2.2.13; tcp_rcv_state_process() in net/ipv4/tcp_input.c',
  summary:
    'The client shuts down both directions. On the wire it is a half-close like any other, so the server may answer; but ' +
    'nobody will read that, and it is met by a RST. The client still has a descriptor to close.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'CLOSE'],
  },
  proof: { client: 'FIN_WAIT2' },
  resets: ['client'],
  expected: {
    shut: { client: { owned: true, timer: 'off', cause: 'peer-never-closes' } },
    answered: { client: { cause: 'ghost' }, server: { cause: 'ghost' } },
  },
  control: {
    what: 'only writing is shut down: the answer is welcome',
    async run(stage) {
      const { server, client, reach, moment, expect } = stage;
      await establish(stage);
      await client.shutdown('SHUT_WR');
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('shut');
      await server.send('answer\n');
      expect('the read of the client', '', await client.receive());
      await moment('answered');
    },
  },

  async run(stage) {
    const { server, client, reach, moment, expect, fails } = stage;
    await establish(stage);
    await client.shutdown('SHUT_RDWR');
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('shut');
    expect('the read of the client', '', await client.receive());
    await fails('its write', 'EPIPE', client.send('more\n'));

    expect('the write of the server', 7, await server.send('answer\n'));
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    await moment('answered');
    await fails('its next write', 'EPIPE', server.send('answer\n'));
  },
};
