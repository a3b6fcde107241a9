import type { SocketCall } from '../driver/node-side.js';
import type { Scenario, Stage } from './scenario.js';

async function clientCalls({ server, client, reach }: Stage, ...calls: readonly SocketCall[]) {
  await client.connect(await server.listen());
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await client.node.call(...calls);
}

/** libuv refuses to reset a handle that is shutting down, and Node then forgets to close it. */
export const nodeResetAfterEnd: Scenario = {
  name: 'node-reset-after-end',
  title: 'end() and resetAndDestroy() in one turn: no reset, no close',
  source: 'uv_tcp_close_reset() in libuv; node:net, socket.resetAndDestroy()',
  summary:
    'end() asks libuv for a shutdown, which it makes in its next turn. resetAndDestroy() in the same turn is refused with ' +
    'EINVAL since a handle that is shutting down cannot be reset; Node does not close it then. The FIN goes out, no RST, ' +
    "and 'close' is never told: FIN_WAIT2 with an owner here, CLOSE_WAIT there.",
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  segments: ['S', 'S.', '.', 'F.', '.'],
  expected: {
    stuck: {
      client: { owned: true, cause: 'peer-never-closes' },
      server: { owned: true, cause: 'eof-unread' },
    },
  },

  async run(stage) {
    await clientCalls(stage, ['end'], ['resetAndDestroy']);
    await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    const heard = await stage.client.node.heard();
    stage.expect("'close' is heard", false, heard.includes('close'));
    await stage.moment('stuck');
  },

  control: {
    what: 'resetAndDestroy() alone',
    async run(stage) {
      await clientCalls(stage, ['resetAndDestroy']);
      await stage.client.node.hears('close');
      await stage.reach({ client: 'CLOSE', server: 'CLOSE' });
    },
  },
};
