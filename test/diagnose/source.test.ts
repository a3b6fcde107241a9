/** Records of closewait/register, as a process may write them. */
import { execFileSync } from 'node:child_process';
import { constants, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeRecord, sourcesOf } from '../../src/diagnose/source.js';
import * as sys from '../../src/syscall/sys.js';
import { scratch } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { noTool, testUnless } from '../world/ability.js';

/** <asm-generic/fcntl.h> */
const O_PATH = 0o10000000;

const line = {
  ...{ inode: 7, fd: 5, kind: 'client', stack: 0, events: [['end', 1000]] },
  ...{ allowHalfOpen: true, paused: false, flowing: null },
  ...{ readableEnded: true, writableEnded: false, destroyed: false },
};
const frames = (...each: string[]) => ({
  id: 0,
  stack: ['Error', ...each.map((frame) => `    at ${frame}`)].join('\n'),
});
const text = (...lines: unknown[]) => lines.map((each) => `${JSON.stringify(each)}\n`).join('');

for (const [what, stack, file, at] of [
  ['a module', frames('f (file:///a/b%20c.mjs:3:9)'), '/a/b c.mjs', 3],
  ['a script', frames('Object.<anonymous> (/a/b.js:12:34)'), '/a/b.js', 12],
  ['no function', frames('/a/b.js:1:2'), '/a/b.js', 1],
  ['async', frames('async f (/a/b.js:1:2)'), '/a/b.js', 1],
  ["Node's own first", frames('connect (node:net:1:2)', 'f (/a/b.js:4:2)'), '/a/b.js', 4],
  ['a dependency first', frames('g (/n/node_modules/d/i.js:1:2)', '/a/b.js:4:2'), '/a/b.js', 4],
  ['dependencies only', frames('g (/n/node_modules/d/i.js:1:2)'), '/n/node_modules/d/i.js', 1],
  ['the file of another host', frames('f (file://host/a.js:1:2)'), 'file://host/a.js', 1],
  ['no path', frames('f (file:///%:1:2)'), 'file:///%', 1],
  ['native', frames('new Promise (<anonymous>)'), null, null],
  ['nothing', frames(), null, null],
] as const) {
  test(`the place of a stack: ${what}`, (t) => {
    const source = decodeRecord(text(stack, line), 4000).get(7);
    t.like(source, { file, line: at, kind: 'client', allowHalfOpen: true });
    t.deepEqual(source?.lastEvents, [{ event: 'end', agoMs: 3000 }]);
  });
}

test('the last line of an inode counts', (t) => {
  const later = { ...line, paused: true };
  t.true(decodeRecord(text(line, later), 0).get(7)?.paused);
});

test('a stack that is not there', (t) => {
  t.like(decodeRecord(text({ ...line, stack: 9 }), 0).get(7), { file: null, stack: [] });
  t.like(decodeRecord(text({ ...line, stack: null }), 0).get(7), { file: null, stack: [] });
});

for (const [what, record] of [
  ['nothing', ''],
  ['cut short', text(line).slice(0, -20)],
  ['no JSON', 'connect\n'],
  ['null', 'null\n'],
  ['an inode that is none', text({ ...line, inode: '7' })],
  ['an unknown kind', text({ ...line, kind: 'pipe' })],
  ['events that are none', text({ ...line, events: 'end' })],
  ['an event that is none', text({ ...line, events: [null] })],
  ['a flag that is none', text({ ...line, paused: 1 })],
] as const) {
  test(`left out: ${what}`, (t) => {
    t.is(decodeRecord(record, 0).size, 0);
    t.true(decodeRecord(`${record}\n${text({ ...line, inode: 8 })}`, 0).has(8));
  });
}

for (const [what, make] of [
  ['a pipe, which does not end', (path: string) => execFileSync('mkfifo', [path])],
  [
    'a file of 3 GiB',
    (path: string) => {
      writeFileSync(path, text(line));
      truncateSync(path, 3 * 2 ** 30);
    },
  ],
] as const) {
  test(`by the name of a record: ${what}`, (t) => {
    const path = join(scratch(t), 'closewait-register-1');
    make(path);
    ownedBy(t).own(sys.open(path, constants.O_RDWR | sys.O_CLOEXEC));
    t.is(sourcesOf(process.pid), undefined);
  });
}

testUnless(
  noTool('python3'),
  'by the name of a record: a socket, which cannot be opened',
  async (t) => {
    const path = join(scratch(t), 'closewait-register-1');
    const bind = `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(path)})`;
    execFileSync('python3', ['-c', bind]);
    ownedBy(t).own(sys.open(path, O_PATH | sys.O_CLOEXEC));
    t.is(sourcesOf(process.pid), undefined);
  },
);
