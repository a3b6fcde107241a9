import test from 'ava';
import {
  compare,
  compareAll,
  differencesOf,
  factNames,
  labelsOf,
  tellingDifferences,
} from '../../src/experiment/compare.js';
import type { EnterEvent, ExitEvent, TimelineEvent } from '../../src/experiment/event.js';
import { factsOf } from '../../src/experiment/facts.js';
import type { RunRecord } from '../../src/experiment/record.js';
import { closeWait } from '../../src/scenario/close-wait.js';
import { nodeUnreadByte } from '../../src/scenario/node-unread.js';
import type { TcpStateName } from '../../src/tcp/states.js';
import { noNamespace, testUnless } from '../world/ability.js';

const seen = { tNs: 0, source: 'tracepoint', latenessNs: 0 } as const;

/** A record that shows only what differs. */
const record = (more: Partial<RunRecord>): RunRecord => ({
  ...{ scenario: 's', driver: 'raw', family: 4, kernel: '6', ok: true, verdict: 'reproduced' },
  world: { kind: 'namespace', privilege: 'root' },
  ends: { client: { path: [] }, server: { path: [] } },
  ...{ checks: [], events: [], findings: [], observers: [], moments: [], transcripts: {} },
  ...more,
});

/** A call of the server and its result. */
function called(id: number, syscall: string, args: readonly number[], result: number) {
  const base = { ...seen, end: 'server', tid: 1, syscall } as const;
  const enter: EnterEvent = { ...base, kind: 'enter', id, args: args.map(BigInt) };
  const exit: ExitEvent = { ...base, kind: 'exit', id: id + 1, result, enter: id };
  return [enter, exit];
}

const segment = (id: number, end: 'client' | 'server', flags: string, payloadLength = 0) =>
  ({
    ...{ ...seen, id, kind: 'segment', end, flags, payloadLength, tNs: id * 1e6 },
    ...{ sequence: 0, acknowledgment: 0, window: 0 },
  }) as const satisfies TimelineEvent;

test('what is the same is no difference', (t) => {
  t.deepEqual(differencesOf([record({}), record({ driver: 'libuv' })]), []);
});

test('a difference names both values; a list is one value', (t) => {
  const path = (...states: ('ESTABLISHED' | 'CLOSE')[]) => ({
    ends: { client: { path: states }, server: { path: [] } },
  });
  const raw = record(path('ESTABLISHED'));
  const libuv = record({ driver: 'libuv', ...path('ESTABLISHED', 'CLOSE') });
  t.deepEqual(differencesOf([raw, libuv]), [
    {
      what: 'path of the client',
      values: { raw: ['ESTABLISHED'], libuv: ['ESTABLISHED', 'CLOSE'] },
    },
  ]);
});

test('what was skipped differs by that alone', (t) => {
  const skipped = record({ driver: 'libuv', verdict: 'skipped', reason: 'no dup()' });
  const ran = record({ events: [segment(0, 'client', 'S')] });
  t.deepEqual(differencesOf([ran, skipped]), [
    { what: 'verdict', values: { raw: 'reproduced', libuv: 'skipped: no dup()' } },
  ]);
});

test('a segment that was sent again is the same, and a retransmission; a reset never is', (t) => {
  const of = (id: number, flags: string, sequence: number, payloadLength = 0) => ({
    ...segment(id, 'client', flags, payloadLength),
    sequence,
  });
  const events: TimelineEvent[] = [
    ...[of(0, 'P.', 1, 5), segment(1, 'server', 'P.', 5), of(2, 'P.', 1, 5), of(3, 'F.', 6)],
    ...[of(4, 'F.', 6), of(5, '.', 7), { ...of(6, '.', 7), acknowledgment: 9 }, of(7, '.', 7)],
    ...[of(8, 'R', 7), of(9, 'R', 7)],
  ];
  t.deepEqual(factsOf(record({ events })).get('segments'), [
    ...['client P. 5', 'server P. 5', 'client F.', 'client .', 'client .', 'client R', 'client R'],
  ]);
});

test('segments and resets are told with their senders, lengths and reasons', (t) => {
  const events: TimelineEvent[] = [
    segment(0, 'client', 'P.', 5),
    segment(1, 'server', 'R'),
    { ...seen, id: 2, kind: 'send-reset', end: 'server', reason: 'NO_SOCKET' },
    { ...seen, id: 3, kind: 'retransmit', end: 'client' },
  ];
  const facts = factsOf(record({ events }));
  t.deepEqual(facts.get('segments'), ['client P. 5', 'server R']);
  t.deepEqual(facts.get('resets'), ['server NO_SOCKET']);
  t.is(facts.get('retransmissions'), 1);
});

test('calls are counted on sockets, from the one that made the descriptor to close()', (t) => {
  const events = [
    ...called(0, 'read', [7, 0, 1], 1),
    ...called(2, 'socket', [2, 1, 0], 7),
    ...called(4, 'listen', [7, 5], 0),
    ...called(6, 'accept4', [7, 0, 0, 0], 9),
    ...called(8, 'read', [9, 0, 1], 1),
    ...called(10, 'read', [9, 0, 1], 0),
    ...called(12, 'epoll_ctl', [3, 1, 9], 0),
    ...called(14, 'epoll_ctl', [9, 1, 3], 0),
    ...called(16, 'close', [9], 0),
    ...called(18, 'read', [9, 0, 1], 0),
    ...called(20, 'accept4', [7, 0, 0, 0], -11),
  ];
  const facts = factsOf(record({ events }));
  const calls = [...facts].filter(([what]) => what.startsWith('server calls'));
  t.deepEqual(Object.fromEntries(calls), {
    'server calls socket': 1,
    'server calls listen': 1,
    'server calls accept4': 2,
    'server calls read': 2,
    'server calls epoll_ctl': 1,
    'server calls close': 1,
  });
});

test('what the applications did and heard is told apart', (t) => {
  const client = [
    { tNs: 1, kind: 'call', name: 'send', result: 5 },
    { tNs: 2, kind: 'event', name: 'data', result: 9 },
    { tNs: 3, kind: 'event', name: 'error', code: 'EPIPE' },
    { tNs: 4, kind: 'call', name: 'close' },
  ] as const;
  const facts = factsOf(record({ application: { client, server: [] } }));
  t.deepEqual(facts.get('verbs of the client'), ['send 5', 'close']);
  t.deepEqual(facts.get('events of the client'), ['data 9', 'error EPIPE']);
});

test('calls that failed are told by their errors; to have to wait is none', (t) => {
  const events = [
    ...called(0, 'socket', [2, 1, 0], 7),
    ...called(2, 'accept4', [7, 0, 0, 0], -11),
    ...called(4, 'accept4', [7, 0, 0, 0], 9),
    ...called(6, 'read', [9, 0, 1], -512),
    ...called(8, 'read', [9, 0, 1], -104),
    ...called(10, 'write', [9, 0, 1], -32),
    ...called(12, 'read', [3, 0, 1], -5),
  ];
  const facts = factsOf(record({ events }));
  t.deepEqual(facts.get('failed calls, server'), ['read ECONNRESET', 'write EPIPE']);
  t.false(facts.has('failed calls, client'), 'nobody followed it');
});

test('data in pieces is one event', (t) => {
  const data = (result: number) => ({ tNs: 1, kind: 'event', name: 'data', result }) as const;
  const end = { tNs: 1, kind: 'event', name: 'end' } as const;
  const client = [data(5), data(6), end, data(7)];
  const facts = factsOf(record({ application: { client, server: [] } }));
  t.deepEqual(facts.get('events of the client'), ['data 11', 'end', 'data 7']);
});

const observed = (driver: 'raw' | 'libuv', lost: number, ...path: TcpStateName[]) =>
  record({
    ...{ driver, ends: { client: { path }, server: { path: [] } } },
    observers: [{ name: 'tracepoint', available: true, lost }],
  });

for (const { title, other, differs } of [
  { title: 'all of it seen', other: observed('libuv', 0, 'ESTABLISHED', 'CLOSE'), differs: true },
  { title: 'looked at', other: observed('libuv', 1, 'ESTABLISHED', 'CLOSE'), differs: false },
  { title: 'looked at, another', other: observed('libuv', 1, 'ESTABLISHED'), differs: true },
]) {
  test(`a path beside one with a passing state, ${title}: ${differs ? 'a' : 'no'} difference`, (t) => {
    const whole = observed('raw', 0, 'SYN_SENT', 'ESTABLISHED', 'CLOSE');
    const whats = differencesOf([whole, other]).map(({ what }) => what);
    t.deepEqual(whats, differs ? ['path of the client'] : []);
  });
}

test('what an application would notice: no counts, no times, no amounts', (t) => {
  const differences = [
    { what: 'server calls read', values: { a: 1, b: 2 } },
    { what: 'ms to "x"', values: { a: 1, b: 200 } },
    { what: 'events of the client', values: { a: ['data 5', 'end'], b: ['data 6', 'end'] } },
    { what: 'events of the server', values: { a: ['data 5'], b: ['data 6', 'end'] } },
    { what: 'left behind', values: { a: [], b: ['client CLOSE, held: in no list'] } },
  ];
  const telling = tellingDifferences({ scenario: 's', records: [], differences });
  t.deepEqual(
    telling.map(({ what }) => what),
    ['events of the server', 'left behind'],
  );
});

test('what is left behind: sockets, and a descriptor that is in no list', (t) => {
  const local = { address: '::1', port: 1 };
  const queues = { recvQ: 0, sendQ: 0, timer: 'off', timerMs: 0 } as const;
  const socket = { ...queues, family: 10, local, remote: local };
  const left = {
    sockets: [
      { ...socket, end: 'listener', state: 'LISTEN', inode: 1 },
      { ...socket, end: 'client', state: 'FIN_WAIT2', inode: 0 },
    ],
    tcpInfo: { server: 'CLOSE' },
    diagnoses: [],
  } as const;
  t.deepEqual(factsOf(record({ left })).get('left behind'), [
    'client FIN_WAIT2, no owner',
    'server CLOSE, held: in no list',
  ]);
});

const at = (ms: number) => ({
  events: [segment(0, 'client', 'S')],
  moments: [{ name: 'm', tNs: ms * 1e6, sockets: [], tcpInfo: {}, diagnoses: [] }],
});

for (const { title, times, notable } of [
  { title: 'near each other', times: [10, 25], notable: false },
  { title: 'twice as long, and 20 ms', times: [1000, 1900], notable: false },
  { title: 'much longer', times: [10, 60], notable: true },
]) {
  test(`times ${title}: ${notable ? 'a' : 'no'} difference`, (t) => {
    const [one = 0, other = 0] = times;
    const records = [record(at(one)), record({ driver: 'libuv', ...at(other) })];
    const whats = differencesOf(records).map(({ what }) => what);
    t.deepEqual(whats, notable ? ['ms to "m"'] : []);
  });
}

test('a run is called by its driver, or by what ran it, or by its place', (t) => {
  const node = (runtime: string) => record({ driver: 'libuv', runtime });
  t.deepEqual(labelsOf([record({}), node('node v20')]), ['raw', 'libuv']);
  t.deepEqual(labelsOf([node('node v20'), node('node v26')]), ['node v20', 'node v26']);
  t.deepEqual(labelsOf([node('node v20'), node('node v20')]), ['node v20 #1', 'node v20 #2']);
});

test('facts are told in the order of every run', (t) => {
  const of = (...names: string[]) => new Map(names.map((name) => [name, 1]));
  t.deepEqual(factNames([of('a', 'c'), of('a', 'b', 'c', 'd')]), ['a', 'b', 'c', 'd']);
  t.deepEqual(factNames([of(), of('a')]), ['a']);
});

testUnless(noNamespace, 'close-wait by raw and libuv: the kernel tells the same', async (t) => {
  const variants = [{ driver: 'raw' }, { driver: 'libuv' }] as const;
  const { scenario, records, differences } = await compare(closeWait, variants, {
    world: 'namespace',
  });
  t.is(scenario, 'close-wait');
  t.deepEqual(
    records.map(({ driver, verdict }) => [driver, verdict]),
    [
      ['raw', 'reproduced'],
      ['libuv', 'reproduced'],
    ],
  );
  t.is(records[1]?.runtime, `node ${process.version}`);
  const named = new Map(differences.map(({ what, values }) => [what, values]));
  t.deepEqual(named.get('events of the server'), { raw: [], libuv: ['data 5', 'end', 'close'] });
  for (const same of ['path of the client', 'path of the server', 'segments', 'left behind']) {
    t.false(named.has(same), same);
  }
  const [raw, libuv] = records.map(({ application }) => application?.server ?? []);
  const verbs = ['listen', 'accept', 'echo', 'readEnd', 'close'];
  t.deepEqual(
    raw?.map(({ name }) => name),
    verbs,
  );
  t.true(libuv?.every(({ tNs }, i) => tNs >= (libuv[i - 1]?.tNs ?? 0)));
  if (records.every(({ observers }) => observers.every(({ available }) => available))) {
    t.deepEqual(named.get('server calls accept4'), { raw: null, libuv: 1 });
  }
});

testUnless(noNamespace, 'a driver that cannot is a difference', async (t) => {
  const variants = [{ driver: 'libuv' }, { driver: 'raw' }] as const;
  const { differences } = await compare(nodeUnreadByte, variants, { world: 'namespace' });
  t.deepEqual(differences, [
    {
      what: 'verdict',
      values: { libuv: 'reproduced', raw: 'skipped: driver raw cannot express node:net' },
    },
  ]);
});

testUnless(noNamespace, 'several scenarios are compared at once, and told in order', async (t) => {
  const variants = [{ driver: 'raw' }, { driver: 'libuv' }] as const;
  const ended: string[] = [];
  const all = await compareAll([closeWait, nodeUnreadByte], variants, {
    ...{ world: 'namespace', jobs: 2 },
    onEnd: ({ scenario }) => ended.push(scenario),
  });
  t.deepEqual(
    all.map(({ scenario }) => scenario),
    ['close-wait', 'node-unread-byte'],
  );
  t.deepEqual(ended.toSorted(), ['close-wait', 'node-unread-byte']);
});

testUnless(noNamespace, 'a run that cannot be set up ends the others', async (t) => {
  const variants = [{ driver: 'libuv', node: '/no/such/node' }] as const;
  const comparing = compareAll([closeWait, nodeUnreadByte], variants, {
    ...{ world: 'namespace', jobs: 2 },
  });
  await t.throwsAsync(comparing, { code: 'ENOENT' });
});
