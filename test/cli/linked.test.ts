/** Packages behind symbolic links, as pnpm, workspaces and `npm link` lay them out: what they depend on is beside their real place. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import { scratch } from '../driver/programs.js';
import { noWorld } from '../world/ability.js';
import { CLI, finished, PACKAGE } from './closewait.js';
import { HEAD } from './scenario-file.js';

const test = ava.serial;
const runs = noWorld === undefined ? test : test.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;

function write(folder: string, name: string, manifest: object, index: string): void {
  mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, name, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, name, 'index.js'), index);
}

/** A folder whose node_modules has links alone: `outer`, which imports `inner`, and this package. */
function linked(t: ExecutionContext): string {
  const folder = scratch(t);
  const store = join(folder, 'store', 'node_modules');
  const manifest = { type: 'module', main: 'index.js' };
  write(store, 'inner', manifest, 'export const inner = 1;');
  write(store, 'outer', manifest, "export { inner } from 'inner';");
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(join(store, 'outer'), join(folder, 'node_modules', 'outer'));
  symlinkSync(PACKAGE, join(folder, 'node_modules', 'closewait'));
  return folder;
}

// finished() reads from pipes: the command's output is one.
runs(`a scenario file may import them, wherever the output goes${why}`, (t) => {
  const cwd = linked(t);
  const text = `import { inner } from 'outer';\n${HEAD} export const a = scenario('a', () => {});`;
  writeFileSync(join(cwd, 'own.mjs'), text);
  const { code, stderr } = finished([process.execPath, CLI, 'run', 'own.mjs'], { cwd });
  t.is(stderr, '');
  t.is(code, 0);
});

test('a tsx that cannot be loaded is named', (t) => {
  if ('typescript' in process.features) return void t.pass('this Node reads TypeScript');
  const cwd = scratch(t);
  const exports = {
    './package.json': './package.json',
    './esm/api': { import: { default: './index.js' } },
  };
  write(join(cwd, 'node_modules'), 'tsx', { type: 'module', exports }, "import 'nowhere';");
  writeFileSync(join(cwd, 'own.ts'), 'export const a: number = 1;');
  const { code, stderr } = finished([process.execPath, CLI, 'run', 'own.ts'], { cwd });
  t.regex(
    stderr,
    /^closewait: own\.ts is TypeScript, and the tsx beside it cannot be loaded: .*nowhere.*\n$/,
  );
  t.is(code, 3);
});
