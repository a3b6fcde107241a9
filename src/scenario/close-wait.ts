import type { Scenario } from './scenario.js';

/** The article's experiment: the client closes, the server reads the end and never does. */
export const closeWait: Scenario = {
  name: 'close-wait',
  title: 'CLOSE_WAIT: the passive side never calls close()',
  source: 'tcp(7); RFC 9293, section 3.6; the article "[Socket Programming #2] CLOSE_WAIT"',
  summary:
    'The client closes; its FIN is acknowledged and the server reads the end of the stream. Then nothing: CLOSE_WAIT has ' +
    'no timer. Only the server can end it, by close().',
  drivers: ['program', 'raw'],
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  // Handshake; "test\n" there and back, each acknowledged; the client's FIN; then, with the cure, the server's.
  segments: ['S', 'S.', '.', 'P.', '.', 'P.', '.', 'F.', '.', 'F.', '.'],
  expected: {
    'close-wait': {
      client: { owned: false },
      server: {
        owned: true,
        recvQ: 0,
        cause: 'not-closed',
        waitsIn: { program: 'clock_nanosleep' },
      },
    },
    cured: { client: { owned: false } },
  },
  control: {
    what: 'the server closes when it has read the end',
    async run({ server, client, reach, moment }) {
      await client.connect(await server.listen());
      await server.accept();
      await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
      await client.send('test\n');
      await server.echo();
      await client.receive();
      await client.close();
      await server.readEnd();
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      await moment('close-wait');
    },
  },

  async run({ server, client, reach, moment, expect }) {
    await client.connect(await server.listen());
    await server.accept();
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await moment('connected');

    await client.send('test\n');
    await server.echo();
    expect('the echo', 'test\n', await client.receive());
    await moment('exchanged');

    await client.close();
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('close-wait');

    await server.close();
    await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
    await moment('cured');
  },
};
