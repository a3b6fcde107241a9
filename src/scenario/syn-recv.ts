import type { Scenario } from './scenario.js';

/** Half of a handshake: a SYN, and nobody who answers the answer. */
export const synRecv: Scenario = {
  name: 'syn-recv',
  title: 'SYN_RECV: the last ACK of the handshake does not come',
  source: 'RFC 9293, section 3.10.7.4; tcp(7), tcp_synack_retries',
  summary:
    'The answer to a SYN is not acknowledged. The kernel keeps a request, not a socket: no descriptor holds it, accept() does ' +
    'not return it, and the SYN+ACK is sent again after a second. The ACK makes a connection of it at once.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED'] },
  proof: { server: 'SYN_RECV' },
  segments: ['S', 'S.', 'S.', '.'],
  expected: { 'half open': { server: { owned: false, timer: 'on', recvQ: 0, sendQ: 0 } } },

  async run({ server, wire, reach, moment }) {
    const { port } = await server.listen();
    wire.send('S', { to: port });
    await wire.expect('S.');
    await reach({ server: 'SYN_RECV' });
    await moment('half open');
    await wire.expect('S.', { again: true });
    wire.send('.');
    await server.accept();
    await reach({ server: 'ESTABLISHED' });
  },

  control: {
    what: 'the ACK comes',
    async run({ server, wire, reach, moment }) {
      const { port } = await server.listen();
      await wire.connect(port);
      await server.accept();
      await reach({ server: 'ESTABLISHED' });
      await moment('half open');
    },
  },
};

/** The way back from SYN_RECV to LISTEN. */
export const rstInSynRecv: Scenario = {
  name: 'rst-in-syn-recv',
  title: 'A RST in SYN_RECV: the request is forgotten, and the listener goes on',
  source:
    'RFC 9293, section 3.10.7.4, note 1 of figure 5; tcp_check_req() in net/ipv4/tcp_minisocks.c',
  summary:
    'The client takes its SYN back. The diagram goes from SYN_RECV to LISTEN, where Linux has been all the time: the ' +
    'request is dropped, and the program in accept() hears of nothing. The next SYN is answered as ever.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'CLOSE'] },
  proof: { server: 'SYN_RECV' },
  segments: ['S', 'S.', 'R'],
  resets: ['client'],

  async run({ server, wire, reach, moment }) {
    const { port } = await server.listen();
    wire.send('S', { to: port });
    await wire.expect('S.');
    await reach({ server: 'SYN_RECV' });
    wire.send('R');
    await reach({ server: 'CLOSE' });
    await moment('forgotten');
  },

  control: {
    what: 'the client acknowledges instead',
    async run({ server, wire, reach }) {
      const { port } = await server.listen();
      wire.send('S', { to: port });
      await wire.expect('S.');
      await reach({ server: 'SYN_RECV' });
      wire.send('.');
      await server.accept();
      await reach({ server: 'ESTABLISHED' });
    },
  },
};

/** Opened and closed in three segments. */
export const finInSynRecv: Scenario = {
  name: 'fin-in-syn-recv',
  title: 'A FIN in SYN_RECV: CLOSE_WAIT before accept()',
  source: 'RFC 9293, section 3.10.7.4; tcp_rcv_state_process() in net/ipv4/tcp_input.c',
  summary:
    'The ACK that ends the handshake carries a FIN: the connection is in ESTABLISHED for as long as that segment takes, and ' +
    'then in CLOSE_WAIT, in the accept queue. accept() returns it all the same, and the first read is the end.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'] },
  momentary: { server: ['ESTABLISHED'] },
  proof: { server: 'CLOSE_WAIT' },
  segments: ['S', 'S.', 'F.', '.'],
  expected: {
    queued: { server: { owned: false, recvQ: 1, cause: 'never-accepted' } },
    accepted: { server: { owned: true, recvQ: 0, cause: 'not-closed' } },
  },

  async run({ server, wire, reach, moment }) {
    const { port } = await server.listen();
    wire.send('S', { to: port });
    await wire.expect('S.');
    await reach({ server: 'SYN_RECV' });
    wire.send('F.');
    await wire.expect('.');
    await reach({ server: 'CLOSE_WAIT' });
    await moment('queued');
    await server.accept();
    await server.readEnd();
    await moment('accepted');
  },

  control: {
    what: 'the ACK carries no FIN',
    async run({ server, wire, reach, moment }) {
      await wire.connect((await server.listen()).port);
      await reach({ server: 'ESTABLISHED' });
      await moment('queued');
    },
  },
};
