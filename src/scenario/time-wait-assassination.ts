import type { Scenario, Stage } from './scenario.js';

/** The server closes first, and goes all the way to TIME_WAIT; the client is a wire. */
async function timeWait({ server, wire, reach }: Stage): Promise<void> {
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
}

/** What TIME_WAIT is to protect from, done to itself. */
export const timeWaitAssassination: Scenario = {
  name: 'time-wait-assassination',
  title: 'A RST kills TIME_WAIT, unless tcp_rfc1337 forbids it',
  source: 'RFC 1337; tcp(7), tcp_rfc1337; tcp_timewait_state_process() in net/ipv4/tcp_minisocks.c',
  summary:
    'TIME_WAIT answers a repeated FIN as it should. An exact RST ends it before its minute is over, and the same FIN now ' +
    'draws a RST: nobody remembers the connection. With tcp_rfc1337 the RST would be ignored.',
  place: { wire: 'client' },
  sysctls: { 'net/ipv4/tcp_rfc1337': '0' },
  path: { server: ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT', 'CLOSE'] },
  proof: { server: 'TIME_WAIT' },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.', 'F.', '.', 'R', 'F.', 'R'],
  resets: ['client', 'server'],
  expected: { waiting: { server: { owned: false, timer: 'timewait' } } },

  async run(stage) {
    const { wire, reach, moment } = stage;
    await timeWait(stage);
    wire.send('F.', { seq: -1 });
    await wire.expect('.');
    await moment('waiting');
    wire.send('R');
    await wire.expectNothing();
    await reach({ server: 'CLOSE' });
    wire.send('F.', { seq: -1 });
    await wire.expect('R');
  },

  control: {
    what: 'tcp_rfc1337 is set',
    sysctls: { 'net/ipv4/tcp_rfc1337': '1' },
    async run(stage) {
      const { wire, reach, moment } = stage;
      await timeWait(stage);
      wire.send('F.', { seq: -1 });
      await wire.expect('.');
      await moment('waiting');
      wire.send('R');
      await wire.expectNothing();
      await reach({ server: 'TIME_WAIT' });
      wire.send('F.', { seq: -1 });
      await wire.expect('.');
    },
  },
};

/** The way back into life. */
export const timeWaitNewSyn: Scenario = {
  name: 'time-wait-new-syn',
  title: 'TIME_WAIT gives way to a SYN that is surely new',
  source:
    'RFC 9293, section 3.6.1; RFC 6191; tcp_timewait_state_process() in net/ipv4/tcp_minisocks.c',
  summary:
    'The same client port connects again while the server is in TIME_WAIT. An old SYN is answered with an ACK; one with a ' +
    'higher number, or a later timestamp, is of a new connection: the listener takes it, and TIME_WAIT is over.',
  place: { wire: 'client' },
  path: {
    server: [
      ...(['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'] as const),
      ...(['SYN_RECV', 'ESTABLISHED'] as const),
    ],
  },
  proof: { server: 'TIME_WAIT' },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.', 'S', '.', 'S', 'S.', '.'],
  expected: { again: { server: { owned: true, timer: 'off' } } },

  async run(stage) {
    const { server, wire, reach, moment } = stage;
    await timeWait(stage);
    wire.send('S', { seq: -100, ts: -100 });
    await wire.expect('.');
    await reach({ server: 'TIME_WAIT' });
    wire.send('S', { seq: +100_000 });
    await wire.expect('S.');
    await reach({ server: 'SYN_RECV' });
    wire.send('.');
    await server.accept();
    await reach({ server: 'ESTABLISHED' });
    await moment('again');
  },

  control: {
    what: 'the SYN is old',
    async run(stage) {
      const { wire, reach, moment } = stage;
      await timeWait(stage);
      wire.send('S', { seq: -100, ts: -100 });
      await wire.expect('.');
      await reach({ server: 'TIME_WAIT' });
      await moment('again');
    },
  },
};
