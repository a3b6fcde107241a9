import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, readlinkSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { Program } from '../../src/driver/program.js';
import * as sys from '../../src/syscall/sys.js';
import { World } from '../../src/world/world.js';
import { namespacesOf, Traces } from '../experiment/traces.js';
import { test } from '../fixture/descriptors.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from '../world/ability.js';

const DEADLINE_MS = 10_000;
const PROGRAM = new URL('../../src/driver/program.js', import.meta.url).href;
const WORLD = new URL('../../src/world/world.js', import.meta.url).href;

/** A shell script as a program, on the host's network. */
async function shell(t: ExecutionContext, script: string): Promise<Program> {
  const world = await World.open('host');
  const program = await Program.start(world, {
    name: 'script',
    path: '/bin/sh',
    argv: ['sh', '-c', script],
  });
  t.teardown(async () => {
    await program.stop();
    await world.close();
  });
  return program;
}

test('what it prints is kept apart and in order, with when; what it is told too', async (t) => {
  const before = process.hrtime.bigint();
  const program = await shell(t, 'printf "name? "; read name; echo "hello $name"; echo why >&2');
  await program.until('its question', () => program.printed().endsWith('? '), DEADLINE_MS);
  program.type('world\n');
  await program.until('an error', () => program.printed('error') !== '', DEADLINE_MS);
  await program.until('a greeting', () => program.printed().endsWith('world\n'), DEADLINE_MS);
  t.is(program.printed(), 'name? hello world\n');
  t.is(program.printed('error'), 'why\n');
  t.is(program.transcript, 'name? world\nhello world\n');
  const times = [before, ...program.events.map(({ tNs }) => tNs), process.hrtime.bigint()];
  t.deepEqual(
    times,
    [...times].sort((a, b) => Number(a - b)),
  );
  t.deepEqual(await program.exited, { pid: program.pid, code: sys.CLD_EXITED, status: 0 });
});

test('who is told its pid is waited for, and it is no program meanwhile', async (t) => {
  await using world = await World.open('host');
  const isItself = (pid: number): boolean =>
    readlinkSync(`/proc/${pid}/exe`) === readlinkSync('/proc/self/exe');
  let told: [pid: number, isItself: boolean] | undefined;
  const options = { name: 'script', path: '/bin/sh', argv: ['sh', '-c', 'echo $$'] };
  const program = await Program.start(world, {
    ...options,
    onProcess: async (pid) => {
      await new Promise(setImmediate);
      told = [pid, isItself(pid)];
    },
  });
  await program.exited;
  t.deepEqual(told, [program.pid, true]);
  t.is(program.printed(), `${program.pid}\n`);
  await program.stop();

  const failing = Program.start(world, {
    ...options,
    onProcess: () => Promise.reject(new Error('not today')),
  });
  await t.throwsAsync(failing, { message: 'not today' });
  t.throws(() => sys.waitid(sys.P_ALL, 0, sys.WEXITED | sys.WNOHANG), { code: 'ECHILD' });
  const missing = Program.start(world, { ...options, path: '/no such', onProcess: async () => {} });
  t.is((await t.throwsAsync<sys.SyscallError>(missing, { code: 'ENOENT' })).syscall, 'execve');
});

test('of very much that it prints the last is kept, and how much there was', async (t) => {
  const program = await shell(t, `head -c 3000000 /dev/zero | tr '\\0' x; echo end`);
  await program.exited;
  const { length } = program.printed();
  t.true(program.printed().endsWith('xend\n'));
  t.true(length > 900_000 && length <= 2 ** 20, `${length}`);
  t.is(program.dropped + length, 3_000_004);
});

test('a character that comes in two pieces is one character', async (t) => {
  const program = await shell(
    t,
    `printf '\\303'; read go; printf '\\251'; read go; printf '\\303'; exec 1>&-; read go`,
  );
  program.type('\n');
  await program.until('an e with an accent', () => program.printed() === 'é', DEADLINE_MS);
  program.type('\n');
  await program.until('half a character', () => program.printed() === 'é\ufffd', DEADLINE_MS);
  t.is(program.printed(), 'é\ufffd');
});

test('two may wait for the same program', async (t) => {
  const program = await shell(t, 'read go; echo one; read go; echo two');
  const shown = (text: string) =>
    program.until(text, () => program.printed().includes(text), DEADLINE_MS);
  const both = Promise.all([shown('one'), shown('two')]);
  program.type('\n');
  await shown('one');
  program.type('\n');
  await both;
  t.is(program.printed(), 'one\ntwo\n');
});

test('a wait that never comes says who, what, how long and what was printed', async (t) => {
  const program = await shell(t, 'echo something else; echo and a warning >&2; read forever');
  await program.until('both', () => program.events.length === 2, DEADLINE_MS);
  const waiting = program.until('its port', () => false, 20);
  await t.throwsAsync(waiting, {
    message:
      `script (pid ${program.pid}): waited for its port: not within 20 ms. It printed: ` +
      '"something else\\nand a warning\\n"',
  });
});

for (const [script, how] of [
  ['exit 3', 'exit code 3'],
  ['kill -KILL $$', `signal ${sys.SIGKILL}`],
] as const) {
  test(`a wait for a program that ends says so at once, and how: ${how}`, async (t) => {
    const program = await shell(t, `echo goodbye; ${script}`);
    const waiting = program.until('its port', () => false, 600_000);
    await t.throwsAsync(waiting, {
      message:
        `script (pid ${program.pid}): waited for its port: it ended first, with ${how}. ` +
        'It printed: "goodbye\\n"',
    });
  });
}

test('its last words are heard when it ends', async (t) => {
  for (let i = 0; i < 20; i++) {
    const program = await shell(t, 'echo last words');
    await t.notThrowsAsync(
      program.until('them', () => program.printed() === 'last words\n', DEADLINE_MS),
    );
  }
});

test('a signal ends it, and a signal after the end is nothing', async (t) => {
  const program = await shell(t, 'read forever');
  program.signal(sys.SIGTERM);
  const { code, status } = await program.exited;
  t.deepEqual({ code, status }, { code: sys.CLD_KILLED, status: sys.SIGTERM });
  t.notThrows(() => program.signal(sys.SIGTERM));
});

test('the end is told when all that was printed has been heard', async (t) => {
  const program = await shell(t, 'head -c 300000 /dev/zero; echo last words >&2');
  await program.exited;
  t.is(program.printed().length, 300_000);
  t.is(program.printed('error'), 'last words\n');
});

test('typing to a program that has ended is an error with its errno', async (t) => {
  const program = await shell(t, 'exit 0');
  await program.exited;
  t.throws(() => program.type('hello\n'), { code: 'EPIPE' });
});

test('stop() ends it however it resists, twice is once', async (t) => {
  const program = await shell(
    t,
    `trap '' TERM INT HUP; echo ready; while :; do read forever; done`,
  );
  await program.until('ready', () => program.printed() === 'ready\n', DEADLINE_MS);
  await Promise.all([program.stop(), program.stop()]);
  await program.stop();
  t.is((await program.exited).status, sys.SIGKILL);
  t.notThrows(() => program.signal(sys.SIGTERM));
});

test('a program that is not there: ENOENT of execve, and nothing stays open', async (t) => {
  await using world = await World.open('host');
  const starting = Program.start(world, { name: 'none', path: '/no/such/program', argv: ['none'] });
  await t.throwsAsync(starting, { code: 'ENOENT', message: /execve.*\/no\/such\/program/ });
});

testUnless(noNamespace, 'it lives in its world, under the name it was given', async (t) => {
  await using world = await World.open('namespace');
  await using program = await Program.start(world, {
    name: 'sleeper',
    path: '/bin/sleep',
    argv: ['a-name-of-its-own', '1000'],
  });
  // Other tests of this file have worlds open too: ask a thread of this one.
  const actor = await world.actor('look');
  const fd = await actor.open('/proc/thread-self/ns/net', sys.O_RDONLY | sys.O_CLOEXEC);
  const own = `net:[${fstatSync(fd).ino}]`;
  await actor.close(fd);
  t.deepEqual(namespacesOf(program.pid), [own]);
  t.not(readlinkSync('/proc/self/ns/net'), own);
});

test('it dies when the process that started it is killed', async (t) => {
  const traces = new Traces();
  const script = `
    const { Program } = await import(${JSON.stringify(PROGRAM)});
    const { World } = await import(${JSON.stringify(WORLD)});
    const world = await World.open('host');
    const argv = ['sleep', '1000'];
    await (await Program.start(world, { name: 'sleeper', path: '/bin/sleep', argv })).exited;`;
  const [file = '', ...args] = traces.marked([process.execPath, '--input-type=module']);
  const parent = spawn(file, [...args, '-e', script], { stdio: 'inherit' });
  const ended = once(parent, 'close');
  t.teardown(() => parent.kill('SIGKILL'));
  await until(
    () => traces.processes().some(({ argv }) => argv[0] === 'sleep'),
    () => JSON.stringify(traces.processes()),
  );
  parent.kill('SIGKILL');
  await ended;
  await t.notThrowsAsync(traces.gone());
});
