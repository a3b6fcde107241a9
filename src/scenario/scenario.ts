import type { ClientRole, DriverName, End, ServerRole } from '../driver/role.js';
import type { Cause } from '../tcp/cause.js';
import type { TcpStateName } from '../tcp/states.js';

/** The stage a scenario plays on: the two ends, and what the lab does for it. */
export interface Stage {
  readonly server: ServerRole;
  readonly client: ClientRole;
  /** Waits until each end named is in the state given, as the kernel says it. Fails the run if a deadline passes. */
  reach(states: Partial<Readonly<Record<End, TcpStateName>>>): Promise<void>;
  /** Has every observer look, under a name, and holds what they see against `expected` of that name. */
  moment(name: string): Promise<void>;
  /** Holds a value against what it should be. */
  expect(what: string, expected: unknown, observed: unknown): void;
}

/** What the socket of one end should look like at a moment. Only what is named is checked. */
export interface SocketExpectation {
  readonly recvQ?: number;
  readonly sendQ?: number;
  /** Whether a descriptor holds it. */
  readonly owned?: boolean;
  /** Why it stays, as the classifier should say. */
  readonly cause?: Cause;
  /** The system call that the end's thread should be blocked in, where that is known for a driver. */
  readonly waitsIn?: Partial<Readonly<Record<DriverName, string>>>;
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
  /** Who can act it; the first is who does, unless asked otherwise. */
  readonly drivers: readonly DriverName[];
  /** Settings of the world's own network namespace, by path below /proc/sys. Without a namespace it cannot run. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /**
   * The states each end goes through, in order, all of them. Those that a kernel leaves on its own may be over before
   * anyone looks (`isPassing`); the others must be seen.
   */
  readonly path: Readonly<Record<End, readonly TcpStateName[]>>;
  /** The flags of the connection's segments in order, as tcpdump spells them. */
  readonly segments: readonly string[];
  readonly expected?: Readonly<Record<string, Partial<Readonly<Record<End, SocketExpectation>>>>>;
  run(stage: Stage): Promise<void>;
}
