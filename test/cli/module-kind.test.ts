/** A scenario file beside a package.json that npm has just made. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../driver/programs.js';
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
