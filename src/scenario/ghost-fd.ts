import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** A leak that no table shows. */
export const ghostFd: Scenario = {
  name: 'ghost-fd',
  title: 'A ghost: the descriptor is open, ss and netstat show nothing',
  source: 'sock_diag(7), proc_pid_fd(5); tcp_reset() in net/ipv4/tcp_input.c, inet_unhash()',
  summary:
    'The client sends a FIN, then a RST: SO_LINGER of 0 s works after shutdown() too. The server has read the end and ' +
    'never closes. Its socket is in CLOSE, which is in no table: only the descriptor is left, and it leaks all the same. ' +
    'The server must close.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'F.', '.', 'R.'],
  resets: ['client'],
  expected: {
    listed: { server: { owned: true, recvQ: 0, cause: 'not-closed' } },
    ghost: { server: { cause: 'ghost' } },
  },
  control: {
    what: 'the server closes',
    async run(stage) {
      const { server, client, reach, moment } = stage;
      await establish(stage);
      await client.shutdown('SHUT_WR');
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('listed');
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      await moment('ghost');
    },
  },

  async run(stage) {
    const { server, client, reach, moment } = stage;
    await establish(stage);
    await client.shutdown('SHUT_WR');
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('listed');
    await client.abort();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    await moment('ghost');
  },
};
