import { release } from 'node:os';
import { castPrograms } from '../driver/programs.js';
import { castRaw } from '../driver/raw.js';
import type { Cast, DriverName } from '../driver/role.js';
import type { Scenario } from '../scenario/scenario.js';
import { World, type WorldKind } from '../world/world.js';
import { Lab } from './lab.js';
import type { CapturedFrame, Moment, Run, RunRecord, Verdict } from './record.js';

/** How to run a scenario. */
export interface RunOptions {
  /** Left out: the scenario's first. */
  readonly driver?: DriverName;
  readonly world: WorldKind;
  /** Ends the run; what it had open is closed, and the promise rejects. */
  readonly signal?: AbortSignal;
  /** Called at each moment of the scenario, which goes on when it has resolved. */
  readonly onMoment?: (moment: Moment) => Promise<void>;
  /** False leaves out every observer that nobody waits for: the run should end the same. Left out: true. */
  readonly observed?: boolean;
}

const cast = (driver: DriverName, world: World, signal?: AbortSignal): Promise<Cast> =>
  driver === 'raw' ? castRaw(world, signal) : castPrograms(world, signal);

/**
 * Runs a scenario in a world of its own and holds what was seen against what should be. A scenario that fails is a record
 * that says so; what throws is a lab that could not be set up.
 */
export async function run(scenario: Scenario, options: RunOptions): Promise<Run> {
  const { driver = scenario.drivers[0] ?? 'raw', signal, onMoment, observed } = options;
  await using world = await World.open(options.world);
  const empty = { client: { path: [] }, server: { path: [] } };
  const base = {
    scenario: scenario.name,
    driver,
    kernel: release(),
    world: { kind: world.kind, privilege: world.privilege },
  };
  const skipped = (reason: string): Run => ({
    record: {
      ...base,
      ok: true,
      verdict: 'skipped',
      reason,
      ends: empty,
      checks: [],
      events: [],
      findings: [],
      observers: [],
      moments: [],
      transcripts: {},
    },
    frames: [],
  });
  if (!scenario.drivers.includes(driver)) {
    return skipped(`driver ${driver} cannot act it; ${scenario.drivers.join(' and ')} can`);
  }
  if (scenario.sysctls !== undefined) {
    if (world.kind === 'host') return skipped('needs a network namespace of its own, for a sysctl');
    for (const [path, value] of Object.entries(scenario.sysctls)) {
      await world.setSysctl(path, value);
    }
  }

  await using actors = await cast(driver, world, signal);
  await using lab = await Lab.open(scenario, world, actors, { signal, onMoment, observed });
  let thrown: unknown;
  try {
    await scenario.run(lab);
    // A story whose every state is there at the first look has not asked.
    signal?.throwIfAborted();
  } catch (error) {
    signal?.throwIfAborted();
    thrown = error;
  }
  const frames: CapturedFrame[] = await lab.finish();
  const { verdict, reason } = judge(lab, thrown);
  const record: RunRecord = {
    ...base,
    ok: verdict === 'reproduced',
    verdict,
    ...(reason !== undefined && { reason }),
    ends: { client: { path: lab.path('client') }, server: { path: lab.path('server') } },
    checks: lab.checks,
    events: lab.instruments.timeline.events,
    findings: lab.instruments.timeline.findings,
    observers: lab.instruments.reports,
    moments: lab.moments,
    transcripts: actors.transcripts(),
  };
  return { record, frames };
}

/** Whether the machine had too little for the lab itself: that says nothing of the scenario. */
function isShortage(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'ENOSPC', 'EAGAIN'].includes(code);
}

/** What a run has shown, and why it is not what it should be. */
function judge(lab: Lab, thrown: unknown): { verdict: Verdict; reason?: string } {
  const { failure } = lab.instruments;
  if (failure !== undefined) return { verdict: 'inconclusive', reason: messageOf(failure) };
  if (thrown !== undefined) {
    const verdict = isShortage(thrown) ? 'inconclusive' : 'not-reproduced';
    return { verdict, reason: messageOf(thrown) };
  }
  const failed = lab.checks.find(({ ok }) => !ok);
  if (failed === undefined) return { verdict: 'reproduced' };
  const { what, expected, observed, source } = failed;
  const values = `expected ${JSON.stringify(expected)}, observed ${JSON.stringify(observed)}`;
  return {
    verdict: lab.inDoubt ? 'inconclusive' : 'not-reproduced',
    reason: `${what}: ${values} (${source})`,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
