/** The runner and its programs are killed at points of a run that are seen from outside; nothing may be left. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { Program } from '../driver/programs.js';
import { type Seen, Traces } from '../experiment/traces.js';
import { test } from '../fixture/descriptors.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from '../world/ability.js';
import { CLI } from './closewait.js';

const CLOSE_WAIT = '08';

interface Run {
  readonly program: Program;
  readonly traces: Traces;
}

const named = (traces: Traces, name: string): Seen | undefined =>
  traces.processes().find(({ argv }) => argv[0] === name);

/** Whether any socket of a task's network namespace is in CLOSE_WAIT. */
function seesCloseWait(task: string): boolean {
  try {
    const rows = readFileSync(`${task}/net/tcp`, 'utf8').trimEnd().split('\n').slice(1);
    return rows.some((row) => row.trim().split(/\s+/)[3] === CLOSE_WAIT);
  } catch {
    return false;
  }
}

/** The points of a run by the program driver, in order. */
const points: Record<string, (run: Run) => boolean> = {
  'it is started': ({ traces }) => traces.processes().length > 0,
  'it has a namespace': ({ traces }) => traces.namespaces.length > 0,
  'the server is started': ({ traces }) => named(traces, 'closewait-server') !== undefined,
  'the client is started': ({ traces }) => named(traces, 'closewait-client') !== undefined,
  'the server is in CLOSE_WAIT': ({ traces }) => {
    const server = named(traces, 'closewait-server');
    return server !== undefined && seesCloseWait(`/proc/${server.pid}`);
  },
  'the report begins': ({ program }) => program.stdout.length > 0,
};

function start(t: ExecutionContext, ...args: string[]): Run {
  const traces = new Traces();
  const program = new Program(t, traces.marked([process.execPath, CLI, 'run', ...args]));
  return { program, traces };
}

/** Starts runs until one was caught at the point: a short moment may pass unseen. */
async function caught(
  t: ExecutionContext,
  args: readonly string[],
  reached: (run: Run) => boolean,
): Promise<Run> {
  for (let attempt = 1; attempt <= 5; attempt++) {
    const run = start(t, ...args);
    let over = false;
    run.program.end().then(
      () => (over = true),
      () => undefined,
    );
    const point = await until(
      () => (reached(run) ? 'reached' : over && 'over'),
      () => JSON.stringify(run.traces.processes()),
      20_000,
    );
    if (point === 'reached') return run;
    await run.traces.gone();
  }
  throw new Error('five runs passed the point unseen');
}

/**
 * Catches a run at the point, ends it, and waits until nothing is left of it: how it ended. One that is over before the signal
 * comes, as whoever sends it may have to wait for a processor, is started again.
 */
async function ended(
  t: ExecutionContext,
  args: readonly string[],
  reached: (run: Run) => boolean,
  signal: NodeJS.Signals,
): Promise<number | NodeJS.Signals> {
  for (let attempt = 1; ; attempt++) {
    const { program, traces } = await caught(t, args, reached);
    program.signal(signal);
    const end = await program.end();
    await t.notThrowsAsync(traces.gone());
    if (end !== 0 || attempt === 5) return end;
  }
}

for (const [point, reached] of Object.entries(points)) {
  testUnless(noNamespace, `SIGKILL when ${point}: nothing is left`, async (t) => {
    const end = await ended(t, ['close-wait'], reached, 'SIGKILL');
    // Once it has printed, it may have ended before the signal comes.
    t.true(end === 'SIGKILL' || (end === 0 && point === 'the report begins'), `${end}`);
  });

  testUnless(noNamespace, `SIGINT when ${point}: nothing is left, said`, async (t) => {
    const { program, traces } = await caught(t, ['close-wait'], reached);
    program.signal('SIGINT');
    const end = await program.end();
    if (end === 130) t.is(program.stderr, 'closewait: interrupted\n');
    // Before there is anything to end, and after it has ended, it is as any program is.
    else t.true(end === 'SIGINT' || (end === 0 && program.stdout.length > 0), `${end}`);
    await t.notThrowsAsync(traces.gone());
  });
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
  testUnless(
    noNamespace,
    `raw: ${signal} in CLOSE_WAIT or FIN_WAIT2: nothing is left`,
    async (t) => {
      // This scenario stays for a second where the other passes in 50 ms.
      const inCloseWait = ({ traces }: Run): boolean =>
        traces
          .processes()
          .some(({ pid }) =>
            insideOf(pid).some((tid) => seesCloseWait(`/proc/${pid}/task/${tid}`)),
          );
      const end = await ended(t, ['fin-wait2-expiry'], inCloseWait, signal);
      t.is(end, signal === 'SIGKILL' ? 'SIGKILL' : 130);
    },
  );
}

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  testUnless(
    noNamespace,
    `a command with a child and a grandchild: ${signal}, and nothing is left`,
    async (t) => {
      // Never listens, so that the run waits for it.
      const command = `sh -c 'sh -c "sleep 1001 & sleep 1002" & sleep 1003'`;
      const sleepers = ({ traces }: Run): number =>
        traces.processes().filter(({ argv: [name] }) => name === 'sleep').length;
      const { program, traces } = await caught(
        t,
        ['normal', '--server', command],
        (run) => sleepers(run) === 3,
      );
      program.signal(signal);
      t.is(await program.end(), signal === 'SIGKILL' ? 'SIGKILL' : 130);
      await t.notThrowsAsync(traces.gone());
    },
  );
}

/** The threads of a process that are not in this process's network namespace. */
function insideOf(pid: number): string[] {
  const host = readlinkSync('/proc/self/ns/net');
  try {
    return readdirSync(`/proc/${pid}/task`).filter(
      (tid) => readlinkSync(`/proc/${pid}/task/${tid}/ns/net`) !== host,
    );
  } catch {
    return []; // it ended since
  }
}

for (const { name, point } of [
  { name: 'server', point: 'the server is started' },
  { name: 'client', point: 'the client is started' },
  { name: 'server', point: 'the client is started' },
]) {
  const title = `the ${name} is killed when ${point}: a clear report, exit 1`;
  testUnless(noNamespace, title, async (t) => {
    for (let attempt = 1; ; attempt++) {
      const run = await caught(t, ['close-wait'], points[point] ?? (() => false));
      const { program, traces } = run;
      const victim = named(traces, `closewait-${name}`);
      if (victim !== undefined) process.kill(victim.pid, 'SIGKILL');
      const end = await program.end();
      await t.notThrowsAsync(traces.gone());
      // On a busy machine the program may have done its part before the signal came.
      if (end === 0 && attempt < 5) continue;
      t.is(end, 1);
      t.regex(program.stdout, /^(?:inconclusive|not-reproduced) close-wait \(program.*\): \S.*/m);
      t.notRegex(program.stdout + program.stderr, /^\s+at /m);
      return;
    }
  });
}

test('the mark finds a process, and its end', async (t) => {
  const traces = new Traces();
  const program = new Program(t, traces.marked(['sleep', '1000']));
  await until(
    () => traces.processes().some(({ pid, argv }) => pid === program.pid && argv[0] === 'sleep'),
    () => 'not seen',
  );
  program.signal('SIGKILL');
  await t.notThrowsAsync(traces.gone());
});
