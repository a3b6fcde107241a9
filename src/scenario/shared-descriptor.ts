// One socket, several who hold it.

import { establish } from './establish.js';
import type { Scenario } from './scenario.js';

/** close() that sends nothing, since there is another descriptor. */
export const dupFdNoFin: Scenario = {
  name: 'dup-fd-no-fin',
  title: 'close() of one descriptor of two: no FIN',
  source: 'close(2), dup(2); fput() in fs/file_table.c',
  summary:
    'The client has duplicated its descriptor, as fork() does, and closes one. The connection does not notice: the FIN is ' +
    'sent when the last descriptor is closed. shutdown() would have sent it from any of them.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  segments: ['S', 'S.', '.', 'F.', '.'],
  expected: {
    'one closed': { client: { owned: true, timer: 'off' }, server: { recvQ: 0, owned: true } },
    'both closed': { client: { owned: false }, server: { recvQ: 1 } },
  },
  control: {
    what: 'there is one descriptor',
    async run(stage) {
      await establish(stage);
      await stage.client.close();
      await stage.reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await stage.moment('one closed');
    },
  },

  async run(stage) {
    const { client, reach, moment } = stage;
    await establish(stage);
    const copy = await client.duplicate();
    await client.close();
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await moment('one closed');
    await copy.close();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('both closed');
  },
};

/** CLOSE_WAIT that one close() does not end. */
export const sharedFd: Scenario = {
  name: 'shared-fd',
  title: 'CLOSE_WAIT with two descriptors: the first close() is not enough',
  source: 'close(2), fork(2), dup(2); fput() in fs/file_table.c',
  summary:
    'The server has read the end and closes, but a copy of its descriptor is open, as a child inherits one. CLOSE_WAIT ' +
    'stays until the last is closed. Look for the other holder, and set O_CLOEXEC.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
  },
  proof: { server: 'CLOSE_WAIT' },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.'],
  expected: {
    shared: { server: { owned: true, recvQ: 0, cause: 'shared-fd' } },
    'one closed': { server: { owned: true, recvQ: 0, cause: 'not-closed' } },
  },
  control: {
    what: 'there is one descriptor',
    async run(stage) {
      const { server, client, reach, moment } = stage;
      await establish(stage);
      await client.close();
      await server.readEnd();
      await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
      await moment('shared');
      await server.close();
      await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
      await moment('one closed');
    },
  },

  async run(stage) {
    const { server, client, reach, moment } = stage;
    await establish(stage);
    const copy = await server.duplicate();
    await client.close();
    await server.readEnd();
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
    await moment('shared');
    await server.close();
    await moment('one closed');
    await copy.close();
    await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
  },
};

/** close() by another thread than the one that reads. */
export const closeUnderBlockedRead: Scenario = {
  name: 'close-under-blocked-read',
  title: 'close() while another thread reads: no FIN until it returns',
  source: 'close(2), multithreaded processes and close(); fput() in fs/file_table.c',
  summary:
    'A thread of the client is blocked in read(), another closes the descriptor. The read holds the file: no FIN is sent, ' +
    'and data that comes later still goes to the reader. When it returns the FIN goes out. shutdown() would have woken ' +
    'the reader.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2'],
    server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'],
  },
  expected: { closed: { client: { recvQ: 0, timer: 'off' }, server: { recvQ: 0, owned: true } } },
  control: {
    what: 'shutdown() comes before close()',
    async run(stage) {
      const { server, client, blocked, reach, moment } = stage;
      await establish(stage);
      const closer = await client.thread();
      const reading = client.receive();
      await blocked(client, 'read');
      await closer.shutdown('SHUT_RDWR');
      await closer.close();
      await reading;
      await reach({ server: 'CLOSE_WAIT' });
      await moment('closed');
      await server.readEnd();
    },
  },

  async run(stage) {
    const { server, client, blocked, reach, moment, expect } = stage;
    await establish(stage);
    const closer = await client.thread();
    const reading = client.receive();
    await blocked(client, 'read');
    await closer.close();
    await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
    await moment('closed');

    await server.send('still\n');
    expect('what the reader gets', 'still\n', await reading);
    await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
  },
};
