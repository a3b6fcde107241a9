import type { Scenario, Stage } from './scenario.js';

/** A connection that the wire has begun. */
async function open({ server, wire, reach }: Stage): Promise<void> {
  await wire.connect((await server.listen()).port);
  await server.accept();
  await reach({ server: 'ESTABLISHED' });
}

/** A reset by someone who knows the window, but not the number. */
export const challengeAck: Scenario = {
  name: 'challenge-ack',
  title: 'A RST that is not exact draws a challenge ACK; an exact one kills',
  source: 'RFC 5961, section 3.2; tcp_validate_incoming() in net/ipv4/tcp_input.c',
  summary:
    'A RST beyond the window is ignored. One inside it, but not at the very next number, may be forged: the kernel asks, by ' +
    'an ACK, and a peer that means it answers with an exact one. That one is believed: read() fails with ECONNRESET.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'] },
  segments: ['S', 'S.', '.', 'R', 'R', '.', 'R'],
  resets: ['client', 'client', 'client'],
  expected: { challenged: { server: { owned: true, recvQ: 0 } } },

  async run(stage) {
    const { server, wire, reach, moment, fails } = stage;
    await open(stage);
    wire.send('R', { seq: +1_000_000 });
    await wire.expectNothing();
    wire.send('R', { seq: +1 });
    await wire.expect('.');
    await reach({ server: 'ESTABLISHED' });
    await moment('challenged');
    wire.send('R');
    await reach({ server: 'CLOSE' });
    await fails('read()', 'ECONNRESET', server.receive());
  },

  control: {
    what: 'no RST is exact',
    async run(stage) {
      const { server, wire, reach, moment, expect } = stage;
      await open(stage);
      wire.send('R', { seq: +1_000_000 });
      await wire.expectNothing();
      wire.send('R', { seq: +1 });
      await wire.expect('.');
      await moment('challenged');
      wire.send('P.', { data: 'alive' });
      await wire.expect('.');
      expect('what the server reads', 'alive', await server.receive());
      await reach({ server: 'ESTABLISHED' });
    },
  },
};

/** A SYN where there is a connection already: forged, or of a peer that has rebooted. */
export const synInEstablished: Scenario = {
  name: 'syn-in-established',
  title: 'A SYN within a connection draws a challenge ACK, whatever its number',
  source: 'RFC 5961, section 4; RFC 9293, section 3.10.7.4',
  summary:
    'A peer that has lost its memory connects again from the same port. The kernel does not believe the SYN: it answers with ' +
    'an ACK of the old connection. A peer that does not know it sends a RST with the number from that ACK, which is exact.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'] },
  segments: ['S', 'S.', '.', 'S', '.', 'R'],
  resets: ['client'],
  expected: { challenged: { server: { owned: true, recvQ: 0 } } },

  async run(stage) {
    const { server, wire, reach, moment, fails } = stage;
    await open(stage);
    wire.send('S', { seq: +100_000 });
    await wire.expect('.');
    await reach({ server: 'ESTABLISHED' });
    await moment('challenged');
    wire.send('R');
    await reach({ server: 'CLOSE' });
    await fails('read()', 'ECONNRESET', server.receive());
  },

  control: {
    what: 'the peer knows the connection, and says nothing',
    async run(stage) {
      const { wire, reach, moment } = stage;
      await open(stage);
      wire.send('S', { seq: +100_000 });
      await wire.expect('.');
      await moment('challenged');
      await reach({ server: 'ESTABLISHED' });
    },
  },
};
