import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

async function wait({ server, reach, moment }: Stage): Promise<void> {
  await server.readEnd();
  await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
  await moment('held');
}

/** FIN_WAIT2 that no timer ends. */
export const finWait2Held: Scenario = {
  name: 'fin-wait2-held',
  title: 'FIN_WAIT2 held by a descriptor: no timer ends it',
  source: 'tcp(7), tcp_fin_timeout; tcp_rcv_state_process() in net/ipv4/tcp_input.c',
  summary:
    'The client has called shutdown(SHUT_WR), not close(). tcp_fin_timeout is for orphans: while the descriptor is open ' +
    'FIN_WAIT2 waits for the FIN of the peer, for ever. The peer must close, or the client must.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  proof: { client: 'FIN_WAIT2' },
  segments: ['S', 'S.', '.', 'F.', '.'],
  expected: {
    held: {
      client: { owned: true, timer: 'off', cause: 'peer-never-closes' },
      server: { owned: true, cause: 'not-closed' },
    },
  },
  control: {
    what: 'the client closes',
    async run(stage) {
      await establish(stage);
      await stage.client.close();
      await wait(stage);
    },
  },

  async run(stage) {
    await establish(stage);
    await stage.client.shutdown('SHUT_WR');
    await wait(stage);
  },
};
