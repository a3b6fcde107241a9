// What may be asked of a run, and by a story of its stage. A slip of its author is refused at once, and not waited for.

import type { DriverName, End, Role } from '../driver/role.js';
import type { Command } from '../driver/running.js';
import type { ReachOptions, TimerOptions } from '../scenario/scenario.js';
import {
  type Checks,
  checkBoolean,
  checkedFields,
  checkFields,
  checkFunction,
  checkMs,
  checkSignal,
  checkString,
  invalidType,
  invalidValue,
  listOf,
  oneOf,
} from '../tcp/argument.js';
import { type TimerName, timerNames } from '../tcp/socket-table.js';
import { type TcpStateName, tcpStates } from '../tcp/states.js';
import type { RunOptions } from './run.js';

const REACH: Readonly<Record<keyof ReachOptions, true>> = { deadlineMs: true };
const TIMER: Readonly<Record<keyof TimerOptions, true>> = { belowMs: true };
const DRIVERS: Readonly<Record<DriverName, true>> = { raw: true, libuv: true, program: true };

const OPTIONS: Checks<RunOptions> = {
  driver: oneOf(...Object.keys(DRIVERS)),
  world: oneOf('namespace', 'host'),
  family: oneOf(4, 6),
  node: checkString,
  command: (what, value) => {
    const { end, words } = checkedFields(what, value as Command, COMMAND);
    COMMAND.end(`${what}.end`, end);
    COMMAND.words(`${what}.words`, words);
    if (words.length === 0) throw invalidValue(`${what}.words must name a program`);
  },
  signal: checkSignal,
  timeoutMs: checkMs,
  onMoment: checkFunction,
  onTimeline: checkFunction,
  observed: checkBoolean,
};
const COMMAND: Checks<Command> = { end: oneOf('client', 'server'), words: listOf(checkString) };

/** Checks options of a run and returns a copy. Throws TypeError or RangeError for what is none. */
export function checkedRun(options: RunOptions): RunOptions {
  const checked = checkedFields('options', options, OPTIONS);
  OPTIONS.world('world', checked.world);
  return checked;
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
  checkMs('deadlineMs', deadlineMs);
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
