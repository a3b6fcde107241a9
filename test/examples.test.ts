import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { PACKAGE } from './cli/closewait.js';
import { importsOf } from './floors/house.js';
import { output } from './package/consumer.js';

const IN_WORLD = `
  import { Network } from 'closewait/lab';
  import * as sys from 'closewait/syscall';
`;

/** What an example takes for granted, by the file whose docstring it stands in. */
const GIVEN: Readonly<Record<string, string>> = {
  'src/syscall/actor.ts': `
    import * as sys from 'closewait/syscall';
    const { Actor } = sys;
    const listener = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
    sys.bind(listener, { address: '127.0.0.1', port: 0 });
    sys.listen(listener, 1);
    sys.connect(sys.socket(sys.AF_INET, sys.SOCK_STREAM), sys.getsockname(listener));
  `,
  'src/observer/sock-diag.ts': `
    import { snapshot } from 'closewait';
  `,
  'src/observer/polling.ts': `
    import { Polling } from 'closewait/lab';
    import * as sys from 'closewait/syscall';
    const fd = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
    sys.bind(fd, { address: '127.0.0.1', port: 0 });
    sys.listen(fd, 1);
    setTimeout(() => polling.stop(), 50);
  `,
  'src/world/network.ts': IN_WORLD,
  'src/world/wire.ts': `${IN_WORLD}
    await using network = await Network.open({ wire: 'server' });
    const client = await network.client.actor('client');
    const fd = await client.socket(sys.AF_INET, sys.SOCK_STREAM);
  `,
};

/** The files that a public door re-exports from. */
function behind(door: string): string[] {
  const source = readFileSync(join(PACKAGE, door), 'utf8');
  return importsOf(source).map(({ from }) => join(dirname(door), from.replace(/js$/, 'ts')));
}

/** The examples in the docstrings of a file. */
function examplesOf(file: string): string[] {
  const source = readFileSync(join(PACKAGE, file), 'utf8');
  const docstrings = source.match(/\/\*\*.*?\*\//gs) ?? [];
  return docstrings.flatMap((docstring) => {
    const lines = docstring.replace(/\*\/$/, '').replace(/^ *\* ?/gm, '');
    return [...lines.matchAll(/^@example\n(.*?)(?=^@|$(?![\s\S]))/gms)].map(([, code = '']) =>
      code.replace(/^```\w*\n/gm, ''),
    );
  });
}

const doors = ['src/index.ts', 'src/syscall/sys.ts', 'src/lab.ts'];
const files = [...new Set(doors.flatMap(behind))];
const examples = files.flatMap((file) => examplesOf(file).map((code) => ({ file, code })));

test('there are examples, and each is known', (t) => {
  t.true(examples.length >= 2);
  for (const { file } of examples) t.true(file in GIVEN, `${file}: what does its example need?`);
  t.deepEqual(
    Object.keys(GIVEN).filter((file) => !examples.some((each) => each.file === file)),
    [],
  );
});

const mayUnshare = spawnSync('unshare', ['--net', 'true']).status === 0;

for (const [i, { file, code }] of examples.entries()) {
  const cannot = file.startsWith('src/world/') && !mayUnshare;
  const title = `the example ${i + 1} in ${file} compiles under the strictest options and runs`;
  (cannot ? test.skip : test)(`${title}${cannot ? ' (needs root)' : ''}`, async (t) => {
    mkdirSync(join(PACKAGE, 'build'), { recursive: true });
    // Inside the package, so that its own name means it.
    const folder = mkdtempSync(join(PACKAGE, 'build/example-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const compilerOptions = {
      rootDir: '.',
      outDir: 'js',
      declaration: false,
      declarationMap: false,
      sourceMap: false,
      incremental: false,
      tsBuildInfoFile: null,
      noUnusedLocals: false,
    };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'] }),
    );
    writeFileSync(join(folder, 'example.ts'), `${GIVEN[file] ?? ''}\n${code}`);
    await output([join(PACKAGE, 'node_modules/.bin/tsc'), '-p', folder]);
    await t.notThrowsAsync(output([process.execPath, join(folder, 'js/example.js')]));
  });
}
