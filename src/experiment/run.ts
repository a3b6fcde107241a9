import { release } from 'node:os';
import { MayNotLook } from '../driver/borrow.js';
import { castCommand } from '../driver/command.js';
import { castLibuv } from '../driver/libuv.js';
import { failedToStart } from '../driver/program.js';
import { castPrograms } from '../driver/programs.js';
import { castRaw } from '../driver/raw.js';
import {
  type AppEvent,
  CannotExpress,
  type Cast,
  type CastOptions,
  type DriverName,
  type Hosts,
} from '../driver/role.js';
import { type Command, NotReady } from '../driver/running.js';
import { witness } from '../driver/witness.js';
import { codeOf } from '../observer/proc.js';
import { driversOf, type Scenario } from '../scenario/scenario.js';
import { checkScenario } from '../scenario/validate.js';
import { hasIpv6 } from '../world/interfaces.js';
import { privilege, type WorldKind } from '../world/world.js';
import type { TimelineEvent } from './event.js';
import { Eyes } from './eyes.js';
import { Lab } from './lab.js';
import { lenient, lenientStage } from './lenient.js';
import { openPlace } from './place.js';
import type { AppRecord, CapturedFrame, Moment, Run, RunRecord, Verdict } from './record.js';
import { checkedRun } from './request.js';

/** How to run a scenario. */
export interface RunOptions {
  /** Left out: the scenario's first. */
  readonly driver?: DriverName;
  readonly world: WorldKind;
  /** The IP version. Left out: 4. */
  readonly family?: 4 | 6;
  /** The Node that runs the ends, where one does: a path. Left out: this one. */
  readonly node?: string;
  /** What acts one of the ends, by driver program: any command. */
  readonly command?: Command;
  /** Ends the run; what it had open is closed, and the promise rejects. */
  readonly signal?: AbortSignal;
  /** How long the story may take, from its first act; setting up is not its time. Left out: as long as it likes. */
  readonly timeoutMs?: number;
  /** Called at each moment of the scenario, which goes on when it has resolved. */
  readonly onMoment?: (moment: Moment) => Promise<void>;
  /**
   * Called before the story begins: `for await` of it gives each event as it gets its place, until the run ends. What it
   * returns is waited for; where it throws or rejects, so does the run.
   */
  readonly onTimeline?: (timeline: AsyncIterable<TimelineEvent>) => void | Promise<void>;
  /** False leaves out every observer that nobody waits for: the run should end the same. Left out: true. */
  readonly observed?: boolean;
}

const CASTS: Readonly<Record<DriverName, (hosts: Hosts, options: CastOptions) => Promise<Cast>>> = {
  raw: castRaw,
  libuv: castLibuv,
  program: castPrograms,
};

/**
 * Runs a scenario in a place of its own and holds what was seen against what should be. A scenario that fails is a record
 * that says so; what throws is a lab that could not be set up. Throws TypeError or RangeError for a scenario or options
 * that are none.
 */
export async function run(scenario: Scenario, asked: RunOptions): Promise<Run> {
  checkScenario(scenario);
  const options = checkedRun(asked);
  const [first = 'raw'] = driversOf(scenario);
  const { command, family = 4, world, signal } = options;
  const { driver = command === undefined ? first : 'program' } = options;
  const { onMoment, observed = true, timeoutMs, node } = options;
  const base = { scenario: scenario.name, driver, family, kernel: release() };
  const unplayed = (
    kind: RunRecord['world']['kind'],
    reason: string,
    verdict: 'skipped' | 'not-reproduced' = 'skipped',
  ): Run => ({
    record: {
      ...{ ...base, world: { kind, privilege: privilege() }, ok: verdict === 'skipped' },
      ...{ verdict, reason },
      ends: { client: { path: [] }, server: { path: [] } },
      ...{ checks: [], events: [], findings: [], observers: [], moments: [], transcripts: {} },
    },
    frames: [],
  });
  const why = whyNot(scenario, world, family) ?? unreachable(scenario, driver, command);
  if (why !== undefined) return unplayed(world, why);

  await using place = await openPlace(scenario, world, family);
  for (const host of new Set([place.client, place.server])) {
    for (const [path, value] of Object.entries(scenario.sysctls ?? {})) {
      try {
        await host.setSysctl(path, value);
      } catch (error) {
        const code = codeOf(error);
        if (code === '') throw error;
        if (code === 'ENOENT') {
          return unplayed(place.kind, `this kernel has no /proc/sys/${path}`);
        }
        const mayNot = ['EACCES', 'EPERM', 'EROFS'].includes(code);
        const reason = `${path} cannot be set to ${JSON.stringify(value)}: ${messageOf(error)}`;
        return unplayed(place.kind, reason, mayNot ? 'skipped' : 'not-reproduced');
      }
    }
  }
  const deadline = new Deadline(timeoutMs, signal);
  const told = { family, signal: deadline.signal, ...(node !== undefined && { node }) };
  using eyes = command && (await Eyes.open(place));
  const cast =
    command !== undefined && eyes !== undefined
      ? castCommand(place, { ...told, command, sockets: eyes.sockets })
      : CASTS[driver](place, told);
  await using actors = witness(await cast);
  const held = command === undefined ? scenario : lenient(scenario);
  await using lab = await Lab.open(held, place, actors, {
    ...{ signal: deadline.signal, onMoment, observed, family },
  });
  const { timeline } = lab.instruments;
  const reading = (async () => options.onTimeline?.(timeline))();
  // Whether it fails is asked at the end, where there is one.
  reading.catch(() => {});
  let thrown: { readonly error: unknown } | undefined;
  try {
    const stage = command === undefined ? lab : lenientStage(lab, scenario, deadline.signal);
    await deadline.race(async () => scenario.run(stage));
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof CannotExpress) return unplayed(place.kind, error.message);
    // No story has begun where a program cannot be started at all.
    if (failedToStart(error) && !isShortage(error)) throw error;
    thrown = { error };
  }
  const frames: CapturedFrame[] = await lab.finish();
  await reading.catch((error: unknown) => {
    // An observer's failure, which its reader hears of, is the run's verdict.
    if (lab.instruments.failure === undefined) throw error;
  });
  const { verdict, reason } = judge(lab, thrown);
  const { originNs } = timeline;
  const timed = ({ tNs, ...what }: AppEvent): AppRecord => ({
    tNs: Number(tNs - originNs),
    ...what,
  });
  const application = actors.application();
  const record: RunRecord = {
    ...base,
    ...(actors.runtime !== undefined && { runtime: actors.runtime }),
    ...(actors.command !== undefined && { command: actors.command }),
    world: { kind: place.kind, privilege: place.privilege },
    ok: verdict === 'reproduced',
    verdict,
    ...(reason !== undefined && { reason }),
    ends: { client: { path: lab.path('client') }, server: { path: lab.path('server') } },
    checks: lab.checks,
    events: timeline.events,
    findings: timeline.findings,
    observers: lab.instruments.reports,
    moments: lab.moments,
    left: lab.left,
    transcripts: actors.transcripts(),
    application: {
      client: application.client.map(timed),
      server: application.server.map(timed),
    },
  };
  return { record, frames };
}

/** The end of a story's time, or of everybody's. */
class Deadline {
  /** Aborts when the story's time is over, and with the caller's signal: until the story begins, only with that. */
  readonly signal: AbortSignal;
  readonly #over = new AbortController();
  readonly #timeoutMs: number | undefined;

  constructor(timeoutMs: number | undefined, signal: AbortSignal | undefined) {
    this.signal = AbortSignal.any([this.#over.signal, ...(signal ? [signal] : [])]);
    this.#timeoutMs = timeoutMs;
  }

  /** Begins a story and waits for it; it may be waiting for something that hears of no signal. */
  async race(story: () => Promise<void>): Promise<void> {
    const { signal } = this;
    signal.throwIfAborted();
    let abort = (): void => {};
    const over = new Promise<never>((_, reject) => {
      abort = () => reject(signal.reason);
    });
    signal.addEventListener('abort', abort);
    const timer = this.#start();
    try {
      await Promise.race([story(), over]);
      // A story whose every state is there at the first look has not asked.
      signal.throwIfAborted();
    } catch (error) {
      // What the abort made of a call is not why the story ended.
      signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  #start(): NodeJS.Timeout | undefined {
    const timeoutMs = this.#timeoutMs;
    if (timeoutMs === undefined) return undefined;
    const late = new Error(`the scenario has not ended within ${timeoutMs / 1000} s`);
    return setTimeout(() => this.#over.abort(late), timeoutMs);
  }
}

/**
 * The article's programs are reached where the article has them: on the loopback. A command is told where it is, but it needs
 * a TCP.
 */
function unreachable(
  { place }: Scenario,
  driver: DriverName,
  command: Command | undefined,
): string | undefined {
  if (place === undefined || driver !== 'program') return undefined;
  if (command !== undefined && place.wire !== command.end) return undefined;
  return new CannotExpress(driver, place.wire ? 'a wire' : 'two hosts').message;
}

/** Why a scenario cannot run there at all. */
function whyNot(
  { sysctls, needsNamespace, place, families = [4, 6] }: Scenario,
  world: WorldKind,
  family: 4 | 6,
): string | undefined {
  if (!families.includes(family)) return `it is about IPv${families.join(' and IPv')}`;
  if (family === 6 && !hasIpv6()) return 'this kernel has no IPv6';
  if (world !== 'host') return undefined;
  const needs = 'needs a network namespace of its own';
  if (sysctls !== undefined) return `${needs}, for a sysctl`;
  if (place !== undefined) return `${needs}, for ${place.wire ? 'a wire' : 'a link'}`;
  return needsNamespace ? `${needs}, for a privilege` : undefined;
}

/** Whether the machine had too little for the lab itself: that says nothing of the scenario. */
const isShortage = (error: unknown): boolean =>
  ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'ENOSPC', 'EAGAIN'].includes(codeOf(error));

/** What a run has shown, and why it is not what it should be. */
function judge(
  lab: Lab,
  thrown: { readonly error: unknown } | undefined,
): { verdict: Verdict; reason?: string } {
  const { failure } = lab.instruments;
  if (failure !== undefined) return { verdict: 'inconclusive', reason: messageOf(failure) };
  if (thrown !== undefined) {
    const { error } = thrown;
    const unfit = isShortage(error) || error instanceof MayNotLook || error instanceof NotReady;
    return { verdict: unfit ? 'inconclusive' : 'not-reproduced', reason: messageOf(error) };
  }
  const failed = lab.checks.find(({ ok }) => !ok);
  const { unproved } = lab;
  if (failed === undefined && unproved !== undefined) {
    return { verdict: 'inconclusive', reason: unproved };
  }
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
