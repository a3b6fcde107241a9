import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { numbersIn, ProcessDirectory, parseStat } from '../../src/observer/proc.js';
import { test } from '../fixture/descriptors.js';

const FIELDS = 'S 1 2 3 0 -1 4194304 5 0 0 0 6 7 0 0 20 0 1 0 8 9 10 18446744073709551615 1';
const NO_MEMORY = 'Z 1 2 3 0 -1 4194316 5 0 0 0 6 7 0 0 20 0 1 0 8 0 0 18446744073709551615 0';

const table: { name: string; line: string; expected: ReturnType<typeof parseStat> | RegExp }[] = [
  {
    name: 'a name',
    line: `42 (cat) ${FIELDS}`,
    expected: { state: 'S', hasMemory: true, startTicks: 8 },
  },
  {
    name: 'no memory',
    line: `42 (cat) ${NO_MEMORY}`,
    expected: { state: 'Z', hasMemory: false, startTicks: 8 },
  },
  {
    name: 'a name with parentheses and spaces',
    line: `42 () R 1 (x) ${FIELDS}`,
    expected: { state: 'S', hasMemory: true, startTicks: 8 },
  },
  {
    name: 'a name with a line break',
    line: `42 (a\nb) ${FIELDS}\n`,
    expected: { state: 'S', hasMemory: true, startTicks: 8 },
  },
  {
    name: 'an empty name',
    line: `42 () ${FIELDS}`,
    expected: { state: 'S', hasMemory: true, startTicks: 8 },
  },
  {
    name: 'more fields than there are today',
    line: `42 (cat) ${FIELDS} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29`,
    expected: { state: 'S', hasMemory: true, startTicks: 8 },
  },
  {
    name: 'cut before the size',
    line: `42 (cat) ${FIELDS.split(' ').slice(0, 20).join(' ')}`,
    expected: /^stat is cut short: 42 \(cat\) S/,
  },
  { name: 'nothing', line: '', expected: /^stat is cut short: $/ },
];

for (const { name, line, expected } of table) {
  test(`/proc/PID/stat: ${name}`, (t) => {
    if (expected instanceof RegExp) t.throws(() => parseStat(line), { message: expected });
    else t.deepEqual(parseStat(line), expected);
  });
}

test('a process directory reads its process, and nothing once that has ended', async (t) => {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(child, 'close');
  await once(child, 'spawn');
  using directory = new ProcessDirectory(child.pid as number);
  t.is(directory.read('comm'), readFileSync(`/proc/${child.pid}/comm`, 'utf8'));
  const fds: number[] = [];
  t.is(
    directory.eachDescriptor((fd) => fds.push(fd)),
    '',
  );
  t.deepEqual(fds.slice(0, 3), [0, 1, 2]);
  t.throws(() => directory.read('none of this'), { code: 'ENOENT' });

  child.stdin.end();
  await ended;
  t.throws(() => directory.read('comm'), { message: /ENOENT|ESRCH/ });
  t.throws(() => directory.eachDescriptor(() => t.fail()), { message: /ENOENT|ESRCH/ });
  t.throws(() => new ProcessDirectory(child.pid as number), { code: 'ENOENT' });
});

test('closing twice is closing once; a closed one reads nothing', (t) => {
  const directory = new ProcessDirectory(process.pid);
  directory.close();
  directory.close();
  t.throws(() => directory.read('comm'), { code: 'EBADF' });
});

test('numbers among names, in order of their value', (t) => {
  const fds = numbersIn('/proc/self/fd');
  t.deepEqual(fds.slice(0, 3), [0, 1, 2]);
  t.deepEqual(
    fds,
    fds.toSorted((a, b) => a - b),
  );
  t.true(numbersIn('/proc').includes(process.pid));
  t.deepEqual(numbersIn('/proc/self/ns'), []);
});
