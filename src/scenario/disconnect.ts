import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** A socket that outlives its connection. */
export const disconnect: Scenario = {
  name: 'disconnect',
  title: 'connect(AF_UNSPEC): a reset, and the socket can connect again',
  source: 'connect(2), AF_UNSPEC; tcp_disconnect() in net/ipv4/tcp.c',
  summary:
    'The client dissolves its connection without closing the descriptor: the peer gets a RST, the socket is ' +
    'as new but for an ECONNRESET, and connects to another listener.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'R.'],
  resets: ['client'],
  expected: { disconnected: { server: { cause: 'ghost' } } },
  control: {
    what: 'the client only shuts down',
    async run(stage) {
      const { server, client, reach, moment, fails } = stage;
      await establish(stage);
      await client.shutdown('SHUT_RDWR');
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('disconnected');
      await fails('the read of the server', 'ECONNRESET', server.receive());
    },
  },

  async run(stage) {
    const { server, client, reach, moment, expect, fails } = stage;
    await establish(stage);
    await client.disconnect();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    await moment('disconnected');
    await fails('the read of the server', 'ECONNRESET', server.receive());
    await fails('the first write of the client', 'ECONNRESET', client.send('lost\n'));
    await fails('its second write', 'EPIPE', client.send('lost\n'));

    const other = await server.another();
    await client.connect(await other.listen());
    await other.accept();
    await client.send('again\n');
    expect('what the other listener receives', 'again\n', await other.receive());
  },
};
