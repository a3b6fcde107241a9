import type { Scenario, Stage } from './scenario.js';

async function connects({ server, client, reach }: Stage): Promise<void> {
  await client.connect(await server.node.listen({ reading: 'always' }));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
}

/** The kernel acknowledges a FIN by itself; who shall answer it has to come round. */
export const nodeLoopBlocked: Scenario = {
  name: 'node-loop-blocked',
  title: 'A blocked event loop: CLOSE_WAIT for as long as it does not turn',
  source: "uv_run() in libuv; Node.js guide, Don't Block the Event Loop",
  summary:
    'The server reads and would close, but its loop is held up, here by a call that blocks; a long computation does the ' +
    'same. The FIN is in the receive queue (Recv-Q 1) and nobody fetches it. As soon as the loop turns the socket is closed: ' +
    'what looks like a leak is a matter of time, and the thread that holds up the loop is its cause.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  expected: {
    blocked: {
      client: { owned: false },
      server: { owned: true, recvQ: 1, cause: 'eof-unread' },
    },
    closed: { client: { owned: false } },
  },

  async run(stage) {
    await connects(stage);
    const { server, client, reach, moment, blocked } = stage;
    await server.node.block();
    await blocked(server, 'read');
    await client.close();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('blocked');
    await server.node.unblock();
    await server.node.hears('close');
    await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    await moment('closed');
  },

  control: {
    what: 'the loop turns',
    async run(stage) {
      await connects(stage);
      await stage.client.close();
      await stage.server.node.hears('close');
      await stage.reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      await stage.moment('blocked');
    },
  },
};
