// What may be asked of a run, and by a story of its stage. A slip of its author is refused at once, and not waited for.

import type { End, Role } from '../driver/role.js';
import type { ReachOptions, TimerOptions } from '../scenario/scenario.js';
import { checkFields, invalidType, invalidValue, outOfRange } from '../tcp/argument.js';
import { type TimerName, timerNames } from '../tcp/socket-table.js';
import { type TcpStateName, tcpStates } from '../tcp/states.js';

const LONGEST_MS = 2 ** 31 - 1;
const REACH: Readonly<Record<keyof ReachOptions, true>> = { deadlineMs: true };
const TIMER: Readonly<Record<keyof TimerOptions, true>> = { belowMs: true };

/** Throws TypeError or RangeError for options of a run that are none; one that is left out is as it should be. */
export function checkRun(
  { driver, world, family, timeoutMs }: Readonly<Record<string, unknown>>,
  drivers: readonly string[],
): void {
  const among = (what: string, value: unknown, values: readonly unknown[]): void => {
    if (value === undefined || values.includes(value)) return;
    throw invalidValue(`${what} must be ${values.join(' or ')}, received ${String(value)}`);
  };
  among('driver', driver, drivers);
  among('world', world, ['namespace', 'host']);
  among('family', family, [4, 6]);
  if (timeoutMs !== undefined) checkTime('timeoutMs', timeoutMs);
}

/** A timer takes no longer times, and would be over at once. */
function checkTime(what: string, value: unknown): void {
  if (typeof value === 'number' && value >= 0 && value <= LONGEST_MS) return;
  const expected = `a number of milliseconds from 0 to ${LONGEST_MS}`;
  throw outOfRange(`${what} must be ${expected}, received ${String(value)}`);
}

/** The ends and states that `reach` waits for. Throws TypeError or RangeError for what nobody can reach. */
export function wantedOf(
  states: unknown,
  options: ReachOptions,
  ends: readonly End[],
): readonly { readonly end: End; readonly state: TcpStateName }[] {
  checkFields('how to reach a state', options, REACH);
  const { deadlineMs = 0 } = options;
  const wanted = Object.entries(states ?? {}).filter(([, state]) => state !== undefined);
  if (wanted.length === 0) throw invalidType('reach() must name an end and its state');
  checkTime('deadlineMs', deadlineMs);
  return wanted.map(([end, state]) => {
    if (end !== 'client' && end !== 'server') {
      throw invalidValue(`reach() knows client and server, not ${end}`);
    }
    if (!ends.includes(end)) throw invalidValue(`the ${end} is a wire, which is in no state`);
    if (!tcpStates.includes(state as TcpStateName)) {
      const said = 'a TCP state as netstat spells it (FIN_WAIT2)';
      throw invalidValue(`the state of the ${end} must be ${said}, received ${String(state)}`);
    }
    return { end, state: state as TcpStateName };
  });
}

/** What a timer must be. Throws TypeError for one that no socket has, and for an end that has no socket. */
export function timerOf(
  end: End,
  name: TimerName,
  options: TimerOptions,
  ends: readonly End[],
): Required<TimerOptions> {
  checkFields('what to ask of a timer', options, TIMER);
  const { belowMs = Number.POSITIVE_INFINITY } = options;
  if (!ends.includes(end)) throw invalidValue(`timer() knows ${ends.join(' and ')}, not ${end}`);
  if (typeof belowMs !== 'number') {
    throw invalidType(`belowMs must be a number of milliseconds, received ${String(belowMs)}`);
  }
  if ((timerNames as readonly unknown[]).includes(name)) return { belowMs };
  throw invalidValue(`a timer is one of ${timerNames.join(', ')}, not ${String(name)}`);
}

/** Throws TypeError where `blocked` is asked of what is no end, or of no call. */
export function checkWaiting(role: Role, call: string): void {
  const { end } = (role ?? {}) as Partial<Role>;
  if (end !== 'client' && end !== 'server') {
    throw invalidType(`blocked() takes a role, such as server, received ${typeof role}`);
  }
  if (typeof call === 'string' && call !== '') return;
  throw invalidType(`blocked() takes the name of a system call, received ${String(call)}`);
}

/** Throws TypeError for a moment without a name. */
export function checkMoment(name: unknown): void {
  if (typeof name === 'string' && name !== '') return;
  throw invalidType(`a moment has a name, received ${String(name)}`);
}

/** Throws TypeError where `fails` is given something else than an act that is under way. */
export function checkAct(act: unknown): void {
  if (typeof (act as Promise<unknown> | undefined)?.then === 'function') return;
  throw invalidType(`fails() takes the promise of an act, received ${typeof act}`);
}
