import { readdirSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import {
  badNames,
  codeOf,
  cycles,
  importsOf,
  loudFiles,
  mayImport,
  nativeFaults,
  type Tree,
  tooLong,
  wrongImports,
} from './house.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Every source file under a folder of the package. */
function tree(...folders: string[]): Tree {
  const files = new Map<string, string>();
  for (const folder of folders) {
    for (const entry of readdirSync(`${ROOT}${folder}`, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.(ts|mjs|cc|c|h)$/.test(entry.name)) continue;
      const path = `${entry.parentPath ?? Reflect.get(entry, 'path')}/${entry.name}`;
      files.set(relative(ROOT, path), readFileSync(path, 'utf8'));
    }
  }
  return files;
}

const LONG = new Map([
  ['src/syscall/constants.ts', 'a list: one name a line'],
  ['test/native/os_test.cc', 'a list: one race after the other'],
  ['test/syscall/08-refusal.test.ts', 'a table: one refusal a row'],
]);

const src = tree('src');
const everything = tree('src', 'test', 'native');

test('there is something to look at', (t) => {
  t.true(src.size > 15);
  t.true([...everything.keys()].some((path) => path.startsWith('native/os/')));
  const imports = [...src.values()].flatMap(importsOf);
  t.true(imports.length > 40);
  t.true(imports.some(({ typeOnly }) => typeOnly));
});

test('every import obeys the table', (t) => t.deepEqual(wrongImports(src), []));
test('no cycles', (t) => t.deepEqual(cycles(src), []));
test('console and process.exit are for cli.ts, however they are got', (t) =>
  t.deepEqual(loudFiles(src), []));
test('no index files inside folders, no utils', (t) =>
  t.deepEqual(badNames(everything.keys()), []));
test('no file over 400 lines without a reason', (t) => t.deepEqual(tooLong(everything, LONG), []));
test('native code keeps to its floor', (t) => t.deepEqual(nativeFaults(everything), []));

test('every reason for a long file is still needed', (t) => {
  for (const path of LONG.keys())
    t.deepEqual(tooLong(new Map([[path, everything.get(path) ?? '']]), new Map()).length, 1, path);
});

test('the linter draws the same walls', (t) => {
  const biome = readFileSync(`${ROOT}biome.json`, 'utf8');
  const { overrides } = JSON.parse(biome) as {
    overrides: {
      includes: string[];
      linter: {
        rules: {
          style?: { noRestrictedImports?: { options: { patterns: { group: string[] }[] } } };
        };
      };
    }[];
  };
  for (const [room, rights] of Object.entries(mayImport)) {
    const override = overrides.find(({ includes }) => includes.includes(`src/${room}/**`));
    const patterns = override?.linter.rules.style?.noRestrictedImports?.options.patterns ?? [];
    const forbidden = new Set(patterns.flatMap(({ group }) => group));
    for (const other of Object.keys(mayImport)) {
      t.is(forbidden.has(`**/${other}/**`), !Object.hasOwn(rights, other), `${room} -> ${other}`);
    }
  }
});

// The checker itself: what it must see, and what it must not.

const of = (files: Record<string, string>): Tree => new Map(Object.entries(files));

const parsed: [source: string, imports: [from: string, typeOnly: boolean][]][] = [
  ["import a from './a.js';", [['./a.js', false]]],
  ["import './a.js';", [['./a.js', false]]],
  ["import * as a from './a.js';", [['./a.js', false]]],
  ["import type { A } from './a.js';", [['./a.js', true]]],
  ["import type A from './a.js';", [['./a.js', true]]],
  ["import type from './a.js';", [['./a.js', false]]],
  ["import { type A, type B } from './a.js';", [['./a.js', true]]],
  ["import { type A, b } from './a.js';", [['./a.js', false]]],
  ["import a, { type B } from './a.js';", [['./a.js', false]]],
  ["import {\n  type A,\n  type B,\n} from './a.js';", [['./a.js', true]]],
  ["import {} from './a.js';", [['./a.js', false]]],
  ["export * from './a.js';", [['./a.js', false]]],
  ["export type { A } from './a.js';", [['./a.js', true]]],
  ["export { a } from './a.js';", [['./a.js', false]]],
  ["export const a = 'b';", []],
  ["export * as a from './a.js';", [['./a.js', false]]],
  ["export {\n  type A,\n  type B,\n} from './a.js';", [['./a.js', true]]],
  ["export interface A {\n  b: Pick<C, 'flags'>;\n}", []],
  ["export type A = 'b' | 'c';", []],
  ["export class From {\n  from: 'a' | 'b';\n}", []],
  ["export const from = f('./a.js');", []],
  ["const a = await import('./a.js');", [['./a.js', false]]],
  ['const a = await import(name);', [['(computed)', false]]],
  ["// import a from './a.js';", []],
  ["/*\nimport a from './a.js';\n*/", []],
  ["import a from './a.js'; // and b from './b.js'", [['./a.js', false]]],
  [
    "import a from './a.js';\nimport type { B } from './b.js';",
    [
      ['./a.js', false],
      ['./b.js', true],
    ],
  ],
];
for (const [source, imports] of parsed) {
  test(`parses ${JSON.stringify(source)}`, (t) => {
    t.deepEqual(
      importsOf(source),
      imports.map(([from, typeOnly]) => ({ from, typeOnly })),
    );
  });
}

const bad: [what: string, files: Record<string, string>, says: RegExp][] = [
  [
    'a room above',
    { 'src/tcp/a.ts': "import '../syscall/b.js';", 'src/syscall/b.ts': '' },
    /tcp\/ may not import syscall\//,
  ],
  ['Node in tcp/', { 'src/tcp/a.ts': "import 'node:fs';" }, /tcp\/ is pure/],
  ['a package in tcp/', { 'src/tcp/a.ts': "import 'commander';" }, /tcp\/ is pure/],
  [
    'the addon from outside',
    { 'src/world/a.ts': "import '../syscall/native.js';", 'src/syscall/native.ts': '' },
    /native\.ts is for syscall/,
  ],
  [
    'the addon from a door',
    { 'src/index.ts': "export * from './syscall/native.js';", 'src/syscall/native.ts': '' },
    /native\.ts is for syscall/,
  ],
  [
    'a value where only types may pass',
    { 'src/scenario/a.ts': "import { b } from '../world/b.js';", 'src/world/b.ts': '' },
    /only types of world/,
  ],
  [
    'a value among types',
    { 'src/report/a.ts': "import { type B, c } from '../observer/b.js';", 'src/observer/b.ts': '' },
    /only types of observer/,
  ],
  [
    'a door',
    { 'src/world/a.ts': "import '../index.js';", 'src/index.ts': '' },
    /may not import a door/,
  ],
  [
    'the package by its own name',
    { 'src/report/a.ts': "import 'closewait/lab';" },
    /may not import itself/,
  ],
  ['a file that is not there', { 'src/tcp/a.ts': "import './b.js';" }, /no such file/],
  ['a room that is not in the table', { 'src/attic/a.ts': '' }, /there is no room attic/],
  [
    'a dynamic import',
    { 'src/tcp/a.ts': "const b = await import('../world/b.js');", 'src/world/b.ts': '' },
    /tcp\/ may not import world/,
  ],
];
for (const [what, files, says] of bad) {
  test(`sees ${what}`, (t) => {
    const wrong = wrongImports(of(files));
    t.is(wrong.length, 1, wrong.join('\n'));
    t.regex(wrong[0] ?? '', says);
  });
}

test('allows what the table allows', (t) => {
  const files = {
    'src/scenario/a.ts':
      "import type { B } from '../world/b.js';\nimport './c.js';\nimport 'node:fs';",
    'src/scenario/c.ts': "import { type B } from '../driver/d.js';",
    'src/world/b.ts': "import '../tcp/e.js';\nimport '../syscall/f.js';",
    'src/driver/d.ts': '',
    'src/tcp/e.ts': '',
    'src/syscall/f.ts': "import './native.js';",
    'src/syscall/native.ts': '',
    'src/index.ts': "export * from './scenario/a.js';",
  };
  t.deepEqual(wrongImports(of(files)), []);
});

test('sees a cycle, once, and none made of types', (t) => {
  const loop = of({
    'src/tcp/c.ts': "import './a.js';",
    'src/tcp/a.ts': "import './b.js';",
    'src/tcp/b.ts': "import './c.js';\nimport './d.js';",
    'src/tcp/d.ts': '',
  });
  t.deepEqual(cycles(loop), ['src/tcp/a.ts -> src/tcp/b.ts -> src/tcp/c.ts -> src/tcp/a.ts']);
  const types = of({
    'src/tcp/a.ts': "import type { B } from './b.js';",
    'src/tcp/b.ts': "import './a.js';",
  });
  t.deepEqual(cycles(types), []);
  t.deepEqual(cycles(of({ 'src/tcp/a.ts': "import './a.js';" })), ['src/tcp/a.ts -> src/tcp/a.ts']);
});

test('sees what is loud, and not where it is only spoken of', (t) => {
  t.is(loudFiles(of({ 'src/tcp/a.ts': "console.log('x');" })).length, 1);
  t.is(loudFiles(of({ 'src/tcp/a.ts': 'process.exit(1);' })).length, 1);
  t.is(loudFiles(of({ 'src/tcp/a.ts': "console['log'](1); process\n.exit();" })).length, 2);
  for (const source of [
    "import { exit } from 'node:process';",
    "import { Console } from 'console';",
    "const { log } = await import('node:console');",
    'const { exit } = process;',
    'const { log } = globalThis.console;',
    "process['exit']();",
    'process?.exit();',
  ]) {
    t.is(loudFiles(of({ 'src/tcp/a.ts': source })).length, 1, source);
  }
  const quiet =
    "import type { Console } from 'node:console'; const { exitCode, pid } = process; f(process);";
  t.deepEqual(loudFiles(of({ 'src/tcp/a.ts': quiet })), []);
  t.deepEqual(loudFiles(of({ 'src/cli.ts': 'console.log(1); process.exit(1);' })), []);
  t.deepEqual(loudFiles(of({ 'src/tcp/a.ts': "// console.log\nconst a = 'process.exit()';" })), []);
  t.is(codeOf("a('//'); /* b */ c(`d`) // e").trim(), "a('');  c('')");
});

test('sees bad names', (t) => {
  t.deepEqual(badNames(['src/index.ts', 'src/tcp/info.ts', 'src/tcp/indexes.ts']), []);
  const names = ['src/tcp/index.ts', 'src/utils/a.ts', 'test/util.ts', 'src/tcp/helpers.ts'];
  t.deepEqual(badNames(names), names);
});

test('sees a file of 401 lines', (t) => {
  t.deepEqual(tooLong(of({ a: 'x\n'.repeat(401), b: 'x\n'.repeat(400) }), new Map()), [
    'a: 401 lines',
  ]);
});

test('sees what native code may not do', (t) => {
  const faults = (path: string, source: string) => nativeFaults(of({ [path]: source })).length;
  t.is(faults('native/os/a.cc', '#include <napi.h>'), 1);
  t.is(faults('native/os/a.cc', '#include <node_api.h>'), 1);
  t.is(faults('native/os/a.cc', '#include "../glue/throw.h"'), 1);
  t.is(faults('native/os/a.cc', '// #include <napi.h>\n#include <net/if.h>'), 0);
  t.is(faults('native/glue/a.cc', 'napi_throw_error(env, 0, 0);'), 1);
  t.is(faults('native/glue/throw.cc', 'napi_throw_error(env, 0, 0);'), 0);
  t.is(faults('native/glue/a.cc', 'syscall(SYS_read);'), 1);
  t.is(faults('native/reference/a.c', '#include <uv.h>'), 1);
});
