import { existsSync, readlinkSync } from 'node:fs';
import { RECORD, teardownModes } from '../../src/driver/teardown.js';
import { BenchRefusedError, bench } from '../../src/experiment/bench.js';
import { callsWithin, timeInStates } from '../../src/experiment/bench-observed.js';
import { measureScale } from '../../src/experiment/bench-scale.js';
import { type TraceEvent, TracepointObserver } from '../../src/observer/tracepoint.js';
import { visit } from '../../src/world/visit.js';
import { World } from '../../src/world/world.js';
import { test } from '../fixture/descriptors.js';
import { noNamespace, testUnless } from '../world/ability.js';

const { available, reason } = TracepointObserver.availability();
const noStates = noNamespace ?? (available ? undefined : `needs tracepoints: ${reason}`);
const modes = teardownModes.filter(({ name }) => name === 'client-first');

const network = (): string => readlinkSync('/proc/thread-self/ns/net');

testUnless(noNamespace, 'a benchmark leaves this thread in the network it was in', async (t) => {
  const before = network();
  const cycles = 30;
  const record = await bench({ modes, drivers: ['c', 'libuv'], cycles, world: 'namespace' });
  t.is(network(), before);
  t.true(record.ok, JSON.stringify(record.doubts));
  t.deepEqual(
    record.modes[0]?.drivers.map(({ driver, cycles: lived }) => [driver, lived]),
    [
      ['c', cycles],
      ['libuv', cycles],
    ],
  );
});

testUnless(
  noStates,
  'time in each state, and the calls of a teardown, as the kernel tells',
  async (t) => {
    const { modes: all } = await bench({
      modes,
      drivers: ['c', 'raw', 'raw-composite', 'libuv', 'program'],
      cycles: 20,
      world: 'namespace',
    });
    for (const { driver, states, systemCalls, p50Us } of all[0]?.drivers ?? []) {
      for (const state of ['FIN_WAIT1', 'CLOSE_WAIT', 'LAST_ACK'] as const) {
        const spread = states?.[state];
        t.true(spread !== undefined && spread.count > 0 && spread.p50Us > 0, `${driver} ${state}`);
      }
      t.true((systemCalls ?? 0) > 2.9, `${driver}: ${systemCalls}`);
      if (driver === 'c' || driver.startsWith('raw')) {
        t.true((systemCalls ?? 0) < 3.2, `${driver}: ${systemCalls}`);
        t.true((states?.CLOSE_WAIT?.p50Us ?? 0) < 100 * p50Us);
      }
    }
  },
);

test('on the host it is refused before anything runs out', async (t) => {
  const run = bench({ modes, drivers: ['raw'], cycles: 10_000_000, world: 'host' });
  const error = await t.throwsAsync(run, { instanceOf: BenchRefusedError });
  t.regex(error?.message ?? '', /TIME_WAIT/);
});

testUnless(noNamespace, 'interrupted before it began, it has measured nothing', async (t) => {
  const signal = AbortSignal.abort();
  const record = await bench({ modes, drivers: ['c'], cycles: 5, world: 'namespace', signal });
  t.true(record.interrupted);
  t.deepEqual(record.modes, []);
  const curve = await measureScale([10], { world: 'namespace', signal });
  t.deepEqual(curve, { interrupted: true, points: [] });
});

/** A namespace's connection table has a size of its own, and as many may be in TIME_WAIT as half of it (tcp_sk_init). */
const TABLE = 'net/ipv4/tcp_child_ehash_entries';
const noTable =
  noNamespace ?? (existsSync(`/proc/sys/${TABLE}`) ? undefined : `no /proc/sys/${TABLE}`);

testUnless(noTable, 'where few may be in TIME_WAIT, all of a session are', async (t) => {
  await using small = await World.open('namespace');
  await small.setSysctl(TABLE, '256');
  using _inside = await visit(small);
  const record = await bench({ modes, drivers: ['c', 'raw'], cycles: 30, world: 'namespace' });
  t.true(record.ok, JSON.stringify(record.doubts));
  for (const { timeWait } of record.modes[0]?.drivers ?? []) t.true(timeWait.client >= 1030);
});

const stateEvent = (tNs: bigint, socket: bigint, oldState: string, newState: string, port = 80) =>
  ({
    kind: 'state',
    tNs,
    socket,
    oldState,
    newState,
    local: { address: '127.0.0.1', port: 5000 },
    remote: { address: '127.0.0.1', port },
  }) as unknown as TraceEvent;

test('time in states: from entering to leaving, socket by socket, of one listener', (t) => {
  const states = timeInStates(
    [
      stateEvent(1000n, 1n, 'ESTABLISHED', 'FIN_WAIT1'),
      stateEvent(1500n, 2n, 'ESTABLISHED', 'CLOSE_WAIT'),
      stateEvent(1600n, 3n, 'ESTABLISHED', 'FIN_WAIT1', 81),
      stateEvent(3000n, 1n, 'FIN_WAIT1', 'FIN_WAIT2'),
      stateEvent(4000n, 1n, 'FIN_WAIT2', 'CLOSE'),
      stateEvent(9000n, 3n, 'FIN_WAIT1', 'CLOSE', 81),
      // One whose beginning was not seen.
      stateEvent(9500n, 4n, 'LAST_ACK', 'CLOSE'),
    ],
    80,
  );
  t.deepEqual(Object.keys(states).sort(), ['FIN_WAIT1', 'FIN_WAIT2']);
  t.is(states.FIN_WAIT1?.count, 1);
  t.is(states.FIN_WAIT1?.maxUs, 2);
  t.is(states.FIN_WAIT2?.maxUs, 1);
});

test("time in states: where an event was lost, the time is nobody's", (t) => {
  const states = timeInStates(
    [
      stateEvent(1000n, 1n, 'ESTABLISHED', 'FIN_WAIT1'),
      stateEvent(9000n, 1n, 'FIN_WAIT2', 'CLOSE'),
      stateEvent(9100n, 1n, 'CLOSE', 'SYN_SENT'),
    ],
    80,
  );
  t.deepEqual(states, {});
});

test('calls of a teardown: those between its first and its last, of its threads', (t) => {
  const records = new BigInt64Array(2 * RECORD.length);
  for (const [i, [start, end]] of [[100n, 200n] as const, [300n, 400n] as const].entries()) {
    records[i * RECORD.length + RECORD.start] = start;
    records[i * RECORD.length + RECORD.end] = end;
  }
  const enter = (tNs: bigint, tid = 7) => ({ kind: 'enter', tNs, tid }) as unknown as TraceEvent;
  const events = [
    enter(50n),
    enter(100n),
    enter(150n),
    enter(160n, 8),
    enter(250n),
    enter(350n),
    enter(999n),
  ];
  t.is(callsWithin(events, [7], records), 1.5);
  t.is(callsWithin(events, [7, 8], records), 2);
  t.is(callsWithin([], [7], records), 0);
});
