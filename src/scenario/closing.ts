import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** Both ends close before either knows of the other. */
export const closing: Scenario = {
  name: 'closing',
  title: 'CLOSING on both ends: two FINs that cross each other',
  source: 'RFC 9293, section 3.6, figure 13',
  summary:
    'The link is stopped while both ends close, so each FIN is on its way before the other arrives. Whoever gets a FIN ' +
    'before the ACK of its own is in CLOSING, and goes on to TIME_WAIT with that ACK: here both ends do.',
  place: { link: true },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'CLOSING', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'CLOSING', 'TIME_WAIT'],
  },
  proof: { server: 'CLOSING' },
  expected: {
    crossed: {
      client: { owned: false, sendQ: 1, timer: 'on' },
      server: { owned: false, sendQ: 1, timer: 'on' },
    },
  },

  async run(stage) {
    const { server, client, link, reach, moment } = stage;
    await establish(stage);
    link.pause();
    const fins = [
      link.watch({ from: 'client', flags: 'F' }),
      link.watch({ from: 'server', flags: 'F' }),
    ];
    await client.close();
    await server.close();
    for (const fin of fins) await fin.hit;
    await reach({ client: 'FIN_WAIT1', server: 'FIN_WAIT1' });
    link.resume('client');
    await reach({ client: 'FIN_WAIT1', server: 'CLOSING' });
    await moment('crossed');
    link.resume();
    await reach({ client: 'TIME_WAIT', server: 'TIME_WAIT' });
  },

  control: {
    what: 'the link is not stopped',
    async run(stage) {
      const { server, client, reach, moment } = stage;
      await establish(stage);
      await client.close();
      await server.readEnd();
      await server.close();
      await moment('crossed');
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    },
  },
};

/** A way out of CLOSING that the figure leaves away. */
export const rstInClosing: Scenario = {
  name: 'rst-in-closing',
  title: 'A RST in CLOSING: no TIME_WAIT',
  source: 'RFC 9293, section 3.10.7.4; note 3 of figure 5',
  summary:
    'Two FINs have crossed. Instead of the ACK comes a RST: the other end has forgotten the connection, so nothing is left ' +
    'to wait for, and it is over at once.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'CLOSING', 'CLOSE'] },
  proof: { server: 'CLOSING' },
  segments: ['S', 'S.', '.', 'F.', 'F.', '.', 'R'],
  resets: ['client'],

  async run({ server, wire, reach }) {
    await wire.connect((await server.listen()).port);
    await server.accept();
    await reach({ server: 'ESTABLISHED' });
    await server.close();
    await wire.expect('F.');
    wire.send('F.', { ack: -1 });
    await wire.expect('.');
    await reach({ server: 'CLOSING' });
    wire.send('R');
    await reach({ server: 'CLOSE' });
  },

  control: {
    what: 'the ACK comes',
    async run({ server, wire, reach }) {
      await wire.connect((await server.listen()).port);
      await server.accept();
      await reach({ server: 'ESTABLISHED' });
      await server.close();
      await wire.expect('F.');
      wire.send('F.', { ack: -1 });
      await wire.expect('.');
      await reach({ server: 'CLOSING' });
      wire.send('.');
      await reach({ server: 'TIME_WAIT' });
    },
  },
};
