import { readFileSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { castPrograms } from '../../src/driver/programs.js';
import type { Cast } from '../../src/driver/role.js';
import { NotReady } from '../../src/driver/running.js';
import * as sys from '../../src/syscall/sys.js';
import { World } from '../../src/world/world.js';
import { test } from '../fixture/descriptors.js';
import { refusing } from '../fixture/sockets.js';

/** The article's programs on the host's network; the test ends them, or they are found. */
async function cast(t: ExecutionContext, signal?: AbortSignal): Promise<Cast> {
  const world = await World.open('host');
  t.teardown(() => world.close());
  return await castPrograms({ client: world, server: world }, { signal });
}

const nameOf = (pid: number): string | undefined =>
  readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0];

test('ended while a program is being spawned: it is waited for, and nothing is left', async (t) => {
  const actors = await cast(t);
  const told: number[] = [];
  actors.onStart = async (tid) => {
    told.push(tid);
  };
  const listening = t.throwsAsync(actors.server.listen(), { message: /server .*ended/ });
  await actors[Symbol.asyncDispose]();
  await listening;
  t.deepEqual(told, [], 'nobody is told of a program that is over');
});

test('who is told of a program sees its first call: it is none before', async (t) => {
  await using actors = await cast(t);
  const before: string[] = [];
  actors.onStart = async (pid, end) => {
    await new Promise(setImmediate);
    before.push(`${end} ${nameOf(pid)}`);
  };
  const address = await actors.server.listen();
  await actors.client.connect(address);
  t.deepEqual(
    before,
    ['server', 'client'].map((end) => `${end} ${nameOf(process.pid)}`),
  );
  t.is(nameOf(actors.server.pid ?? 0), 'closewait-server');
  t.is(nameOf(actors.client.pid ?? 0), 'closewait-client');
});

test('a program that is asked for after the end is not started', async (t) => {
  const actors = await cast(t);
  await actors[Symbol.asyncDispose]();
  await t.throwsAsync(actors.server.listen(), { message: /server .*ended/ });
  const address = { address: '127.0.0.1', port: 1 };
  await t.throwsAsync(actors.client.connect(address), { message: /client .*ended/ });
});

test('an abort while a program is being spawned ends it', async (t) => {
  const aborted = new AbortController();
  await using actors = await cast(t, aborted.signal);
  const listening = t.throwsAsync(actors.server.listen(), { message: /server .*ended/ });
  aborted.abort();
  await listening;
});

test('a story that listens twice has started two programs, and both end', async (t) => {
  await using actors = await cast(t);
  const ports = [(await actors.server.listen()).port, (await actors.server.listen()).port];
  t.is(new Set(ports).size, 2);
});

test('a program that has not come so far in time says nothing of TCP', async (t) => {
  await using actors = await cast(t);
  await actors.server.listen();
  const message = /server .*: waited for a client: not within 10000 ms/;
  await t.throwsAsync(actors.server.accept(), { instanceOf: NotReady, message });
});

test('a call that failed in a program is the answer of a kernel', async (t) => {
  await using actors = await cast(t);
  using owned = new sys.Descriptors();
  const error = await t.throwsAsync(actors.client.connect(refusing(owned)));
  t.regex(error?.message ?? '', /client .*: waited for its prompt: .*exit code 1.*ECONNREFUSED/);
  t.false(error instanceof NotReady);
});
