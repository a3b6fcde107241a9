import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CannotExpress } from '../driver/role.js';
import { withEveryActAwaited } from '../experiment/awaited.js';
import type { Scenario } from '../scenario/scenario.js';
import { faultsOf } from '../scenario/validate.js';
import { CannotRun, Usage } from './command.js';

/** Whether a name on the command line is a file's and not a scenario's. */
export const isFile = (name: string): boolean => /\/|\.[cm]?[jt]s$/.test(name);

/**
 * The scenarios that a file exports, under any name: its objects with a `run`. Throws Usage with all that is wrong with
 * them, CannotRun where TypeScript cannot be read here.
 */
export async function loadScenarios(file: string): Promise<Scenario[]> {
  const path = resolve(file);
  if (!existsSync(path)) throw new Usage(`there is no file ${file}`);
  const module = await load(file, pathToFileURL(path).href);
  const found = Object.entries(module).filter(([, value]) => looksMeant(value));
  // A CommonJS module is there twice: as a whole, and by its exports.
  const values = new Map(found.map(([name, value]) => [value, name]));
  if (values.size === 0) throw new Usage(`${file} exports no scenario: no object with a run()`);
  return [...values].map(([value, name]) => {
    const faults = faultsOf(value);
    if (faults.length === 0) return located(withEveryActAwaited(value as Scenario), path);
    const list = faults.map((fault) => `\n  ${fault}`).join('');
    throw new Usage(`${file}: the export "${name}" is no scenario:${list}`);
  });
}

const looksMeant = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && ('run' in value || 'path' in value);

async function load(file: string, href: string): Promise<Record<string, unknown>> {
  try {
    return await import(href);
  } catch (error) {
    if (!isUnknownExtension(error)) throw notLoaded(file, error);
  }
  const { tsImport } = await findTsx(file);
  try {
    return await tsImport(href, import.meta.url);
  } catch (error) {
    throw notLoaded(file, error);
  }
}

/** Node 20 reads no TypeScript, and 22 before 22.18 only when told to. */
function isUnknownExtension(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_UNKNOWN_FILE_EXTENSION';
}

function notLoaded(file: string, error: unknown): Usage {
  const where = error instanceof Error ? placeIn(error.stack, resolve(file)) : undefined;
  const remedy = isModuleInCommonJs(file, error)
    ? `; to the nearest package.json it is CommonJS: \`npm pkg set type=module\`, or name it .m${file.slice(-2)}`
    : '';
  return new Usage(`${file} cannot be loaded: ${error}${where ? ` (${where})` : ''}${remedy}`);
}

/** npm writes "type": "commonjs" into each new package.json, and Node then knows no `import` and `export`. */
function isModuleInCommonJs(file: string, error: unknown): boolean {
  if (!(error instanceof SyntaxError && /\b(?:im|ex)port\b/.test(error.message))) return false;
  if (!/\.[jt]s$/.test(file)) return false;
  for (let folder = dirname(resolve(file)); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest)) return /"type":\s*"commonjs"/.test(readFileSync(manifest, 'utf8'));
    if (folder === dirname(folder)) return false;
  }
}

interface Tsx {
  readonly tsImport: (href: string, parent: string) => Promise<Record<string, unknown>>;
}

/** The author's own tsx, from the file's folder or the current one. */
async function findTsx(file: string): Promise<Tsx> {
  for (const from of [resolve(file), resolve('package.json')]) {
    let manifest: string;
    try {
      manifest = createRequire(from).resolve('tsx/package.json');
    } catch {
      continue;
    }
    // Resolving it by require would find its CommonJS half, which does not find its loader.
    try {
      const { exports } = JSON.parse(readFileSync(manifest, 'utf8'));
      const api: string = exports['./esm/api'].import.default;
      return await import(new URL(api, pathToFileURL(manifest)).href);
    } catch (error) {
      throw new CannotRun(
        `${file} is TypeScript, and the tsx beside it cannot be loaded: ${error}`,
      );
    }
  }
  throw new CannotRun(
    `${file} is TypeScript, which Node ${process.versions.node} does not read: use Node 22.18 or newer, ` +
      'or `npm install --save-dev tsx` beside it, or compile it and run the .js file',
  );
}

/** The same scenario, whose errors say where in the file they came up. */
function located(scenario: Scenario, path: string): Scenario {
  return {
    ...scenario,
    async run(stage) {
      try {
        await scenario.run(stage);
      } catch (error) {
        if (error instanceof CannotExpress || !(error instanceof Error)) throw error;
        const { stack } = error.cause instanceof Error ? error.cause : error;
        const where = placeIn(stack, path);
        if (where === undefined) throw error;
        // Set, it would not be: a DOMException has a getter for it.
        Reflect.defineProperty(error, 'message', { value: `${error.message} (${where})` });
        throw error;
      }
    },
  };
}

/** The innermost line of a stack that is in a file: `mine.ts:12`. */
function placeIn(stack: string | undefined, path: string): string | undefined {
  for (const [, file = '', line] of (stack ?? '').matchAll(
    /((?:file:\/\/)?\/[^\s()]+?):(\d+)(?::\d+)?/g,
  )) {
    // What loads TypeScript may put a query behind the name.
    const plain = file.replace(/\?.*$/, '');
    const own = plain.startsWith('file:') ? fileURLToPath(plain) : plain;
    if (own === path) return `${basename(path)}:${line}`;
  }
  return undefined;
}
