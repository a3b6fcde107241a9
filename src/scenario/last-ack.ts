import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

/** To where the server alone has not closed yet. */
async function halfClosed(stage: Stage): Promise<void> {
  const { server, client, reach } = stage;
  await establish(stage);
  await client.close();
  await server.readEnd();
  await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
}

/** Why there is a TIME_WAIT. */
export const lastAck: Scenario = {
  name: 'last-ack',
  title: 'LAST_ACK: the last ACK of all is lost, and TIME_WAIT sends it again',
  source: 'RFC 9293, sections 3.6 and 3.10.7.4',
  summary:
    'The link loses the ACK of the second FIN. The server stays in LAST_ACK, without a descriptor, and sends its FIN again; ' +
    "the client's TIME_WAIT answers. Had the client forgotten at once, the answer would have been a RST: that is what " +
    'TIME_WAIT is for.',
  place: { link: true },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  proof: { server: 'LAST_ACK' },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', 'F.', '.'],
  expected: {
    unacknowledged: {
      client: { owned: false, timer: 'timewait' },
      server: { owned: false, sendQ: 1, timer: 'on' },
    },
  },

  async run(stage) {
    const { server, link, reach, moment, expect } = stage;
    await halfClosed(stage);
    // The answer to a FIN sent again too, for as long as it takes to look.
    const ack = link.drop({ from: 'client' });
    const fins = link.watch({ from: 'server', flags: 'F' });
    await server.close();
    await ack.hit;
    await reach({ client: 'TIME_WAIT', server: 'LAST_ACK' });
    await moment('unacknowledged');
    // One is enough. The next would find nobody, and the RST that it drew would end TIME_WAIT.
    link.drop({ from: 'client', nth: 2, count: Number.MAX_SAFE_INTEGER });
    ack.remove();
    await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    expect('that the FIN was sent again', true, fins.matched > 1);
  },

  control: {
    what: 'the link loses nothing',
    async run(stage) {
      const { server, reach, moment } = stage;
      await halfClosed(stage);
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      await moment('unacknowledged');
    },
  },
};

/** The FIN has arrived and waits to be acknowledged: a delayed ACK, from outside. */
export const delayedFinAck: Scenario = {
  name: 'delayed-fin-ack',
  title: 'A segment lost before the FIN: the FIN is not acknowledged until it has come',
  source: 'RFC 9293, section 3.4; RFC 2018',
  summary:
    'The link loses the last data, and the FIN behind it arrives. An ACK acknowledges everything before it, so it cannot ' +
    'acknowledge the FIN: the client stays in FIN_WAIT1 and the server in ESTABLISHED, until the data is sent again.',
  place: { link: true },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  proof: { client: 'FIN_WAIT1' },
  expected: { hole: { client: { owned: false, sendQ: 6, timer: 'on' }, server: { recvQ: 0 } } },

  async run({ server, client, link, reach, moment, expect }) {
    await client.connect(await server.listen());
    await server.accept();
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    // Retransmissions of it too, for as long as it takes to look.
    const data = link.drop({ from: 'client', payload: true });
    const fin = link.watch({ from: 'client', flags: 'F' });
    const answer = link.watch({ from: 'server' });
    await client.send('hello');
    await client.close();
    await fin.hit;
    await answer.hit;
    await reach({ client: 'FIN_WAIT1', server: 'ESTABLISHED' });
    await moment('hole');
    data.remove();
    expect('what the server reads', 'hello', await server.receive());
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
  },

  control: {
    what: 'the link loses nothing',
    async run({ server, client, reach, moment, expect }) {
      await client.connect(await server.listen());
      await server.accept();
      await client.send('hello');
      await client.close();
      expect('what the server reads', 'hello', await server.receive());
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('hole');
    },
  },
};
