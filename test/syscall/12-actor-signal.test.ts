/** The signal that ends an actor's call, where it cannot be had or cannot be queued. */
import test from 'ava';
import { runScript } from '../fixture/script.js';

/** `under(options)` makes a call and resolves when it blocks; `room` is a command after which signals can be queued again. */
const HEAD = `
  import { spawnSync } from 'node:child_process';
  import { readFileSync } from 'node:fs';
  const [from] = sys.pipe2();
  const actor = await sys.Actor.start();
  const tid = await actor.gettid();
  const blockedIn = () => Number.parseInt(readFileSync(\`/proc/self/task/\${tid}/syscall\`, 'utf8'));
  const under = async (options) => {
    const call = actor.read(from, new Uint8Array(1), options).then(String, ({ name }) => name);
    while (sys.syscallName(blockedIn()) !== 'read') await new Promise(setImmediate);
    return { call };
  };
  const room = ['prlimit', '--sigpending=100:', '--pid', String(process.pid)];
`;

/** Each call under way is aborted, the last by the end of its actor. */
const ABORTED = `${HEAD}
  const ends = [];
  for (let i = 0; i < 3; i++) {
    const controller = new AbortController();
    const { call } = await under({ signal: controller.signal });
    controller.abort();
    ends.push(await call);
  }
  const { call } = await under({});
  await actor.stop();
  process.stdout.write([...ends, await call].join());
`;
const ALL = 'AbortError,AbortError,AbortError,AbortError';

const places: readonly [what: string, under: readonly string[]][] = [
  ['no signal can be queued', ['prlimit', '--sigpending=0']],
  ['all signals are ignored', ['env', '--ignore-signal']],
  ['all signals are blocked', ['env', '--block-signal']],
  ['both', ['env', '--ignore-signal', 'prlimit', '--sigpending=0']],
];
for (const [what, under] of places) {
  test(`calls can be ended where ${what}`, (t) => {
    t.deepEqual(runScript(ABORTED, [], under), {
      status: 0,
      signal: null,
      stdout: ALL,
      stderr: '',
    });
  });
}

test("a signal that is nobody's keeps its meaning until it is needed", (t) => {
  const caught = `
    const { readFileSync: textOf } = await import('node:fs');
    const [, digits] = /^SigCgt:\\s*(\\w+)/m.exec(textOf('/proc/self/status', 'utf8'));
    const isCaught = (number) => ((BigInt('0x' + digits) >> BigInt(number - 1)) & 1n) === 1n;
    process.stdout.write(String(isCaught(16)));
  `;
  const used = ABORTED.replace(/process.stdout.*/, '');
  const start = 'await (await sys.Actor.start()).stop();';
  t.is(runScript(caught).stdout, 'false');
  t.is(runScript(`${start}${caught}`).stdout, 'false');
  t.is(runScript(`${used}${caught}`).stdout, 'false');
  t.is(runScript(`${used}${caught}`, [], ['prlimit', '--sigpending=0']).stdout, 'true');
});

const NO_ROOM = ['prlimit', '--sigpending=0:'];

test("and is nobody else's where JavaScript listens to it: a call goes on until there is room", (t) => {
  const ended = runScript(
    `${HEAD}
     const heard = [];
     const listener = (name) => heard.push(name);
     process.on('SIGSTKFLT', listener);
     const controller = new AbortController();
     const { call } = await under({ signal: controller.signal });
     controller.abort();
     const early = await Promise.race([call, new Promise((resolve) => setTimeout(resolve, 50, 'still out'))]);
     spawnSync(room[0], room.slice(1));
     process.stdout.write([early, await call, heard.length].join());
     await actor.stop();`,
    [],
    NO_ROOM,
  );
  t.deepEqual(ended, { status: 0, signal: null, stdout: 'still out,AbortError,0', stderr: '' });
});

test('where nobody listens to it any more it is ours again', (t) => {
  const ended = runScript(
    `${HEAD}
     const abort = async () => {
       const controller = new AbortController();
       const { call } = await under({ signal: controller.signal });
       controller.abort();
       return await call;
     };
     const ends = [await abort()];
     process.on('SIGSTKFLT', abort).off('SIGSTKFLT', abort);
     ends.push(await abort());
     await actor.stop();
     process.stdout.write(ends.join());`,
    [],
    NO_ROOM,
  );
  t.deepEqual(ended, { status: 0, signal: null, stdout: 'AbortError,AbortError', stderr: '' });
});

test('stop() waits for room where there is none', (t) => {
  const ended = runScript(
    `${HEAD}
     process.on('SIGSTKFLT', () => {});
     const { call } = await under({});
     setTimeout(() => spawnSync(room[0], room.slice(1)), 50);
     await actor.stop();
     process.stdout.write(await call);`,
    [],
    NO_ROOM,
  );
  t.deepEqual(ended, { status: 0, signal: null, stdout: 'AbortError', stderr: '' });
});
