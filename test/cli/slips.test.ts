/** A story's slips that no type checker sees, in a file of plain JavaScript: each is said at once, whichever driver acts. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import { scratch } from '../driver/programs.js';
import { noWorld } from '../world/ability.js';
import { CLI, type Finished, finished } from './closewait.js';

const test = ava.serial;
const runs = noWorld === undefined ? test : test.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;

/** A story, and what is said of it. */
type Slips = Readonly<Record<string, readonly [story: string, says: RegExp]>>;

const slips: Slips = {
  verb: ['({ server }) => server.open()', /^server\.open is not a function/],
  inside: ['async ({ client }) => client.actor.stop()', /^Cannot read properties of undefined/],
  order: ['({ server }) => server.accept()', /^the server accepts nothing before it listens/],
  port: ['({ server }) => server.listen(8080)', /^how to listen must be an object, received 8080/],
  listen: [
    '({ server }) => server.listen({ prot: 1 })',
    /^how to listen has no field "prot": there/,
  ],
  address: [
    '({ client, server }) => client.connect(server.address)',
    /^to\.address must be a string/,
  ],
  data: ['({ client }) => client.send(5)', /^send\(\) takes text or bytes, received number/],
  how: ['({ client }) => client.shutdown("WR")', /^shutdown\(\) takes one of SHUT_RD, .*, not WR/],
  option: ['({ client }) => client.setOption("SO_NONE", 1)', /^there is no socket option SO_NONE/],
  role: ['({ blocked }) => blocked("server", "read")', /^blocked\(\) takes a role, .* string/],
  call: [
    '({ blocked, server }) => blocked(server)',
    /^blocked\(\) takes the name of a system call/,
  ],
  end: ['({ timer }) => timer("sever", "on")', /^timer\(\) knows client and server, not sever/],
  below: [
    '({ timer }) => timer("server", "on", { below: 1 })',
    /^what to ask of a timer has no field "below"/,
  ],
  deadline: [
    '({ reach }) => reach({ client: "CLOSE" }, { deadline: 1 })',
    /^how to reach a state has no field "deadline": there are deadlineMs/,
  ],
  moment: ['({ moment }) => moment()', /^a moment has a name, received undefined/],
  foreign: [
    'async () => structuredClone(() => {})',
    /^\(\) => \{\} could not be cloned\. \(mine\.mjs/,
  ],
};

const nodeSlips: Slips = {
  listen: ['({ server }) => server.node.listen({ reding: "always" })', /has no field "reding"/],
  http: ['({ server }) => server.node.listen({ http: { byts: 1 } })', /has no field "byts"/],
  connect: ['({ client }) => client.node.connect({ port: 1 })', /^to\.address must be a string/],
  request: [
    '({ client }) => client.node.request({ address: "::1", port: 1 }, { keepalive: true })',
    /^a request has no field "keepalive": there are keepAlive, body, response/,
  ],
};

const HEAD = `const scenario = (name, run) =>
  ({ name, title: 'a title', source: 'tcp(7)', summary: 'A summary.', path: {}, run });\n`;

function runFile(t: ExecutionContext, text: string, ...args: string[]): Finished {
  const file = join(scratch(t), 'mine.mjs');
  writeFileSync(file, HEAD + text);
  return finished([process.execPath, CLI, 'run', file, ...args]);
}

for (const [driver, each] of [
  ['raw', slips],
  ['libuv', slips],
  ['program', slips],
  ['libuv', nodeSlips],
] as const) {
  const whose = each === nodeSlips ? ' of Node' : '';
  runs(`driver ${driver}: slips${whose} are refused, and are no success${why}`, (t) => {
    const stories = Object.entries(each).map(
      ([name, [story]]) => `export const _${name} = scenario('${name}', ${story});\n`,
    );
    const { code, stdout } = runFile(t, stories.join(''), '--driver', driver, '--json');
    const records = JSON.parse(stdout) as { scenario: string; verdict: string; reason: string }[];
    t.is(records.length, stories.length);
    for (const { scenario, verdict, reason } of records) {
      t.is(verdict, 'not-reproduced', `${scenario}: ${reason}`);
      t.regex(reason, each[scenario]?.[1] ?? /^$/, scenario);
    }
    t.is(code, 1);
  });
}

const refused: Slips = {
  'a generator, of which nothing would run': [
    `export const a = scenario('a', function* () { throw new Error('unseen'); });`,
    /run must be a function, and no generator, received a generator/,
  ],
  'an async generator': [
    `export const a = scenario('a', async function* () { throw new Error('unseen'); });`,
    /run must be a function, and no generator, received a generator/,
  ],
  'states of a wire': [
    `export const a = { ...scenario('a', () => {}), place: { wire: 'client' }, path: { client: ['CLOSE'] } };`,
    /path\.client is of a wire, which is in no state/,
  ],
  'a way out of net/': [
    `export const a = { ...scenario('a', () => {}), sysctls: { 'net/../kernel/hostname': 'x' } };`,
    /sysctls\["net\/\.\.\/kernel\/hostname"\] must be a path below \/proc\/sys, in net\//,
  ],
};

for (const [what, [text, says]] of Object.entries(refused)) {
  runs(`usage: ${what}: exit 2, said on stderr${why}`, (t) => {
    const { code, stdout, stderr } = runFile(t, text);
    t.is(code, 2, stderr);
    t.is(stdout, '');
    t.regex(stderr, says);
    t.notRegex(stderr, /^\s+at /m);
  });
}

runs(`what is expected when the verdict was given is refused${why}`, (t) => {
  const text = `
    let late;
    export const a = scenario('a', ({ expect }) => { late = () => expect('it', 1, 2); });
    export const b = scenario('b', () => late());\n`;
  const { code, stdout } = runFile(t, text, '--jobs', '1', '--json');
  const [a, b] = JSON.parse(stdout) as {
    verdict: string;
    checks: { ok: boolean }[];
    reason?: string;
  }[];
  t.is(a?.verdict, 'reproduced');
  t.true(a?.checks.every(({ ok }) => ok));
  t.regex(b?.reason ?? '', /^it: the run is over, and its verdict was given/);
  t.is(code, 1);
});
