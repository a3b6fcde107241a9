import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** One end has forgotten, the other does not know. */
export const halfOpenDiscovered: Scenario = {
  name: 'half-open-discovered',
  title: 'Half open: one end died unheard, and the next data meets a RST',
  source: 'RFC 9293, section 3.5.1, figure 10',
  summary:
    "While the link is cut the client's end is gone, as by a power cut: its RST is lost. The server stays in ESTABLISHED, and " +
    'no timer tells it. Its first write succeeds; the answer is a RST, and the read after it fails with ECONNRESET.',
  place: { link: true },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'P.', 'R'],
  resets: ['client'],
  expected: { unheard: { server: { owned: true, timer: 'off', recvQ: 0 } } },

  async run(stage) {
    const { server, client, link, reach, moment, expect, fails } = stage;
    await establish(stage);
    const unheard = link.watch({ from: 'client', flags: 'R' });
    link.cut();
    await client.abort();
    await unheard.hit;
    link.mend();
    // One is enough: what is sent again before the answer has come would draw another RST.
    link.drop({ from: 'server', payload: true, nth: 2, count: Number.MAX_SAFE_INTEGER });
    await reach({ client: 'CLOSE', server: 'ESTABLISHED' });
    await moment('unheard');
    expect('what the server writes', 5, await server.send('alive'));
    await reach({ server: 'CLOSE' });
    await fails('read()', 'ECONNRESET', server.receive());
  },

  control: {
    what: 'the link is not cut',
    async run(stage) {
      const { server, client, reach, moment, fails } = stage;
      await establish(stage);
      await client.abort();
      await reach({ client: 'CLOSE', server: 'CLOSE' });
      await moment('unheard');
      await fails('read()', 'ECONNRESET', server.receive());
    },
  },
};
