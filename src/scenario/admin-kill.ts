import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** A connection that is ended from outside. */
export const adminKill: Scenario = {
  name: 'admin-kill',
  title: 'SOCK_DESTROY: an administrator ends a connection',
  source: 'sock_diag(7), ss(8) -K; tcp_abort() in net/ipv4/tcp.c',
  summary:
    'Somebody with CAP_NET_ADMIN destroys the socket of the client, as ss -K does. Its owner gets ECONNABORTED and still ' +
    'has to close the descriptor; the peer gets a RST and ECONNRESET.',
  needsNamespace: true,
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'R.'],
  resets: ['client'],
  expected: { destroyed: { client: { cause: 'ghost' }, server: { cause: 'ghost' } } },
  control: {
    what: 'nobody destroys it',
    async run(stage) {
      const { server, client, moment, fails } = stage;
      await establish(stage);
      await moment('destroyed');
      await server.send('alive\n');
      await fails('the read of the client', 'ECONNABORTED', client.receive());
    },
  },

  async run(stage) {
    const { server, client, reach, moment, fails } = stage;
    await establish(stage);
    await client.destroy();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    await moment('destroyed');
    await fails('the read of the client', 'ECONNABORTED', client.receive());
    await fails('the read of the server', 'ECONNRESET', server.receive());
  },
};
