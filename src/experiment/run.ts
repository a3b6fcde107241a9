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
}

const cast = (driver: DriverName, world: World, signal?: AbortSignal): Promise<Cast> =>
  driver === 'raw' ? castRaw(world, signal) : castPrograms(world, signal);

/**
 * Runs a scenario in a world of its own and holds what was seen against what should be. A scenario that fails is a record
 * that says so; what throws is a lab that could not be set up.
 */
export async function run(scenario: Scenario, options: RunOptions): Promise<Run> {
  const { driver = scenario.drivers[0] ?? 'raw', signal, onMoment } = options;
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
  await using lab = await Lab.open(scenario, world, actors, { signal, onMoment });
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
  const failed = lab.checks.find(({ ok }) => !ok);
  const verdict: Verdict =
    thrown !== undefined
      ? 'not-reproduced'
      : failed === undefined
        ? 'reproduced'
        : lab.inDoubt
          ? 'inconclusive'
          : 'not-reproduced';
  const reason =
    thrown !== undefined
      ? messageOf(thrown)
      : failed &&
        `${failed.what}: expected ${JSON.stringify(failed.expected)}, observed ${JSON.stringify(failed.observed)} (${failed.source})`;
  const record: RunRecord = {
    ...base,
    ok: verdict === 'reproduced',
    verdict,
    ...(reason !== undefined && { reason }),
    ends: { client: { path: lab.paths.client }, server: { path: lab.paths.server } },
    checks: lab.checks,
    events: lab.events,
    observers: lab.observers,
    moments: lab.moments,
    transcripts: actors.transcripts(),
  };
  return { record, frames };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
