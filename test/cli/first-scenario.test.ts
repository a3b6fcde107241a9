/** What a first scenario of one's own runs into: a package.json that npm has just made, an act that fails. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../driver/programs.js';
import { noWorld } from '../world/ability.js';
import { CLI, finished } from './closewait.js';

for (const { what, type, text, says } of [
  {
    what: 'a module that its package.json makes CommonJS of: what to do',
    type: 'commonjs',
    text: 'export const a = 1;',
    says: /^closewait: mine\.js cannot be loaded: SyntaxError: .*'export' \(mine\.js:1\); .* CommonJS: `npm pkg set type=module`, or name it \.mjs$/m,
  },
  {
    what: 'CommonJS that is wrong otherwise: no more than that',
    type: 'commonjs',
    text: 'const = 1;',
    says: /^closewait: mine\.js cannot be loaded: SyntaxError: Unexpected token '=' \(mine\.js:1\)$/m,
  },
  {
    what: 'a module that is one: its own mistake',
    type: 'module',
    text: 'export const = 1;',
    says: /^closewait: mine\.js cannot be loaded: SyntaxError: Unexpected token '='[^;]*$/m,
  },
]) {
  test(`${what}: exit 2`, (t) => {
    const cwd = scratch(t);
    writeFileSync(join(cwd, 'package.json'), JSON.stringify({ type }));
    writeFileSync(join(cwd, 'mine.js'), text);
    const { code, stdout, stderr } = finished([process.execPath, CLI, 'run', 'mine.js'], { cwd });
    t.is(code, 2, stderr);
    t.is(stdout, '');
    t.regex(stderr, says);
  });
}

const runs = noWorld === undefined ? test : test.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;

const MINE = `
  const story = (name, run) => ({
    name, title: name, source: 'tcp(7)', summary: name, path: { client: [], server: [] }, run,
  });
  export const forgets = story('forgets', async ({ server, client }) => {
    await client.connect(await server.listen());
    await server.receive(); // LINE 7
  });
  export const refused = story('refused', async ({ client }) => {
    await client.connect({ address: '127.0.0.1', port: 1 }); // LINE 10
  });
`;

runs(`an act that fails is told with its line, whoever refused it${why}`, (t) => {
  const cwd = scratch(t);
  writeFileSync(join(cwd, 'mine.mjs'), MINE);
  const { code, stdout, stderr } = finished([process.execPath, CLI, 'run', 'mine.mjs'], { cwd });
  t.is(code, 1, stderr);
  t.regex(stdout, /^not-reproduced forgets .*: the server has no connection: .* \(mine\.mjs:7\)$/m);
  t.regex(stdout, /^not-reproduced refused .*: connect ECONNREFUSED: .* \(mine\.mjs:10\)$/m);
});
