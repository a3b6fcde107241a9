import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

async function writeReadWrite({ server, reach, expect, fails }: Stage): Promise<void> {
  expect('the first write', 5, await server.send('late\n'));
  await reach({ server: 'CLOSE' });
  expect('the read', '', await server.receive());
  await fails('the second write', 'EPIPE', server.send('late\n'));
}

/** How a server learns that nobody is there any more. */
export const eofThenEpipe: Scenario = {
  name: 'eof-then-epipe',
  title: 'Writing to one who has closed: success, the end, then EPIPE',
  source: 'write(2); RFC 9293, section 3.10.7.4; tcp_reset() in net/ipv4/tcp_input.c',
  summary:
    'The client is gone for good. The first write of the server succeeds, for it only fills a buffer, and draws a RST. A ' +
    'reset in CLOSE_WAIT is EPIPE, never ECONNRESET: the read gives the end, the second write EPIPE. Whoever counts on ' +
    'the first write to fail loses data.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'F.', '.', 'P.', 'R'],
  resets: ['client'],
  expected: { gone: { client: { owned: false }, server: { recvQ: 1, cause: 'eof-unread' } } },
  control: {
    what: 'the client resets: in ESTABLISHED that is ECONNRESET',
    async run(stage) {
      await establish(stage);
      await stage.client.abort();
      await stage.reach({ client: 'CLOSE', server: 'CLOSE' });
      await stage.moment('gone');
      await stage.fails('the read', 'EPIPE', stage.server.receive());
    },
  },

  async run(stage) {
    const { client, reach, moment } = stage;
    await establish(stage);
    await client.close();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('gone');
    await writeReadWrite(stage);
    await reach({ client: 'CLOSE' });
  },
};
