/** The signal that ends an actor's call, where it cannot be had or cannot be queued. */
import test from 'ava';
import { runScript } from '../fixture/script.js';

/** Each call under way is aborted, the last by the end of its actor. */
const ABORTED = `
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
    import { readFileSync } from 'node:fs';
    const [, digits] = /^SigCgt:\\s*(\\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'));
    const isCaught = (number) => ((BigInt('0x' + digits) >> BigInt(number - 1)) & 1n) === 1n;
    process.stdout.write(String(isCaught(16)));
  `;
  const used = ABORTED.replace(/process.stdout.*/, '').replace(/import.*/, '');
  const start = 'await (await sys.Actor.start()).stop();';
  t.is(runScript(caught).stdout, 'false');
  t.is(runScript(`${start}${caught}`).stdout, 'false');
  t.is(runScript(`${used}${caught}`).stdout, 'false');
  t.is(runScript(`${used}${caught}`, [], ['prlimit', '--sigpending=0']).stdout, 'true');
});
