import test from 'ava';
import { ClockMap, type ClockReading, readClocks } from '../../src/observer/clock-map.js';

const MS = 1_000_000n;
const EPOCH = 1_700_000_000_000n * MS;

/** A reading at `ms` of a clock that is EPOCH + `stepMs` ahead. */
const at = (ms: number, stepMs = 0, errorNs = 100n): ClockReading => ({
  atNs: BigInt(ms) * MS,
  offsetNs: EPOCH + BigInt(stepMs) * MS,
  errorNs,
});

const realtime = (ms: number, stepMs = 0): bigint => EPOCH + BigInt(ms + stepMs) * MS;

test("the kernel's clocks: read within microseconds, the same twice", (t) => {
  const first = readClocks(16);
  const second = readClocks(16);
  t.true(first.errorNs > 0n && first.errorNs < 100_000n, `${first.errorNs}`);
  const difference = second.offsetNs - first.offsetNs;
  const error = first.errorNs + second.errorNs;
  t.true(difference <= error && difference >= -error, `${difference} ns apart`);
  t.true(second.atNs > first.atNs);
  t.throws(() => readClocks(0), { instanceOf: RangeError });
});

test('readings that agree within their errors are no step', (t) => {
  const map = new ClockMap(at(0));
  const shaky = map.observe({ ...at(10), offsetNs: EPOCH + 5000n, errorNs: 5000n });
  t.is(shaky(realtime(7)), 7n * MS);
  t.deepEqual(map.steps, []);
});

for (const stepMs of [3_600_000, -3_600_000, 5000, -5000, -50]) {
  test(`a step of ${stepMs} ms is told, and stamps on both sides of it are mapped`, (t) => {
    const map = new ClockMap(at(0));
    map.observe(at(1000));
    const around = map.observe(at(2000, stepMs));
    t.deepEqual(map.steps, [
      { afterNs: 1000n * MS, beforeNs: 2000n * MS, byNs: BigInt(stepMs) * MS },
    ]);
    t.is(around(realtime(1990)), 1990n * MS, 'before the step');
    t.is(around(realtime(1995, stepMs)), 1995n * MS, 'after it');
    const later = map.observe(at(3000, stepMs));
    t.is(later(realtime(2500, stepMs)), 2500n * MS, 'long after it');
    t.is(map.steps.length, 1);
  });
}

for (const stepMs of [3_600_000, -3_600_000]) {
  test(`a stamp of before a step of ${stepMs} ms that comes after the next reading`, (t) => {
    const map = new ClockMap(at(0));
    map.observe(at(2000, stepMs));
    const later = map.observe(at(3000, stepMs));
    t.is(later(realtime(1999)), 1999n * MS);
  });
}

test('what was mapped stays as it was', (t) => {
  const map = new ClockMap(at(0));
  const before = map.observe(at(10));
  map.observe(at(20, 1000));
  t.is(before(realtime(5)), 5n * MS);
});

test('after a step the mapping is as good as the reading that found it', (t) => {
  const map = new ClockMap(at(0));
  map.observe(at(1000, 0, 900n));
  t.is(map.errorNs, 100n, 'no step: the first reading maps');
  map.observe(at(2000, 5000, 700n));
  t.is(map.errorNs, 700n);
  map.observe(at(3000, 0, 50n));
  t.is(map.errorNs, 700n, 'there are stamps that were mapped before');
});
