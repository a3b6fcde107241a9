/**
 * Does one thing with ever more descriptors to spare, until it succeeds; a program of its own, since it takes all others.
 *
 * usage: exhaust.js WHAT [STEP], with a small RLIMIT_NOFILE. A line of JSON a try: {spare, said, left}, what a user is told and
 * what was not closed. STEP more are spared each time.
 */
import { diagnose, snapshot } from '../../src/index.js';
import {
  BpfIterator,
  Capture,
  catalogue,
  Network,
  run,
  TracepointObserver,
  World,
} from '../../src/lab.js';
import * as sys from '../../src/syscall/sys.js';
import { held, leaked } from '../fixture/held.js';
import { until } from '../fixture/until.js';

const closed = async (opened: Promise<AsyncDisposable>): Promise<undefined> => {
  await (await opened)[Symbol.asyncDispose]();
  return undefined;
};

/** The verdict, and why observers could not look. */
async function ran(driver: 'raw' | 'program', story = 'close-wait'): Promise<string> {
  const scenario = catalogue.find(({ name }) => name === story);
  if (scenario === undefined) throw new Error(`no ${story} in the catalogue`);
  const { record } = await run(scenario, { driver, world: 'namespace' });
  const blind = record.observers.flatMap(({ name, reason }) =>
    reason ? [`${name}: ${reason}`] : [],
  );
  return [record.verdict, record.reason, ...blind].filter(Boolean).join('; ');
}

const things: Record<string, () => Promise<string | undefined>> = {
  actor: () => closed(sys.Actor.start()),
  capture: () => closed(sys.Actor.start().then((actor) => Capture.start(actor, 'lo'))),
  diagnose: async () => (await diagnose({ pids: [process.pid] })).incomplete.join('; '),
  iterator: async () => void BpfIterator.open()[Symbol.dispose](),
  network: () => closed(Network.open()),
  'run, network': () => ran('raw', 'closing'),
  'run, program': () => ran('program'),
  'run, raw': () => ran('raw'),
  snapshot: async () => void snapshot(),
  spawn: async () => {
    const { pid, pidfd } = sys.spawn('/bin/true', { argv: ['true'] });
    sys.waitid(sys.P_PID, pid, sys.WEXITED);
    sys.close(pidfd);
    return undefined;
  },
  tracepoints: () => closed(TracepointObserver.start()),
  world: () => closed(World.open('namespace')),
};

const [what = '', step = 1] = [process.argv[2], Number(process.argv[3] ?? 1)];
const act = things[what];
if (act === undefined) throw new RangeError(`one of: ${Object.keys(things).join(', ')}`);

function takeAll(): number[] {
  const taken: number[] = [];
  try {
    for (;;) taken.push(sys.fcntl(0, sys.F_DUPFD_CLOEXEC, 0));
  } catch {
    return taken; // EMFILE: those are all
  }
}

// What Node and the lab make once.
const { stdout } = process;
await act();
for (let spare = 0, said = 'EMFILE'; /EMFILE|too many open files/.test(said); spare += step) {
  const before = held();
  const taken = takeAll();
  for (const fd of taken.splice(0, spare)) sys.close(fd);
  try {
    said = (await act()) || 'done';
  } catch (error) {
    said = `${(error as Error).name}: ${(error as Error).message}`;
  }
  for (const fd of taken) sys.close(fd);
  await until(
    () => leaked(before).length === 0,
    () => '',
    10_000,
  ).catch(() => undefined);
  stdout.write(`${JSON.stringify({ spare, said, left: leaked(before) })}\n`);
}
