import type { Scenario, Stage } from './scenario.js';

/** More than any socket buffer takes. */
const BYTES = 32 << 20;

async function clientWrites({ server, client, reach }: Stage, end: 'destroy' | 'destroySoon') {
  await client.connect(await server.node.listen({ reading: 'always', allowHalfOpen: true }));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await client.node.call(['write', BYTES], [end]);
  await server.node.hears('end');
}

/** How many bytes the server was told of. */
async function received({ server }: Stage): Promise<number> {
  const events = await server.node.heard();
  return events.reduce((sum, event) => sum + Number(/^data (\d+)$/.exec(event)?.[1] ?? 0), 0);
}

/** What destroy() throws away nobody hears of. */
export const nodeDestroyPending: Scenario = {
  name: 'node-destroy-pending',
  title: 'destroy() with a write pending: the rest is lost, and the peer sees a clean end',
  source: 'node:net, socket.destroy() and socket.destroySoon(); tcp_close() in net/ipv4/tcp.c',
  summary:
    'The kernel has taken what its buffer holds; the rest waits in libuv. destroy() closes the descriptor: what the kernel ' +
    'has is sent, and then a FIN, as if that were all. destroySoon() waits for the write.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  expected: { truncated: { client: { owned: false, sendQ: 0 }, server: { recvQ: 0 } } },

  async run(stage) {
    await clientWrites(stage, 'destroy');
    await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    const bytes = await received(stage);
    stage.expect('some of it comes', true, bytes > 0);
    stage.expect('all of it comes', false, bytes === BYTES);
    const errors = (await stage.server.node.heard()).filter((each) => each.startsWith('error'));
    stage.expect('errors that the server hears', [], errors);
    await stage.moment('truncated');
  },

  control: {
    what: 'destroySoon()',
    async run(stage) {
      await clientWrites(stage, 'destroySoon');
      await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      stage.expect('all of it comes', false, (await received(stage)) === BYTES);
    },
  },
};

async function serverAnswers({ server, client, reach }: Stage): Promise<void> {
  await client.connect(await server.node.listen({ reading: 'always' }));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await server.node.call(['write', BYTES], ['destroySoon']);
  await client.shutdown('SHUT_WR');
  await server.node.hears('end');
}

/** destroySoon() is as soon as the peer reads. */
export const nodeDestroySoon: Scenario = {
  name: 'node-destroy-soon',
  title: 'destroySoon() behind a write that nobody reads: CLOSE_WAIT with Send-Q',
  source:
    "node:net, socket.destroySoon(): 'if the 'finish' event was not emitted yet, waits for that'",
  summary:
    'The server answers and calls destroySoon(), as http does after its last response. The client has ended and does not ' +
    "read: its window closes, the write does not finish, and so neither 'finish' nor 'close' comes. Node has no timeout for " +
    'that unless one is set: setTimeout(), or TCP_USER_TIMEOUT, which Node does not set.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  expected: {
    waiting: {
      client: { owned: true },
      server: { owned: true, sendQ: 'some', cause: 'still-sending' },
    },
  },

  async run(stage) {
    await serverAnswers(stage);
    await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    stage.expect('what the server hears', ['end'], await stage.server.node.heard());
    await stage.moment('waiting');
  },

  control: {
    what: 'the client reads',
    async run(stage) {
      await serverAnswers(stage);
      await stage.client.node.call(['resume']);
      await stage.server.node.hears('close');
      await stage.reach({ server: 'CLOSE' });
      await stage.moment('waiting');
    },
  },
};
