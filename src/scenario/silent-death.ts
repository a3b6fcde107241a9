import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

/** As if the machine had lost its power: TCP_REPAIR lets a socket go without a word. */
async function vanish({ client, reach }: Stage): Promise<void> {
  await client.setOption('TCP_REPAIR', 1);
  await client.close();
  await reach({ client: 'CLOSE' });
}

const connected = ['S', 'S.', '.'];

/** An end without a FIN. */
export const silentDeath: Scenario = {
  name: 'silent-death',
  title: 'A peer that vanishes: no FIN, no RST, and ESTABLISHED stays',
  source: 'RFC 9293, section 3.5.1; TCP_REPAIR in __tcp_close(), net/ipv4/tcp.c',
  summary:
    'The client is gone without a word, as in a power failure (TCP_REPAIR lets go of a socket in silence). The server sees ' +
    'nothing and no timer runs: ESTABLISHED for ever. It needs keepalive, or a deadline of its own.',
  needsNamespace: true,
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  proof: { server: 'ESTABLISHED' },
  segments: connected,
  expected: { alone: { server: { owned: true, recvQ: 0, sendQ: 0, timer: 'off' } } },
  control: {
    what: 'the client closes',
    async run(stage) {
      await establish(stage);
      await stage.client.close();
      await stage.reach({ server: 'CLOSE_WAIT' });
      await stage.moment('alone');
    },
  },

  async run(stage) {
    await establish(stage);
    await vanish(stage);
    await stage.reach({ server: 'ESTABLISHED' });
    await stage.moment('alone');
  },
};

/** What ends a half-open connection. */
export const halfOpenReset: Scenario = {
  name: 'half-open-reset',
  title: 'A half-open connection: the next write draws a RST',
  source: 'RFC 9293, section 3.5.1, figure 10; tcp_v4_send_reset() in net/ipv4/tcp_ipv4.c',
  summary:
    'The client has lost its state, as after a restart. What the server writes meets no socket: RST, and the server, which ' +
    'was in ESTABLISHED, reads ECONNRESET.',
  needsNamespace: true,
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  segments: [...connected, 'P.', 'R'],
  resets: ['client'],
  control: {
    what: 'the client is still there',
    async run(stage) {
      const { server, client, fails } = stage;
      await establish(stage);
      await server.send('anyone?\n');
      await client.receive();
      await client.send('yes\n');
      await fails('the read of the server', 'ECONNRESET', server.receive());
    },
  },

  async run(stage) {
    const { server, reach, expect, fails } = stage;
    await establish(stage);
    await vanish(stage);
    expect('the write of the server', 8, await server.send('anyone?\n'));
    await reach({ server: 'CLOSE' });
    await fails('the read of the server', 'ECONNRESET', server.receive());
    await fails('its next write', 'EPIPE', server.send('anyone?\n'));
  },
};
