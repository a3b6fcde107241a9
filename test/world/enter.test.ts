import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { ExecutionContext } from 'ava';
import * as sys from '../../src/syscall/sys.js';
import { enterNamespaces } from '../../src/world/enter.js';
import { namespacesOf, Traces } from '../experiment/traces.js';
import { until } from '../fixture/until.js';
import { noUserNamespace, testUnless } from './ability.js';

const SH = '/bin/sh';

const inside = (title: string, run: (t: ExecutionContext) => Promise<void>): void =>
  testUnless(noUserNamespace, title, run);

/** The child of this process that runs a program of that name. */
function childNamed(name: string): number {
  const children = readdirSync('/proc/self/task')
    .flatMap((tid) => readFileSync(`/proc/self/task/${tid}/children`, 'utf8').split(' '))
    .filter((pid) => pid !== '' && readFileSync(`/proc/${pid}/comm`, 'utf8') === `${name}\n`);
  return Number(children[0]);
}

inside('the exit code of the command inside comes out', async (t) => {
  const { exitCode } = await enterNamespaces(SH, ['sh', '-c', 'exit 7']);
  t.is(await exitCode, 7);
});

inside('a signal is passed on, and its end is told as a shell does', async (t) => {
  const command = await enterNamespaces('/bin/sleep', ['sleep', '1000']);
  command.signal(sys.SIGTERM);
  t.is(await command.exitCode, 128 + sys.SIGTERM);
});

inside('a signal to what has ended does nothing, whether or not its end is told yet', async (t) => {
  const command = await enterNamespaces('/bin/sleep', ['sleep', '1000']);
  const pid = childNamed('sleep');
  process.kill(pid, 'SIGTERM');
  // Without an await: the actor reaps it, and this thread is not told yet.
  const deadline = performance.now() + 30_000;
  while (existsSync(`/proc/${pid}`)) t.true(performance.now() < deadline, `${pid} is there still`);
  t.notThrows(() => command.signal(sys.SIGTERM));
  t.is(await command.exitCode, 128 + sys.SIGTERM);

  // What the number of its descriptor stands for now is left alone.
  const other = await enterNamespaces('/bin/sleep', ['sleep', '1000']);
  t.notThrows(() => command.signal(sys.SIGKILL));
  other.signal(sys.SIGTERM);
  t.is(await other.exitCode, 128 + sys.SIGTERM);
  t.notThrows(() => other.signal(sys.SIGTERM));
});

inside('the command is root there, with a network of its own', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A listener here, not one there: the table holds its heading alone.
  const look = 'test "$(id -u)" = 0 && test "$(wc -l < /proc/net/tcp)" = 1';
  const { exitCode } = await enterNamespaces(SH, ['sh', '-c', look]);
  t.is(await exitCode, 0);
  server.close();
  await once(server, 'close');
});

inside('it dies with the process that made it, however that ends', async (t) => {
  const traces = new Traces();
  const enter = new URL('../../src/world/enter.js', import.meta.url).href;
  const script = `
    const { enterNamespaces } = await import(${JSON.stringify(enter)});
    await (await enterNamespaces('/bin/sleep', ['sleep', '1000'])).exitCode;`;
  const [file = '', ...args] = traces.marked([process.execPath, '--input-type=module']);
  const parent = spawn(file, [...args, '-e', script], { stdio: 'inherit' });
  const ended = once(parent, 'close');
  t.teardown(() => parent.kill('SIGKILL'));
  const sleeper = await until(
    () => traces.processes().find(({ argv }) => argv[0] === 'sleep'),
    () => JSON.stringify(traces.processes()),
  );
  t.notDeepEqual(namespacesOf(sleeper.pid), namespacesOf(process.pid));
  parent.kill('SIGKILL');
  await ended;
  await traces.gone();
});

inside('a program that cannot be run is an error of execve, and leaves nothing', async (t) => {
  await t.throwsAsync(enterNamespaces('/no/such/program', ['x']), {
    code: 'ENOENT',
    message: /execve/,
  });
});
