import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** More than fits into the buffers of both ends. */
const MUCH = 1 << 24;

/** What ends the wait of a writer. */
export const resetUnderBlockedWrite: Scenario = {
  name: 'reset-under-blocked-write',
  title: 'A writer blocked by a full buffer: the reset wakes it',
  source: 'write(2); sk_stream_wait_memory() in net/core/stream.c; RFC 2525, section 2.17',
  summary:
    'The server does not read, and the client is blocked in write(). Then the server closes with all that data unread: a ' +
    'RST, and the write returns how much it had put into the buffer, all of it lost; the next one gives ECONNRESET.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  resets: ['server'],
  expected: { blocked: { client: { owned: true, sendQ: 'some' } } },
  control: {
    what: 'the server reads',
    async run(stage) {
      const { server, client, moment, fails } = stage;
      await establish(stage);
      await client.send('more\n');
      await server.receive();
      await moment('blocked');
      await server.close();
      await fails('the next write', 'ECONNRESET', client.send('more\n'));
    },
  },

  async run(stage) {
    const { server, client, blocked, reach, timer, moment, expect, fails } = stage;
    await establish(stage);
    const writing = client.send(new Uint8Array(MUCH));
    await blocked(client, 'write');
    // It may wait for acknowledgments, too; what is on its way when the server closes draws a reset of its own.
    await timer('client', 'persist');
    await moment('blocked');
    await server.close();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    expect('the write is cut short', true, (await writing) < MUCH);
    await fails('the next write', 'ECONNRESET', client.send('more\n'));
  },
};
