import { RECORD, type TeardownArm, type TeardownDriver } from '../driver/teardown.js';
import { type TraceEvent, TracepointObserver } from '../observer/tracepoint.js';
import type { ClosingState, Spread } from './bench-record.js';
import { Times } from './bench-spread.js';

/** What the kernel told of one driver. */
export interface Observed {
  readonly systemCalls: number;
  readonly states: Partial<Record<ClosingState, Spread>>;
}

const CLOSING: ReadonlySet<string> = new Set([
  'FIN_WAIT1',
  'FIN_WAIT2',
  'CLOSE_WAIT',
  'LAST_ACK',
  'CLOSING',
]);

type StateEvent = TraceEvent & { readonly kind: 'state' };

/** Time between entering a state and leaving it, for each socket of a listener. */
export function timeInStates(
  events: readonly TraceEvent[],
  port: number,
): Partial<Record<ClosingState, Spread>> {
  const entered = new Map<bigint, { readonly state: string; readonly sinceNs: bigint }>();
  const times = new Map<ClosingState, Times>();
  for (const event of events) {
    if (event.kind !== 'state' || !isOf(event, port)) continue;
    const { socket, oldState, newState, tNs } = event;
    const now = entered.get(socket);
    // One event was lost where they are not the same.
    if (now !== undefined && now.state === oldState) {
      const state = oldState as ClosingState;
      const own = times.get(state) ?? new Times();
      times.set(state, own);
      own.add(Number(tNs - now.sinceNs));
    }
    if (newState !== undefined && CLOSING.has(newState)) {
      entered.set(socket, { state: newState, sinceNs: tNs });
    } else entered.delete(socket);
  }
  return Object.fromEntries([...times].map(([state, own]) => [state, own.spread]));
}

const isOf = ({ local, remote }: StateEvent, port: number): boolean =>
  local?.port === port || remote?.port === port;

/** System calls of some threads between the first and the last call of each cycle, for one cycle. */
export function callsWithin(
  events: readonly TraceEvent[],
  tids: readonly number[],
  records: BigInt64Array,
): number {
  const cycles = records.length / RECORD.length;
  let calls = 0;
  let at = 0;
  for (const event of events) {
    if (event.kind !== 'enter' || !tids.includes(event.tid)) continue;
    while (at < records.length && event.tNs > (records[at + RECORD.end] as bigint)) {
      at += RECORD.length;
    }
    if (at >= records.length) break;
    if (event.tNs >= (records[at + RECORD.start] as bigint)) calls++;
  }
  return calls / cycles;
}

/**
 * A round of each arm with the tracepoints on, apart from those that are timed: observing costs each transition 0.2 us
 * and each system call more. Throws what TracepointObserver throws.
 */
export async function observeArms(
  arms: readonly TeardownArm[],
  cycles: number,
  netns: number,
): Promise<{ drivers: Map<TeardownDriver, Observed>; lost: number }> {
  const ports = arms.map(({ port }) => port);
  const threads = [...new Set(arms.flatMap(({ tids }) => tids))];
  const rounds = new Map<TeardownArm, BigInt64Array>();
  const all: TraceEvent[] = [];
  await using observer = await start(netns, ports, threads, all);
  for (const arm of arms) {
    const records = new BigInt64Array(cycles * RECORD.length);
    await arm.run(records);
    rounds.set(arm, records);
  }
  await observer.flush();
  const drivers = new Map(
    [...rounds].map(([arm, records]) => [
      arm.driver,
      {
        systemCalls: callsWithin(all, arm.tids, records),
        states: timeInStates(all, arm.port),
      },
    ]),
  );
  return { drivers, lost: observer.lost };
}

function start(
  netns: number,
  ports: number[],
  threads: number[],
  all: TraceEvent[],
): Promise<TracepointObserver> {
  const options = { ports, threads, onEvent: (event: TraceEvent) => void all.push(event) };
  // Only BPF can read whose namespace it is; the ports tell enough without.
  return TracepointObserver.start({ ...options, netns }).catch(() =>
    TracepointObserver.start(options),
  );
}
