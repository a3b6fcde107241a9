/** What the functions behind the package's doors take, and how they are called so that they leave nothing. */
import fc from 'fast-check';
import * as guards from '../../src/diagnose/guard.js';
import * as closewait from '../../src/index.js';
import * as lab from '../../src/lab.js';
import * as scenarios from '../../src/scenario/scenario.js';
import * as sys from '../../src/syscall/sys.js';
import { type Argument, kinds, objectOf, oneOf } from '../syscall/junk-argument.js';

/** One function. */
export interface Row {
  readonly takes: readonly fc.Arbitrary<Argument>[];
  /** Arguments that are right; each is exchanged for a symbol in turn, which must be refused. */
  readonly right: readonly unknown[];
  /** The fields of each argument that is an object of some. */
  readonly fields?: Readonly<Record<number, readonly string[]>>;
  /** What is told to it may tell more. */
  readonly data?: true;
  /** A method of what not everybody may have: EPERM is an answer. */
  readonly privileged?: true;
  /** Opens descriptors for each call. */
  readonly fds?: true;
  /** Calls, and closes what that opened. */
  call(...args: never[]): unknown;
  /** Errors of its own, as documented. */
  readonly own?: (error: unknown) => boolean;
}

export interface Options<T> {
  readonly given?: Partial<T>;
  readonly fields: { readonly [K in keyof Required<T>]: fc.Arbitrary<Argument> };
}

/** The row of a function whose last argument is options; a field that is added to their type is asked for here. */
export function withOptions<T extends object>(
  { fields, given = {} }: Options<T>,
  row: Omit<Row, 'takes' | 'fields' | 'right'> & Partial<Pick<Row, 'takes' | 'right'>>,
): Row {
  const { takes = [], right = [] } = row;
  const all = fields as Readonly<Record<string, fc.Arbitrary<Argument>>>;
  return {
    ...row,
    takes: [...takes, fc.oneof(kinds.any, objectOf(all, given), objectOf(all, given))],
    right: [...right, given],
    fields: { [takes.length]: Object.keys(fields) },
  };
}

const { any, fd, ms, pid, untrue } = kinds;
const states = oneOf(['LISTEN'], ['OPEN'], 'LISTEN');
const endpoint = { address: '127.0.0.1', port: 1 };
const tuple = { local: endpoint, remote: endpoint };
const tuples = oneOf(tuple, { local: endpoint }, { ...tuple, remote: { address: '::1', port: 1 } });
export const end = oneOf('client', 'server', 'peer');
const pids = oneOf([process.pid], [2 ** 31 - 1], [null], [], ['1']);
const ports = oneOf([1], [65_536], ['1'], [], [null]);

const isAborted = (error: unknown): boolean => (error as Error | undefined)?.name === 'AbortError';
const isUnavailable = (error: unknown): boolean =>
  (error as Error | undefined)?.constructor.name === 'UnavailableError';
/** Of node:fs: Watch.open() says that it throws one. */
const isNodes = (error: unknown): boolean =>
  /^E[A-Z]+$/.test(String((error as NodeJS.ErrnoException).code));

export const index: Readonly<Record<string, Row>> = {
  diagnose: withOptions<closewait.DiagnoseOptions>(
    {
      given: { settleMs: 0 },
      fields: {
        ...{ pids, ports, states, all: untrue, settleMs: ms, stacks: untrue },
        signal: any,
      },
    },
    { call: closewait.diagnose, own: isAborted },
  ),
  'Watch.open': withOptions<closewait.WatchOptions>(
    { fields: { pids, ports } },
    {
      async call(options: closewait.WatchOptions) {
        using watch = await closewait.Watch.open(options);
        await watch.look();
      },
      own: isNodes,
    },
  ),
  snapshot: withOptions<closewait.SnapshotOptions>(
    { fields: { states, family: any, info: any } },
    { call: closewait.snapshot },
  ),
  'new SockDiag': {
    ...{ takes: [fd], right: [0], fds: true },
    call: (of: number) => new closewait.SockDiag(of).close(),
  },
  'SockDiag.open': { takes: [], right: [], call: () => closewait.SockDiag.open().close() },
  'SockDiag#snapshot': withOptions<closewait.SnapshotOptions>(
    { fields: { states, family: any, info: any } },
    { call: (options: object) => withDiag((diag) => diag.snapshot(options)) },
  ),
  'SockDiag#extract': withOptions<closewait.SnapshotOptions>(
    { fields: { states, family: any, info: any } },
    { call: (options: object) => withDiag((diag) => diag.extract(options)) },
  ),
  'SockDiag#find': withOptions<closewait.FindOptions>(
    { fields: { info: any, cookie: any, interface: any } },
    {
      ...{ takes: [tuples], right: [tuple] },
      call: (which: closewait.FourTuple, options: object) =>
        withDiag((diag) => diag.find(which, options)),
    },
  ),
  'new TcpInfoReader': { takes: [], right: [], call: () => new closewait.TcpInfoReader() },
  'TcpInfoReader#read': {
    ...{ takes: [fd], right: [0], fds: true },
    call: (of: number) => new closewait.TcpInfoReader().read(of),
  },
  tcpInfo: { takes: [fd], right: [0], fds: true, call: closewait.tcpInfo },
  tcpState: { takes: [fd], right: [0], fds: true, call: closewait.tcpState },
};

function withDiag<T>(ask: (diag: closewait.SockDiag) => T): T {
  using diag = closewait.SockDiag.open();
  return ask(diag);
}

/** It needs a namespace of its own, and is asked for without one: no story is told. */
const scenario: lab.Scenario = {
  ...{ name: 'junk', title: 'junk', source: 'none', summary: 'none', path: {} },
  ...{ needsNamespace: true, run: async () => {} },
};
const scenarioOptions: Options<lab.Scenario> = {
  given: scenario,
  fields: {
    ...{ name: any, title: any, source: any, summary: any, drivers: any, sysctls: any, slow: any },
    ...{
      place: oneOf({ wire: 'peer' }, { link: 5 }),
      families: any,
      path: oneOf({ server: ['OPEN'] }),
    },
    ...{ momentary: any, listener: states, proof: any, segments: any, resets: any, expected: any },
    ...{ control: oneOf({ what: 'x' }, { run: 5 }), run: any, needsNamespace: oneOf(true) },
  },
};

export const scenarioRows: Readonly<Record<string, Row>> = {
  controlOf: withOptions(scenarioOptions, { call: scenarios.controlOf }),
  driversOf: withOptions(scenarioOptions, { call: scenarios.driversOf }),
};

const hooks = { beforeEach: () => {}, afterEach: Object.assign(() => {}, { always: () => {} }) };
const guardOptions: Options<guards.GuardOptions> = { fields: { pid, settleMs: ms } };
const someHooks = oneOf(hooks, { ...hooks, beforeEach: 5 }, { ...hooks, afterEach: 5 });

export const guardRows: Readonly<Record<string, Row>> = {
  guard: withOptions(guardOptions, { call: guards.guard }),
  'Guard#check': withOptions<Pick<guards.GuardOptions, 'settleMs'>>(
    { fields: { settleMs: ms } },
    { call: (options: object) => guards.guard().check(options) },
  ),
  guardEach: withOptions(guardOptions, {
    ...{ takes: [someHooks], right: [hooks], call: guards.guardEach },
  }),
  guardAva: withOptions(guardOptions, {
    ...{ takes: [someHooks], right: [hooks], call: guards.guardAva },
  }),
};

/** In place of an actor, which has to be made anew for each call. */
const ACTOR = { actor: 'a real one' };
const filter = oneOf(
  { ports: [1] },
  { ports: 5 },
  { addresses: ['x'] },
  { protocol: -1 },
  { port: 1 },
);
const captureOptions: Options<lab.CaptureOptions> = {
  fields: {
    ...{ filter, snaplen: any, hardwareStamps: any },
    ring: oneOf(false, {}, { blockBytes: 'x', blocks: 1, retireMs: 1 }),
    limit: oneOf({ bytes: -1 }, { frames: 'x' }),
  },
};
const subjects = oneOf([{ fd: 0 }], [{ fd: 'x' }], [tuple], [{}], [null]);

async function withPolling(act: (polling: lab.Polling) => unknown): Promise<void> {
  await using polling = lab.Polling.start();
  await act(polling);
}

async function withCapture(act: (capture: lab.Capture) => unknown): Promise<void> {
  await using capture = await lab.Capture.start(await sys.Actor.start(), 'lo', { ring: false });
  await act(capture);
}

export const labRows: Readonly<Record<string, Row>> = {
  run: withOptions<lab.RunOptions>(
    {
      given: { world: 'host' },
      fields: {
        ...{ driver: oneOf('raw', 'tcl'), world: oneOf('host', 'junk'), family: any, node: any },
        ...{ command: oneOf({ end: 'client' }, { end: 'x', words: ['y'] }), signal: any },
        ...{ timeoutMs: ms, onMoment: any, onTimeline: any, observed: any },
      },
    },
    {
      ...{ takes: [oneOf(scenario)], right: [scenario], own: isAborted },
      call: lab.run,
    },
  ),
  'run (its scenario)': withOptions(scenarioOptions, {
    call: (which: lab.Scenario) => lab.run(which, { world: 'host', observed: false }),
  }),
  'BpfIterator.open': withOptions<lab.IteratorOptions>(
    { fields: { states, family: any, lookAhead: any } },
    { call: (options: object) => lab.BpfIterator.open(options).close(), own: isUnavailable },
  ),
  'BpfIterator.availability': { takes: [], right: [], call: lab.BpfIterator.availability },
  'BpfIterator#snapshot': {
    ...{ takes: [fd], right: [0], fds: true, privileged: true, own: isUnavailable },
    call(of: number) {
      using iterator = lab.BpfIterator.open();
      iterator.snapshot(of);
    },
  },
  'Capture.start': withOptions(captureOptions, {
    ...{ takes: [oneOf(ACTOR, ACTOR, ACTOR), oneOf('lo', '')], right: [ACTOR, 'lo'] },
    async call(actor: unknown, name: string, options: object) {
      const real = actor === ACTOR ? await sys.Actor.start() : (actor as sys.Actor);
      await (await lab.Capture.start(real, name, options)).stop();
    },
    own: isUnavailable,
  }),
  'Capture.availability': { takes: [], right: [], call: lab.Capture.availability },
  'Capture#attachFilter': {
    ...{ takes: [filter], right: [{}], fields: { 0: ['addresses', 'ports', 'protocol'] } },
    privileged: true,
    call: (one: object) => withCapture((capture) => capture.attachFilter(one)),
  },
  'Capture#until': {
    ...{ takes: [oneOf(() => true), ms], right: [() => true, 0], privileged: true },
    call: (seen: () => boolean, deadlineMs: number) =>
      withCapture((capture) => capture.until(seen, deadlineMs)),
  },
  'Network.open': withOptions<lab.NetworkOptions>(
    { fields: { link: any, wire: end } },
    { call: async (options: object) => (await lab.Network.open(options)).close() },
  ),
  'Polling.start': withOptions<lab.PollingOptions>(
    {
      fields: {
        ...{ subjects, everyMs: any, limit: any, onChange: any, onLook: any },
        diag: oneOf({ find: 5 }),
      },
    },
    { call: (options: object) => lab.Polling.start(options).stop() },
  ),
  'Polling.availability': { takes: [], right: [], call: lab.Polling.availability },
  'Polling#watch': {
    ...{ takes: [oneOf(tuple, { fd: 0 }, { fd: 'x' })], right: [tuple] },
    call: (subject: lab.Subject) => withPolling((polling) => polling.watch(subject)),
  },
  'TracepointObserver.start': withOptions<lab.TracepointOptions>(
    {
      fields: {
        ...{ via: oneOf('bpf', 'ftrace'), netns: any, ports, threads: pids, sockets: any },
        ...{ onEvent: any, onSettled: any, onFailure: any, ringBytes: oneOf(4097), keepBytes: any },
      },
    },
    {
      call: async (options: object) => (await lab.TracepointObserver.start(options)).stop(),
      own: isUnavailable,
    },
  ),
  'TracepointObserver.availability': {
    ...{ takes: [], right: [], call: lab.TracepointObserver.availability },
  },
  'World.open': {
    ...{ takes: [oneOf('namespace', 'host', 'loopback')], right: ['host'] },
    call: async (kind: lab.WorldKind) => (await lab.World.open(kind)).close(),
  },
  epollInterestOf: withOptions<lab.EpollInstances>(
    { given: { epfds: [], task: '' }, fields: { epfds: any, task: any } },
    { takes: [pid], right: [process.pid], call: lab.epollInterestOf, data: true },
  ),
  holdersOf: withOptions<{ pids?: Iterable<number> }>(
    { fields: { pids } },
    { takes: [oneOf([1], ['x'])], right: [[1]], call: lab.holdersOf },
  ),
  spin: {
    ...{ takes: [fd, oneOf('LISTEN', 'OPEN'), ms], right: [0, 'LISTEN', 0], fds: true },
    call: lab.spin,
  },
};

/** Why something that a door has is not called. */
export const uncalled: Readonly<Record<string, string>> = {
  'new LoopbackDownError': 'an error is made here, for others to catch',
  'new UnexpectedSegmentError': 'an error',
  'new SocketLeakError': 'an error',
  'new BpfIterator': 'private: open() makes it',
  'new Capture': 'private: start()',
  'new Network': 'private: open()',
  'new Polling': 'private: start()',
  'new TracepointObserver': 'private: start()',
  'new Watch': 'private: open()',
  'new World': 'private: open()',
  'BpfIterator#close': 'takes nothing; every row ends with it, as with the next',
  'Capture#stop': 'takes nothing',
  'Network#close': 'takes nothing',
  'Polling#stop': 'takes nothing',
  'SockDiag#close': 'takes nothing',
  'TracepointObserver#stop': 'takes nothing',
  'World#close': 'takes nothing',
  'Capture#drain': 'takes nothing',
  'Capture#flush': 'takes nothing',
  'Capture#take': 'takes nothing',
  'Polling#look': 'takes nothing',
  'TracepointObserver#flush': 'takes nothing',
  'Watch#look': 'takes nothing; its open() is called, and looks',
  'Polling#unwatch': 'forgets an object, and does nothing about one that it never knew',
};
