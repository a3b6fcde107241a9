/** The guard's hooks in real runs of the runners: of two tests, the one that leaks fails, and says what it left. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { ExecutionContext } from 'ava';
import { finished, PACKAGE } from '../cli/closewait.js';
import { scratch } from '../driver/programs.js';
import { test } from '../fixture/descriptors.js';
import { testUnless } from '../world/ability.js';

/** Leaves a half-closed connection, or none; what it leaves does not keep the runner alive. */
const LEAK = `
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
export async function connection({ leaves }) {
  const server = createServer({ allowHalfOpen: leaves }, (socket) => socket.resume().unref()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect(server.address().port, '127.0.0.1').resume();
  await once(client, 'connect');
  client.end();
  if (leaves) client.unref();
  else await once(client, 'close');
  server.close();
}
`;

const BODY = `
test('clean', async () => { await connection({ leaves: false }); });
test('leaky', async () => { await connection({ leaves: true }); });
`;

/** A package of its own, in which `closewait` is installed. */
function project(t: ExecutionContext, files: Readonly<Record<string, string>>): string {
  const directory = scratch(t);
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(PACKAGE, join(directory, 'node_modules', 'closewait'));
  const all = { 'package.json': '{ "type": "module" }', 'leak.mjs': LEAK, ...files };
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

/** Without what tells a runner that it runs inside of another. */
const env = {
  ...{ NODE_TEST_CONTEXT: undefined, AVA_PATH: undefined, CI: undefined, NODE_ENV: undefined },
  ...{ VITEST: undefined, JEST_WORKER_ID: undefined },
};

test('AVA', (t) => {
  const file = `
import test from 'ava';
import { guardAva } from 'closewait/guard';
import { connection } from './leak.mjs';
guardAva(test, { settleMs: 200 });
test.serial('clean', async (t) => { await connection({ leaves: false }); t.pass(); });
test.serial('leaky', async (t) => { await connection({ leaves: true }); t.pass(); });
`;
  const cwd = project(t, { 'guard.test.mjs': file });
  symlinkSync(join(PACKAGE, 'node_modules', 'ava'), join(cwd, 'node_modules', 'ava'));
  const ava = join(PACKAGE, 'node_modules', 'ava', 'entrypoints', 'cli.mjs');
  const { code, stdout } = finished([process.execPath, ava, '--tap'], { cwd, env });
  t.is(code, 1, stdout);
  t.regex(stdout, /^ok \d+ - clean$/m);
  t.regex(stdout, /^not ok \d+ - afterEach.always hook for leaky$/m);
  t.regex(stdout, /CLOSE_WAIT, not-closed: fd \d+/);
});

test('node:test, with the place where it was opened', (t) => {
  const file = `
import { afterEach, beforeEach, test } from 'node:test';
import { guardEach } from 'closewait/guard';
import { connection } from './leak.mjs';
guardEach({ beforeEach, afterEach }, { settleMs: 200 });
${BODY}`;
  const cwd = project(t, { 'guard.test.mjs': file });
  const run = [process.execPath, '--import', 'closewait/register', '--test-reporter=tap'];
  const { code, stdout } = finished([...run, 'guard.test.mjs'], { cwd, env });
  t.is(code, 1, stdout);
  t.regex(stdout, /^ok \d+ - clean$/m);
  t.regex(stdout, /^not ok \d+ - leaky$/m);
  t.regex(stdout, /CLOSE_WAIT, not-closed: fd \d+/);
  t.regex(stdout, /at connection \(file:.*leak\.mjs:5:\d+\)/);
});

/** What is tried with a runner that this package does not depend on: it is fetched, into a directory that goes again. */
const fetched = [
  {
    name: 'vitest',
    command: ['run', '--reporter=verbose'],
    files: {
      'guard.test.mjs': `
import { afterEach, beforeEach, test } from 'vitest';
import { guardEach } from 'closewait/guard';
import { connection } from './leak.mjs';
guardEach({ beforeEach, afterEach }, { settleMs: 200 });
${BODY}`,
    },
    nodeOptions: '',
  },
  {
    name: 'jest',
    command: ['--testMatch', '**/guard.test.mjs', '--watchman=false', '--forceExit', '--runInBand'],
    files: {
      'guard.test.mjs': `
import { guardEach } from 'closewait/guard';
import { connection } from './leak.mjs';
guardEach({ beforeEach, afterEach }, { settleMs: 200 });
${BODY}`,
      'package.json':
        '{ "type": "module", "jest": { "transform": {}, "moduleFileExtensions": ["mjs", "js"] } }',
    },
    nodeOptions: '--experimental-vm-modules',
  },
] as const;

for (const { name, command, files, nodeOptions } of fetched) {
  testUnless(unreachable(name), `${name}, as fetched from the registry`, async (t) => {
    t.timeout(110_000);
    const cwd = project(t, files);
    const install = ['npm', 'install', '--no-save', '--no-audit', '--no-fund', '--prefix', cwd];
    const got = finished([...install, name], { cwd });
    t.is(got.code, 0, got.stderr);
    // npm takes out what it did not put there.
    symlinkSyncUnlessThere(cwd);
    const bin = join(cwd, 'node_modules', '.bin', name);
    const { code, stdout, stderr } = finished([bin, ...command], {
      ...{ cwd, env: { ...env, NODE_OPTIONS: nodeOptions } },
    });
    const said = stripVTControlCharacters(stdout + stderr);
    t.is(code, 1, said);
    t.regex(said, /✓[^\n]*\bclean\b/, said);
    t.regex(said, /(✕|×|✗)[^\n]*\bleaky\b/, said);
    t.regex(said, /CLOSE_WAIT, not-closed: fd \d+/);
  });
}

function symlinkSyncUnlessThere(cwd: string): void {
  try {
    symlinkSync(PACKAGE, join(cwd, 'node_modules', 'closewait'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Why the package cannot be had; undefined where it can. */
function unreachable(name: string): string | undefined {
  const view = ['npm', 'view', name, 'version', '--fetch-retries=0', '--fetch-timeout=5000'];
  return finished(view).code === 0 ? undefined : 'no registry';
}
