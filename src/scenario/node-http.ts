import type { HttpAnswer } from '../driver/node-side.js';
import type { Scenario, Stage } from './scenario.js';

const UPGRADE = [
  'GET / HTTP/1.1',
  'Host: localhost',
  'Connection: Upgrade',
  'Upgrade: websocket',
  '',
  '',
].join('\r\n');

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

async function hangs({ server, client, reach }: Stage): Promise<void> {
  const address = await server.node.listen({ http: { request: 'never' } });
  await client.node.request(address, { keepAlive: true });
  await server.accept();
  await server.node.hears('request');
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  await server.node.callServer('close');
}

/** server.close() waits; closeAllConnections() does not. */
export const nodeHttpClose: Scenario = {
  name: 'node-http-close',
  title: 'server.close() waits for a request that never ends; closeAllConnections() ends it',
  source: 'node:http, server.close() and server.closeAllConnections()',
  summary:
    'server.close() stops to accept and closes what is idle. A connection with a request under way stays, and so does the ' +
    "server: 'close' is not told. closeAllConnections() destroys it, and the client's request fails with ECONNRESET.",
  drivers: ['libuv'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
  },
  expected: { waiting: { client: { owned: true }, server: { owned: true } } },

  async run(stage) {
    await hangs(stage);
    const { server, client, reach, moment, expect } = stage;
    const before = await server.node.heard();
    expect("'server close' is heard", false, before.includes('server close'));
    await moment('waiting');
    await server.node.callServer('closeAllConnections');
    await server.node.hears('server close');
    await client.node.hears('request close');
    const failed = (await client.node.heard()).filter((each) => each.startsWith('request error'));
    expect('what the client hears', ['request error ECONNRESET'], failed);
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
