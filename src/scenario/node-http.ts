import type { HttpAnswer } from '../driver/node-side.js';
import type { Scenario, Stage } from './scenario.js';

const GET = ['GET / HTTP/1.1', 'Host: localhost', '', ''].join('\r\n');
const UPGRADE = GET.replace(/\r\n$/, 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n');

async function upgrades({ server, client, reach }: Stage, upgrade: HttpAnswer['upgrade'] & string) {
  await client.connect(await server.node.listen({ http: { upgrade } }));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await client.send(UPGRADE);
  await server.node.hears('upgrade');
  await client.close();
}

/** Who takes a socket from http is its only keeper. */
export const nodeUpgradeLeak: Scenario = {
  name: 'node-upgrade-leak',
  title: "http 'upgrade' without end(): the socket stays in CLOSE_WAIT",
  source: "node:http, event 'upgrade'; lib/_http_server.js, onParserExecuteCommon()",
  summary:
    "With 'upgrade' http hands the socket over, without a listener, half-open allowed. A handler that does nothing with " +
    'it leaves it open for ever: neither timeouts nor server.close() reach it.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  expected: { leaked: { client: { owned: false }, server: { owned: true } } },

  async run(stage) {
    await upgrades(stage, 'leave');
    await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    const heard = await stage.server.node.heard();
    stage.expect("'close' is heard", false, heard.includes('close'));
    await stage.moment('leaked');
  },

  control: {
    what: 'the handler reads the socket, and ends it when the peer has',
    async run(stage) {
      await upgrades(stage, 'end');
      await stage.server.node.hears('close');
      await stage.reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    },
  },
};

async function hangs({ server, client, reach, moment }: Stage): Promise<void> {
  await client.connect(await server.node.listen({ http: { request: 'never' } }));
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await client.send(GET);
  await server.node.hears('request');
  await server.node.callServer('close');
  await moment('waiting');
}

/** server.close() waits; closeAllConnections() does not. */
export const nodeHttpClose: Scenario = {
  name: 'node-http-close',
  title: 'server.close() waits for a request that never ends; closeAllConnections() ends it',
  source: 'node:http, server.close() and server.closeAllConnections()',
  summary:
    'server.close() stops to accept and closes what is idle. A connection with a request under way stays, and so does the ' +
    "server: 'close' is not told. closeAllConnections() destroys it: the client reads the end, without a response.",
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
  },
  expected: {
    waiting: { client: { owned: true }, server: { owned: true } },
    ended: { client: { owned: true, recvQ: 1 }, server: { owned: false } },
  },

  async run(stage) {
    await hangs(stage);
    const { server, client, reach, moment, expect } = stage;
    const before = await server.node.heard();
    expect("'server close' is heard", false, before.includes('server close'));
    await server.node.callServer('closeAllConnections');
    await server.node.hears('server close');
    await reach({ client: 'CLOSE_WAIT', server: 'FIN_WAIT2' });
    await moment('ended');
    await client.readEnd();
    await client.close();
    await reach({ client: 'CLOSE', server: 'TIME_WAIT' });
  },

  control: {
    what: 'closeIdleConnections(): the request is not idle',
    async run(stage) {
      await hangs(stage);
      await stage.server.node.callServer('closeIdleConnections');
      const heard = await stage.server.node.heard();
      stage.expect("'server close' is heard", true, heard.includes('server close'));
    },
  },
};

/** More than any Node reads ahead of a response that nobody reads: from 16 KiB (Node 20) to some 200 KiB. */
const BODY = 400_000;

async function asks({ server, client, reach }: Stage, response: 'read' | 'unread'): Promise<void> {
  const address = await server.node.listen({ http: { request: 'waits', bytes: BODY } });
  await client.node.request(address, { keepAlive: false, response });
  await server.accept();
  await server.node.hears('request');
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await server.node.answer();
  await server.node.hears('close');
}

/** The other half of http's contract: who asks must read. */
export const nodeHttpUnread: Scenario = {
  name: 'node-http-unread',
  title: 'A response that nobody reads keeps the client in CLOSE_WAIT',
  source:
    "node:http, class http.ClientRequest: 'the data from the response object must be consumed'",
  summary:
    'The server answers, ends and is done. The client leaves the response unread, so Node stops to read the socket when its ' +
    "buffers are full, and never comes to the end: 'response' is all it hears. How much must be unread differs: 100 kB " +
    'are enough on Node 20 (a highWaterMark of 16 KiB) and not on 22 to 26 (64 KiB), which then read the end and close.',
  drivers: ['libuv'],
  // So that all of it finds room in the client's kernel, and the server's end with it.
  sysctls: { 'net/ipv4/tcp_rmem': '4096 2097152 6291456' },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
  },
  expected: { leaked: { client: { owned: true, cause: 'eof-unread' }, server: { owned: false } } },

  async run(stage) {
    await asks(stage, 'unread');
    await stage.reach({ client: 'CLOSE_WAIT', server: 'FIN_WAIT2' });
    stage.expect('what the client hears', ['response'], await stage.client.node.heard());
    await stage.moment('leaked');
  },

  control: {
    what: 'the response is read',
    async run(stage) {
      await asks(stage, 'read');
      await stage.client.node.hears('close');
    },
  },
};

async function posts({ server, client }: Stage, request: 'never' | 'unread'): Promise<void> {
  const address = await server.node.listen({ http: { request } });
  await client.node.request(address, { keepAlive: false, body: BODY });
  await server.accept();
  await server.node.hears('request');
}

/** A handler that waits for something else first, and meanwhile reads nothing. */
export const nodeHttpUnreadBody: Scenario = {
  name: 'node-http-unread-body',
  title: 'A request whose body nobody reads: the server does not hear that the client is gone',
  source: 'node:http, class http.IncomingMessage; lib/_http_server.js, resOnFinish()',
  summary:
    'The handler has not read the body and has not answered yet. Node stops to read the socket when its buffers are full, so ' +
    "what follows stays in the kernel, and behind it the client's FIN: no 'close', of the request or of the response. With " +
    'the answer Node reads what is left of the body itself and throws it away.',
  drivers: ['libuv'],
  // So that the whole body finds room in the server's kernel, and the client's end with it.
  sysctls: { 'net/ipv4/tcp_rmem': '4096 2097152 6291456' },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  expected: { leaked: { client: { owned: false }, server: { owned: true, cause: 'eof-unread' } } },

  async run(stage) {
    await posts(stage, 'never');
    await stage.reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await stage.client.close();
    await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    stage.expect('what the server hears', ['request'], await stage.server.node.heard());
    await stage.moment('leaked');
  },

  control: {
    what: 'the handler answers, and leaves the body',
    async run(stage) {
      await posts(stage, 'unread');
      await stage.client.node.hears('response end');
      await stage.server.node.hears('close');
    },
  },
};

const KEEP_ALIVE_MS = 100;

async function asksOnce(stage: Stage, reading: 'never' | 'always'): Promise<void> {
  const { server, client, reach } = stage;
  const address = await server.node.listen({ http: { keepAliveMs: KEEP_ALIVE_MS } });
  if (reading === 'never') await client.connect(address);
  else await client.node.connect(address, { reading });
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await client.send(GET);
}

/** A pool that looks at its idle connections only when it needs one. */
export const nodeHttpKeepAlive: Scenario = {
  name: 'node-http-keep-alive',
  title:
    'An idle keep-alive connection: the server closes it, and the client keeps it for the next request',
  source: 'node:http, server.keepAliveTimeout; RFC 9112, section 9.5',
  summary:
    'The server closes a connection that was idle for keepAliveTimeout. A client that reads only while it waits for a response ' +
    'holds its end in CLOSE_WAIT until it wants to use it again. Then its request is written without an error, to a socket ' +
    "that draws a RST; nobody knows whether it was carried out. http.Agent reads on and hears the 'end' in time, unless its " +
    'event loop is blocked or the request is already on its way.',
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE_WAIT', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
  },
  resets: ['server'],
  expected: { idle: { client: { owned: true, cause: 'not-closed' }, server: { owned: false } } },

  async run(stage) {
    await asksOnce(stage, 'never');
    const { server, client, reach, moment, expect, fails } = stage;
    const [status] = (await client.receive()).split('\r\n');
    expect('the response', 'HTTP/1.1 200 OK', status);
    await server.node.hears('close');
    await reach({ client: 'CLOSE_WAIT', server: 'FIN_WAIT2' });
    await moment('idle');
    expect('bytes taken of the next request', GET.length, await client.send(GET));
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    await fails('the request after that', 'EPIPE', client.send(GET));
  },

  control: {
    what: 'the client reads all the time, and closes when it hears the end',
    async run(stage) {
      await asksOnce(stage, 'always');
      await stage.client.node.hears('close');
      await stage.reach({ client: 'CLOSE', server: 'TIME_WAIT' });
      await stage.moment('idle');
    },
  },
};
