/**
 * Gives each decoder bytes that were changed at random, and keeps those that reached new code to change them further.
 *
 * usage: fuzz.js [--executions N] [--seed N] [--only TARGET]. N executions for each target, 20,000 by default. Exits 1 and
 * prints the bytes where a decoder threw what it should not, or took longer than a second.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { Coverage } from './coverage.js';

using coverage = new Coverage();
const { targets } = await import('./targets.js');
coverage.forget();

/** Executions between two looks at the coverage, which cost a millisecond. */
const BATCH = 200;
const LONGEST = 4096;
const SLOW_MS = 1000;

const { values } = parseArgs({
  options: {
    executions: { type: 'string', default: '20000' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 2 ** 31)}` },
    only: { type: 'string' },
  },
});
const executions = Number(values.executions);
const seed = Number(values.seed);
if (!(executions > 0 && Number.isInteger(seed)))
  throw new RangeError('--executions, --seed: numbers');
const chosen = Object.entries(targets).filter(([name]) => [name, undefined].includes(values.only));
if (chosen.length === 0) throw new RangeError(`--only: one of ${Object.keys(targets).join(', ')}`);

type Bytes = Uint8Array<ArrayBuffer>;
type Change = (bytes: Bytes) => Bytes;

const joined = (...parts: Uint8Array[]): Bytes => Uint8Array.from(Buffer.concat(parts));
const at = fc.nat({ max: LONGEST });
const edge = fc.constantFrom(0, 1, 2, 3, 4, 7, 8, 15, 16, 127, 128, 254, 255);
const number = fc.oneof(edge, fc.constantFrom(0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff));

/** At a place that is there, if any is. */
function put(place: number, put: (bytes: Bytes, place: number) => void): Change {
  return (bytes) => {
    const copy = Uint8Array.from(bytes);
    if (copy.length > 0) put(copy, place % copy.length);
    return copy;
  };
}

function change(corpus: readonly Uint8Array[]): fc.Arbitrary<Change> {
  return fc.oneof(
    fc
      .tuple(at, fc.nat({ max: 7 }))
      .map(([place, bit]) =>
        put(place, (bytes, i) => bytes.set([(bytes[i] ?? 0) ^ (1 << bit)], i)),
      ),
    fc
      .tuple(at, fc.oneof(edge, fc.nat({ max: 255 })))
      .map(([place, value]) => put(place, (bytes, i) => bytes.set([value], i))),
    fc.tuple(at, number, fc.constantFrom(2, 4)).map(([place, value, size]) =>
      put(place, (bytes, i) => {
        for (let k = 0; k < size; k++) if (i + k < bytes.length) bytes[i + k] = value >>> (8 * k);
      }),
    ),
    at.map(
      (place): Change =>
        (bytes) =>
          bytes.slice(0, place % (bytes.length + 1)),
    ),
    fc.uint8Array({ maxLength: 32 }).map(
      (more): Change =>
        (bytes) =>
          joined(bytes, more),
    ),
    fc.tuple(at, at).map(
      ([from, to]): Change =>
        (bytes) => {
          const [start, end] = [from % (bytes.length + 1), to % (bytes.length + 1)];
          return joined(bytes.subarray(0, end), bytes.subarray(start));
        },
    ),
    fc.constantFrom(...corpus).map(
      (other): Change =>
        (bytes) =>
          joined(bytes, other),
    ),
  );
}

const say = (line: string): boolean => process.stdout.write(`${line}\n`);
let all = 0;
for (const [name, { seeds, run, refuses }] of chosen) {
  const corpus: Uint8Array[] = [...seeds];
  const findings = new Map<string, string>();

  const execute = (bytes: Uint8Array): void => {
    const start = process.cpuUsage();
    let fault: string | undefined;
    try {
      run(bytes);
    } catch (error) {
      const thrown = `${(error as Error).name}: ${(error as Error).message}`;
      if (refuses?.test(thrown) !== true) fault = thrown;
    }
    // Of its own time: how long a busy machine lets it wait says nothing of it.
    const { user, system } = process.cpuUsage(start);
    if ((user + system) / 1000 > SLOW_MS) fault = `took more than ${SLOW_MS} ms`;
    if (fault !== undefined && !findings.has(fault))
      findings.set(fault, Buffer.from(bytes).toString('hex'));
  };

  for (const bytes of seeds) execute(bytes);
  const first = coverage.fresh().size;
  let reached = 0;
  for (let turn = 0, ran = 0; ran < executions; turn++) {
    const inputs = fc.sample(
      fc
        .tuple(fc.constantFrom(...corpus), fc.array(change(corpus), { minLength: 1, maxLength: 4 }))
        .map(([first, changes]) =>
          changes.reduce((bytes, each) => each(bytes).slice(0, LONGEST), Uint8Array.from(first)),
        ),
      { seed: seed + turn, numRuns: Math.min(BATCH, executions - ran) },
    );
    for (const bytes of inputs) execute(bytes);
    ran += inputs.length;
    all += inputs.length;
    const fresh = coverage.fresh();
    reached += fresh.size;
    for (const bytes of inputs) {
      if (fresh.size === 0) break;
      execute(bytes);
      if (coverage.strike(fresh)) corpus.push(bytes);
    }
  }
  const more = `code ${first} + ${reached} characters, corpus ${seeds.length} + ${corpus.length - seeds.length}`;
  say(`${name}: ${executions} executions, ${more}, ${findings.size} findings`);
  for (const [fault, bytes] of findings) say(`  ${fault}\n  ${bytes}`);
  if (findings.size > 0) process.exitCode = 1;
}
const { characters, modules } = coverage.total;
say(`seed ${seed}: ${all} executions, ${characters} characters of ${modules} modules`);
