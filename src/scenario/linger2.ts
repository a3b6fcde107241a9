// TCP_LINGER2: how long an orphan may be in FIN_WAIT2.

import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

/** The client half-closes, and closes when that is acknowledged; what the server is in then. */
async function closeInFinWait2(
  stage: Stage,
  seconds: number,
  then: 'CLOSE' | 'CLOSE_WAIT',
): Promise<void> {
  const { server, client, reach, moment, expect, fails } = stage;
  await establish(stage);
  await client.setOption('TCP_LINGER2', seconds);
  await client.shutdown('SHUT_WR');
  await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
  await client.close();
  await reach({ server: then });
  await moment('closed');
  expect('the read of the server', '', await server.receive());
  await fails('its write', 'EPIPE', server.send('late\n'));
}

/** FIN_WAIT2 that is not entered by an orphan at all. */
export const linger2Negative: Scenario = {
  name: 'linger2-negative',
  title: 'TCP_LINGER2 below 0: close() in FIN_WAIT2 sends a RST',
  source: 'tcp(7), TCP_LINGER2; __tcp_close() in net/ipv4/tcp.c',
  summary:
    'The client will not have an orphan in FIN_WAIT2: with TCP_LINGER2 of -1 close() resets at once. A reset in CLOSE_WAIT ' +
    'does not show in reading: the server reads the end as ever, and its first write is EPIPE.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'F.', '.', 'R.'],
  resets: ['client'],
  expected: { closed: { server: { cause: 'ghost' } } },
  control: {
    what: 'TCP_LINGER2 is positive',
    run: (stage) => closeInFinWait2(stage, 2, 'CLOSE_WAIT'),
  },

  run: (stage) => closeInFinWait2(stage, -1, 'CLOSE'),
};

/** FIN_WAIT2 that is short, for one socket. */
export const linger2Expiry: Scenario = {
  name: 'linger2-expiry',
  title: 'TCP_LINGER2: the FIN_WAIT2 of one orphan ends after 1 s',
  source: 'tcp(7), TCP_LINGER2; tcp_rcv_state_process() in net/ipv4/tcp_input.c',
  summary:
    'TCP_LINGER2 is tcp_fin_timeout for one socket. The client has set 1 s and closed; the server does not close. After 1 s ' +
    'the orphan is gone, without TIME_WAIT and without a word, and the server is in CLOSE_WAIT as before.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  proof: { client: 'FIN_WAIT2' },
  segments: ['S', 'S.', '.', 'F.', '.'],
  expected: {
    orphaned: { client: { owned: false, timer: 'timewait' }, server: { owned: true } },
    expired: { server: { owned: true, cause: 'not-closed' } },
  },
  control: {
    what: 'the server closes in time',
    async run(stage) {
      const { server, client, reach, moment } = stage;
      await establish(stage);
      await client.setOption('TCP_LINGER2', 1);
      await client.close();
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('orphaned');
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      await moment('expired');
    },
  },

  async run(stage) {
    const { server, client, reach, moment } = stage;
    await establish(stage);
    await client.setOption('TCP_LINGER2', 1);
    await client.close();
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('orphaned');
    await reach({ client: 'CLOSE', server: 'CLOSE_WAIT' });
    await moment('expired');
  },
};
