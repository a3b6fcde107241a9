import type { NodeListenOptions } from '../driver/node-side.js';
import type { Scenario, Stage } from './scenario.js';

const SOURCE = "node:net, 'end'; lib/internal/streams/readable.js, endReadable()";

async function clientCloses(
  { server, client, reach, timer }: Stage,
  unread: string,
  options: NodeListenOptions = {},
): Promise<void> {
  await client.connect(await server.node.listen(options));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  if (unread !== '') await client.send(unread);
  // The byte is acknowledged by itself, not with the FIN.
  await timer('client', 'off');
  await client.close();
}

/** A server as Node makes it, that does not read: one byte keeps it from ever hearing of the end. */
export const nodeUnreadByte: Scenario = {
  name: 'node-unread-byte',
  title: 'One unread byte: a default Node server leaks CLOSE_WAIT, and hears nothing',
  source: SOURCE,
  summary:
    "net.createServer() with every default, and nobody listens to 'data'. Node reads ahead, so the byte and the FIN are " +
    "taken out of the kernel; 'end' waits until the byte is consumed, and without 'end' nothing closes the socket. There is " +
    'no event at all. With zero bytes the same server closes by itself.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  segments: ['S', 'S.', '.', 'P.', '.', 'F.', '.'],
  expected: {
    leaked: { client: { owned: false }, server: { owned: true, recvQ: 0, cause: 'not-closed' } },
  },

  async run(stage) {
    await clientCloses(stage, 'x');
    const { server, reach, moment, expect } = stage;
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    expect('what the server hears', [], await server.node.heard());
    await moment('leaked');
  },

  control: {
    what: 'nothing is sent: the end is all there is to read',
    async run(stage) {
      await clientCloses(stage, '');
      await stage.server.node.hears('close');
      await stage.reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      stage.expect('what the server hears', [], await stage.server.node.heard());
    },
  },
};

/** A socket that nobody resumes: not even its end is read. */
export const nodePaused: Scenario = {
  name: 'node-paused',
  title: 'pauseOnConnect without resume(): the socket stays in CLOSE_WAIT, its end unread',
  source: 'node:net, pauseOnConnect',
  summary:
    'A server that hands its sockets on, to a worker or behind a queue, accepts them paused: libuv does not read them. If ' +
    'nobody calls resume() the FIN stays in the kernel (Recv-Q 1), though not a byte was sent. There is no event at all.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  segments: ['S', 'S.', '.', 'F.', '.'],
  expected: {
    leaked: { client: { owned: false }, server: { owned: true, recvQ: 1, cause: 'eof-unread' } },
  },

  async run(stage) {
    await clientCloses(stage, '', { pauseOnConnect: true });
    const { server, reach, moment, expect } = stage;
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    expect('what the server hears', [], await server.node.heard());
    await moment('leaked');
  },

  control: {
    what: 'pauseOnConnect is false, as by default',
    async run(stage) {
      await clientCloses(stage, '');
      await stage.server.node.hears('close');
      await stage.reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    },
  },
};

async function serverDestroys(stage: Stage, unread: boolean): Promise<void> {
  const { server, client, reach, timer, moment } = stage;
  await client.connect(await server.node.listen({ pauseOnConnect: true }));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  if (unread) await client.send('unread');
  // It has come when it is acknowledged.
  await timer('client', 'off');
  await moment('paused');
  await server.node.call(['destroy']);
}

/** destroy() with something unread in the kernel is a reset. */
export const nodeDestroyUnread: Scenario = {
  name: 'node-destroy-unread',
  title: 'destroy() on a paused socket with unread data resets the connection',
  source: 'RFC 2525, section 2.17; node:net, pauseOnConnect; tcp_close() in net/ipv4/tcp.c',
  summary:
    'A socket accepted with pauseOnConnect reads nothing, so what the peer sent is still in the kernel. destroy() is ' +
    'close(2), and close(2) with unread data sends a RST: the client gets ECONNRESET.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  resets: ['server'],
  expected: { paused: { server: { recvQ: 6, owned: true } } },

  async run(stage) {
    await serverDestroys(stage, true);
    await stage.reach({ client: 'CLOSE', server: 'CLOSE' });
    await stage.fails('what the client reads', 'ECONNRESET', stage.client.receive());
    await stage.moment('reset');
  },

  control: {
    what: 'nothing is unread',
    async run(stage) {
      await serverDestroys(stage, false);
      await stage.client.readEnd();
      await stage.reach({ client: 'CLOSE_WAIT' });
    },
  },
};

/** A reset that comes together with data: what is heard of it depends on the Node. */
export const nodeResetAsEnd: Scenario = {
  name: 'node-reset-as-end',
  title: "A reset right behind the data: a clean 'end' on Node 20 and 22, ECONNRESET on later ones",
  source: 'uv__stream_io() in libuv, src/unix/stream.c; RFC 9293, section 3.10.7.4',
  summary:
    'The server answers and closes with the request unread: a RST follows the response. Where both have come before the ' +
    'client reads, poll(2) says that there is data and that the connection is gone (POLLHUP). libuv reads the data and takes ' +
    "POLLHUP for the end of the stream: it does not read again, so nobody gets the kernel's ECONNRESET. So it is with libuv " +
    '1.46 and 1.51 (Node 20, 22); 1.52 (Node 24, 26) reads again, and says ECONNRESET.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  resets: ['server'],

  async run({ server, client, reach, timer, moment, expect }) {
    await client.connect(await server.listen());
    await server.accept();
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await client.send('request\n');
    // It has come when it is acknowledged.
    await timer('client', 'off');
    await server.send('response\n');
    // An acknowledgment that comes after close() draws another reset.
    await timer('server', 'off');
    await server.close();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    await moment('reset');
    expect('what the client receives', 'response\n', await client.receive());
    const [data, next] = await client.node.heard();
    expect('what the client hears', 'data 9', data);
    const [, minor] = client.node.libuv.split('.').map(Number);
    expect('and then', (minor ?? 0) < 52 ? 'end' : 'error ECONNRESET', next);
  },

  control: {
    what: 'no data before the reset',
    async run({ server, client, reach, expect }) {
      await client.connect(await server.listen());
      await server.accept();
      await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
      await server.abort();
      await reach({ client: 'CLOSE', server: 'CLOSE' });
      await client.node.call(['resume']);
      await client.node.hears('close');
      const [first] = await client.node.heard();
      expect('what the client hears', 'end', first);
    },
  },
};
