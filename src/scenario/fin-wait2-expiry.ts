import type { Scenario } from './scenario.js';

/** Where the article is mistaken: an orphaned FIN_WAIT2 whose timer runs out does not go on to TIME_WAIT. */
export const finWait2Expiry: Scenario = {
  name: 'fin-wait2-expiry',
  title: 'FIN_WAIT2 expires to nothing, and the late write meets a RST',
  source: 'tcp(7), tcp_fin_timeout; tcp_rcv_state_process() in net/ipv4/tcp_input.c',
  summary:
    'The client has closed and nobody answers its FIN. When tcp_fin_timeout is over the kernel forgets the connection, ' +
    'without TIME_WAIT. What the server writes then is answered by a RST, and its next write by EPIPE.',
  // The shortest there is: a second instead of the minute.
  sysctls: { 'net/ipv4/tcp_fin_timeout': '1' },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'F.', '.', 'P.', 'R'],
  resets: ['client'],
  control: {
    what: 'the server closes in time',
    async run({ server, client, reach, moment }) {
      await client.connect(await server.listen());
      await server.accept();
      await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
      await client.close();
      await server.readEnd();
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      await moment('expired');
    },
  },

  async run({ server, client, reach, moment, expect, fails }) {
    await client.connect(await server.listen());
    await server.accept();
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });

    await client.close();
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('orphaned');

    await reach({ client: 'CLOSE' });
    await moment('expired');

    expect('the first late write', 5, await server.send('late\n'));
    await reach({ server: 'CLOSE' });
    await fails('the second late write', 'EPIPE', server.send('late\n'));
    await moment('reset');
  },
};
