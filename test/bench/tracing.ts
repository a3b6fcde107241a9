import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { snapshot } from '../../src/index.js';
import { socketsOf } from '../../src/observer/process.js';
import { TracepointObserver } from '../../src/observer/tracepoint.js';
import {
  type Arm,
  alternate,
  type Bound,
  compare,
  control,
  type Figure,
  type Group,
} from './pair.js';
import { Reference } from './programs.js';

/** What it costs the observed to have every transition traced. */
export const tracing: Group = {
  bpf: (rounds) => traced('bpf', rounds, { atMost: 1.08 }),
  perf: (rounds) => traced('perf', rounds, { atMost: 1.25 }),
};

/**
 * The transitions of one life in native/reference/lifecycle.c. The client: SYN_SENT, ESTABLISHED, FIN_WAIT1, CLOSE; the
 * server: SYN_RECV, ESTABLISHED, CLOSE_WAIT, CLOSE. Where the machine pauses the loop for 40 ms, the delayed ACK of the
 * FIN comes before the RST and takes the client through FIN_WAIT2.
 */
const TRANSITIONS = 8;
const MUST_SEE = 200_000;
/** For some time after its programs are gone the kernel is busy with that: no longer what tracing costs. */
const AFTERMATH_MS = 150;

async function traced(via: 'bpf' | 'perf', rounds: number, bound: Bound): Promise<Figure[]> {
  await using c = await Reference.start('lifecycle');
  const ports = listeningPorts('lifecycle');
  await using twin = await Reference.start('lifecycle');
  const observed: Arm = async (iterations) => {
    const ns = await observe(iterations);
    await pause(AFTERMATH_MS);
    return ns;
  };
  const observe = async (iterations: number): Promise<number> => {
    await using observer = await TracepointObserver.start({ via, ports });
    const ns = await c.run(iterations);
    await observer.flush();
    const states = observer.events.filter((event) => event.kind === 'state');
    const seen = states.length - states.filter(({ newState }) => newState === 'FIN_WAIT2').length;
    const expected = iterations * TRANSITIONS;
    if (observer.lost === 0 && seen === expected) return ns;
    throw new Error(`saw ${seen} of ${expected} transitions, ${observer.lost} lost`);
  };
  await observed(Math.ceil(MUST_SEE / TRANSITIONS));
  const ns = await alternate({ c: c.run, observed, twin: twin.run }, rounds);
  return [
    compare(
      { name: `lifecycle.c traced by ${via}`, ns: ns.observed },
      { name: 'lifecycle.c', ns: ns.c },
      bound,
    ),
    control('lifecycle.c', ns.twin, ns.c),
  ];
}

/** The ports that children of this process by the name of `comm` listen on. */
function listeningPorts(comm: string): number[] {
  const children = readdirSync('/proc/self/task').flatMap((tid) =>
    readFileSync(`/proc/self/task/${tid}/children`, 'latin1').split(' ').filter(Boolean),
  );
  const inodes = children
    .filter((pid) => readFileSync(`/proc/${pid}/comm`, 'latin1').trim() === comm)
    .flatMap((pid) => socketsOf(Number(pid)).map(({ inode }) => inode));
  return [...snapshot({ states: ['LISTEN'] })]
    .filter(({ inode }) => inodes.includes(inode))
    .map(({ local }) => local.port);
}
