import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** What the half-close is for: the answer comes after the end of the question. */
export const halfCloseResponse: Scenario = {
  name: 'half-close-response',
  title: 'A half-close in use: the response comes in FIN_WAIT2',
  source: 'shutdown(2); RFC 9293, section 3.6; RFC 1122, section 4.2.2.13',
  summary:
    'The client says by shutdown(SHUT_WR) that its request is complete, and goes on reading. CLOSE_WAIT at the server is no ' +
    'leak here: it is answering. Once both have sent their FIN the open descriptor of the client reads CLOSE, and the ' +
    'connection is in TIME_WAIT.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  proof: { client: 'FIN_WAIT2' },
  expected: {
    asked: { client: { owned: true, timer: 'off' }, server: { owned: true } },
    over: { client: { owned: false, timer: 'timewait' } },
  },
  control: {
    what: 'the client closes: it cannot read the response',
    async run(stage) {
      const { server, client, reach, moment, fails } = stage;
      await establish(stage);
      await client.send('request\n');
      await client.close();
      await server.receive();
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('asked');
      await server.send('response\n');
      await reach({ server: 'CLOSE' });
      await fails('more of the response', 'EPIPE', server.send('response\n'));
    },
  },

  async run(stage) {
    const { server, client, reach, moment, expect } = stage;
    await establish(stage);
    await client.send('request\n');
    await client.shutdown('SHUT_WR');
    expect('what the server receives', 'request\n', await server.receive());
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('asked');

    await server.send('response\n');
    expect('what the client receives', 'response\n', await client.receive());
    await server.close();
    await client.readEnd();
    await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    await moment('over');
  },
};
