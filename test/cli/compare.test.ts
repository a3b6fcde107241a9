import ava from 'ava';
import { noWorld } from '../world/ability.js';
import { closewait } from './closewait.js';

const test = ava.serial;
const inWorld = noWorld === undefined ? test : test.skip;
const NODE = process.execPath;

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
  t.regex(stdout, /^ {2}path of the client +SYN_SENT, ESTABLISHED/m);
  t.regex(stdout, /\n\d+ differences\n$/);
});

inWorld('compare --node: the same scenario on another Node', (t) => {
  const { code, stdout, stderr } = closewait(
    ...['compare', 'node-unread-byte', '--node', NODE, '--json'],
  );
  t.is(code, 0, stderr);
  const { records, differences } = JSON.parse(stdout);
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

for (const { title, args, says } of [
  { title: 'no scenario', args: [], says: /missing required argument 'scenario'/ },
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
    says: /--node: ENOENT/,
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
