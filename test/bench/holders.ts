import { type Holder, holdersOf, threadsOf } from '../../src/observer/process.js';
import { snapshot } from '../../src/observer/sock-diag.js';
import { alternate, compare, control, type Figure, type Group, timed } from './pair.js';
import { command, Reference } from './programs.js';

/** What it takes to say whose sockets they are. */
export const holding: Group = { holders, crowd };

/** As many as a process may have where RLIMIT_NOFILE ends at 20,000. */
const HELD_BY_ONE = 19_000;
const HELD = 2 * HELD_BY_ONE;

/** The whole job against `ss`: every socket of the namespace, and who holds it. */
async function holders(rounds: number): Promise<Figure[]> {
  await using _one = await Reference.start('hold', String(HELD_BY_ONE));
  await using _two = await Reference.start('hold', String(HELD_BY_ONE));
  const ours = timed(() => {
    let held = 0;
    for (const { length } of everyHolder().values()) if (length > 0) held++;
    if (held < HELD) throw new Error(`holders of ${held} sockets of ${HELD} found`);
  });
  const ns = await alternate({ ours, ss: command('ss', '-tanpH'), twin: ours }, rounds);
  const name = `sockets and holders, ${HELD.toLocaleString('en')} in 2 processes`;
  return [
    compare({ name: 'ss -tanp', ns: ns.ss }, { name, ns: ns.ours }, { atLeast: 3 }),
    control(name, ns.twin, ns.ours),
  ];
}

const PROCESSES = 1000;
const HELD_BY_EACH = 10;
const SECOND_NS = 1e9;

/** The whole job where the sockets are spread over many processes, and what each thread of those waits in. */
async function crowd(rounds: number): Promise<Figure[]> {
  const references: Reference[] = [];
  try {
    while (references.length < PROCESSES) {
      references.push(await Reference.start('hold', String(HELD_BY_EACH)));
    }
    const ours = timed(() => {
      const pids = new Set<number>();
      for (const [holder] of everyHolder().values()) {
        if (holder?.comm === 'hold') pids.add(holder.pid);
      }
      if (pids.size < PROCESSES) throw new Error(`${pids.size} processes of ${PROCESSES} found`);
      for (const pid of pids) threadsOf(pid);
    });
    const ns = await alternate({ ours, twin: ours }, rounds);
    const name = `holders and their threads, ${HELD_BY_EACH} sockets in each of ${PROCESSES} processes`;
    return [
      compare(
        { name, ns: ns.ours },
        { name: '1 s', ns: ns.ours.map(() => SECOND_NS) },
        { atMost: 1 },
      ),
      control(name, ns.twin, ns.ours),
    ];
  } finally {
    await Promise.all(references.map((reference) => reference[Symbol.asyncDispose]()));
  }
}

function everyHolder(): Map<number, Holder[]> {
  const { inode } = snapshot();
  return holdersOf(inode.filter((number) => number !== 0)).holders;
}
