import type { Scenario, Stage } from './scenario.js';

const SOURCE = 'node:net, allowHalfOpen; RFC 9293, section 3.6';

async function clientCloses({ server, client, reach }: Stage, allowHalfOpen: boolean) {
  await client.connect(await server.node.listen({ allowHalfOpen, reading: 'always' }));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await client.close();
  await server.node.hears('end');
}

/** Who allows half-open sockets has to end them. */
export const nodeHalfOpen: Scenario = {
  name: 'node-half-open',
  title: "allowHalfOpen without end(): 'end' is heard, and the socket stays in CLOSE_WAIT",
  source: SOURCE,
  summary:
    "With allowHalfOpen Node does not call end() when the peer has ended. The server reads and hears 'end'; it must call " +
    'end() itself. With the default, false, Node does.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  segments: ['S', 'S.', '.', 'F.', '.'],
  expected: { leaked: { server: { owned: true, recvQ: 0, cause: 'not-closed' } } },

  async run(stage) {
    await clientCloses(stage, true);
    await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    stage.expect('what the server hears', ['end'], await stage.server.node.heard());
    await stage.moment('leaked');
  },

  control: {
    what: 'allowHalfOpen is false, as by default',
    async run(stage) {
      await clientCloses(stage, false);
      await stage.reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    },
  },
};

async function finThenReset({ server, client, reach }: Stage, allowHalfOpen: boolean) {
  await client.connect(await server.node.listen({ allowHalfOpen, reading: 'always' }));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await client.shutdown('SHUT_WR');
  await server.node.hears('end');
}

/** After 'end' libuv watches the socket no more: a reset is not heard. */
export const nodeGhost: Scenario = {
  name: 'node-ghost',
  title: 'A FIN, then a RST: an allowHalfOpen server hears only the end, and holds a ghost',
  source: SOURCE,
  summary:
    "When the end of the stream has been read libuv stops to watch the socket. The client's RST then changes the state " +
    "to CLOSE, and nobody tells the program: no 'error', no 'close'. The descriptor stays, and neither ss nor netstat shows " +
    'a socket in CLOSE.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'CLOSE'],
  },
  resets: ['client'],

  async run(stage) {
    await finThenReset(stage, true);
    const { server, client, reach, moment, expect } = stage;
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await client.abort();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    expect('what the server hears', ['end'], await server.node.heard());
    expect('a descriptor is held', true, server.withDescriptor(() => true) ?? false);
    await moment('ghost');
  },

  control: {
    what: 'allowHalfOpen is false: end() follows the end, and close',
    async run(stage) {
      await finThenReset(stage, false);
      await stage.server.node.hears('close');
      await stage.reach({ server: 'CLOSE' });
      const held = stage.server.withDescriptor(() => true) ?? false;
      stage.expect('a descriptor is held', true, held);
    },
  },
};
