/** The command as its users start it: what it printed where, and its exit code. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
export const PACKAGE = fileURLToPath(new URL('../../../', import.meta.url));
/** Less than AVA waits for a sign of life. */
const DEADLINE_MS = 110_000;

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, its output in pipes. */
export function finished(
  [file = '', ...args]: readonly string[],
  { env = {}, cwd = PACKAGE }: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Finished {
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    cwd,
    env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: DEADLINE_MS,
    maxBuffer: 1 << 26,
  });
  if (error !== undefined) throw error;
  return { code: status, stdout, stderr };
}

/** `closewait ...`. */
export const closewait = (...args: string[]): Finished =>
  finished([process.execPath, CLI, ...args]);
