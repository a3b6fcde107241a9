/** The command on a terminal that is closed, as a window or a connection is: script(1) has its other end. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program, scratch } from '../driver/programs.js';
import { Traces } from '../experiment/traces.js';
import { noNamespace, noTool, testUnless } from '../world/ability.js';
import { CLI } from './closewait.js';

// As an interactive shell does: it is told by the kernel, and tells its jobs. The first wait ends with that.
const TELL = 'trap "kill -HUP $!" HUP; wait; wait $!';
const LEAVE = 'trap : HUP; wait; wait $!';

const rows: [args: string, shows: RegExp, code: number, shell: string][] = [
  // A pipe that has no end, so that it waits until it is told.
  ['run close-wait --pause <> pipe', /look around, then press Enter/, 130, TELL],
  ['watch --pid $$', /leaks/, 0, TELL],
  ['watch --pid $$ < /dev/tty', /leaks/, 0, TELL],
  ['watch --pid $$ --interval 10', /leaks/, 0, LEAVE],
];

for (const [args, shows, code, shell] of rows) {
  const needs = args.startsWith('run') ? noNamespace : undefined;
  const told = shell === TELL ? 'told' : 'left';
  const title = `${args}, ${told} when its terminal is closed: ${code}`;
  testUnless(noTool('script') ?? needs, title, async (t) => {
    const traces = new Traces();
    const directory = scratch(t);
    const line = `cd ${directory}; mkfifo pipe; ${process.execPath} ${CLI} ${args} & ${shell}; echo $? > code`;
    const terminal = new Program(t, traces.marked(['script', '-qec', line, '/dev/null']));
    await terminal.shows('stdout', shows);
    terminal.signal('SIGKILL');
    await terminal.end();
    await t.notThrowsAsync(traces.gone());
    t.is(readFileSync(join(directory, 'code'), 'utf8'), `${code}\n`);
  });
}
