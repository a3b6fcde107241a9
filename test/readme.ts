/**
 * Rewrites the outputs in README.md with what the commands print now: `node dist/test/readme.js [--bench]`.
 *
 * An output is a block under a comment, `<!-- output of: closewait list -->`. The commands it knows are `closewait ...`,
 * `node NAME.js` for an example under `<!-- file: NAME.ts -->`, and `npm run bench`, which takes minutes and is run only
 * when asked for.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isPassing } from '../src/tcp/states.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const cli = join(root, 'dist/src/cli.js');
const SLOW = 'npm run bench';
const DEADLINE_MS = 60_000;
const BENCH_DEADLINE_MS = 3_600_000;

export const readmePath = join(root, 'README.md');

/** A fenced block of README.md. */
export interface Block {
  /** What stands behind the opening fence: `sh`, `ts`, `text`. */
  readonly language: string;
  readonly text: string;
  /** The command in the comment above, if this is an output. */
  readonly command?: string;
  /** The name in the comment above, if this is an example. */
  readonly file?: string;
}

const FENCED =
  /(?:^<!-- (?:output of: (?<command>[^\n]+)|file: (?<file>[\w-]+\.ts)) -->\n+)?^```(?<language>\w*)\n(?<text>.*?)^```$/gms;

/** The fenced blocks of a Markdown text, in order. */
export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(FENCED)].map(({ groups = {} }) => {
    const { language = '', text = '', command, file } = groups;
    return { language, text, ...(command && { command }), ...(file && { file }) };
  });
}

/** The output of a command, from standard output alone. Throws if the command fails. */
export type RunCommand = (command: string) => string;

/**
 * Compiles the examples of a Markdown text in a folder of their own inside the package, so that `closewait` means this
 * package, and calls `use` with what runs commands there. The folder goes when `use` has returned.
 */
export function withExamples<T>(markdown: string, use: (run: RunCommand) => T): T {
  const dist = join(root, 'dist');
  mkdirSync(dist, { recursive: true });
  const folder = mkdtempSync(join(dist, 'readme-'));
  try {
    for (const { file, text } of blocksOf(markdown)) {
      if (file !== undefined) writeFileSync(join(folder, file), text);
    }
    const compilerOptions = {
      rootDir: '.',
      outDir: 'js',
      declaration: false,
      declarationMap: false,
      sourceMap: false,
      incremental: false,
      tsBuildInfoFile: null,
    };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'] }),
    );
    execute(join(root, 'node_modules/.bin/tsc'), ['-p', folder], DEADLINE_MS);
    return use((command) => outputOf(command, folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function outputOf(command: string, folder: string): string {
  const [program, ...args] = command.split(' ');
  if (program === 'closewait') return execute(process.execPath, [cli, ...args], DEADLINE_MS);
  if (program === 'node') {
    return execute(process.execPath, [join(folder, 'js', args[0] ?? '')], DEADLINE_MS);
  }
  // Exit code 1 says that a bound is missed: its table is as true as another.
  if (command === SLOW) return execute('npm', ['run', '--silent', 'bench'], BENCH_DEADLINE_MS, [1]);
  throw new Error(`README.md: no way to run "${command}"`);
}

interface ExecFailure {
  readonly status?: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** Trailing blanks, which netstat pads its lines with, would not survive an editor: they are left out. */
function execute(file: string, args: string[], timeout: number, allowed: number[] = []): string {
  try {
    return execFileSync(file, args, { cwd: root, encoding: 'utf8', timeout }).replace(/ +$/gm, '');
  } catch (error) {
    const { status, stdout = '', stderr = '' } = error as ExecFailure;
    if (allowed.includes(status ?? 0)) return stdout.replace(/ +$/gm, '');
    throw new Error(`${file} ${args.join(' ')} failed\n${stdout}${stderr}`, { cause: error });
  }
}

/**
 * What stays the same from run to run: numbers, addresses' ports, times and process names are masked, and so is what
 * another machine may say otherwise: the privilege, the kernel function a thread sleeps in, states too short to be seen.
 */
export function shapeOf(output: string): string {
  return output
    .replace(/\bLinux \S+,/g, 'Linux 0,')
    .replace(/\((?:root|user-namespace)\)/g, '(privilege)')
    .replace(/ \(in \w+\)/g, '')
    .replace(/\d+\/closewait-\w*/g, '0/closewait')
    .replace(/^.*\bpath of the .*$/gm, (line) =>
      line.replace(/"?([A-Z_]+\d?)"?(?: > |,)/g, (step, state) => (isPassing(state) ? '' : step)),
    )
    .replace(/\d+(?:\.\d+)*/g, '0')
    .replace(/ +/g, ' ')
    .replace(/ $/gm, '');
}

/** The text with every output replaced by a fresh one. */
function regenerate(markdown: string, { bench }: { bench: boolean }): string {
  return withExamples(markdown, (run) =>
    markdown.replace(FENCED, (block, ...rest) => {
      const { command, text } = rest.at(-1) as Record<string, string | undefined>;
      if (command === undefined || text === undefined) return block;
      if (command === SLOW && !bench) return block;
      const before = block.slice(0, block.length - text.length - '```'.length);
      return `${before}${run(command).replace(/\n*$/, '\n')}\`\`\``;
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const markdown = readFileSync(readmePath, 'utf8');
  writeFileSync(readmePath, regenerate(markdown, { bench: process.argv.includes('--bench') }));
}
