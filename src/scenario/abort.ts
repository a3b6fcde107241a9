import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

async function meetReset({ server, expect, fails }: Stage): Promise<void> {
  await fails('the read of the server', 'ECONNRESET', server.receive());
  expect('its next read', '', await server.receive());
  await fails('its write', 'EPIPE', server.send('late\n'));
}

/** The close that leaves nothing. */
export const abort: Scenario = {
  name: 'abort',
  title: 'SO_LINGER of 0 s: close() sends a RST and leaves nothing',
  source: 'socket(7), SO_LINGER; RFC 9293, section 3.10.5; __tcp_close() in net/ipv4/tcp.c',
  summary:
    'With SO_LINGER {on, 0 s} close() resets the connection: no FIN, no TIME_WAIT, what was not sent is thrown away. The ' +
    'peer is told once, by ECONNRESET; then it reads the end, and writing gives EPIPE.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'R.'],
  resets: ['client'],
  control: {
    what: 'SO_LINGER is off',
    async run(stage) {
      await establish(stage);
      await stage.client.close();
      await stage.reach({ server: 'CLOSE_WAIT' });
      await meetReset(stage);
    },
  },

  async run(stage) {
    await establish(stage);
    await stage.client.abort();
    await stage.reach({ client: 'CLOSE', server: 'CLOSE' });
    await meetReset(stage);
  },
};
