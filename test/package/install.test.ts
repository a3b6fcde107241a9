import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { RunRecord } from '../../src/experiment/record.js';
import {
  folderOfNode,
  install,
  type Manifest,
  noRegistry,
  output,
  pack,
  pathWith,
  project,
} from './consumer.js';

const RELEASE_LINES = [20, 22, 24, 26];
const SLOW_MS = 300_000;
const directory = mkdtempSync(join(tmpdir(), 'closewait-package-'));
test.after.always(() => rmSync(directory, { recursive: true, force: true }));

const run = noRegistry === undefined ? test.serial : test.serial.skip;
const because = noRegistry === undefined ? '' : ` (${noRegistry})`;

let tarball = '';
test.before(async () => {
  tarball = await pack(directory, process.arch);
});

/** An import of both doors, and a connection that goes through the calls, TCP_INFO, sock_diag, an actor and a worker. */
const PROGRAM = `
  import { snapshot, tcpState } from 'closewait';
  import * as sys from 'closewait/syscall';
  import { once } from 'node:events';
  import { Worker, isMainThread, parentPort } from 'node:worker_threads';

  const fds = new sys.Descriptors(); // that end with the program: Node 22 has no \`using\`
  const listener = fds.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  sys.bind(listener, { address: '127.0.0.1', port: 0 });
  sys.listen(listener, 1);
  const client = fds.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  sys.connect(client, sys.getsockname(listener));
  const { fd } = sys.accept(listener);
  fds.own(fd);
  fds.close(client);
  sys.read(fd, new Uint8Array(1)); // until the FIN is there
  const seen = [tcpState(fd)];
  const { port } = sys.getsockname(fd);
  seen.push([...snapshot()].some(({ state, local }) => state === 'CLOSE_WAIT' && local.port === port));

  const actor = await sys.Actor.start();
  const aborted = actor.accept(listener, { signal: AbortSignal.timeout(10) });
  seen.push(await aborted.catch(({ name }) => name));
  await actor.stop();

  if (isMainThread) {
    const [inWorker] = await once(new Worker(new URL(import.meta.url)), 'message');
    process.stdout.write(JSON.stringify([process.versions.node, seen, inWorker]));
  } else parentPort.postMessage(seen);
`;

test.serial(
  'what it holds: binaries that can be loaded, and no script that npm would run',
  async (t) => {
    const names = (await output(['tar', '-tzf', tarball])).split('\n');
    for (const name of ['closewait.node', 'crowd', 'teardown']) {
      t.true(names.includes(`package/prebuilds/linux-${process.arch}/${name}`), name);
    }
    t.false(names.some((name) => /^package\/(?:test|build)\/|\.tsbuildinfo$/.test(name)));
    const manifest = await output(['tar', '-xzOf', tarball, 'package/package.json']);
    const { scripts = {}, gypfile } = JSON.parse(manifest) as Manifest;
    for (const name of ['preinstall', 'install', 'postinstall']) t.false(name in scripts, name);
    // npm compiles a package that has a binding.gyp, unless told not to.
    t.is(gypfile, false);
  },
);

test.serial('while it is filled, nothing stands beside what is packed', async (t) => {
  const tools = mkdtempSync(join(directory, 'tools-'));
  // Other tests pack meanwhile: what they find there goes along, and is missed where it has gone again.
  const strip = `#!/bin/sh\nPATH='${process.env['PATH']}'\nstrip "$@" && ls -A prebuilds/linux-${process.arch}\n`;
  writeFileSync(join(tools, 'strip'), strip, { mode: 0o755 });
  const fill = ['flock', 'binding.gyp', 'sh', 'native/prebuild.sh', process.arch];
  const listed = await output(fill, { PATH: `${tools}:${process.env['PATH']}` });
  t.deepEqual([...new Set(listed.trim().split('\n'))], ['closewait.node', 'crowd', 'teardown']);
});

test.serial('its binaries need no symbol newer than glibc 2.34 and GCC 11', async (t) => {
  const newest = { GLIBC: [2, 34], GLIBCXX: [3, 4, 29], CXXABI: [1, 3, 13] };
  const folder = new URL(`../../../prebuilds/linux-${process.arch}/`, import.meta.url);
  for (const name of readdirSync(folder)) {
    const text = readFileSync(new URL(name, folder), 'latin1');
    const needed = [...text.matchAll(/\b(GLIBC|GLIBCXX|CXXABI)_(\d+(?:\.\d+)+)\0/g)];
    t.true(needed.length > 1, name);
    for (const [, library = '', version = ''] of needed) {
      const parts = version.split('.').map(Number);
      const limit = newest[library as keyof typeof newest];
      const at = parts.findIndex((part, i) => part !== (limit[i] ?? 0));
      t.true(at < 0 || (parts[at] ?? 0) < (limit[at] ?? 0), `${name}: ${library}_${version}`);
    }
  }
});

for (const major of RELEASE_LINES) {
  run(`Node ${major}: installed without scripts or a compiler, it works${because}`, async (t) => {
    t.timeout(SLOW_MS);
    const node = await folderOfNode(major);
    const cwd = project(directory);
    const PATH = await pathWith(directory, node);
    await install(cwd, tarball, PATH);
    writeFileSync(join(cwd, 'program.mjs'), PROGRAM);
    const [version, ...seen] = JSON.parse(await output(['node', 'program.mjs'], { cwd, PATH }));
    t.regex(version, new RegExp(`^${major}\\.`));
    const expected = ['CLOSE_WAIT', true, 'AbortError'];
    t.deepEqual(seen, [expected, expected]);

    const closewait = join(cwd, 'node_modules/.bin/closewait');
    t.regex(await output(['node', closewait, '--help'], { cwd, PATH }), /^Usage: closewait /);
    const json = await output(
      ['node', closewait, 'run', 'close-wait', '--driver', 'raw', '--json'],
      {
        cwd,
        PATH,
      },
    );
    const record = JSON.parse(json) as RunRecord;
    t.is(record.verdict, 'reproduced');
    t.true(record.ok);
  });
}

run(`without its binary it says how to build one, and that works${because}`, async (t) => {
  t.timeout(SLOW_MS);
  const cwd = project(directory);
  await install(cwd, tarball);
  const installed = join(cwd, 'node_modules/closewait');
  rmSync(join(installed, 'prebuilds'), { recursive: true });
  writeFileSync(
    join(cwd, 'use.mjs'),
    `import { gettid } from 'closewait/syscall';
     try { gettid(); } catch ({ code, message }) { process.stdout.write(code + ': ' + message); }`,
  );
  const said = await output(['node', 'use.mjs'], { cwd });
  t.regex(said, /^ERR_ADDON_MISSING: there is no closewait\.node: /);
  mkdirSync(join(installed, 'build/Release'), { recursive: true });
  const other = fileURLToPath(new URL('../../../build/Release/async_worker.node', import.meta.url));
  copyFileSync(other, join(installed, 'build/Release/closewait.node'));
  const stale = await output(['node', 'use.mjs'], { cwd });
  t.regex(stale, /^ERR_ADDON_MISSING: .*\(it has no calls: it is of other sources\): build it/);
  const command = /`(npm explore [^`]+)`/.exec(said)?.[1] ?? '';
  await output(['sh', '-c', command], { cwd });
  t.true(statSync(join(installed, 'build/Release/closewait.node')).isFile());
  writeFileSync(join(cwd, 'program.mjs'), PROGRAM);
  t.regex(await output(['node', 'program.mjs'], { cwd }), /CLOSE_WAIT/);
});
