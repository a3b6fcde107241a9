/**
 * Calls all that the package's doors export with arguments that make no sense; a program of its own, since what it looks for
 * would take a test runner down with it. `closewait/syscall` has one of its own, test/syscall/junk.ts.
 *
 * usage: node junk.js SEED RUNS LOG. LOG holds the call that was under way when the process died.
 */
import { openSync, readFileSync, writeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import fc from 'fast-check';
import { Network, World } from '../../src/lab.js';
import * as sys from '../../src/syscall/sys.js';
import { descriptors, held, leaked } from '../fixture/held.js';
import { until } from '../fixture/until.js';
import { isClear, open } from '../syscall/junk-argument.js';
import { networkRows } from './junk-network.js';
import { guardRows, index, labRows, type Row, scenarioRows, uncalled } from './junk-rows.js';

const [seed = 0, runs = 100] = process.argv.slice(2, 4).map(Number);
const log = openSync(process.argv[4] ?? '/dev/null', 'w');
const ROOT = new URL('../../../', import.meta.url);

const unopened = (): never => {
  throw new Error('there is no network yet');
};
const DOORS: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  '.': index,
  './lab': { ...labRows, ...networkRows(unopened) },
  './scenario': scenarioRows,
  './guard': guardRows,
  // Exports nothing: to load it is all there is.
  './register': {},
};
/** Each has a program of its own, or is no module. */
const ELSEWHERE = ['./syscall', './package.json'];

/** What a module exports that can be called: functions, constructors, what belongs to a class or to its objects. */
function callables(module: object): string[] {
  return Object.entries(module).flatMap(([name, value]) => {
    if (typeof value !== 'function') return [];
    if (!/^class\b/.test(Function.prototype.toString.call(value))) return [name];
    const methods = (of: object): string[] =>
      Object.entries(Object.getOwnPropertyDescriptors(of))
        .filter(([key, { value: each }]) => typeof each === 'function' && key !== 'constructor')
        .map(([key]) => key);
    return [
      `new ${name}`,
      ...methods(value).map((key) => `${name}.${key}`),
      ...methods(value.prototype).map((key) => `${name}#${key}`),
    ];
  });
}

const note = (what: string): number => writeSync(log, what.padEnd(400).slice(0, 400), 0);

/** Closes what was opened for a call, and refuses what the call itself has left. */
function closeAll(before: ReadonlySet<string>, own: readonly number[]): void {
  for (const fd of own) {
    try {
      sys.close(fd);
    } catch {
      // Some calls close what they are given.
    }
  }
  const left = descriptors().filter((each) => !before.has(each));
  if (left.length > 0) throw new Error(`left open: ${left.join(', ')}`);
}

async function attempt(
  { call, fds, own }: Row,
  args: (fds: number[]) => unknown[],
): Promise<unknown> {
  const before = new Set(descriptors());
  const opened = fds ? [...open().fds] : [];
  try {
    await (call as (...args: unknown[]) => unknown)(...args(opened));
    return undefined;
  } catch (error) {
    if (!isClear(error) && !own?.(error)) throw error;
    return error;
  } finally {
    closeAll(before, opened);
  }
}

/** A symbol is nobody's argument, and no options have a field `bogus`: to take them would be to take a slip for something. */
async function checkSlips(name: string, row: Row): Promise<void> {
  const slips = row.right.flatMap((right, i) => {
    const names = row.fields?.[i];
    const wrong =
      names === undefined
        ? [Symbol('s')]
        : [
            ...[Symbol('s'), 5, 'junk', null],
            ...(row.data ? [] : [{ ...(right as object), bogus: 1 }]),
            ...names.map((field) => ({ ...(right as object), [field]: Symbol('s') })),
          ];
    return wrong.map((each) => row.right.with(i, each));
  });
  for (const slip of slips) {
    const call = `${name}(${slip.map((each) => fc.stringify(each)).join(', ')})`;
    note(call);
    const error = await attempt(row, () => slip);
    if (row.privileged && error instanceof sys.SyscallError && error.code === 'EPERM') continue;
    const isRefused = error instanceof TypeError || error instanceof RangeError;
    if (!isRefused) throw new Error(`${call} is not refused: ${error}`);
  }
}

async function check(name: string, row: Row): Promise<void> {
  await checkSlips(name, row);
  const cuts = fc.tuple(fc.tuple(...row.takes), fc.nat({ max: 9 }));
  await fc.assert(
    fc.asyncProperty(cuts, async ([all, cut]) => {
      const list = cut < all.length ? all.slice(0, cut) : all;
      note(`${name}(${list.map((each) => fc.stringify(each)).join(', ')})`);
      await attempt(row, (fds) => list.map((each) => each.create({ fds })));
    }),
    { seed, numRuns: row.takes.length === 0 ? 1 : runs },
  );
}

let count = 0;
async function checkAll(rows: Readonly<Record<string, Row>>): Promise<void> {
  for (const [name, row] of Object.entries(rows)) {
    const began = performance.now();
    await check(name, row);
    if (process.env['CLOSEWAIT_TIMES']) {
      process.stderr.write(`${Math.round(performance.now() - began)} ms ${name}\n`);
    }
    count++;
  }
}

const { exports } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as {
  exports: Record<string, { default: string }>;
};
// Node's own threads are made when first needed, and stay.
await Promise.all(Array.from({ length: 8 }, () => stat('/')));

for (const [door, { default: path }] of Object.entries(exports)) {
  if (ELSEWHERE.includes(door)) continue;
  const rows = DOORS[door];
  if (rows === undefined) throw new Error(`the door ${door} has no rows in junk-rows.ts`);
  const module = (await import(new URL(path, ROOT).href)) as object;
  const missing = callables(module).filter((name) => !rows[name] && !uncalled[name]);
  if (missing.length > 0) throw new Error(`no row in junk-rows.ts: ${missing.join(', ')}`);
}
const before = held();
for (const rows of [index, labRows, scenarioRows, guardRows]) await checkAll(rows);

/** What a network's parts take; where none may be made, the reason. */
async function checkNetwork(): Promise<string> {
  let world: World;
  try {
    world = await World.open('namespace');
  } catch (error) {
    if (!(error instanceof sys.SyscallError)) throw error;
    return `, no network: ${error.message}`;
  }
  await using _world = world;
  await using network = await Network.open({ link: true, wire: 'server' });
  await using wire = await network.wire();
  await checkAll(networkRows(() => ({ network, wire, world })));
  return '';
}
const without = await checkNetwork();
await until(
  () => leaked(before).length === 0,
  () => `left behind: ${leaked(before).join(', ')}`,
);
note('');
process.stdout.write(`${count} functions, seed ${seed}${without}\n`);
