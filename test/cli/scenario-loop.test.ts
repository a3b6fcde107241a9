import { existsSync } from 'node:fs';
import ava from 'ava';
import { until } from '../fixture/until.js';
import { noWorld } from '../world/ability.js';
import { commandOnFile, HEAD, runFile } from './scenario-file.js';

const runs = noWorld === undefined ? ava.serial : ava.serial.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;
/** The line on which what is put behind HEAD begins. */
const LINE = HEAD.split('\n').length;
const ENDED = (line: number): RegExp =>
  new RegExp(
    `^closewait: a loop that lets nothing else go on was ended after \\S+ s, at .*mine\\.mjs:${line}:`,
  );

/** A scenario whose run begins with this: it gets there within any time-out. */
const first = (run: string): string =>
  `export const a = { ...scenario('a'), path: {}, run: ${run} };`;

const loops: readonly (readonly [what: string, line: number, text: string, timeoutS?: string])[] = [
  ['that awaits nothing', LINE, first('() => { for (;;); }')],
  [
    'that awaits only what is there',
    LINE + 1,
    // On one line: it is paused wherever it is.
    first('async () => {\n for (;;) await 0; }'),
  ],
  [
    'that Node runs again and again',
    LINE,
    first('() => { (function f() { process.nextTick(f); })(); }'),
  ],
  [
    'behind what the run has waited for',
    LINE,
    "export const a = scenario('a', async ({ client }) => { await client.send('x'); for (;;); });",
    '5',
  ],
  [
    'of a timer that nobody knows of',
    LINE,
    `setTimeout(() => { for (;;); }, 1);
     export const a = scenario('a', () => new Promise(() => {}));`,
  ],
  ['that loading never leaves', LINE, "export const a = scenario('a', () => {}); for (;;);"],
];

for (const [what, line, text, timeoutS = '1'] of loops) {
  runs(`a loop ${what} is ended, and its place told${why}`, (t) => {
    const { code, stderr } = runFile(t, 'mine.mjs', `${HEAD}${text}`, '--timeout', timeoutS);
    t.regex(stderr, ENDED(line));
    t.is(stderr.trim().split('\n').length, 1);
    t.is(code, 1);
  });
}

runs(`the processes of a file that loops are ended with it${why}`, async (t) => {
  const text = first(`() => {
    console.log(spawn('sleep', ['1000'], { stdio: 'ignore' }).pid);
    for (;;);
  }`);
  const { code, stdout, stderr } = runFile(t, 'mine.mjs', HEAD + text, '--timeout', '1');
  t.regex(stderr, /left running by a scenario, and ended: sleep \(pid \d+\)/);
  await until(
    () => !existsSync(`/proc/${Number(stdout)}`),
    () => `process ${stdout}: gone`,
  );
  t.is(code, 1);
});

runs(`compare ends a loop, too${why}`, (t) => {
  const text = "export const a = scenario('a', () => {}); for (;;);";
  const { code, stdout, stderr } = commandOnFile(t, 'compare', 'mine.mjs', HEAD + text);
  t.is(stdout, '');
  t.regex(stderr, ENDED(LINE));
  t.is(code, 1);
});

runs(
  `a blocking call that outlasts the run cannot be ended: the command is killed, and says so${why}`,
  (t) => {
    const text = first(`() => {
      const [from] = sys.pipe2(sys.O_CLOEXEC);
      sys.read(from, new Uint8Array(1));
    }`);
    const { code, stderr } = runFile(t, 'mine.mjs', HEAD + text, '--timeout', '1');
    t.regex(stderr, /^closewait: killed: one call that blocks has gone on for \S+ s$/m);
    t.not(code, 0);
  },
);

runs(`a call that blocks for longer than a loop may and comes back is left alone${why}`, (t) => {
  const text = first('() => void sys.sleep(2)');
  const { code, stdout, stderr } = runFile(t, 'mine.mjs', HEAD + text, '--timeout', '1');
  t.is(stderr, '');
  t.regex(stdout, /^reproduced a /m);
  t.is(code, 0);
});
