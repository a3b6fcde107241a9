import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

const LINGER_S = 1;

async function closeWithFullBuffers(stage: Stage, linger: boolean): Promise<void> {
  const { client, moment, expect } = stage;
  await establish(stage);
  await client.fill();
  await client.setNonblocking(true);
  await client.setOption('SO_LINGER', { on: linger, seconds: LINGER_S });
  const beganMs = performance.now();
  await client.close();
  const tookMs = performance.now() - beganMs;
  expect(`close() takes ${LINGER_S} s`, true, tookMs >= LINGER_S * 1000 - 10);
  await moment('closed');
}

/** A close() that blocks, even of a socket that must not. */
export const lingerBlocks: Scenario = {
  name: 'linger-blocks',
  title: 'SO_LINGER: close() blocks, O_NONBLOCK or not',
  source:
    'socket(7), SO_LINGER; inet_release() in net/ipv4/af_inet.c, __tcp_close() in net/ipv4/tcp.c',
  summary:
    'The peer does not read and data waits to be sent. With SO_LINGER {on, n s} close() waits n seconds for it to be ' +
    'acknowledged; O_NONBLOCK does not help. Then the kernel goes on by itself: an orphan in FIN_WAIT1. In an event loop ' +
    'SO_LINGER must be off, or 0 s.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  proof: { client: 'FIN_WAIT1' },
  expected: { closed: { client: { owned: false, sendQ: 'some' } } },
  control: {
    what: 'SO_LINGER is off',
    run: (stage) => closeWithFullBuffers(stage, false),
  },

  run: (stage) => closeWithFullBuffers(stage, true),
};
