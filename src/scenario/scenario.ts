import type { ClientRole, DriverName, End, Role, ServerRole } from '../driver/role.js';
import type { Cause } from '../tcp/cause.js';
import type { TimerName } from '../tcp/socket-table.js';
import type { TcpStateName } from '../tcp/states.js';
import type { Link } from '../world/link.js';
import type { Wire } from '../world/wire.js';
import { checkScenario } from './validate.js';

/** How long to wait. */
export interface ReachOptions {
  /** Left out: 10 s. */
  readonly deadlineMs?: number;
}

/** How far a timer must have run. */
export interface TimerOptions {
  /** What is left of it. Left out: that does not matter. */
  readonly belowMs?: number;
}

/** The stage a scenario plays on: the two ends, and what the lab does for it. */
export interface Stage {
  readonly server: ServerRole;
  readonly client: ClientRole;
  /** The link between two hosts, where `place.link` asks for it. */
  readonly link: Link;
  /** The end without a TCP, where `place.wire` asks for it; it has no role. */
  readonly wire: Wire;
  /** Waits until each end named is in the state given, as the kernel says it. Fails the run if a deadline passes. */
  reach(
    states: Partial<Readonly<Record<End, TcpStateName>>>,
    options?: ReachOptions,
  ): Promise<void>;
  /**
   * Waits until a timer runs at an end's socket, as sock_diag says it; `off`: until none does, so that whatever the end has
   * sent is acknowledged. Fails the run if 10 s pass.
   */
  timer(end: End, name: TimerName, options?: TimerOptions): Promise<void>;
  /** Waits until the thread that acts an end is blocked in a system call. Fails the run if 10 s pass. */
  blocked(role: Role, call: string): Promise<void>;
  /** Has every observer look, under a name, and holds what they see against `expected` of that name. */
  moment(name: string): Promise<void>;
  /** Holds a value against what it should be. */
  expect(what: string, expected: unknown, observed: unknown): void;
  /** Holds the error of an act against the code it should have. */
  fails(what: string, code: string, act: Promise<unknown>): Promise<void>;
}

/** What the socket of one end should look like at a moment. Only what is named is checked. */
export interface SocketExpectation {
  readonly recvQ?: number;
  /** `some`: more than 0, where the number is the kernel's affair. */
  readonly sendQ?: number | 'some';
  /** Whether a descriptor holds it. */
  readonly owned?: boolean;
  /** The timer that runs. */
  readonly timer?: TimerName;
  /** Why it stays, as the classifier should say; `ghost` also where sock_diag does not show it. */
  readonly cause?: Cause;
  /** The system call that the end's thread should be blocked in, where that is known for a driver. */
  readonly waitsIn?: Partial<Readonly<Record<DriverName, string>>>;
}

/** Where a scenario plays. Left out: both ends on the loopback of one host. */
export interface PlaceOptions {
  /** Two hosts, and a link between them that loses, delays and holds what it is told to. */
  readonly link?: true;
  /** Two hosts, one of them without a TCP: what is sent there and answered is the story's affair. */
  readonly wire?: End;
}

/** The same story with its cause taken away: it must not come out. */
export interface Control {
  /** What is different. */
  readonly what: string;
  /** Settings besides the scenario's own, or in their place. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** The story without its cause. */
  run(stage: Stage): Promise<void>;
}

/** What should happen, so that a run can be held against it. */
export interface Scenario {
  /** What the command line calls it. */
  readonly name: string;
  readonly title: string;
  /** Where it is written: a man page, an RFC section, an article. */
  readonly source: string;
  /** What it shows, and who must act. */
  readonly summary: string;
  /** Who acts, unless somebody else is asked to: the first. Any other driver may try. Left out: raw. */
  readonly drivers?: readonly DriverName[];
  readonly place?: PlaceOptions;
  /** Settings of the place's own network namespaces, by path below /proc/sys. On the host's own network it cannot run. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** It needs a network namespace of its own, for a privilege that its calls take there. */
  readonly needsNamespace?: true;
  /** It takes longer than some seconds, since a timer of the kernel does. */
  readonly slow?: true;
  /** The IP versions it is about. Left out: both. */
  readonly families?: readonly (4 | 6)[];
  /**
   * The states each end goes through, in order, all of them. Those that a kernel leaves on its own may be over before
   * anyone looks (`isPassing`); the others must be seen: wait for them with `reach`. An end that is a wire has none.
   */
  readonly path: Partial<Readonly<Record<End, readonly TcpStateName[]>>>;
  /** States of the path that one segment leads into and out of again: whoever is not told of transitions misses them. */
  readonly momentary?: Partial<Readonly<Record<End, readonly TcpStateName[]>>>;
  /** The states of the listening socket, where the story is about it. */
  readonly listener?: readonly TcpStateName[];
  /** States that prove the point. Where nobody could see one of them, the run is inconclusive. */
  readonly proof?: Partial<Readonly<Record<End, TcpStateName>>>;
  /** The flags of the connection's segments in order, as tcpdump spells them. Left out: that is the kernel's affair. */
  readonly segments?: readonly string[];
  /** Who sent the connection's resets, in order. Left out: none are expected. */
  readonly resets?: readonly End[];
  /** By a moment's name: what either end should look like then. */
  readonly expected?: Readonly<Record<string, Partial<Readonly<Record<End, SocketExpectation>>>>>;
  readonly control?: Control;
  /** The story: acts of both ends, and what to wait for between them. What it throws fails the run. */
  run(stage: Stage): Promise<void>;
}

/**
 * Who acts a scenario of its own accord, the first of them unless somebody else is asked to. Throws TypeError for what is no
 * scenario.
 */
export function driversOf(scenario: Scenario): readonly DriverName[] {
  checkScenario(scenario);
  return scenario.drivers ?? ['raw'];
}

/**
 * The control of a scenario as a scenario: all that should happen is the same, only the cause is gone. Throws TypeError for
 * what is no scenario.
 */
export function controlOf(scenario: Scenario): Scenario | undefined {
  checkScenario(scenario);
  const { control, sysctls } = scenario;
  if (control === undefined) return undefined;
  const settings = { ...sysctls, ...control.sysctls };
  return {
    ...scenario,
    ...(Object.keys(settings).length > 0 && { sysctls: settings }),
    run: (stage) => control.run(stage),
  };
}
