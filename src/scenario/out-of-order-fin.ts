import type { Scenario } from './scenario.js';

/** The end of the stream comes before what it ends. */
export const outOfOrderFin: Scenario = {
  name: 'out-of-order-fin',
  title: 'A FIN ahead of missing data waits for it: ESTABLISHED, and nothing to read',
  source: 'RFC 9293, section 3.10.7.4; RFC 2018; tcp_data_queue() in net/ipv4/tcp_input.c',
  summary:
    'A FIN has a place in the sequence. While data before it is missing it is kept aside and reported by SACK; the state does ' +
    'not change. The missing data comes, and with it CLOSE_WAIT: one ACK for both.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'] },
  segments: ['S', 'S.', '.', 'F.', '.', 'P.', '.'],
  expected: {
    hole: { server: { owned: true, recvQ: 0 } },
    filled: { server: { owned: true, recvQ: 6, cause: 'eof-unread' } },
  },

  async run({ server, wire, reach, moment, expect }) {
    await wire.connect((await server.listen()).port);
    await server.accept();
    await reach({ server: 'ESTABLISHED' });
    wire.send('F.', { seq: +5 });
    const { options } = await wire.expect('.');
    expect(
      'that the ACK has a SACK',
      true,
      options.some(({ kind }) => kind === 'sack'),
    );
    await reach({ server: 'ESTABLISHED' });
    await moment('hole');
    wire.send('P.', { data: 'hello' });
    await wire.expect('.', { ack: +1 });
    await reach({ server: 'CLOSE_WAIT' });
    await moment('filled');
    expect('what the server reads', 'hello', await server.receive());
    await server.readEnd();
  },

  control: {
    what: 'the data comes first',
    async run({ server, wire, reach, moment, expect }) {
      await wire.connect((await server.listen()).port);
      await server.accept();
      await reach({ server: 'ESTABLISHED' });
      wire.send('P.', { data: 'hello' });
      await wire.expect('.');
      await moment('hole');
      wire.send('F.');
      await wire.expect('.');
      await reach({ server: 'CLOSE_WAIT' });
      await moment('filled');
      expect('what the server reads', 'hello', await server.receive());
    },
  },
};
