import type { Scenario } from './scenario.js';

/** close() with data that the other end has no room for. */
export const zeroWindowClose: Scenario = {
  name: 'zero-window-close',
  title: 'close() against a closed window: FIN_WAIT1 with a persist timer',
  source: 'RFC 9293, section 3.8.6.1; tcp_probe_timer() in net/ipv4/tcp_timer.c',
  summary:
    'The client advertises a window of 0. What the server then writes and its FIN stay in the send queue: FIN_WAIT1 without ' +
    'a FIN on the wire, and without a descriptor. Only the probes of the persist timer go out, until the window opens.',
  place: { wire: 'client' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'] },
  proof: { server: 'FIN_WAIT1' },
  segments: ['S', 'S.', '.', '.', '.', '.', 'FP.', '.'],
  expected: { shut: { server: { owned: false, sendQ: 6, timer: 'persist' } } },

  async run({ server, wire, reach, moment }) {
    await wire.connect((await server.listen()).port);
    await server.accept();
    await reach({ server: 'ESTABLISHED' });
    wire.send('.', { win: 0 });
    await wire.expectNothing();
    await server.send('hello');
    await server.close();
    await reach({ server: 'FIN_WAIT1' });
    await moment('shut');
    // Of a byte that has been acknowledged long since: only the answer is wanted.
    await wire.expect('.', { seq: -1 });
    wire.send('.');
    await wire.expect('FP.', { data: 'hello' });
    wire.send('.');
    await reach({ server: 'FIN_WAIT2' });
  },

  control: {
    what: 'the window is open',
    async run({ server, wire, reach, moment }) {
      await wire.connect((await server.listen()).port);
      await server.accept();
      await reach({ server: 'ESTABLISHED' });
      await server.send('hello');
      await server.close();
      await reach({ server: 'FIN_WAIT1' });
      await moment('shut');
      await wire.expect('P.', { data: 'hello' });
      await wire.expect('F.');
      wire.send('.');
      await reach({ server: 'FIN_WAIT2' });
    },
  },
};
