/**
 * Does each thing that opens descriptors, threads or namespaces very often, and says what is left of it.
 *
 * usage: node --expose-gc soak.js [--scale N] [--only PART]. Scale 1, the default, takes an hour. Exits 1 where something grew.
 */
import { writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { descriptors, threads } from '../fixture/held.js';
import { until } from '../fixture/until.js';
import { parts } from './parts.js';

/** Growth that a heap shows between two collections by itself; a leak of 50 bytes a life shows at scale 1. */
const MEMORY_MIB = 32;

/** A leak grows from each to the next. */
const QUARTERS = 4;

/** What this process holds. */
interface Held {
  readonly descriptors: number;
  readonly threads: number;
  readonly rssMib: number;
  readonly heapMib: number;
}

const MIB = 2 ** 20;

function look(): Held {
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  return {
    descriptors: descriptors().length,
    threads: threads().length,
    rssMib: Math.round(rss / MIB),
    heapMib: Math.round(heapUsed / MIB),
  };
}

const text = ({ descriptors, threads, rssMib, heapMib }: Held): string =>
  `${descriptors} descriptors, ${threads} threads, ${rssMib} MiB resident, ${heapMib} MiB heap`;

/** Waits until no more is held than before: threads that were told to end take their time. */
async function flat(before: Held): Promise<Held> {
  let now = look();
  await until(
    () => {
      now = look();
      return now.descriptors <= before.descriptors && now.threads <= before.threads;
    },
    () => `${text(now)}; before: ${text(before)}`,
  );
  return now;
}

const growth = (looks: readonly Held[], of: 'rssMib' | 'heapMib'): number =>
  (looks.at(-1)?.[of] ?? 0) - (looks[0]?.[of] ?? 0);

const { values } = parseArgs({
  options: { scale: { type: 'string', default: '1' }, only: { type: 'string' } },
});
const scale = Number(values.scale);
if (!(scale > 0)) throw new RangeError(`--scale: not a number above 0: ${values.scale}`);
const chosen = Object.entries(parts).filter(([name]) => [name, undefined].includes(values.only));
if (chosen.length === 0) throw new RangeError(`--only: one of ${Object.keys(parts).join(', ')}`);

// Not process.stdout, which opens a descriptor where it is first written to.
const say = (line: string): number => writeSync(1, `${line}\n`);
for (const [name, { times, what, open, unavailable }] of chosen) {
  if (unavailable !== undefined) {
    say(`${name}: skipped: ${unavailable}`);
    continue;
  }
  const all = Math.ceil(times * scale);
  const quarter = Math.ceil(all / QUARTERS);
  const start = performance.now();
  const part = await open();
  const looks: Held[] = [];
  for (let done = 0; done < all; ) {
    const times = Math.min(quarter, all - done);
    await part.run(times);
    done += times;
    // What is made once, whatever the number of turns, is made in the first quarter.
    const now = await flat(looks[0] ?? look());
    looks.push(now);
    say(`${name}, after ${done}: ${text(now)}`);
  }
  await part[Symbol.asyncDispose]();
  const seconds = (performance.now() - start) / 1000;
  say(`${name}: ${all} ${what} in ${seconds.toFixed(1)} s`);
  const grown = Math.max(...(['rssMib', 'heapMib'] as const).map((of) => growth(looks, of)));
  if (grown <= MEMORY_MIB) continue;
  say(`  memory grew by ${grown} MiB`);
  process.exitCode = 1;
}
