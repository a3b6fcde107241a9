import { CannotExpress, type End } from '../driver/role.js';
import { until } from '../observer/until.js';
import type { Scenario, Stage } from '../scenario/scenario.js';
import type { TcpState, TcpStateName } from '../tcp/states.js';
import type { Lab } from './lab.js';
import { wantedOf } from './request.js';

const DEADLINE_MS = 5_000;

/**
 * A scenario as it is held against a run in which one end is a command. A command does not wait to be told, so what is held
 * is the states that each end goes through, and who resets; what the ends say to each other, how a socket looks at a moment
 * and how many segments that takes is only told. Whoever looks now and then may miss all states but the last.
 */
export function lenient(scenario: Scenario): Scenario {
  const {
    expected: _moments,
    segments: _segments,
    listener: _listener,
    proof: _proof,
    ...rest
  } = scenario;
  const { client, server } = scenario.path;
  return {
    ...rest,
    momentary: {
      ...(client && { client: client.slice(0, -1) }),
      ...(server && { server: server.slice(0, -1) }),
    },
  };
}

/** The stage of such a run: a state that was passed already has been reached. */
export function lenientStage(lab: Lab, { path }: Scenario, signal: AbortSignal): Stage {
  const reach = async (end: End, state: TcpStateName): Promise<void> => {
    const enough = statesFrom(path[end] ?? [], state);
    // Whoever has seen it: a path is the tracepoint's account, and may lack what the kernel told nobody of.
    const isReached = await until(
      () =>
        lab.instruments.timeline.states.some(
          (event) => event.end === end && event.listener !== true && enough.includes(event.state),
        ),
      (reached) => reached,
      { deadlineMs: DEADLINE_MS, signal },
    );
    if (isReached) return;
    const seen = lab.path(end);
    const went = seen.length === 0 ? 'nothing was seen of it' : `it went ${seen.join(' > ')}`;
    throw new Error(`expected ${end} in ${state} within ${DEADLINE_MS / 1000} s; ${went}`);
  };
  return {
    server: lab.server,
    client: lab.client,
    get link() {
      return lab.link;
    },
    get wire() {
      return lab.wire;
    },
    timer: lab.timer,
    blocked: lab.blocked,
    moment: lab.moment,
    expect: () => {},
    async reach(states, options = {}) {
      const wanted = wantedOf(states, options, ['client', 'server']);
      await Promise.all(wanted.map(({ end, state }) => reach(end, state)));
    },
    async fails(_what, _code, act) {
      try {
        await act;
      } catch (error) {
        if (error instanceof CannotExpress) throw error;
        if (!(error instanceof Error && 'code' in error)) throw error;
      }
    },
  };
}

/** A state and those that a path leads to from there. */
function statesFrom(path: readonly TcpState[], state: TcpStateName): readonly TcpState[] {
  const at = path.indexOf(state);
  return at < 0 ? [state] : path.slice(at);
}
