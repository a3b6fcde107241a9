import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Arm, alternate, compare, control, type Figure, type Group, timed } from './pair.js';
import { command, Reference } from './programs.js';

/** What the whole command costs, from its start to its exit, where there are many sockets or many processes. */
export const diagnose: Group = { sockets, processes };

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const HELD_BY_ONE = 19_000;
const MEMORY_LIMIT_KB = 400_000;
/** One connection in some ten thousand is reset while hold sets it up, and may be missing. */
const MOST = 0.999;

/** One run of `closewait diagnose`; fails unless it finds what is held, within the memory it may take. */
function diagnosing(leaks: number): Arm {
  return timed(() => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', PEAK, CLI, 'diagnose'],
      { encoding: 'utf8' },
    );
    const found = Number(/^(\d+) leak/.exec(stdout)?.[1]);
    if (status !== 1 || found < leaks * MOST)
      throw new Error(`${found} leaks of ${leaks}: ${stderr}`);
    const peakKb = Number(/^peak (\d+)$/m.exec(stderr)?.[1]);
    if (!(peakKb < MEMORY_LIMIT_KB)) throw new Error(`it took ${peakKb} KB of memory`);
  });
}

/** A module that has a Node process say, at its end, how much memory it took at most, in KB. */
const PEAK = `data:text/javascript,${encodeURIComponent(
  "process.on('exit', () => console.error('peak ' + process.resourceUsage().maxRSS))",
)}`;

async function sockets(rounds: number): Promise<Figure[]> {
  await using _one = await Reference.start('hold', String(HELD_BY_ONE), 'close-wait');
  await using _two = await Reference.start('hold', String(HELD_BY_ONE), 'close-wait');
  const ours = diagnosing(2 * HELD_BY_ONE);
  const ns = await alternate({ ours, ss: command('ss', '-tanpH'), twin: ours }, rounds);
  const name = `diagnose, ${2 * HELD_BY_ONE} leaks in 2 processes`;
  return [
    compare({ name: 'ss -tanp', ns: ns.ss }, { name, ns: ns.ours }, { atLeast: 3 }),
    control(name, ns.twin, ns.ours),
  ];
}

const PROCESSES = 1000;
const HELD_BY_EACH = 10;
const LIMIT_NS = 1e9;

async function processes(rounds: number): Promise<Figure[]> {
  await using held = new AsyncList();
  for (let i = 0; i < PROCESSES; i++) {
    await held.add(Reference.start('hold', String(HELD_BY_EACH), 'close-wait'));
  }
  const ours = diagnosing(PROCESSES * HELD_BY_EACH);
  const ns = await alternate({ ours, ss: command('ss', '-tanpH'), twin: ours }, rounds);
  const figure = { name: `diagnose, ${PROCESSES} processes of ${HELD_BY_EACH} leaks`, ns: ns.ours };
  return [
    compare(figure, { name: '1 s', ns: ns.ours.map(() => LIMIT_NS) }, { atMost: 1 }),
    compare({ name: 'ss -tanp', ns: ns.ss }, figure),
    control(figure.name, ns.twin, ns.ours),
  ];
}

/** Programs that end together. */
class AsyncList implements AsyncDisposable {
  readonly #all: AsyncDisposable[] = [];

  async add(one: Promise<AsyncDisposable>): Promise<void> {
    this.#all.push(await one);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((each) => each[Symbol.asyncDispose]()));
  }
}
