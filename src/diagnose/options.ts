import { checkedPid, processOfThread } from '../observer/proc.js';
import {
  type Check,
  type Checks,
  checkBoolean,
  checkedFields,
  checkMs,
  checkSignal,
  invalidType,
  listOf,
  outOfRange,
  shown,
} from '../tcp/argument.js';
import { checkState, stateNumber, type TcpStateName } from '../tcp/states.js';

/** What diagnose() is to look at, and how long. */
export interface DiagnoseOptions {
  /** Only what these processes hold, or have not accepted; in their namespaces. Left out: all, in the caller's namespace. */
  readonly pids?: readonly number[];
  /** Only sockets with one of these ports, at either end. */
  readonly ports?: readonly number[];
  /** Only sockets in these states. */
  readonly states?: readonly TcpStateName[];
  /** Every network namespace that a visible process is in or holds a descriptor or a socket of, or that is mounted in sight. */
  readonly all?: boolean;
  /** How long a socket must have stayed as it is, to tell a leak from a program at work. Default 1000. */
  readonly settleMs?: number;
  /** Also run each runtime's own tool for its stacks, which stops the process for a moment. Needs `pids`. */
  readonly stacks?: boolean;
  readonly signal?: AbortSignal;
}

/** The same as words of a command line. */
export interface DiagnoseFlags {
  readonly pid?: readonly string[];
  readonly port?: readonly string[];
  readonly state?: readonly string[];
  readonly settle?: string;
  readonly all?: true;
  readonly stacks?: true;
  readonly json?: true;
}

/** Makes options of flags, or says what is wrong with them. */
export function optionsFrom(flags: DiagnoseFlags): DiagnoseOptions | string {
  const { pid, port, state, settle, all, stacks } = flags;
  try {
    const options = {
      ...(pid && { pids: pid.map(wholeNumber) }),
      ...(port && { ports: port.map(wholeNumber) }),
      ...(state && { states: state.map(stateOf) }),
      ...(settle !== undefined && { settleMs: wholeNumber(settle) }),
      ...(all && { all }),
      ...(stacks && { stacks }),
    };
    checkOptions(options);
    return options;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}

const checkPort: Check = (what, value) => {
  if (typeof value !== 'number') {
    throw invalidType(`${what} must be a port, received ${shown(value)}`);
  }
  if (!Number.isInteger(value) || value < 1 || value > 65535)
    throw outOfRange(`not a port: ${value}`);
};

const CHECKS: Checks<DiagnoseOptions> = {
  pids: listOf((_, pid) => checkedPid(pid)),
  ports: listOf(checkPort),
  states: listOf(checkState),
  all: checkBoolean,
  settleMs: checkMs,
  stacks: checkBoolean,
  signal: checkSignal,
};

/**
 * Checks options, those that are named if not all are meant, and returns a copy. Throws TypeError for what is none,
 * RangeError for a pid, port or time that is none, and for options that exclude each other.
 */
export function checkOptions(options: DiagnoseOptions): DiagnoseOptions;
export function checkOptions<Name extends keyof DiagnoseOptions>(
  options: Pick<DiagnoseOptions, Name>,
  names: readonly Name[],
): Pick<DiagnoseOptions, Name>;
export function checkOptions(
  options: DiagnoseOptions,
  names = Object.keys(CHECKS) as readonly (keyof DiagnoseOptions)[],
): DiagnoseOptions {
  const checks = Object.fromEntries(names.map((name) => [name, CHECKS[name]]));
  const checked = checkedFields<DiagnoseOptions>('options', options, checks as typeof CHECKS);
  const { pids = [], stacks = false, all = false } = checked;
  if (all && pids.length > 0) {
    throw outOfRange('all namespaces or those of some processes: not both');
  }
  if (stacks && pids.length === 0) {
    throw outOfRange('stacks are read of processes that are named: give their pids');
  }
  return checked;
}

/** Throws RangeError for a number that a thread has and no process: /proc answers to it, and no list has it. */
export function checkNoThread(pid: number): void {
  const process = processOfThread(pid) ?? pid;
  if (process !== pid) throw outOfRange(`pid ${pid}: a thread of process ${process}`);
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new RangeError(`not a number: ${text}`);
  return Number(text);
}

function stateOf(name: string): TcpStateName {
  if (stateNumber(name) === undefined) {
    throw new RangeError(`no state "${name}"; spelled as in netstat`);
  }
  return name as TcpStateName;
}
