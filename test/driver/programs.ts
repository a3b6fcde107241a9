/**
 * Real processes for the tests of this folder: started, read, and gone when the test is.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';

/** What ends what was started: a test, or whoever else has a list of such things. */
export type Scope = Pick<ExecutionContext, 'teardown'>;

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const FIXTURES = fileURLToPath(new URL('../../../test/fixture/', import.meta.url));
const DEADLINE_MS = 60_000;

/** `closewait server ...` or `closewait client ...`. */
export function closewait(...args: string[]): string[] {
  return [process.execPath, CLI, ...args];
}

/** Waits until `look` returns something other than undefined; the failure tells what was last seen. */
export async function until<T>(
  look: () => T | undefined,
  describe: () => string,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const seen = look();
    if (seen !== undefined) return seen;
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A running program; its output is collected as it comes. */
export class Program {
  stdout = '';
  stderr = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  /** With `stdin`, a descriptor, for what can be typed. */
  constructor(t: Scope, [file = '', ...args]: string[], stdin: number | 'pipe' = 'pipe') {
    this.#child = spawn(file, args, { stdio: [stdin, 'pipe', 'pipe'] });
    this.#child.stdout?.setEncoding('latin1').on('data', (text: string) => {
      this.stdout += text;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // A program that ends before it has read its input is a result here, not an error of the test.
    this.#child.stdin?.on('error', () => undefined);
    this.#ended = once(this.#child, 'close');
    t.teardown(async () => {
      this.#child.kill('SIGKILL');
      await this.#ended;
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the program did not start');
    return this.#child.pid;
  }

  type(text: string | Uint8Array): void {
    this.#child.stdin?.write(text);
  }

  endInput(text: string | Uint8Array = ''): void {
    this.#child.stdin?.end(text);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Waits for `pattern` on one of the two outputs. */
  shows(output: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray> {
    let ended = false;
    this.#ended.then(() => {
      ended = true;
    });
    const missing = () => `${pattern} in ${output}: ${this.#seen()}`;
    return until(() => {
      const found = pattern.exec(this[output]) ?? undefined;
      if (found === undefined && ended) throw new Error(`it ended without ${missing()}`);
      return found;
    }, missing);
  }

  /** Waits for the port a server started on port 0 has announced. */
  async port(): Promise<number> {
    const [, port] = await this.shows('stderr', /^Listening on \S+:(\d+)\n/m);
    return Number(port);
  }

  /** Waits for the end: the exit code, or the signal that ended it. */
  async end(): Promise<number | NodeJS.Signals> {
    const result = await until(
      () => this.#child.exitCode ?? this.#child.signalCode ?? undefined,
      () => `the end: ${this.#seen()}`,
    );
    await this.#ended;
    return result;
  }

  #seen(): string {
    return JSON.stringify({ stdout: this.stdout, stderr: this.stderr });
  }
}

/** Makes a directory that goes with the test. */
export function scratch(t: Scope): string {
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Compiles test/fixture/NAME.c and returns the path of the program. */
export function compiled(directory: string, name: string): string {
  const program = join(directory, name);
  const { status, stderr } = spawnSync(
    'cc',
    ['-Wall', '-Wextra', '-Werror', '-pthread', '-o', program, join(FIXTURES, `${name}.c`)],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`cc: ${stderr}`);
  return program;
}

/** Why programs cannot be traced and compared here; undefined when they can. */
export function whyNoTrace(): string | undefined {
  if (spawnSync('cc', ['--version']).status !== 0) return 'no C compiler';
  if (spawnSync('strace', ['-o', '/dev/null', 'true']).status !== 0) return 'no working strace';
  return undefined;
}

/** Puts a command under strace: the process started is the program itself, the tracer its grandchild. */
export function traced(log: string, command: string[]): string[] {
  const calls = 'trace=socket,bind,listen,accept,connect,read,write,close,clock_nanosleep';
  return ['strace', '-D', '-s', '2000', '-e', calls, '-o', log, '--', ...command];
}

/**
 * Reads what a program did from its first socket on, in a form two programs can be compared by.
 *
 * Only calls on descriptors 0 and 1, on its sockets, and sleeps are kept. Descriptors get names, ports go; pieces
 * written to standard output in a row count as one write. Waits for the tracer to finish its log.
 */
export async function callsIn(log: string): Promise<string[]> {
  const text = await until(
    () => [readFileSync(log, 'utf8')].find((all) => /^\+\+\+ (exited|killed)/m.test(all)),
    () => `the end of ${log}`,
  );
  const names = new Map([
    ['0', 'stdin'],
    ['1', 'stdout'],
  ]);
  const calls: string[] = [];
  for (const line of text.slice(text.search(/^socket\(AF_INET/m)).split('\n')) {
    const [, name = '', args = '', result = ''] = /^(\w+)\((.*)\)\s+= (-?\d+|\?)/.exec(line) ?? [];
    const fd = /^\d+/.exec(args)?.[0] ?? '';
    // A call that a stop of the process has cut short is made again by the kernel: to the program it is one.
    if (/ = \? ERESTARTSYS/.test(line)) continue;
    if (name === 'socket') names.set(result, 'socket');
    if (name === 'accept') names.set(result, 'connection');
    const who = names.get(fd);
    if (name === 'socket') calls.push(`socket(${args})`);
    else if (name === 'clock_nanosleep') calls.push(`sleep(${/tv_sec=(\d+)/.exec(args)?.[1]})`);
    else if (who === 'stdin') calls.push(`read(stdin) = ${result}`);
    else if (who === 'stdout') addOutput(calls, args);
    else if (name === 'accept') calls.push(`accept(${who})`);
    else if (who !== undefined) {
      const rest = args.slice(fd.length).replace(/htons\(\d+\)/, 'PORT');
      calls.push(`${name}(${who}${rest}) = ${result}`);
    }
  }
  return calls;
}

function addOutput(calls: string[], args: string): void {
  const text = /"(.*)"/.exec(args)?.[1] ?? '';
  const before = calls.at(-1)?.match(/^write\(stdout, "(.*)"\)$/)?.[1];
  if (before !== undefined) calls.pop();
  calls.push(`write(stdout, "${before ?? ''}${text}")`);
}
