import type { Scenario } from './scenario.js';

/** A SYN into the void: the link loses it. */
export const synSent: Scenario = {
  name: 'syn-sent',
  title: 'SYN_SENT: nobody answers',
  source: 'RFC 9293, section 3.10.1; RFC 6298, section 2.1; tcp(7), tcp_syn_retries',
  summary:
    'The link loses the SYN: connect() blocks in SYN_SENT, with a timer of one second. The server knows of nothing. When the ' +
    'SYN is sent again the connection opens as if nothing had been.',
  place: { link: true },
  path: { client: ['SYN_SENT', 'ESTABLISHED'], server: ['SYN_RECV', 'ESTABLISHED'] },
  proof: { client: 'SYN_SENT' },
  // What was lost on the way arrived nowhere.
  segments: ['S', 'S.', '.'],
  expected: {
    unanswered: { client: { owned: true, timer: 'on', sendQ: 1 } },
  },

  async run({ server, client, link, reach, moment, expect }) {
    const to = await server.listen();
    // One sent again too, for as long as it takes to look.
    const syn = link.drop({ from: 'client', flags: 'S' });
    const syns = link.watch({ from: 'client', flags: 'S' });
    const connecting = client.connect(to);
    await syn.hit;
    await reach({ client: 'SYN_SENT' });
    await moment('unanswered');
    syn.remove();
    await connecting;
    await server.accept();
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    expect('that the SYN was sent again', true, syns.matched > 1);
  },

  control: {
    what: 'the link loses nothing',
    async run({ server, client, reach, moment }) {
      await client.connect(await server.listen());
      await server.accept();
      await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
      await moment('unanswered');
    },
  },
};

/** close() where there is nothing to close yet: the diagram's short way back. */
export const synSentClosed: Scenario = {
  name: 'syn-sent-closed',
  title: 'close() in SYN_SENT leaves nothing, and the late SYN+ACK meets a RST',
  source: 'RFC 9293, section 3.10.4; tcp_disconnect() in net/ipv4/tcp.c',
  summary:
    'A connect() that does not wait is followed by close(). No segment says so: the socket is gone, and the answer that comes ' +
    'afterwards is to nobody. The RST is how the other end learns of it.',
  place: { wire: 'server' },
  path: { client: ['SYN_SENT', 'CLOSE'] },
  segments: ['S', 'S.', 'R'],
  resets: ['client'],

  async run({ client, wire, reach, moment, fails }) {
    await client.open();
    await client.setNonblocking(true);
    await fails('connect()', 'EINPROGRESS', client.connect(wire.local));
    await wire.expect('S');
    await reach({ client: 'SYN_SENT' });
    await client.close();
    await reach({ client: 'CLOSE' });
    await moment('closed');
    await wire.expectNothing();
    wire.send('S.');
    await wire.expect('R');
  },

  control: {
    what: 'the answer comes before close()',
    async run({ client, wire, reach, fails }) {
      await client.open();
      await client.setNonblocking(true);
      await fails('connect()', 'EINPROGRESS', client.connect(wire.local));
      await wire.accept();
      await reach({ client: 'ESTABLISHED' });
      await client.close();
      await wire.expect('F.');
    },
  },
};

/** The answer of a host on which nobody listens. */
export const rstInSynSent: Scenario = {
  name: 'rst-in-syn-sent',
  title: 'A RST in SYN_SENT: ECONNREFUSED, if it acknowledges the SYN',
  source: 'RFC 9293, section 3.10.7.3; connect(2)',
  summary:
    'In SYN_SENT there is no window yet, so a reset is believed by what it acknowledges: one that acknowledges the SYN ends ' +
    'the attempt with ECONNREFUSED. Another is ignored, or anyone could refuse for the server.',
  place: { wire: 'server' },
  path: { client: ['SYN_SENT', 'CLOSE'] },
  segments: ['S', 'R.', 'R.'],
  resets: ['server', 'server'],

  async run({ client, wire, reach, fails }) {
    const connecting = client.connect(wire.local);
    await wire.expect('S');
    wire.send('R.', { ack: -1 });
    await wire.expectNothing();
    await reach({ client: 'SYN_SENT' });
    wire.send('R.');
    await fails('connect()', 'ECONNREFUSED', connecting);
    await reach({ client: 'CLOSE' });
  },

  control: {
    what: 'no reset acknowledges the SYN',
    async run({ client, wire, reach }) {
      const connecting = client.connect(wire.local);
      await wire.expect('S');
      wire.send('R.', { ack: -1 });
      await wire.expectNothing();
      await reach({ client: 'SYN_SENT' });
      wire.send('S.');
      await wire.expect('.');
      await connecting;
      await reach({ client: 'ESTABLISHED' });
    },
  },
};
