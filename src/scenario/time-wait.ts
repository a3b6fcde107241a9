// How TIME_WAIT ends.

import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

/** Both close, the client first; the port that is in TIME_WAIT. */
async function close({ server, client, reach }: Stage): Promise<number> {
  const { port } = await server.peer();
  await client.close();
  await server.readEnd();
  await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
  await server.close();
  await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
  return port;
}

const once = {
  client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT'],
  server: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
} as const;

/** The minute, on a real clock. */
export const timeWaitExpiry: Scenario = {
  name: 'time-wait-expiry',
  title: 'TIME_WAIT ends after 60 s, whatever tcp_fin_timeout says',
  source: 'TCP_TIMEWAIT_LEN in include/net/tcp.h; RFC 9293, section 3.4.2; tcp(7), tcp_fin_timeout',
  summary:
    'TIME_WAIT lasts for a minute on Linux, and a second or two more; no setting changes that, tcp_fin_timeout neither, which is about FIN_WAIT2. ' +
    'Nobody must act.',
  sysctls: { 'net/ipv4/tcp_fin_timeout': '1' },
  slow: true,
  path: { client: [...once.client, 'CLOSE'], server: once.server },
  proof: { client: 'TIME_WAIT' },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.'],
  expected: { waits: { client: { owned: false, timer: 'timewait' } } },
  control: {
    what: 'the client resets: no TIME_WAIT',
    async run(stage) {
      const { client } = stage;
      await establish(stage);
      await client.abort();
      await expire(stage);
    },
  },

  async run(stage) {
    await establish(stage);
    await close(stage);
    await expire(stage);
  },
};

async function expire({ reach, moment, expect }: Stage): Promise<void> {
  const beganMs = performance.now();
  await moment('waits');
  await reach({ client: 'CLOSE' }, { deadlineMs: 70_000 });
  const seconds = (performance.now() - beganMs) / 1000;
  expect('it lasted from 58 to 66 s', true, seconds > 58 && seconds < 66);
}

/** A client that has one port, and closed first. */
async function connectAgain(stage: Stage): Promise<void> {
  const { server, client, reach, timer } = stage;
  const address = await establish(stage);
  const port = await close(stage);
  // Older than the delay by then, on the kernel's own clock.
  await timer('client', 'timewait', { belowMs: 59_990 });
  await client.open();
  await client.setOption('IP_LOCAL_PORT_RANGE', { low: port, high: port });
  await client.connect(address);
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
}

/** A port that can be had again before the minute is over. */
export const timeWaitReuse: Scenario = {
  name: 'time-wait-reuse',
  title: 'tcp_tw_reuse: connect() takes a port out of TIME_WAIT',
  source: 'tcp(7), tcp_tw_reuse; RFC 6191; tcp_twsk_unique() in net/ipv4/tcp_ipv4.c',
  summary:
    'The only port the client may use is in TIME_WAIT. With timestamps and tcp_tw_reuse connect() may take it over once the ' +
    'TIME_WAIT is older than tcp_tw_reuse_delay: the same addresses and ports, another connection. The default 2 allows ' +
    'it on loopback only.',
  sysctls: { 'net/ipv4/tcp_tw_reuse': '1', 'net/ipv4/tcp_tw_reuse_delay': '1' },
  path: {
    client: [...once.client, 'SYN_SENT', 'ESTABLISHED'],
    server: [...once.server, 'SYN_RECV', 'ESTABLISHED'],
  },
  proof: { client: 'TIME_WAIT' },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.', 'S', 'S.', '.'],
  control: {
    what: 'tcp_tw_reuse is off',
    sysctls: { 'net/ipv4/tcp_tw_reuse': '0' },
    run: connectAgain,
  },

  run: connectAgain,
};

/** A port that cannot be had before the minute is over. */
export const timeWaitBlocks: Scenario = {
  name: 'time-wait-blocks',
  title: 'TIME_WAIT without tcp_tw_reuse: connect() gives EADDRNOTAVAIL',
  source: 'tcp(7), tcp_tw_reuse; bind(2); __inet_check_established() in net/ipv4/inet_hashtables.c',
  summary:
    'The only port the client may use is in TIME_WAIT, and tcp_tw_reuse is off: EADDRNOTAVAIL for a minute. Naming the port ' +
    'by bind() is refused too, EADDRINUSE. The client needs more ports, or should let the server close first.',
  sysctls: { 'net/ipv4/tcp_tw_reuse': '0' },
  // connect() has entered SYN_SENT before it looks for a port.
  path: { client: [...once.client, 'SYN_SENT', 'CLOSE'], server: once.server },
  proof: { client: 'TIME_WAIT' },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.'],
  control: {
    what: 'the client resets: no TIME_WAIT',
    async run(stage) {
      const { server, client, reach, fails } = stage;
      const address = await establish(stage);
      const { port } = await server.peer();
      await client.abort();
      await reach({ client: 'CLOSE', server: 'CLOSE' });
      await client.open();
      await client.setOption('IP_LOCAL_PORT_RANGE', { low: port, high: port });
      await fails('connect() from the same port', 'EADDRNOTAVAIL', client.connect(address));
    },
  },

  async run(stage) {
    const { client, fails } = stage;
    const address = await establish(stage);
    const port = await close(stage);
    await client.open();
    await fails('bind() to the same port', 'EADDRINUSE', client.bind(port));
    await client.setOption('IP_LOCAL_PORT_RANGE', { low: port, high: port });
    await fails('connect() from the same port', 'EADDRNOTAVAIL', client.connect(address));
  },
};

async function closeHalfByHalf(stage: Stage): Promise<void> {
  const { server, client, reach, moment } = stage;
  await establish(stage);
  await client.shutdown('SHUT_WR');
  await server.readEnd();
  await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
  await server.close();
  await reach({ server: 'CLOSE' });
  await moment('over');
}

/** A host with too many of them. */
export const timeWaitOverflow: Scenario = {
  name: 'time-wait-overflow',
  title: 'tcp_max_tw_buckets is reached: no TIME_WAIT at all',
  source: 'tcp(7), tcp_max_tw_buckets; inet_twsk_alloc() in net/ipv4/inet_timewait_sock.c',
  summary:
    'The table of TIME_WAIT connections has no room. The client should wait for a minute, and is in CLOSE at once: an old ' +
    'segment may now meet a new connection. The limit is there against attacks, not to get rid of TIME_WAIT.',
  sysctls: { 'net/ipv4/tcp_max_tw_buckets': '0' },
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE'],
    server: once.server,
  },
  segments: ['S', 'S.', '.', 'F.', '.', 'F.', '.'],
  expected: { over: { client: { cause: 'ghost' } } },
  control: {
    what: 'the table has room',
    sysctls: { 'net/ipv4/tcp_max_tw_buckets': '1' },
    run: closeHalfByHalf,
  },

  run: closeHalfByHalf,
};
