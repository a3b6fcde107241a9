import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** A close() that is a reset, since something was not read. */
export const closeWithUnreadData: Scenario = {
  name: 'close-with-unread-data',
  title: 'close() with unread data sends a RST, not a FIN',
  source: 'RFC 2525, section 2.17; RFC 1122, section 4.2.2.13; __tcp_close() in net/ipv4/tcp.c',
  summary:
    'The server answers and closes without having read the whole request. What it did not read is lost, and TCP says so by ' +
    'a RST: the client still reads the response, then ECONNRESET. There is no TIME_WAIT. The server must read before it ' +
    'closes.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
  },
  resets: ['server'],
  expected: { unread: { server: { recvQ: 8, owned: true } } },
  control: {
    what: 'the server reads first',
    async run(stage) {
      const { server, client, moment, expect, fails } = stage;
      await establish(stage);
      await client.send('request\n');
      await server.receive();
      await moment('unread');
      await server.send('response\n');
      await server.close();
      expect('what the client receives', 'response\n', await client.receive());
      await fails('the next read', 'ECONNRESET', client.receive());
    },
  },

  async run(stage) {
    const { server, client, reach, timer, moment, expect, fails } = stage;
    await establish(stage);
    await client.send('request\n');
    // It has come when it is acknowledged.
    await timer('client', 'off');
    await moment('unread');
    await server.send('response\n');
    // An acknowledgment that comes after close() draws another reset.
    await timer('server', 'off');
    await server.close();
    await reach({ client: 'CLOSE', server: 'CLOSE' });
    expect('what the client receives', 'response\n', await client.receive());
    await fails('the next read', 'ECONNRESET', client.receive());
    expect('the read after that', '', await client.receive());
  },
};
