import test from 'ava';
import { compareBench } from '../../src/experiment/bench-compare.js';
import { formatBench, formatComparison, formatScale, formatUs } from '../../src/report/bench.js';
import { benchRecord, driverBench } from '../fixture/bench-record.js';

const plain = (_style: string, text: string): string => text;

for (const [us, text] of [
  [0, '0.00 us'],
  [6.054, '6.05 us'],
  [123.45, '123.5 us'],
  [1500, '1.50 ms'],
  [2.5e6, '2.50 s'],
  [Number.NaN, '-'],
] as const) {
  test(`${us} us is ${text}`, (t) => t.is(formatUs(us), text));
}

test('a table for each mode: percentiles, ratio, calls, who paid, states, control, doubts', (t) => {
  const record = benchRecord([driverBench('c'), driverBench('raw', { ratioToC: 1.042 })]);
  const text = formatBench({ ...record, doubts: ['too few samples'] }, plain);
  t.regex(text, /^teardown: 10000 cycles .*Linux 6\.18/);
  t.regex(text, /^client-first: both close/m);
  t.regex(
    text,
    /^ {2}raw +6\.00 us +8\.00 us +12\.00 us +30\.00 us +900\.0 us .* 1\.042 .*3\.0 +client +0$/m,
  );
  t.regex(text, /^ {2}time in state, p50 +FIN_WAIT1 .*\n {2}c +4\.00 us +- +2\.00 us/m);
  t.regex(text, /control: C \/ C 1\.000/);
  t.regex(text, /^doubt: too few samples$/m);
});

test('what could not be seen is a dash, and a fault is a line', (t) => {
  const {
    states: _states,
    systemCalls: _calls,
    ...blind
  } = driverBench('program', {
    faults: [{ what: 'no RST', count: 2 }],
    ratioToC: Number.NaN,
  });
  const text = formatBench(benchRecord([blind]), plain);
  t.regex(text, /^ {2}program .* - +0\.990\.\.1\.010 +20000 +- /m);
  t.notRegex(text, /time in state/);
  t.regex(text, /fault: program: 2 x no RST/);
});

test('what was not measured is a dash, and no 0 us', (t) => {
  const none = Number.NaN;
  const nothing = { count: 0, p50Us: none, p90Us: none, p99Us: none, p999Us: none, maxUs: none };
  const {
    states: _states,
    systemCalls: _calls,
    ...idle
  } = driverBench('raw', {
    ...{ ...nothing, closeToEof: nothing, cycles: 0, cyclesPerSecond: 0, ratioToC: none },
    ratio: { median: none, p10: none, p90: none },
  });
  t.regex(formatBench(benchRecord([idle]), plain), /^ {2}raw( +-){11} +0$/m);
});

test('memory: at the beginning and at the end', (t) => {
  const record = { ...benchRecord([]), rssBytes: { first: 100 * 2 ** 20, last: 101.5 * 2 ** 20 } };
  t.regex(formatBench(record, plain), /^memory: 100\.0 MiB after .*, 101\.5 MiB at the end$/m);
});

test('where the time goes, where it was measured', (t) => {
  const record = benchRecord([driverBench('raw')]);
  t.notRegex(formatBench(record, plain), /where the time/);
  const costs = { calls: 3, crossingUs: 0.2, systemCallUs: 0.3, kernelUs: 5, jsUs: 0.5 };
  const modes = record.modes.map((mode) => ({ ...mode, costs }));
  t.regex(
    formatBench({ ...record, modes }, plain),
    /native crossing +system call +kernel path +JS\n {2}client-first +3 +0\.20 us +0\.30 us +5\.00 us +0\.50 us/,
  );
});

test('a comparison: each driver, and the verdict', (t) => {
  const ratios = [1, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08, 1.09];
  const of = (factor: number) =>
    benchRecord([driverBench('raw', { ratios: ratios.map((each) => each * factor) })]);
  const same = formatComparison(compareBench(of(1), of(1), 1.05), plain);
  t.regex(same, /client-first, raw +ratio to C +1\.045 +1\.045 +1\.000 .* same\nno regression/);
  const worse = formatComparison(compareBench(of(1), of(2), 1.05), plain);
  t.regex(worse, /2\.000 +[<0-9. ]+ +regression\na regression beyond 1\.05 x/);
});

test('the curve has a bar for each point', (t) => {
  const point = { processes: 1, kernelBytesPerSocket: 4096, slabBytesPerConnection: 3000 };
  const text = formatScale(
    [
      { connections: 1000, closeUs: 5, ...point },
      { connections: 10_000, closeUs: 10, ...point },
    ],
    plain,
  );
  t.regex(text, /^ {2}1000 +1 +5\.00 us +4096 +3000 {2}#{15}$/m);
  t.regex(text, /^ {2}10000 +1 +10\.00 us +4096 +3000 {2}#{30}$/m);
});
