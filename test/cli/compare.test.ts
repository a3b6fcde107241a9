import ava from 'ava';
import { TracepointObserver } from '../../src/observer/tracepoint.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import { noWorld } from '../world/ability.js';
import { closewait } from './closewait.js';

const test = ava.serial;
const inWorld = noWorld === undefined ? test : test.skip;
const NODE = process.execPath;
/** Without them a state that lasts microseconds is not seen. */
const { available: seesAll } = TracepointObserver.availability();

inWorld('compare --json: a record of each driver, and what differs with both values', (t) => {
  const { code, stdout, stderr } = closewait('compare', 'close-wait', '--json');
  t.is(code, 0, stderr);
  const { scenario, records, differences, ...rest } = JSON.parse(stdout);
  t.is(scenario, 'close-wait');
  t.deepEqual(rest, {});
  t.deepEqual(
    records.map(({ driver, verdict }: Record<string, string>) => [driver, verdict]),
    [
      ['raw', 'reproduced'],
      ['libuv', 'reproduced'],
      ['program', 'reproduced'],
    ],
  );
  t.true(differences.length > 0);
  for (const { what, values } of differences) {
    t.regex(what, /\w/);
    t.deepEqual(Object.keys(values), ['raw', 'libuv', 'program']);
    t.true(new Set(Object.values(values).map((each) => JSON.stringify(each))).size > 1, what);
  }
});

inWorld('compare: side by side, no colour in a pipe, the lines that differ marked', (t) => {
  const { code, stdout, stderr } = closewait('compare', 'close-wait', '--drivers', 'raw,libuv');
  t.is(code, 0, stderr);
  t.false(stdout.includes('\x1b['));
  t.regex(stdout, /^ +raw +libuv$/m);
  t.regex(stdout, /^! +data 5$/m);
  const path = seesAll
    ? /^ {2}path of the client +SYN_SENT, ESTABLISHED/m
    : /^. path of the client /m;
  t.regex(stdout, path);
  t.regex(stdout, /\n\d+ differences\n$/);
});

inWorld('compare --node: the same scenario on another Node', (t) => {
  const { code, stdout, stderr } = closewait(
    ...['compare', 'node-unread-byte', '--node', NODE, '--json'],
  );
  const { records, differences } = JSON.parse(stdout);
  const reasons = records.map(({ reason }: { reason?: string }) => reason).join('\n');
  t.is(code, 0, `${stderr}${reasons}`);
  const runtime = `node ${process.version}`;
  t.deepEqual(
    records.map((each: Record<string, string>) => [each['driver'], each['runtime']]),
    [
      ['libuv', runtime],
      ['libuv', runtime],
    ],
  );
  // The same Node twice: it differs from itself by time alone.
  const others = differences.filter(({ what }: { what: string }) => !what.startsWith('ms to'));
  t.deepEqual(others, []);
});

inWorld('compare: a driver that was not vouched for may differ, one that was may not', (t) => {
  const { code, stdout } = closewait('compare', 'server-first', '--json');
  t.is(code, 0);
  const [verdict] = JSON.parse(stdout).differences;
  t.is(verdict.what, 'verdict');
  t.regex(verdict.values.libuv, /^not-reproduced: .*EADDRINUSE/);
});

inWorld('compare --node, as text: a matrix of what differs, the versions above', (t) => {
  const { code, stdout, stderr } = closewait('compare', 'node-ghost', '--node', NODE);
  t.is(code, 0, stderr);
  t.regex(stdout, /^ +v[\d.]+ #1 +v[\d.]+ #2$/m);
  t.regex(stdout, /^ {2}verdict +reproduced +reproduced$/m);
  t.regex(stdout, /\n\d+ differences?\n$/);
});

inWorld('compare without a scenario: every scenario of Node by every Node', (t) => {
  const { code, stdout, stderr } = closewait('compare', '--node', NODE);
  t.is(code, 0, stderr);
  const own = catalogue.filter(({ drivers }) => drivers?.join() === 'libuv');
  t.true(own.length > 5);
  for (const { name } of own) {
    t.regex(stdout, new RegExp(`^ {2}${name} +reproduced +reproduced$`, 'm'));
  }
  t.regex(stdout, new RegExp(`^\\d+ of ${own.length} scenarios differ`, 'm'));
});

inWorld('compare --server: a command beside the raw end', (t) => {
  const script = `require("net").createServer((c) => c.pipe(c)).listen(process.env.PORT)`;
  const { code, stdout, stderr } = closewait(
    ...['compare', 'normal', '--json', '--server', `${NODE} -e '${script}'`],
  );
  t.is(code, 0, stderr);
  const { records, differences } = JSON.parse(stdout);
  const [raw, program] = records;
  t.is(raw.command, undefined);
  t.is(program.driver, 'program');
  t.is(program.command.end, 'server');
  t.is(program.verdict, 'reproduced', program.reason);
  const whats: string[] = differences.map(({ what }: { what: string }) => what);
  for (const same of ['verdict', ...(seesAll ? ['path of the server'] : []), 'left behind'])
    t.false(whats.includes(same));
  for (const { values } of differences) t.deepEqual(Object.keys(values), ['raw', 'program']);
});

inWorld('a command that cannot be compared fails; run --server says what it did not do', (t) => {
  const ended = closewait('compare', 'normal', '--server', 'sh -c "exit 3"');
  t.is(ended.code, 1, ended.stderr);
  t.regex(ended.stdout.replace(/\s+/g, ' '), /inconclusive/);
  const { code, stdout } = closewait('run', 'normal', '--server', 'sh -c "exit 3"');
  t.is(code, 1);
  t.regex(stdout, /driver program \(the server is sh -c 'exit 3'\)/);
  t.regex(stdout, /^inconclusive normal .*it ended with exit code 3$/m);
});

for (const { title, args, says } of [
  { title: 'no scenario', args: [], says: /name a scenario, or other Nodes with --node/ },
  {
    title: 'no scenario, and drivers',
    args: ['--drivers', 'raw,libuv', '--node', NODE],
    says: /--drivers is for one scenario: name it/,
  },
  {
    title: 'a scenario behind --node',
    args: ['--node', NODE, 'node-ghost'],
    says: /--node: there is no program node-ghost to run.*a scenario goes before --node/,
  },
  {
    title: 'a program that is not there',
    args: ['normal', '--server', 'no-such-program {port}'],
    says: /--server: there is no program no-such-program to run/,
  },
  {
    title: 'a program that is no program',
    args: ['normal', '--client', '/etc/passwd'],
    says: /--client: there is no program \/etc\/passwd to run/,
  },
  {
    title: 'what a shell would have to read',
    args: ['normal', '--server', 'cd / && ls'],
    says: /--server "cd \/ && ls": no shell reads it: quote the "&", or say sh -c/,
  },
  { title: 'an unknown scenario', args: ['nap'], says: /no scenario "nap"/ },
  {
    title: 'an unknown driver',
    args: ['close-wait', '--drivers', 'raw,taxi'],
    says: /no driver "taxi": it is raw or libuv or program/,
  },
  {
    title: 'one driver',
    args: ['close-wait', '--drivers', 'raw'],
    says: /one driver .*raw.* is nothing to compare/,
  },
  {
    title: 'a scenario of libuv alone, and no other Node',
    args: ['node-ghost'],
    says: /one driver .*libuv.* is nothing to compare.*--node/,
  },
  {
    title: 'a Node that is not there',
    args: ['node-ghost', '--node', '/nonexistent/node'],
    says: /--node: there is no program \/nonexistent\/node to run/,
  },
  {
    title: 'a folder for a Node',
    args: ['node-ghost', '--node', '/'],
    says: /--node: there is no program \/ to run/,
  },
  {
    title: 'a Node that is none and ends',
    args: ['node-ghost', '--node', '/bin/true'],
    says: /--node: \/bin\/true is no Node that runs here: \/bin\/true has ended \(exit code 0\)/,
  },
  {
    title: 'a Node that is none and prints',
    args: ['node-ghost', '--node', '/bin/cat'],
    says: /--node: \/bin\/cat is no Node that runs here: server printed what is no report: /,
  },
  {
    title: 'a Node for drivers that have none',
    args: ['close-wait', '--drivers', 'raw,program', '--node', NODE],
    says: /--node is for driver libuv/,
  },
]) {
  test(`compare, ${title}: exit 2, one line of why`, (t) => {
    const { code, stdout, stderr } = closewait('compare', ...args);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
  });
}

for (const { args, says } of [
  { args: ['--server', 'true', '--client', 'true'], says: /one end is a command, the other is/ },
  { args: ['--server', 'true', '--driver', 'raw'], says: /by driver program, not by raw/ },
]) {
  test(`run ${args.join(' ')}: exit 2, one line of why`, (t) => {
    const { code, stdout, stderr } = closewait('run', 'normal', ...args);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
  });
}
