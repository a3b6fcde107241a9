import type { Paint } from '../report/terminal.js';

/** Exit codes of the command line. */
export const AS_EXPECTED = 0;
export const EXPECTATION_FAILED = 1;
export const USAGE = 2;
export const CANNOT_RUN = 3;
export const INTERRUPTED = 130;

/** What a command speaks through: stdout is data, stderr is chatter. */
export interface Io {
  out(text: string | Uint8Array): void;
  chatter(line: string): void;
  /** Replaces the line that says how far it is; '' takes it away. Undefined where stderr is no terminal, or a dumb one. */
  readonly status: ((line: string) => void) | undefined;
  /** Ends the process soon, even if more still goes on than did before: a scenario has left that behind. */
  endSoon(before: readonly string[]): void;
  /** Ends the process here and now. */
  endNow(exitCode: number): never;
  readonly paint: Paint;
  /** How wide a line of stdout may be. */
  readonly columns: number;
  /** How many lines fit on it; undefined where stdout is no terminal, or a dumb one. */
  readonly rows: number | undefined;
}

/** It cannot run here, and why. */
export class CannotRun extends Error {}

/** The command line is wrong. */
export class Usage extends Error {}

/** Ends when the command is to end: Ctrl-C, or a signal that asks for it. */
export function interruption(): AbortSignal {
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupted.abort());
  }
  return interrupted.signal;
}
