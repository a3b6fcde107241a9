import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { allowedCpus, pin } from './one_cpu.js';
import { type Arm, alternate, compare, control, type Figure, type Group, timed } from './pair.js';
import { command, Reference } from './programs.js';

/**
 * What the whole command costs, from its start to its exit, where there are many sockets or many processes; and what the
 * process that is looked at feels of it.
 */
export const diagnose: Group = { sockets, processes, neighbour };

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const HELD_BY_ONE = 19_000;
const MEMORY_LIMIT_KB = 400_000;

/** One run of `closewait diagnose`; fails unless it finds what is held, within the memory it may take. */
function diagnosing(leaks: number): Arm {
  return timed(() => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', PEAK, CLI, 'diagnose'],
      { encoding: 'utf8' },
    );
    const found = Number(/^(\d+) leak/.exec(stdout)?.[1]);
    if (status !== 1 || found !== leaks) throw new Error(`${found} leaks of ${leaks}: ${stderr}`);
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
  const arms = {
    ours,
    ss: command('ss', '-tanpH'),
    node: command(process.execPath, '-e', '0'),
    look: command(process.execPath, LEAST),
    twin: ours,
  };
  const ns = await alternate(arms, rounds);
  const name = `diagnose, ${2 * HELD_BY_ONE} leaks in 2 processes`;
  return [
    compare({ name: 'ss -tanp', ns: ns.ss }, { name, ns: ns.ours }, { atLeast: 3 }),
    // What bounds it: a command cannot be faster than Node starts, nor diagnose than it looks.
    compare({ name: 'ss -tanp', ns: ns.ss }, { name: 'node -e 0', ns: ns.node }),
    compare({ name: 'ss -tanp', ns: ns.ss }, { name: 'Node, one dump, one scan', ns: ns.look }),
    control(name, ns.twin, ns.ours),
  ];
}

/** The least that finds out which sockets there are, and who holds them. */
const LEAST = fileURLToPath(new URL('./least.js', import.meta.url));

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

/** A program at work on one CPU, by itself and while diagnose() reads it again and again on another. */
async function neighbour(rounds: number): Promise<Figure[]> {
  await using c = await Reference.start('lifecycle');
  const [here, there] = allowedCpus();
  if (here === undefined || there === undefined) throw new Error('it takes two CPUs');
  pin(c.pid, here);
  const reader = spawn(process.execPath, [READER, String(c.pid)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(reader, 'spawn');
    pin(reader.pid as number, there);
    await once(reader.stdout, 'data');
    reader.kill('SIGSTOP');
    const read: Arm = async (iterations) => {
      reader.kill('SIGCONT');
      try {
        return await c.run(iterations);
      } finally {
        reader.kill('SIGSTOP');
      }
    };
    const ns = await alternate({ alone: c.run, read, twin: c.run }, rounds);
    return [
      compare(
        { name: 'lifecycle.c, read by diagnose() in a loop', ns: ns.read },
        { name: 'lifecycle.c alone', ns: ns.alone },
        { atMost: 1.03 },
      ),
      control('lifecycle.c', ns.twin, ns.alone),
    ];
  } finally {
    const exited = once(reader, 'exit');
    reader.kill('SIGKILL');
    await exited;
  }
}

const READER = fileURLToPath(new URL('./reader.js', import.meta.url));

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
