import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** A state that lasts as long as an acknowledgment takes, made to last: the link loses it. */
export const finWait1: Scenario = {
  name: 'fin-wait1',
  title: 'FIN_WAIT1: the FIN arrived, its ACK did not',
  source: 'RFC 9293, section 3.10.4; RFC 6298, section 5',
  summary:
    'The link loses the ACK of a FIN. The server is in CLOSE_WAIT and has read the end; the client knows nothing of that and ' +
    'stays in FIN_WAIT1, without a descriptor, until it has sent the FIN again and that is acknowledged.',
  place: { link: true },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  proof: { client: 'FIN_WAIT1' },
  // The lost ACK arrived nowhere.
  segments: ['S', 'S.', '.', 'F.', 'F.', '.', 'F.', '.'],
  expected: {
    unacknowledged: {
      client: { owned: false, sendQ: 1, timer: 'on' },
      server: { owned: true, cause: 'not-closed' },
    },
  },

  async run(stage) {
    const { server, client, link, reach, moment, expect } = stage;
    await establish(stage);
    // The answer to a FIN sent again too, for as long as it takes to look.
    const ack = link.drop({ from: 'server' });
    const fins = link.watch({ from: 'client', flags: 'F' });
    await client.close();
    await server.readEnd();
    await ack.hit;
    await reach({ client: 'FIN_WAIT1', server: 'CLOSE_WAIT' });
    await moment('unacknowledged');
    ack.remove();
    await reach({ client: 'FIN_WAIT2' });
    expect('that the FIN was sent again', true, fins.matched > 1);
    await server.close();
    await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
  },

  control: {
    what: 'the link loses nothing',
    async run(stage) {
      const { server, client, reach, moment } = stage;
      await establish(stage);
      await client.close();
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('unacknowledged');
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    },
  },
};

/** A FIN is part of the stream: lost, it is sent again. */
export const lostFin: Scenario = {
  name: 'lost-fin',
  title: 'A lost FIN is sent again: the server stays in ESTABLISHED meanwhile',
  source: 'RFC 9293, section 3.4; RFC 6298, section 5',
  summary:
    'The link loses the FIN. The client is in FIN_WAIT1, the server in ESTABLISHED: it would read for ever if the client ' +
    'forgot. It does not, though its descriptor is closed: the kernel sends the FIN again and repairs it.',
  place: { link: true },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  proof: { client: 'FIN_WAIT1' },
  segments: ['S', 'S.', '.', 'F.', '.'],
  expected: {
    lost: { client: { owned: false, sendQ: 1, timer: 'on' }, server: { recvQ: 0 } },
  },

  async run(stage) {
    const { server, client, link, reach, moment, expect } = stage;
    await establish(stage);
    // Sent again it is lost too, for as long as it takes to look.
    const fin = link.drop({ from: 'client', flags: 'F' });
    const reading = server.receive();
    await client.close();
    await fin.hit;
    await reach({ client: 'FIN_WAIT1', server: 'ESTABLISHED' });
    await moment('lost');
    fin.remove();
    expect('what the server reads', '', await reading);
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
  },

  control: {
    what: 'the link loses nothing',
    async run(stage) {
      const { server, client, reach, moment, expect } = stage;
      await establish(stage);
      await client.close();
      expect('what the server reads', '', await server.receive());
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('lost');
    },
  },
};

/** Every FIN is lost. */
export const finRetransmission: Scenario = {
  name: 'fin-retransmission',
  title: 'A FIN that never arrives: FIN_WAIT1 gives up, and the other end is half open',
  source: 'tcp(7), tcp_orphan_retries; tcp_write_timeout() in net/ipv4/tcp_timer.c',
  summary:
    'The link is cut, then the client closes. The FIN is sent again, each time after twice as long, until ' +
    'tcp_orphan_retries are over; then the connection is forgotten, and no RST says so. The server stays in ESTABLISHED.',
  place: { link: true },
  // The retries of a socket that nobody holds, and the least time between two of them.
  sysctls: { 'net/ipv4/tcp_orphan_retries': '1', 'net/ipv4/tcp_rto_min_us': '20000' },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  proof: { client: 'FIN_WAIT1' },
  segments: ['S', 'S.', '.'],
  expected: {
    cut: { client: { owned: false, sendQ: 1, timer: 'on' } },
    'given up': { server: { owned: true, timer: 'off', recvQ: 0 } },
  },

  async run(stage) {
    const { client, link, reach, moment, expect } = stage;
    await establish(stage);
    const fins = link.watch({ from: 'client', flags: 'F' });
    link.cut();
    await client.close();
    await fins.hit;
    await reach({ client: 'FIN_WAIT1' });
    await moment('cut');
    await reach({ client: 'CLOSE', server: 'ESTABLISHED' });
    expect('that the FIN was sent again', true, fins.matched > 1);
    await moment('given up');
  },

  control: {
    what: 'the link is mended before the client gives up',
    async run(stage) {
      const { client, link, reach, moment } = stage;
      await establish(stage);
      link.cut();
      await client.close();
      await reach({ client: 'FIN_WAIT1' });
      await moment('cut');
      link.mend();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    },
  },
};

/** The same where a descriptor is left that can be told. */
export const finTimeout: Scenario = {
  name: 'fin-timeout',
  title: 'ETIMEDOUT: a FIN that is not acknowledged, where somebody still listens',
  source: 'tcp(7), tcp_retries2; tcp_write_timeout() in net/ipv4/tcp_timer.c',
  summary:
    'shutdown() instead of close(): the descriptor is still there, and somebody reads from it. What counts now is ' +
    'tcp_retries2, and the end of all retries is an error of the socket: read() fails with ETIMEDOUT.',
  place: { link: true },
  sysctls: { 'net/ipv4/tcp_retries2': '1', 'net/ipv4/tcp_rto_min_us': '20000' },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'CLOSE'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  proof: { client: 'FIN_WAIT1' },
  segments: ['S', 'S.', '.'],
  expected: { cut: { client: { owned: true, sendQ: 1, timer: 'on' } } },

  async run(stage) {
    const { client, link, reach, moment, fails } = stage;
    await establish(stage);
    link.cut();
    await client.shutdown('SHUT_WR');
    await reach({ client: 'FIN_WAIT1' });
    await moment('cut');
    await fails('read()', 'ETIMEDOUT', client.receive());
    await reach({ client: 'CLOSE', server: 'ESTABLISHED' });
  },

  control: {
    what: 'the link is mended before the client gives up',
    async run(stage) {
      const { server, client, link, reach, moment, fails } = stage;
      await establish(stage);
      link.cut();
      await client.shutdown('SHUT_WR');
      await reach({ client: 'FIN_WAIT1' });
      await moment('cut');
      link.mend();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await server.close();
      await fails('read()', 'ETIMEDOUT', client.receive());
    },
  },
};

/** A FIN that comes twice has its effect once. */
export const duplicateFin: Scenario = {
  name: 'duplicate-fin',
  title: 'A FIN that arrives twice ends the stream once',
  source: 'RFC 9293, section 3.10.7.4; RFC 2883',
  summary:
    'A FIN that has been acknowledged comes again. It lies before what is next, so it changes nothing, and is answered at ' +
    'once by an ACK that says so (D-SACK). Without that answer a FIN whose ACK was lost would be sent for ever.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'] },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.'],
  expected: { twice: { server: { recvQ: 0, owned: true, cause: 'not-closed' } } },

  async run({ server, wire, reach, moment, expect }) {
    await wire.connect((await server.listen()).port);
    await server.accept();
    await reach({ server: 'ESTABLISHED' });
    wire.send('F.');
    await wire.expect('.');
    await server.readEnd();
    wire.send('F.', { seq: -1 });
    const { options } = await wire.expect('.');
    expect(
      'that the ACK tells of it',
      true,
      options.some(({ kind }) => kind === 'sack'),
    );
    await reach({ server: 'CLOSE_WAIT' });
    await moment('twice');
  },

  control: {
    what: 'it comes once',
    async run({ server, wire, reach, moment }) {
      await wire.connect((await server.listen()).port);
      await server.accept();
      wire.send('F.');
      await wire.expect('.');
      await server.readEnd();
      await reach({ server: 'CLOSE_WAIT' });
      await moment('twice');
    },
  },
};

/** The direct edge that Linux does not have. */
export const finWithAck: Scenario = {
  name: 'fin-with-ack',
  title: 'A FIN that brings the ACK of ours: FIN_WAIT2 for the time of one segment',
  source:
    'RFC 9293, section 3.10.7.4, note 2 of figure 5; tcp_rcv_state_process() in net/ipv4/tcp_input.c',
  summary:
    'The answer to a FIN is a FIN and its ACK in one segment, as a server sends it that closes at once. The RFC has an edge ' +
    'from FIN_WAIT1 to TIME_WAIT for it. Linux looks at the ACK first, and passes through FIN_WAIT2.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'] },
  momentary: { server: ['FIN_WAIT2'] },
  segments: ['S', 'S.', '.', 'F.', 'F.', '.'],

  async run({ server, wire, reach }) {
    await wire.connect((await server.listen()).port);
    await server.accept();
    await reach({ server: 'ESTABLISHED' });
    await server.close();
    await wire.expect('F.');
    await reach({ server: 'FIN_WAIT1' });
    wire.send('F.');
    await wire.expect('.');
    await reach({ server: 'TIME_WAIT' });
  },

  control: {
    what: 'the ACK comes before the FIN',
    async run({ server, wire, reach }) {
      await wire.connect((await server.listen()).port);
      await server.accept();
      await reach({ server: 'ESTABLISHED' });
      await server.close();
      await wire.expect('F.');
      wire.send('.');
      await reach({ server: 'FIN_WAIT2' });
      wire.send('F.');
      await wire.expect('.');
      await reach({ server: 'TIME_WAIT' });
    },
  },
};
