import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { DiagnoseOptions } from './options.js';
import { describe, type ProcessReport, type StackReport } from './process.js';
import type { Runtime } from './runtime.js';

/** A way to make a process show its stacks. */
export interface StackTool {
  readonly command: readonly [file: string, ...args: string[]];
  /** What it does to the process, to be said before it is done. */
  readonly effect: string;
  /** Does it from here, where no program is run. */
  readonly run?: (signal?: AbortSignal) => Promise<string>;
}

const TRACED = 'stops it by ptrace while the stacks are read';

const INSPECTOR = 'inspector';

const tools: Readonly<Record<string, (pid: string) => StackTool>> = {
  [INSPECTOR]: (pid) => ({
    command: [INSPECTOR, pid],
    effect:
      'sends it SIGUSR1: it opens its inspector on 127.0.0.1:9229, says so on its standard error, pauses if it runs JavaScript, and closes the inspector again',
    run: async (signal) => (await import('./inspector.js')).nodeStacks(Number(pid), signal),
  }),
  jcmd: (pid) => ({
    command: ['jcmd', pid, 'Thread.print'],
    effect: 'sends it SIGQUIT to attach, and its threads halt at a safepoint',
  }),
  jstack: (pid) => ({
    command: ['jstack', pid],
    effect: 'sends it SIGQUIT to attach, and its threads halt at a safepoint',
  }),
  'py-spy': (pid) => ({ command: ['py-spy', 'dump', '--pid', pid], effect: TRACED }),
  'eu-stack': (pid) => ({ command: ['eu-stack', '-p', pid], effect: TRACED }),
  gdb: (pid) => ({
    command: [
      ...(['gdb', '-nx', '-batch', '-p', pid] as const),
      ...['-ex', 'set pagination off', '-ex', 'thread apply all backtrace'],
    ],
    effect: TRACED,
  }),
};

/** A runtime's own means come first; those of the machine show the interpreter's frames, not the program's. */
const byRuntime: Readonly<Record<Runtime, readonly string[]>> = {
  java: ['jcmd', 'jstack', 'gdb', 'eu-stack'],
  python: ['py-spy', 'gdb', 'eu-stack'],
  node: [INSPECTOR],
  go: ['gdb', 'eu-stack'],
  native: ['eu-stack', 'gdb'],
};

/** What shows the frames of the program, where gdb and eu-stack show those of what runs it. */
const ownMeans: Partial<Readonly<Record<Runtime, readonly string[]>>> = {
  java: ['jcmd', 'jstack'],
  python: ['py-spy'],
};

const DEADLINE_MS = 30_000;
const OUTPUT_LIMIT = 1 << 26;

/** The tool to ask a process with, the first of its runtime's that is installed; undefined if none is. */
export function stackToolFor(
  { pid, runtime = 'native' }: Pick<ProcessReport, 'pid' | 'runtime'>,
  isThere: (file: string) => boolean = isInstalled,
): StackTool | undefined {
  const name = byRuntime[runtime].find(isThere);
  return name === undefined ? undefined : tools[name]?.(String(pid));
}

/** Runs that tool. Whatever goes wrong is the report's `reason`; an abort of `signal` rejects. */
export async function stacksOf(
  process: Pick<ProcessReport, 'pid' | 'runtime'>,
  signal?: AbortSignal,
): Promise<StackReport> {
  const tool = stackToolFor(process);
  if (tool === undefined) {
    const names = byRuntime[process.runtime ?? 'native'].join(', ');
    return { command: '', reason: `none of these is installed: ${names}` };
  }
  const [file, ...args] = tool.command;
  const command = tool.command.join(' ');
  if (tool.run !== undefined) {
    try {
      return { command, text: await tool.run(signal) };
    } catch (error) {
      signal?.throwIfAborted();
      return { command, reason: (error as Error).message };
    }
  }
  const { execFile } = await import('node:child_process');
  return new Promise((resolve, reject) => {
    const options = { timeout: DEADLINE_MS, maxBuffer: OUTPUT_LIMIT, signal };
    execFile(file, args, options, (error, stdout, stderr) => {
      if (signal?.aborted) reject(signal.reason);
      else if (error) resolve({ command, reason: stderr.trim() || error.message });
      else resolve({ command, text: stdout });
    });
  });
}

function isInstalled(file: string): boolean {
  if (file === INSPECTOR) return true;
  return (process.env['PATH'] ?? '').split(':').some((directory) => {
    try {
      accessSync(join(directory, file), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What the stacks that are asked for will do to each process, a line for each; to be said before it is done. */
export function stackPlan({ stacks = false, pids = [] }: DiagnoseOptions): string[] {
  if (!stacks) return [];
  return pids.flatMap((pid) => {
    const process = describe(pid);
    const tool = process && stackToolFor(process);
    if (tool === undefined) return [];
    const own = process?.runtime && ownMeans[process.runtime];
    const lack =
      own === undefined || own.includes(tool.command[0])
        ? ''
        : `; it shows the interpreter's frames: for the program's own, install ${own.join(' or ')}`;
    return [`\`${tool.command.join(' ')}\` for pid ${pid} ${tool.effect}${lack}`];
  });
}
