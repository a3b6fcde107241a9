import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { End } from '../../src/driver/role.js';
import {
  faultOf,
  RECORD,
  type Step,
  type TeardownArm,
  type TeardownDriver,
  type TeardownMode,
  teardownModes,
} from '../../src/driver/teardown.js';
import { measureCalls } from '../../src/driver/teardown-cost.js';
import { LibuvArm } from '../../src/driver/teardown-libuv.js';
import { CallByCall, Composite } from '../../src/driver/teardown-raw.js';
import { ReferenceArm } from '../../src/driver/teardown-reference.js';
import { snapshot } from '../../src/observer/sock-diag.js';
import { visit } from '../../src/world/visit.js';
import { World } from '../../src/world/world.js';
import { test } from '../fixture/descriptors.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from '../world/ability.js';
import { Program } from './programs.js';

const PROGRAM = fileURLToPath(new URL('../../../build/Release/teardown', import.meta.url));
const CYCLES = 40;

const C_WORDS: Readonly<Record<Step['act'], string>> = {
  close: 'close',
  shutdown: 'shutdown(SHUT_WR)',
  read: 'read',
  write: 'write',
  error: 'SO_ERROR',
  linger0: 'SO_LINGER {1, 0}',
  linger2: 'TCP_LINGER2 -1',
};

const listed = ({ name, before, steps, closing, seeing }: TeardownMode): string => {
  // What is done beforehand must succeed: a write returns its bytes, an option 0.
  const text = (all: readonly Step[]) =>
    all.map(({ end, act, expected }) => ` ${end} ${C_WORDS[act]} = ${expected}`).join(',');
  return `${name}:${text(before)} |${text(steps)} | ${closing} ${seeing}`;
};

test('the C program and the drivers have one table of modes', (t) => {
  const { stdout, status } = spawnSync(PROGRAM, ['--list'], { encoding: 'utf8' });
  t.is(status, 0);
  t.deepEqual(stdout.trimEnd().split('\n'), teardownModes.map(listed));
});

for (const args of [[], ['nope'], ['abort', '--nope'], ['abort', '--processes', 'more']]) {
  test(`teardown ${args.join(' ')}: usage, exit 2`, (t) => {
    t.is(spawnSync(PROGRAM, args, { input: '' }).status, 2);
  });
}

/** The server's process of a teardown, and whether it is stopped. */
const serverOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
const isStopped = (pid: string): boolean =>
  readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') T ');

test('a server that is stopped and goes on has not ended', async (t) => {
  const teardown = new Program(t, [PROGRAM, 'client-first', '--processes']);
  await teardown.shows('stdout', /ready\n/);
  const server = serverOf(teardown.pid);
  process.kill(Number(server), 'SIGSTOP');
  await until(
    () => isStopped(server),
    () => readFileSync(`/proc/${server}/stat`, 'latin1'),
  );
  process.kill(Number(server), 'SIGCONT');
  teardown.endInput('3\n');
  t.is(await teardown.end(), 0, teardown.stderr);
});

type Open = (mode: TeardownMode, world: World) => TeardownArm | Promise<TeardownArm>;
const arms: [TeardownDriver, Open][] = [
  ['c', (mode, world) => ReferenceArm.start(world, 'c', mode)],
  ['raw', (mode) => new CallByCall(mode)],
  ['raw-composite', (mode) => new Composite(mode)],
  ['libuv', (mode) => new LibuvArm(mode)],
  ['program', (mode, world) => ReferenceArm.start(world, 'program', mode)],
];

/** How many sockets each end has left in TIME_WAIT, and how many are in any other state. */
function leftOf(port: number): Record<End | 'other', number> {
  const left = { client: 0, server: 0, other: 0 };
  for (const { state, local, remote } of snapshot()) {
    if (state === 'LISTEN' || (local.port !== port && remote.port !== port)) continue;
    left[state !== 'TIME_WAIT' ? 'other' : local.port === port ? 'server' : 'client']++;
  }
  return left;
}

/** The resets that this network namespace has sent. */
function resetsSent(): number {
  const [names, values] = readFileSync('/proc/thread-self/net/snmp', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values?.[names?.indexOf('OutRsts') ?? -1]);
}

/**
 * Where loopback is late a reset has not come when the socket is asked for it, or what should be unread has not come when its socket
 * is closed, which is a FIN then (LIMITATIONS.md). Errors of the C programs are numbers.
 */
const LATE = /^step 2, \w+ error: expected ECONNRESET, got (0|EPIPE|32|ETIMEDOUT)$/;

for (const mode of teardownModes) {
  for (const [name, open] of arms) {
    testUnless(noNamespace, `${mode.name}, ${name}: every cycle ends as it should`, async (t) => {
      await using world = await World.open('namespace');
      using _inside = await visit(world);
      await using arm = await open(mode, world);
      t.is(arm.driver, name);
      const records = new BigInt64Array(CYCLES * RECORD.length);
      await arm.run(records);
      let late = 0;
      for (let at = 0; at < records.length; at += RECORD.length) {
        const fault = faultOf(mode, records, at);
        if (fault !== undefined && LATE.test(fault)) {
          late++;
          continue;
        }
        t.is(fault, undefined);
        const [start = 0n, closing = 0n, seen = 0n, end = 0n] = records.subarray(at);
        t.true(start > 0n && closing >= start && seen > closing && end >= seen, `${start} ${end}`);
        t.true(end - start < 5_000_000_000n);
      }
      t.true(late <= CYCLES / 2, `${late} times what was sent came late`);
      // The last close() sends a FIN or a RST; what follows from it may come after the call.
      await until(
        () => leftOf(arm.port).other === 0,
        () => inspect(leftOf(arm.port)),
      );
      const left = leftOf(arm.port);
      // A server's delayed ACK may leave after its FIN, or a machine that stood still has a FIN sent again. TIME_WAIT answers, nobody
      // is left to hear it, and the RST ends TIME_WAIT, the first if there are several.
      if (mode.payer === 'client') {
        t.true(left.client <= CYCLES);
        t.true(left.client + resetsSent() >= CYCLES);
      } else t.true(left.client <= late);
      // At a server a later connection from the same port may take one over.
      if (mode.payer === 'server') t.true(left.server > 0 && left.server <= CYCLES);
      else t.true(left.server <= late);
    });
  }
}

testUnless(noNamespace, 'a visit ends where it began', async (t) => {
  await using world = await World.open('namespace');
  const port = (mode: TeardownMode) => new CallByCall(mode);
  const [mode] = teardownModes as [TeardownMode];
  const outside = port(mode);
  {
    using _inside = await visit(world);
    t.false(
      [...snapshot()].some(({ local }) => local.port === outside.port),
      'another network',
    );
  }
  t.true(
    [...snapshot()].some(({ local }) => local.port === outside.port),
    'our own again',
  );
  await outside[Symbol.asyncDispose]();
});

test('a step that returned something else is a fault in words', (t) => {
  const [mode] = teardownModes as [TeardownMode];
  const of = (fault: bigint, returned: bigint) =>
    faultOf(mode, BigInt64Array.of(1n, 1n, 2n, 3n, fault, returned), 0);
  t.is(of(0n, 0n), undefined);
  t.is(of(2n, 7n), 'step 2, server read: expected 0, got 7');
  t.is(of(2n, -104n), 'step 2, server read: expected 0, got ECONNRESET');
});

test('what calls cost: a clock is cheaper to read than the kernel is to enter', (t) => {
  const { systemCallNs, clockNs, crossingNs } = measureCalls();
  t.true(systemCallNs > 0 && clockNs > 0 && Number.isFinite(crossingNs));
});
