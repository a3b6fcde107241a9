import type { Scenario } from './scenario.js';

/** Both ends call at the same time, and neither listens. */
export const simultaneousOpen: Scenario = {
  name: 'simultaneous-open',
  title: 'Simultaneous open: SYN_SENT, SYN_RECV, ESTABLISHED, and nobody listens',
  source: 'RFC 9293, section 3.5, figure 7',
  summary:
    'A SYN comes where a SYN+ACK was expected: the other end calls too. The client answers it with a SYN+ACK of its own, in ' +
    'SYN_RECV, and connect() returns when that is acknowledged: one connection, four segments, no server.',
  place: { wire: 'server' },
  path: { client: ['SYN_SENT', 'SYN_RECV', 'ESTABLISHED'] },
  proof: { client: 'SYN_RECV' },
  segments: ['S', 'S', 'S.', 'S.', '.', 'P.', '.'],
  expected: { crossed: { client: { owned: true, timer: 'on' } } },

  async run({ client, wire, reach, moment, expect }) {
    const connecting = client.connect(wire.local);
    await wire.expect('S');
    wire.send('S');
    await wire.expect('S.');
    await reach({ client: 'SYN_RECV' });
    await moment('crossed');
    // What the other end's kernel would answer to the client's SYN.
    wire.send('S.', { seq: -1 });
    await connecting;
    await reach({ client: 'ESTABLISHED' });
    await wire.expect('.');
    expect('what was sent', 5, await client.send('hello'));
    await wire.expect('P.', { data: 'hello' });
    wire.send('.');
  },

  control: {
    what: 'the other end answers instead of calling',
    async run({ client, wire, reach, moment }) {
      const connecting = client.connect(wire.local);
      await wire.accept();
      await connecting;
      await reach({ client: 'ESTABLISHED' });
      await moment('crossed');
    },
  },
};

/** The same between two kernels. */
export const simultaneousOpenBoth: Scenario = {
  name: 'simultaneous-open-both',
  title: 'Two connect() meet: SYN_RECV on both ends, and nobody listens',
  source:
    'RFC 9293, section 3.5, figure 7; tcp_rcv_synsent_state_process() in net/ipv4/tcp_input.c',
  summary:
    "Each end has bound a port and calls the other's; the link is stopped, so that the SYNs cross. Neither is refused, though " +
    'nobody listens: each answers the SYN with a SYN+ACK, both are in SYN_RECV, and both connect() return. It is one ' +
    'connection, by two active opens.',
  place: { link: true },
  path: {
    client: ['SYN_SENT', 'SYN_RECV', 'ESTABLISHED'],
    server: ['SYN_SENT', 'SYN_RECV', 'ESTABLISHED'],
  },
  proof: { server: 'SYN_RECV' },
  expected: {
    crossed: { client: { owned: true, timer: 'on' }, server: { owned: true, timer: 'on' } },
  },

  async run({ server, client, link, reach, moment, expect }) {
    await server.bind(0);
    await client.bind(0);
    const [to, from] = [await server.local(), await client.local()];
    link.pause();
    const syns = [
      link.watch({ from: 'client', flags: 'S' }),
      link.watch({ from: 'server', flags: 'S' }),
    ];
    const calls = [client.connect(to), server.connect(from)];
    for (const syn of syns) await syn.hit;
    await reach({ client: 'SYN_SENT', server: 'SYN_SENT' });
    link.resume();
    // The answers are held again: they come later than this.
    link.pause();
    await reach({ client: 'SYN_RECV', server: 'SYN_RECV' });
    await moment('crossed');
    link.resume();
    await Promise.all(calls);
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await client.send('hello');
    expect('what the server reads', 'hello', await server.receive());
    await server.send('hello');
    expect('what the client reads', 'hello', await client.receive());
  },

  control: {
    what: 'one end listens instead of calling',
    async run({ server, client, reach, moment }) {
      await client.connect(await server.listen());
      await server.accept();
      await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
      await moment('crossed');
    },
  },
};

/** The edge that the kernel's source calls impossible. */
export const synRecvClosed: Scenario = {
  name: 'syn-recv-closed',
  title: 'close() in SYN_RECV: FIN_WAIT1 before the connection was established',
  source:
    'RFC 9293, section 3.10.4; __tcp_close() in net/ipv4/tcp.c, which says that it is impossible',
  summary:
    'A request has no descriptor, so a server cannot close one. After a simultaneous open the socket in SYN_RECV is the ' +
    "client's own: close() goes to FIN_WAIT1, with a FIN.",
  place: { wire: 'server' },
  path: { client: ['SYN_SENT', 'SYN_RECV', 'FIN_WAIT1', 'FIN_WAIT2'] },
  proof: { client: 'FIN_WAIT1' },
  segments: ['S', 'S', 'S.', 'F.', '.'],
  // The SYN and the FIN.
  expected: { closed: { client: { owned: false, sendQ: 2 } } },

  async run({ client, wire, reach, moment, fails }) {
    await client.open();
    await client.setNonblocking(true);
    await fails('connect()', 'EINPROGRESS', client.connect(wire.local));
    await wire.expect('S');
    wire.send('S');
    await wire.expect('S.');
    await reach({ client: 'SYN_RECV' });
    await client.close();
    await reach({ client: 'FIN_WAIT1' });
    await moment('closed');
    await wire.expect('F.');
    // It acknowledges the SYN and the FIN.
    wire.send('.');
    await reach({ client: 'FIN_WAIT2' });
  },

  control: {
    what: 'close() comes after the acknowledgment of the SYN',
    async run({ client, wire, reach, moment, fails }) {
      await client.open();
      await client.setNonblocking(true);
      await fails('connect()', 'EINPROGRESS', client.connect(wire.local));
      await wire.expect('S');
      wire.send('S');
      await wire.expect('S.');
      wire.send('.');
      await reach({ client: 'ESTABLISHED' });
      await client.close();
      await reach({ client: 'FIN_WAIT1' });
      await moment('closed');
      await wire.expect('F.');
      wire.send('.');
      await reach({ client: 'FIN_WAIT2' });
    },
  },
};

/** After an active open there is no LISTEN to return to. */
export const rstAfterSimultaneousOpen: Scenario = {
  name: 'rst-after-simultaneous-open',
  title: 'A RST in SYN_RECV after connect(): CLOSE, since nobody listens',
  source: 'RFC 9293, section 3.10.7.4',
  summary:
    'Both ends have called, and one takes it back. An end that came to SYN_RECV by connect() has no LISTEN to return to: its ' +
    'call fails, with ECONNRESET: in SYN_SENT it would have been ECONNREFUSED.',
  place: { wire: 'server' },
  path: { client: ['SYN_SENT', 'SYN_RECV', 'CLOSE'] },
  proof: { client: 'SYN_RECV' },
  segments: ['S', 'S', 'S.', 'R'],
  resets: ['server'],

  async run({ client, wire, reach, fails }) {
    const connecting = client.connect(wire.local);
    await wire.expect('S');
    wire.send('S');
    await wire.expect('S.');
    await reach({ client: 'SYN_RECV' });
    wire.send('R');
    await fails('connect()', 'ECONNRESET', connecting);
    await reach({ client: 'CLOSE' });
  },

  control: {
    what: 'the other end acknowledges instead',
    async run({ client, wire, reach }) {
      const connecting = client.connect(wire.local);
      await wire.expect('S');
      wire.send('S');
      await wire.expect('S.');
      await reach({ client: 'SYN_RECV' });
      wire.send('.');
      await connecting;
      await reach({ client: 'ESTABLISHED' });
    },
  },
};
