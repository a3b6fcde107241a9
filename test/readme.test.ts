import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { RunRecord } from '../src/experiment/record.js';
import { blocksOf, readmePath, shapeOf, withExamples } from './readme.js';
import { noNamespace } from './world/ability.js';

const readme = readFileSync(readmePath, 'utf8');
const blocks = blocksOf(readme);
const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));

function closewait(...args: string[]): string {
  return execFileSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 60_000 });
}

/** What some observer could not see here: the README shows a run that saw everything. */
function whyNotAsShown(): string | undefined {
  const { observers, world } = JSON.parse(closewait('run', 'close-wait', '--json')) as RunRecord;
  if (world.kind !== 'namespace') return 'needs root or user namespaces';
  return observers.find(({ available }) => !available)?.reason;
}

test('the first block runs the main job, the second the tests, and neither says more', (t) => {
  t.deepEqual(
    blocks.slice(0, 2).map(({ text }) => text),
    ['npm install && npm start\n', 'npm test\n'],
  );
});

test('every block is a command, an example with a name, or an output with its command', (t) => {
  for (const { language, text, command, file } of blocks) {
    const kind = { sh: true, ts: file !== undefined, text: command !== undefined }[language];
    t.true(kind, `a block nobody checks: \`\`\`${language}\n${text}`);
  }
});

/** Command lines of the CLI in code: `closewait run close-wait --json`. */
function commandLines(): string[] {
  const code = [...blocks.filter(({ language }) => language === 'sh').map(({ text }) => text)];
  code.push(...blocks.flatMap(({ command }) => command ?? []));
  code.push(...[...readme.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span));
  return code
    .flatMap((each) => [...each.matchAll(/^(?:npx )?closewait (.+)$/gm)])
    .map(([, line = '']) => line);
}

test('every command, option and scenario it names exists', (t) => {
  const commands = [...closewait('--help').matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name);
  const listed = JSON.parse(closewait('list', '--json')) as { name: string }[];
  const lines = commandLines();
  t.true(lines.length > 5);
  for (const line of lines) {
    const [command = '', ...args] = line.replaceAll(/'[^']*'/g, "''").split(' ');
    if (command === '--help') continue;
    t.true(commands.includes(command), `closewait ${line}`);
    const help = closewait(command, '--help');
    for (const option of args.filter((arg) => arg.startsWith('--'))) {
      t.true(help.includes(option), `closewait ${line}`);
    }
    if (command !== 'run') continue;
    const names = args.filter(
      (arg, i) => /^[a-z]/.test(arg) && !/^--(?:driver|format|pcap)$/.test(args[i - 1] ?? ''),
    );
    for (const each of names)
      t.true(
        listed.some(({ name }) => name === each),
        `closewait ${line}`,
      );
  }
});

test('its TypeScript compiles under the strictest options and runs', (t) => {
  const examples = blocks.filter(({ file }) => file !== undefined);
  t.true(examples.length > 1);
  t.is(new Set(examples.map(({ file }) => file)).size, examples.length);
  withExamples(readme, (run) => {
    for (const { file = '', text } of examples) {
      // Compiled all the same.
      if (noNamespace !== undefined && text.includes("'closewait/lab'")) continue;
      t.notThrows(() => run(`node ${file.replace(/ts$/, 'js')}`), file);
    }
  });
});

const reason = whyNotAsShown();
const sameShape = reason === undefined ? test : test.skip;
const suffix = reason === undefined ? '' : ` (${reason})`;

sameShape(
  `its outputs are those of today, but for numbers and names of the moment${suffix}`,
  (t) => {
    const outputs = blocks.filter(
      ({ command }) =>
        command !== undefined && !/^npm run bench$|ladder|^closewait bench/.test(command),
    );
    t.true(outputs.length > 2);
    withExamples(readme, (run) => {
      for (const { command = '', text } of outputs) {
        t.is(shapeOf(text).trimEnd(), shapeOf(run(command)).trimEnd(), command);
      }
    });
  },
);

sameShape(`its ladder has the rungs of today's${suffix}`, (t) => {
  const ladder = blocks.find(({ command }) => command?.includes('ladder'));
  // Which line a poll or a delayed thread falls on differs; what a segment does to whom does not.
  const rungs = (text: string): string[] =>
    text
      .split('\n')
      .flatMap((line) => /[A-Z_\d]* *\| (?:--|<-).*/.exec(line)?.[0].trimEnd() ?? [])
      // Only a poll shows TIME_WAIT: beside its segment, or on a line of its own.
      .map((rung) => rung.replace(/^(?:TIME_WAIT)? *\|/, '|'));
  const today = withExamples(readme, (run) => rungs(run(ladder?.command ?? '')));
  t.is(today.length, 11);
  t.deepEqual(rungs(ladder?.text ?? ''), today);
});

const pairs = [
  { what: 'a port', a: '127.0.0.1:1 LISTEN', b: '127.0.0.1:65000   LISTEN', same: true },
  {
    what: 'a passing state',
    a: 'path of the client: A > FIN_WAIT1 > B',
    b: 'path of the client: A > B',
    same: true,
  },
  {
    what: 'a state that stays',
    a: 'path of the client: A > FIN_WAIT2 > B',
    b: 'path of the client: A > B',
    same: false,
  },
  { what: 'a word', a: 'cause: not-closed', b: 'cause: eof-unread', same: false },
  { what: 'a line', a: 'x\n', b: 'x\ny\n', same: false },
] as const;

for (const { what, a, b, same } of pairs) {
  test(`the shape of an output ${same ? 'hides' : 'shows'} ${what}`, (t) => {
    t.is(shapeOf(a) === shapeOf(b), same);
  });
}
