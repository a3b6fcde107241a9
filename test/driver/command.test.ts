/** Any command as one end: what it does by itself is waited for, and it ends with the run, with all that it started. */
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import type { End } from '../../src/driver/role.js';
import { factsOf } from '../../src/experiment/facts.js';
import type { RunRecord } from '../../src/experiment/record.js';
import { run } from '../../src/experiment/run.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import { hasIpv6 } from '../../src/world/interfaces.js';
import { noNamespace, noTool, testUnless } from '../world/ability.js';

const APPS = fileURLToPath(new URL('../../../test/fixture/apps/', import.meta.url));
const why = noNamespace ?? noTool('python3');
const python = (...args: string[]): string[] => ['python3', `${APPS}server.py`, ...args];
const node = (...args: string[]): string[] => [process.execPath, `${APPS}server.mjs`, ...args];

interface Row {
  readonly title: string;
  readonly scenario: string;
  readonly end?: End;
  readonly words: readonly string[];
  readonly verdict: RunRecord['verdict'];
  readonly says?: RegExp;
  /** The path of the server. */
  readonly path?: readonly string[];
  readonly left?: readonly string[];
}

const CLOSED = ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'];
const LEAKED = ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'];
const TIME_WAIT = ['client TIME_WAIT, no owner'];
const LEAK = ['client FIN_WAIT2, no owner', 'server CLOSE_WAIT, held'];
const NOT_CLOSED = /has not closed its end within 5 s: its socket is in CLOSE_WAIT, Recv-Q 0/;

const conversations: readonly Row[] = [
  {
    ...{ title: 'python that closes', scenario: 'normal', words: python('closes') },
    ...{ verdict: 'reproduced', path: CLOSED, left: TIME_WAIT },
  },
  {
    ...{ title: 'python with the bug of the article', scenario: 'close-wait' },
    ...{ words: python('leaks'), verdict: 'not-reproduced', says: NOT_CLOSED },
    ...{ path: LEAKED, left: LEAK },
  },
  {
    ...{ title: 'node that closes, on every address', scenario: 'normal', words: node('closes') },
    ...{ verdict: 'reproduced', path: CLOSED, left: TIME_WAIT },
  },
  {
    ...{ title: 'node with allowHalfOpen and no end()', scenario: 'normal', words: node('leaks') },
    ...{ verdict: 'not-reproduced', says: NOT_CLOSED, path: LEAKED, left: LEAK },
  },
  {
    ...{ title: 'the answer to a half-close', scenario: 'half-close-response' },
    ...{ words: python('closes'), verdict: 'reproduced', path: CLOSED, left: TIME_WAIT },
  },
  {
    ...{ title: 'a reset', scenario: 'abort', words: python('closes'), verdict: 'reproduced' },
    ...{ path: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'], left: [] },
  },
  {
    ...{ title: 'workers that share the listener', scenario: 'normal', words: python('forks') },
    ...{ verdict: 'reproduced', path: CLOSED, left: TIME_WAIT },
  },
  {
    ...{ title: 'a port of its own', scenario: 'normal', words: python('elsewhere') },
    ...{ verdict: 'reproduced', path: CLOSED },
  },
  {
    ...{ title: 'the port by {port}', scenario: 'normal', words: python('closes', '{port}') },
    ...{ verdict: 'reproduced', path: CLOSED },
  },
  {
    ...{ title: 'on two hosts', scenario: 'lost-fin', words: python('leaks') },
    ...{ verdict: 'reproduced', path: LEAKED },
  },
  {
    ...{ title: 'against a wire', scenario: 'duplicate-fin', words: python('leaks') },
    ...{ verdict: 'reproduced', path: LEAKED },
  },
  {
    ...{ title: 'a client', scenario: 'normal', end: 'client' },
    ...{ words: ['python3', `${APPS}client.py`, '{host}', '{port}'], verdict: 'reproduced' },
    ...{ path: CLOSED, left: TIME_WAIT },
  },
];

const failures: readonly Row[] = [
  {
    ...{ title: 'it ends at once', scenario: 'normal', words: ['sh', '-c', 'echo oh; exit 3'] },
    verdict: 'inconclusive',
    says: /^sh -c 'echo oh; exit 3' has not started to listen: it listens on nothing; it ended with exit code 3; it printed "oh\\n"$/,
  },
  {
    ...{ title: 'there is no such program', scenario: 'normal', words: ['no-such-program'] },
    ...{ verdict: 'inconclusive', says: /it ended with exit code 127/ },
  },
  {
    ...{ title: 'its child goes on without it', scenario: 'normal', words: python('leaves') },
    ...{ verdict: 'inconclusive', says: /it ended with exit code 1; it printed "nothing to do/ },
  },
  {
    ...{ title: 'it never listens', scenario: 'normal', words: python('sleeps') },
    ...{ verdict: 'inconclusive', says: /within 10 s: it listens on nothing$/ },
  },
  {
    ...{ title: 'another port than it was told', scenario: 'normal' },
    ...{ words: python('elsewhere', '{port}'), verdict: 'inconclusive' },
    says: /within 10 s: it listens on 0\.0\.0\.0:7007, not on port \d+$/,
  },
  {
    ...{ title: 'two ports, neither of them told', scenario: 'normal', words: python('twice') },
    verdict: 'inconclusive',
    says: /listens on \S+:7007 and \S+:7008: let \{port\} in the command, or PORT .* say which$/,
  },
  {
    ...{ title: 'it never connects', scenario: 'normal', end: 'client', words: ['true'] },
    ...{ verdict: 'inconclusive', says: /true has not connected: .*exit code 0/ },
  },
  {
    ...{ title: 'what cannot be asked of it', scenario: 'dup-fd-no-fin', end: 'client' },
    words: ['python3', `${APPS}client.py`, '{host}', '{port}'],
    ...{ verdict: 'skipped', says: /^driver program cannot express dup\(\)/ },
  },
  {
    ...{ title: 'an end without a TCP', scenario: 'simultaneous-open', words: python('closes') },
    ...{ verdict: 'skipped', says: /^driver program cannot express / },
  },
];

const ofIpv6: readonly Row[] = [
  {
    ...{
      title: 'a client that speaks IPv4 by a socket of IPv6',
      scenario: 'normal',
      end: 'client',
    },
    ...{ words: ['python3', `${APPS}client.py`, '::ffff:{host}', '{port}'], verdict: 'reproduced' },
    ...{ path: CLOSED, left: TIME_WAIT },
  },
  {
    ...{ title: 'IPv6 alone', scenario: 'normal', words: python('six') },
    ...{ verdict: 'inconclusive', says: /listens on \[::\]:\d+, which is not reached over IPv4$/ },
  },
];

function scenarioOf(name: string) {
  const found = catalogue.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no scenario ${name}`);
  return found;
}

async function play({ scenario, end = 'server', words }: Row): Promise<RunRecord> {
  const command = { end, words };
  const { record } = await run(scenarioOf(scenario), { world: 'namespace', command });
  return record;
}

function holds(t: ExecutionContext, row: Row, record: RunRecord): void {
  const at = `${row.title}: ${record.verdict}: ${record.reason}`;
  t.is(record.verdict, row.verdict, at);
  t.is(record.driver, 'program', at);
  if (row.says === undefined) t.is(record.reason, undefined, at);
  else t.regex(record.reason ?? '', row.says, at);
  const { available, lost = 0 } = record.observers.find(({ name }) => name === 'tracepoint') ?? {
    available: false,
  };
  if (row.path !== undefined && available && lost === 0) {
    t.deepEqual(record.ends.server.path, row.path as RunRecord['ends']['server']['path'], at);
  }
  if (row.left !== undefined) t.deepEqual(factsOf(record).get('left behind'), row.left, at);
}

const noIpv6 = hasIpv6() ? undefined : 'this kernel has no IPv6';

for (const [title, rows, missing] of [
  ['what a command does', conversations, why],
  ['what a command does not', failures, why],
  ['IPv6', ofIpv6, why ?? noIpv6],
] as const) {
  testUnless(missing, `${title}: ${rows.map((row) => row.title).join('; ')}`, async (t) => {
    t.timeout(90_000);
    const records = await Promise.all(rows.map(play));
    for (const [i, row] of rows.entries()) holds(t, row, records[i] as RunRecord);
  });
}

testUnless(why, 'its calls are followed from the first on, and its errors told', async (t) => {
  const [row] = conversations as [Row];
  const record = await play(row);
  t.deepEqual(record.command, { end: 'server', line: row.words.join(' ') });
  t.is(record.runtime, record.command?.line);
  const tracepoint = record.observers.find(({ name }) => name === 'tracepoint');
  if (!tracepoint?.available || (tracepoint.lost ?? 0) > 0) return;
  const facts = factsOf(record);
  for (const call of ['socket', 'bind', 'listen', 'close'])
    t.is(facts.get(`server calls ${call}`), 1);
  t.is(facts.get('server calls accept4'), 2);
});

testUnless(why, 'on the host: the same, and what it started ends too', async (t) => {
  const words = ['sh', '-c', `"$@" & wait`, 'sh', ...python('forks')];
  const { record } = await run(scenarioOf('normal'), {
    ...{ world: 'host', command: { end: 'server', words } },
  });
  t.is(record.verdict, 'reproduced', record.reason);
});

testUnless(
  why,
  'on the host, where nothing comes to listen: why nothing was looked for',
  async (t) => {
    const command = { end: 'server', words: ['true'] } as const;
    const { record } = await run(scenarioOf('normal'), { world: 'host', command });
    t.is(record.verdict, 'inconclusive', record.reason);
    for (const name of ['capture', 'tracepoint']) {
      const { reason } = record.observers.find((each) => each.name === name) ?? {};
      t.regex(reason ?? '', /^on the host only a server that listens tells what to look for/);
    }
  },
);
