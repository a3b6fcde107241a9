// Openings out of the ordinary.

import type { Scenario } from './scenario.js';

/** Nobody listens. */
export const connectionRefused: Scenario = {
  name: 'connection-refused',
  title: 'ECONNREFUSED: nobody listens, the SYN draws a RST',
  source:
    'connect(2); RFC 9293, section 3.5.2; tcp_rcv_synsent_state_process() in net/ipv4/tcp_input.c',
  summary:
    'The server has stopped listening. Its kernel answers the SYN by a RST: connect() fails at once, with ECONNREFUSED. A ' +
    'host that is not there at all would let it wait.',
  path: { client: ['SYN_SENT', 'CLOSE'] },
  segments: ['S', 'R.'],
  resets: ['server'],
  control: {
    what: 'the server listens',
    async run(stage) {
      const { server, client, fails } = stage;
      await fails('connect()', 'ECONNREFUSED', client.connect(await server.listen()));
    },
  },

  async run({ server, client, fails }) {
    const address = await server.listen();
    await server.stopListening();
    await fails('connect()', 'ECONNREFUSED', client.connect(address));
  },
};

/** Data in the SYN. */
export const fastOpen: Scenario = {
  name: 'fast-open',
  title: 'TCP Fast Open: the request is in the SYN, and the client is gone',
  source: 'RFC 7413; tcp(7), tcp_fastopen; tcp_try_fastopen() in net/ipv4/tcp_fastopen.c',
  summary:
    'The request travels in the SYN, and the server may read it before the handshake is over; then the client closes. ' +
    'No cookies are asked for here (tcp_fastopen). What happens at the end is the same as ever.',
  // Client and server, and neither asks for a cookie.
  sysctls: { 'net/ipv4/tcp_fastopen': String(0x1 | 0x2 | 0x4 | 0x200) },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.'],
  control: {
    what: 'the listener does not take data in a SYN',
    async run(stage) {
      const { server, client, reach, expect } = stage;
      await client.fastOpen(await server.listen(), 'request\n');
      await server.accept();
      await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
      expect('what the server receives', 'request\n', await server.receive());
      await client.close();
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    },
  },

  async run({ server, client, reach, expect }) {
    expect(
      'what is sent',
      8,
      await client.fastOpen(await server.listen({ fastOpen: 1 }), 'request\n'),
    );
    await server.accept();
    expect('what the server receives', 'request\n', await server.receive());
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await client.close();
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await server.close();
    await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
  },
};
