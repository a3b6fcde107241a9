import test from 'ava';
import { teardownModes } from '../../src/driver/teardown.js';
import { costsOf, plan } from '../../src/experiment/bench.js';
import {
  compareBench,
  parseBench,
  rankSumProbability,
} from '../../src/experiment/bench-compare.js';
import { doubtClock, doubtsAbout, doubtTooFew } from '../../src/experiment/bench-doubts.js';
import { planBench } from '../../src/experiment/bench-options.js';
import { readPortBudget, sessionCycles, whyNotPorts } from '../../src/experiment/bench-ports.js';
import { hasTwoPeaks, quantile, ratioOf, Times } from '../../src/experiment/bench-spread.js';
import { Tally } from '../../src/experiment/bench-tally.js';
import { benchRecord, driverBench } from '../fixture/bench-record.js';

test("percentiles: those of a known distribution, within the histogram's 0.1 %", (t) => {
  const times = new Times();
  for (let ns = 1; ns <= 100_000; ns++) times.add(ns);
  const { count, p50Us, p90Us, p99Us, p999Us, maxUs } = times.spread;
  t.is(count, 100_000);
  const expected = [50, 90, 99, 99.9, 100];
  for (const [i, value] of [p50Us, p90Us, p99Us, p999Us, maxUs].entries()) {
    const wanted = expected[i] as number;
    t.true(Math.abs(value / wanted - 1) < 0.0015, `${value} for ${wanted}`);
  }
  t.is(
    times.bars.reduce((sum, [, bar]) => sum + bar, 0),
    100_000,
  );
});

test('percentiles: of nothing, of one, of what a clock cannot tell apart, of what never ended', (t) => {
  const none = new Times();
  const { count, ...percentiles } = none.spread;
  t.is(count, 0);
  t.deepEqual(Object.values(percentiles), Array(5).fill(Number.NaN), 'and not 0 us');
  t.deepEqual(none.bars, []);
  const odd = new Times();
  odd.add(0);
  odd.add(1e15);
  t.is(odd.count, 2);
  t.true(odd.spread.maxUs >= 59e6);
});

test('memory: a million times take no more than ten', (t) => {
  const times = new Times();
  const fill = (count: number) => {
    for (let i = 0; i < count; i++) times.add(1000 + ((i * 7919) % 100_000));
  };
  fill(10);
  const before = JSON.stringify(times.bars).length;
  fill(1_000_000);
  t.is(times.count, 1_000_010);
  t.true(times.bars.length < 26 * 16);
  t.true(JSON.stringify(times.bars).length < before + 20_000);
});

const bell = (centre: number, height: number): number[] =>
  Array.from({ length: 60 }, (_, i) => Math.round(height * Math.exp(-((i - centre) ** 2) / 18)));
const sum = (a: number[], b: number[]): number[] => a.map((value, i) => value + (b[i] ?? 0));
const shapes: [what: string, bars: number[], two: boolean][] = [
  ['nothing', [], false],
  ['one bar', [1000], false],
  ['one bell', bell(30, 1000), false],
  ['a bell with a thin tail', sum(bell(15, 1000), Array(60).fill(1)), false],
  ['two bells', sum(bell(15, 1000), bell(45, 800)), true],
  ['two bells, the higher behind', sum(bell(15, 500), bell(45, 1000)), true],
  ['a second bell too small to count', sum(bell(15, 1000), bell(45, 50)), false],
  ['two bells that are one', sum(bell(28, 1000), bell(33, 1000)), false],
];
for (const [what, bars, two] of shapes) {
  test(`bimodal: ${what}: ${two}`, (t) => t.is(hasTwoPeaks(bars), two));
}

test('quantiles lie between neighbours', (t) => {
  t.is(quantile([3, 1, 2], 0.5), 2);
  t.is(quantile([1, 2], 0.5), 1.5);
  t.is(quantile([5], 0.9), 5);
  t.true(Number.isNaN(quantile([], 0.5)));
  t.deepEqual(ratioOf([1, 1, 1]), { median: 1, p10: 1, p90: 1 });
});

for (const [cycles, perSession] of [
  [1, 8000],
  [7, 8000],
  [100, 8000],
  [10_000, 8000],
  [10_000, 150],
  [1_000_000, 8000],
] as const) {
  test(`plan: ${cycles} cycles, ${perSession} a session: all of them, no round too long`, (t) => {
    const rounds = plan(cycles, perSession);
    t.is(
      rounds.reduce((total, size) => total + size, 0),
      cycles,
    );
    t.true(rounds.every((size) => size >= 1 && size <= Math.min(2000, perSession)));
    if (cycles >= 100) t.true(rounds.length >= 5, 'enough rounds to pair');
  });
}

test('ports: it is refused before the kernel refuses, and says what to do', (t) => {
  t.is(whyNotPorts({ ports: 28_000, stubs: 131_072 }, 1000), undefined);
  t.regex(whyNotPorts({ ports: 28_000, stubs: 1000 }, 1000) ?? '', /TIME_WAIT.*-n.*namespace/s);
  t.regex(whyNotPorts({ ports: 1, stubs: 1000 }, 1) ?? '', /ip_local_port_range/);
  // 1200 cycles go before those that are counted, and a fifth of the range stays free.
  t.is(sessionCycles({ ports: 2000, stubs: 1 }), 400);
  t.is(sessionCycles({ ports: 64_512, stubs: 1 }), 8000);
  t.regex(whyNotPorts({ ports: 1000, stubs: 131_072 }, 1) ?? '', /1000 client ports.* 1502: widen/);
  t.regex(whyNotPorts({ ports: 1501, stubs: 131_072 }, 1) ?? '', /1501 client ports/);
  t.is(whyNotPorts({ ports: 1502, stubs: 131_072 }, 1), undefined);
  const here = readPortBudget();
  t.true(here.ports > 0 && here.stubs >= 0);
});

const rising = Array.from({ length: 30 }, (_, i) => 1 + i / 1000);
const samples: [what: string, a: number[], b: number[], differ: boolean][] = [
  ['the same', rising, rising, false],
  ['shuffled', rising, rising.toReversed(), false],
  ['all higher', rising, rising.map((value) => value + 0.1), true],
  ['all lower', rising, rising.map((value) => value - 0.1), true],
  ['too few to tell', [1, 1, 1, 1], [9, 9, 9, 9], false],
];
for (const [what, a, b, differ] of samples) {
  test(`rank test: ${what}`, (t) => {
    const p = rankSumProbability(a, b);
    t.true(p >= 0 && p <= 1.0000001);
    t.is(p < 0.01, differ, `p = ${p}`);
  });
}

test('compare: what is beyond noise, and beyond the bound', (t) => {
  const of = (factor: number) =>
    benchRecord([
      driverBench('c', { roundsUs: rising.map((us) => us * 10) }),
      driverBench('raw', { ratios: rising.map((ratio) => ratio * factor) }),
    ]);
  const verdicts = (factor: number, bound: number) =>
    compareBench(of(1), of(factor), bound).changes.map(({ verdict }) => verdict);
  t.deepEqual(verdicts(1, 1.05), ['same', 'same']);
  t.deepEqual(verdicts(1.2, 1.05), ['same', 'regression']);
  t.deepEqual(verdicts(1.2, 1.5), ['same', 'slower']);
  t.deepEqual(verdicts(0.8, 1.05), ['same', 'faster']);
  t.false(compareBench(of(1), of(1.2), 1.05).ok);
  t.true(compareBench(of(1), of(1.2), 1.5).ok);
  const other = compareBench(benchRecord([driverBench('c')]), benchRecord([driverBench('raw')]), 2);
  t.deepEqual(other.doubts, ['nothing was measured both times']);
  t.deepEqual(other.unpaired, ['client-first, raw: new', 'client-first, c: not run now']);
});

test('compare: the C program alone is the machine: slower, and no regression', (t) => {
  const of = (us: number) =>
    benchRecord([driverBench('c', { roundsUs: rising.map((each) => each * us) })]);
  const { changes, ok, doubts } = compareBench(of(5), of(9), 1.05);
  t.deepEqual(
    changes.map(({ verdict }) => verdict),
    ['slower'],
  );
  t.true(ok);
  t.regex(doubts.join(), /^client-first, c: 1\.800 x its own time/);
});

test('compare: another machine is a doubt', (t) => {
  const before = benchRecord([driverBench('raw')]);
  const now = { ...before, kernel: '7.0', node: 'v26.0.0' };
  t.deepEqual(compareBench(before, now, 1.05).doubts, [
    'another kernel: 6.18 then, 7.0 now',
    'another node: v20.20.2 then, v26.0.0 now',
  ]);
});

test('compare: from too few rounds nothing can be told, and that is a doubt', (t) => {
  const of = (rounds: number, factor: number) =>
    benchRecord([driverBench('raw', { ratios: rising.slice(0, rounds).map((r) => r * factor) })]);
  const few = compareBench(of(5, 1), of(3, 9), 1.05);
  t.deepEqual(
    few.changes.map(({ verdict }) => verdict),
    ['same'],
  );
  t.deepEqual(few.doubts, ['client-first, raw: too few rounds to tell (5 then, 3 now, 5 needed)']);
  t.deepEqual(compareBench(of(5, 1), of(5, 1), 1.05).doubts, []);
});

for (const [what, text] of [
  ['no JSON', 'teardown: 10000 cycles'],
  ['another document', '{"modes": 3}'],
  ['a list', '[]'],
  ['null', 'null'],
  ['modes without drivers', '{"modes": [{"mode": "abort"}]}'],
  ['a truncated driver', '{"modes": [{"mode": "abort", "drivers": [{"driver": "c"}]}]}'],
  [
    'a time of nothing',
    '{"modes": [{"mode": "a", "drivers": [{"driver": "c", "ratios": [], "roundsUs": [0]}]}]}',
  ],
  ['null among drivers', '{"modes": [{"mode": "abort", "drivers": [null]}]}'],
] as const) {
  test(`compare: ${what} is no benchmark`, (t) => {
    t.throws(() => parseBench(text), { instanceOf: TypeError });
  });
}

test('compare: what --json prints is read back', (t) => {
  const record = benchRecord([driverBench('c')]);
  t.deepEqual(parseBench(JSON.stringify(record)), record);
});

test('options: what is left out, and what is chosen, in the order of the table', (t) => {
  const { modes, drivers, cycles, bound, scale } = planBench({});
  t.deepEqual(modes, teardownModes);
  t.deepEqual(drivers, ['c', 'raw', 'raw-composite', 'libuv', 'program']);
  t.deepEqual([cycles, bound, scale], [10_000, 1.05, []]);
  const some = planBench({
    mode: ['http', 'abort'],
    driver: ['libuv', 'c'],
    n: '7',
    scale: ['10'],
  });
  t.deepEqual(
    some.modes.map(({ name }) => name),
    ['abort', 'http'],
  );
  t.deepEqual(some.drivers, ['c', 'libuv']);
  t.deepEqual([some.cycles, some.scale], [7, [10]]);
  t.deepEqual(planBench({ scale: true }).scale, [1000, 10_000, 100_000]);
});

for (const flags of [
  { mode: ['nope'] },
  { driver: ['node'] },
  { n: '0' },
  { n: '-1' },
  { n: '1e3' },
  { n: '1.5' },
  { n: '' },
  { n: '99999999999' },
  { bound: '0.9' },
  { bound: 'x' },
  { bound: '' },
  { scale: ['many'] },
]) {
  test(`options: ${JSON.stringify(flags)} is refused`, (t) => {
    t.throws(() => planBench(flags), { instanceOf: RangeError });
  });
}

const costs = { systemCallNs: 100, crossingNs: 50, clockNs: 25, clockSource: 'tsc' };

test('doubts: few samples, noise, two peaks, a coarse clock, faults', (t) => {
  t.is(doubtTooFew(10_000), undefined);
  t.regex(doubtTooFew(9999) ?? '', /p99\.9 /);
  t.regex(doubtTooFew(50) ?? '', /p90, p99, p99\.9/);
  t.is(doubtClock(costs), undefined);
  t.regex(doubtClock({ ...costs, clockNs: 400, clockSource: 'hpet' }) ?? '', /hpet.*system call/);
  const [quiet] = benchRecord([driverBench('c')]).modes;
  if (quiet === undefined) return t.fail();
  t.deepEqual(doubtsAbout(quiet, costs, new Set()), []);
  const noisy = { ...quiet, control: { median: 1.1, p10: 0.9, p90: 1.3 } };
  t.regex(doubtsAbout(noisy, costs, new Set())[0] ?? '', /noisy machine.*1\.100/);
  t.regex(doubtsAbout(quiet, costs, new Set(['c']))[0] ?? '', /bimodal: c/);
  t.regex(doubtsAbout(quiet, { ...costs, clockNs: 300 }, new Set())[0] ?? '', /clock resolution/);
  const parts = { calls: 3, crossingUs: 2, systemCallUs: 1, kernelUs: 3, jsUs: -0.1 };
  t.regex(doubtsAbout({ ...quiet, costs: parts }, costs, new Set())[0] ?? '', /parts are more/);
  const faulty = driverBench('c', { faults: [{ what: 'a RST', count: 3 }] });
  t.deepEqual(doubtsAbout({ ...quiet, drivers: [faulty] }, costs, new Set()), [
    'client-first: c: 3 x a RST',
  ]);
});

test('where the time goes: the parts add up to the whole', (t) => {
  const [mode] = teardownModes;
  if (mode === undefined) return t.fail();
  const raw = driverBench('raw', { p50Us: 11 });
  const { calls, crossingUs, systemCallUs, kernelUs, jsUs } = costsOf(mode, raw, 10, costs);
  t.is(calls, mode.steps.length);
  const clocks = (2 * costs.clockNs) / 1000;
  t.true(Math.abs(crossingUs + systemCallUs + kernelUs + jsUs + clocks - 11) < 1e-9);
});

const alone = { whole: true, alone: true };

test('a cycle that failed is counted apart, and is in no percentile', (t) => {
  const [mode] = teardownModes;
  if (mode === undefined) return t.fail();
  const tally = new Tally(mode);
  const c = new Tally(mode);
  const good = [1000n, 1000n, 2000n, 5000n, 0n, 0n];
  const bad = [1000n, 1000n, 2000n, 9_000_000n, 2n, -104n];
  tally.add(BigInt64Array.from([...good, ...bad, ...good]));
  c.add(BigInt64Array.from([...good, ...good, ...good]));
  tally.left([], { port: 1, lived: 3, resets: 1 }, alone);
  const { cycles, faults, maxUs, ratioToC, strayResets } = tally.result('raw', c);
  t.is(cycles, 2);
  t.true(maxUs < 10);
  t.is(ratioToC, 1);
  t.is(strayResets, 1);
  t.deepEqual(faults, [
    { what: 'step 2, server read: expected 0, got ECONNRESET', count: 1 },
    { what: 'client not in TIME_WAIT', count: 2 },
  ]);
});

test('a reset that did not come is a fault; one too many is not', (t) => {
  const mode = teardownModes.find(({ kind }) => kind === 'reset');
  if (mode === undefined) return t.fail();
  const tally = new Tally(mode);
  tally.left([], { port: 1, lived: 3, resets: 2 }, alone);
  t.deepEqual(tally.result('raw', tally).faults, [{ what: 'no RST', count: 1 }]);
  const more = new Tally(mode);
  more.left([], { port: 1, lived: 3, resets: 4 }, alone);
  t.deepEqual(more.result('raw', more).faults, []);
});

const at = (state: 'TIME_WAIT' | 'LAST_ACK', end: 'client' | 'server') =>
  ({
    state,
    local: { address: '127.0.0.1', port: end === 'server' ? 1 : 5000 },
    remote: { address: '127.0.0.1', port: end === 'server' ? 5000 : 1 },
  }) as unknown as Parameters<Tally['left']>[0][number];

test('of a session that was cut short only TIME_WAIT is counted', (t) => {
  const [mode] = teardownModes;
  if (mode === undefined) return t.fail();
  const sockets = [at('TIME_WAIT', 'client'), at('LAST_ACK', 'server')];
  const short = new Tally(mode);
  short.left(sockets, { port: 1, lived: 9, resets: 4 }, { whole: false, alone: true });
  const cut = short.result('c', short);
  t.deepEqual([cut.timeWait.client, cut.socketsLeft, cut.faults], [1, 0, []]);
  const whole = new Tally(mode);
  whole.left(sockets, { port: 1, lived: 1, resets: 0 }, alone);
  t.is(whole.result('c', whole).socketsLeft, 1);
});
