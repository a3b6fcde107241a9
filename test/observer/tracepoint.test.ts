import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { ExecutionContext } from 'ava';
import { tcpInfo, tcpState } from '../../src/observer/tcp-info.js';
import {
  type TraceEvent,
  TracepointObserver,
  type TracepointOptions,
} from '../../src/observer/tracepoint.js';
import * as sys from '../../src/syscall/sys.js';
import { World } from '../../src/world/world.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import {
  awaitEvents,
  awaitLoopback,
  families,
  listening,
  refusing,
  sendAgain,
  tcp,
} from '../fixture/sockets.js';
import { until } from '../fixture/until.js';

const { available, via: best, reason } = TracepointObserver.availability();
const ways = ['bpf', 'perf'] as const;
const observing = available ? test : test.skip;
const note = available ? '' : ` (skipped: ${reason})`;
const byBpf = best === 'bpf' ? test : test.skip;
const bpfNote = best === 'bpf' ? '' : ` (skipped: ${reason})`;

async function start(t: ExecutionContext, options: TracepointOptions): Promise<TracepointObserver> {
  const observer = await TracepointObserver.start(options);
  t.teardown(() => observer.stop());
  return observer;
}

interface Ends {
  readonly client: number;
  readonly server: number;
}

function connectTo(owned: sys.Descriptors, listener: { fd: number } & sys.SocketAddress): Ends {
  const client = owned.own(
    sys.socket(listener.address.includes(':') ? sys.AF_INET6 : sys.AF_INET, sys.SOCK_STREAM),
  );
  sys.connect(client, listener);
  return { client, server: owned.own(sys.accept(listener.fd).fd) };
}

/** A connection from its SYN to its end at both sides, the client's first: the server keeps a descriptor of a socket that is dead. */
function liveAndDie(owned: sys.Descriptors, listener: { fd: number } & sys.SocketAddress): number {
  const { client, server } = connectTo(owned, listener);
  const { port } = sys.getsockname(client);
  // Its FIN is acknowledged at once: what a delayed ACK's timer does may be missing (LIMITATIONS).
  sys.setsockopt(server, sys.IPPROTO_TCP, sys.TCP_QUICKACK, 1);
  owned.close(client);
  sys.read(server, new Uint8Array(1));
  sys.shutdown(server, sys.SHUT_WR);
  // The kernel takes a socket from its tables, tells of CLOSE, and writes it down last.
  awaitLoopback(() => tcpState(server) === 'CLOSE');
  return port;
}

/** The states that a call makes, in its own thread; what a packet makes may be in anybody's. */
const BY_CALL: ReadonlySet<string> = new Set(['SYN_SENT', 'FIN_WAIT1', 'LAST_ACK']);

/** The transitions of liveAndDie: five at each end. */
const LIFE = 10;

/** Without the segments that the kernel sends again by itself where loopback stands still for 200 ms. */
const transitions = (events: readonly TraceEvent[]) =>
  events.flatMap((event) => (event.kind === 'state' ? [event] : []));

/** The states an end went through, by the port that is its own. */
function pathOf(events: readonly TraceEvent[], isOwn: (event: TraceEvent) => boolean): string[] {
  const own = transitions(events).filter(isOwn);
  return [own[0]?.oldState ?? '', ...own.map(({ newState }) => newState)];
}

/** An event without what differs by the way it came. */
function essence(event: TraceEvent): object {
  const { tNs: _tNs, netns: _netns, cpu: _cpu, ...rest } = event;
  return rest;
}

for (const family of families) {
  byBpf(
    `${family.name}: both ways in see every transition of a connection, and agree${bpfNote}`,
    async (t) => {
      const owned = ownedBy(t);
      const listener = listening(owned, family);
      const ports = [listener.port];
      const [bpf, perf] = [
        await start(t, { via: 'bpf', ports }),
        await start(t, { via: 'perf', ports }),
      ];
      const before = sys.clock_gettime(sys.CLOCK_MONOTONIC);
      const port = liveAndDie(owned, listener);
      const after = sys.clock_gettime(sys.CLOCK_MONOTONIC);
      await Promise.all([bpf.flush(), perf.flush()]);

      t.deepEqual(transitions(bpf.events).map(essence), transitions(perf.events).map(essence));
      for (const { events } of [bpf, perf]) {
        t.true(events.every(({ tNs }) => tNs >= before && tNs <= after));
        t.true(
          events.every(({ tNs }, i) => tNs >= (events[i - 1]?.tNs ?? 0n)),
          'in order',
        );
      }
      const ofServer = ({ socket }: { socket?: bigint } & object, events: readonly TraceEvent[]) =>
        transitions(events).some((e) => e.socket === socket && e.oldState === 'LISTEN');
      const server = (event: TraceEvent) => event.kind === 'state' && ofServer(event, bpf.events);
      t.deepEqual(pathOf(bpf.events, server), [
        ...['LISTEN', 'SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSE'],
      ]);
      t.deepEqual(
        pathOf(bpf.events, (event) => !server(event)),
        [...['CLOSE', 'SYN_SENT', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE']],
      );
      const [syn, established] = transitions(bpf.events);
      t.deepEqual(syn?.local, { address: family.loopback, port: 0 }, 'no port yet');
      t.deepEqual(syn?.remote, { address: family.loopback, port: listener.port });
      t.deepEqual(established?.local, { address: family.loopback, port });
      const byCall = transitions(bpf.events).filter(({ newState }) => BY_CALL.has(newState));
      t.is(byCall.length, BY_CALL.size);
      t.true(byCall.every(({ pid, tid }) => pid === process.pid && tid === process.pid));
      t.is(perf.lost, 0);
    },
  );
}

for (const via of ways) {
  const runs = best === 'bpf' || best === via ? test : test.skip;
  const title = `${via}: `;
  const skipped = runs === test ? '' : ` (skipped: ${reason})`;

  runs(`${title}a reset has its reason, and is seen to arrive${skipped}`, async (t) => {
    const owned = ownedBy(t);
    const listener = listening(owned);
    const observer = await start(t, { via, ports: [listener.port] });
    const { client, server } = connectTo(owned, listener);
    const { port } = sys.getsockname(client);
    sys.write(client, 'unread');
    awaitEvents(server, sys.POLLIN);
    owned.close(server);
    awaitLoopback(() => tcpState(client) === 'CLOSE');
    await observer.flush();
    // Not that to a segment sent again, which has no socket any more.
    const sent = observer.events.filter((e) => e.kind === 'send-reset' && e.socket !== 0n);
    t.is(sent.length, 1);
    t.like(sent[0], { reason: 'TCP_ABORT_ON_CLOSE', remote: { port } });
    const received = observer.events.filter((event) => event.kind === 'receive-reset');
    t.is(received.length, 1);
    t.like(received[0], { local: { port }, remote: { port: listener.port } });
  });

  runs(`${title}a reset without a socket is seen${skipped}`, async (t) => {
    const owned = ownedBy(t);
    const nobody = refusing(owned);
    const observer = await start(t, { via, ports: [nobody.port] });
    t.throws(() => sys.connect(tcp(owned), nobody), { code: 'ECONNREFUSED' });
    await observer.flush();
    const [sent] = observer.events.filter((event) => event.kind === 'send-reset');
    t.deepEqual([sent?.socket, sent?.reason, sent?.state], [0n, 'NO_SOCKET', undefined]);
    t.deepEqual(sent?.local, { address: '127.0.0.1', port: nobody.port });
    if (via === 'bpf') t.is(sent?.netns, inodeOf('/proc/self/ns/net'), 'the device tells');
  });

  runs(`${title}a retransmission is handed on as it happens${skipped}`, async (t) => {
    const owned = ownedBy(t);
    const listener = listening(owned);
    const seen: TraceEvent[] = [];
    const observer = await start(t, { via, ports: [listener.port], onEvent: (e) => seen.push(e) });
    const { client, server } = connectTo(owned, listener);
    sendAgain({ client, server });
    const event = await until(
      () => seen.find((e) => e.kind === 'retransmit' && e.state === 'ESTABLISHED'),
      () =>
        `${seen.map(({ kind }) => kind)}, lost ${observer.lost}, sent again ${tcpInfo(client).totalRetrans}`,
    );
    t.is(event.kind !== 'enter' && event.kind !== 'exit' && event.remote.port, listener.port);
    t.deepEqual(observer.events, [], 'a listener gets all there is');
  });

  runs(`${title}the calls of a chosen thread, and of no other${skipped}`, async (t) => {
    const owned = ownedBy(t);
    await using chosen = await sys.Actor.start({ name: 'chosen' });
    await using other = await sys.Actor.start({ name: 'other' });
    const tid = await chosen.gettid();
    const observer = await start(t, { via, ports: [1], threads: [tid] });
    const fd = owned.own(await chosen.socket(sys.AF_INET, sys.SOCK_STREAM));
    await t.throwsAsync(chosen.getpeername(fd), { code: 'ENOTCONN' });
    await other.getsockname(fd);
    await observer.flush();
    const { events } = observer;
    t.true(events.every((event) => event.tid === tid && event.pid === process.pid));
    const calls = events.flatMap((e) => (e.kind === 'enter' || e.kind === 'exit' ? [e] : []));
    t.is(calls.length, events.length);
    const shown = calls.map(
      (e) => `${e.kind} ${e.syscall}${e.kind === 'exit' ? ` ${e.result}` : ''}`,
    );
    const from = shown.indexOf('enter socket');
    t.is(shown[from + 1], `exit socket ${fd}`);
    t.true(shown.includes('enter getpeername'));
    t.true(shown.includes('exit getpeername -107'));
    t.false(shown.includes('enter getsockname'));
    const socket = calls[from];
    t.deepEqual(socket?.kind === 'enter' && socket.args.slice(0, 2), [2n, 1n]);
  });

  runs(`${title}what a ring of one page has no room for is counted${skipped}`, async (t) => {
    const owned = ownedBy(t);
    const listener = listening(owned);
    const ports = [listener.port];
    const whole = await start(t, { via, ports });
    const tiny = await start(t, { via, ports, ringBytes: 4096 });
    // Without a turn of the event loop nobody reads the ring.
    for (let i = 0; i < 50; i++) liveAndDie(owned, listener);
    await Promise.all([whole.flush(), tiny.flush()]);
    t.is(transitions(whole.events).length, 50 * LIFE);
    t.true(tiny.lost > 0);
    t.true(tiny.events.length > 0);
    // By perf each CPU has a ring of its own, and fills it by itself.
    let at = -1;
    for (const event of tiny.events.map(essence)) {
      at = whole.events.findIndex((other, i) => i > at && isDeepStrictEqual(essence(other), event));
      t.not(at, -1, 'in order, each once');
      if (at === -1) break;
    }
    // At least: the count is of resets of others, too, which fill a perf ring since the kernel cannot tell their port.
    t.true(tiny.events.length + tiny.lost >= whole.events.length);

    const comesThrough = async (): Promise<boolean> => {
      const before = tiny.events.length;
      liveAndDie(owned, listener);
      await tiny.flush();
      return tiny.events.length === before + LIFE;
    };
    // Again and again: those resets of others may come in between.
    let tries = 0;
    while (!(await comesThrough())) t.true(++tries < 100, 'there is room again');
  });

  runs(`${title}what is not kept is counted${skipped}`, async (t) => {
    const owned = ownedBy(t);
    const listener = listening(owned);
    const observer = await start(t, { via, ports: [listener.port], keepBytes: 0 });
    liveAndDie(owned, listener);
    await observer.flush();
    t.deepEqual(observer.events, []);
    t.true(observer.lost >= LIFE);
  });

  runs(`${title}stopped, it has all events and holds nothing${skipped}`, async (t) => {
    const maps = () =>
      readFileSync('/proc/self/maps', 'utf8').match(/perf_event|bpf/g)?.length ?? 0;
    const gone = () =>
      until(
        () => maps() === 0,
        () => `${maps()} mappings`,
      );
    await gone(); // of the tests before: V8 has its finalizers run a little later
    const owned = ownedBy(t);
    const listener = listening(owned);
    const observer = await start(t, { via, ports: [listener.port] });
    t.is(observer.via, via);
    t.true(maps() > 0);
    liveAndDie(owned, listener);
    await Promise.all([observer.stop(), observer.stop()]);
    await observer.stop();
    await observer.flush();
    const { events } = observer;
    t.is(transitions(events).length, LIFE);
    await gone();
    liveAndDie(owned, listener);
    t.is(observer.events.length, events.length);
  });
}

const inodeOf = (link: string): number => Number(/\d+/.exec(readlinkSync(link))?.[0]);

byBpf(`sockets of two namespaces with the same addresses are told apart${bpfNote}`, async (t) => {
  await using one = await World.open('namespace');
  await using two = await World.open('namespace');
  const owned = ownedBy(t);
  const actors = [await one.actor('one'), await two.actor('two')] as const;
  const inodes = await Promise.all(
    actors.map(async (actor) => inodeOf(`/proc/self/task/${await actor.gettid()}/ns/net`)),
  );
  t.not(inodes[0], inodes[1]);
  const both = await start(t, { via: 'bpf', ports: [7777] });
  const first = await start(t, { via: 'bpf', netns: inodes[0] ?? 0 });
  for (const actor of actors) {
    const fd = owned.own(await actor.socket(sys.AF_INET, sys.SOCK_STREAM));
    await actor.bind(fd, { address: '127.0.0.1', port: 7777 });
    await actor.listen(fd, 1);
    await actor.shutdown(fd, sys.SHUT_RDWR);
  }
  await Promise.all([both.flush(), first.flush()]);
  const shown = (events: readonly TraceEvent[]) =>
    transitions(events)
      .filter(({ netns }) => inodes.includes(netns ?? 0))
      .map((e) => `${e.netns} ${e.newState} ${e.local.port}`);
  const expected = inodes.map((inode) => [`${inode} LISTEN 7777`, `${inode} CLOSE 7777`]);
  t.deepEqual(shown(both.events), expected.flat());
  t.deepEqual(shown(first.events), expected[0] ?? []);
});

observing(`perf refuses to tell namespaces apart${note}`, async (t) => {
  await t.throwsAsync(TracepointObserver.start({ via: 'perf', netns: 1 }), {
    code: 'ERR_UNAVAILABLE',
    message: /namespaces apart/,
  });
});

observing(`a thread that does not exist cannot be observed by perf${note}`, async (t) => {
  await t.throwsAsync(TracepointObserver.start({ via: 'perf', threads: [2 ** 31 - 1] }), {
    code: 'ESRCH',
  });
});

const wrong: readonly [name: string, options: object, error: RegExp][] = [
  ['a listener', { onEvent: 5 }, /onEvent must be a function/],
  ['via', { via: 'ftrace' }, /via must be/],
  ['netns', { netns: -1 }, /netns must be/],
  ['ports', { ports: [] }, /how many ports/],
  ['a port', { ports: [65_536] }, /^ports\[0\] must be/],
  ['a thread', { threads: [1.5] }, /^threads\[0\] must be/],
  ['threads', { threads: Array.from({ length: 65 }, (_, i) => i + 1) }, /how many threads/],
  ['a ring', { ringBytes: 4097 }, /power of two/],
  ['no ring', { ringBytes: 0 }, /ringBytes must be/],
  ['what to keep', { keepBytes: -1 }, /keepBytes must be/],
];
for (const [name, options, message] of wrong) {
  test(`refused as an option: ${name}`, async (t) => {
    await t.throwsAsync(TracepointObserver.start(options), { message });
  });
}

test('available or not, it says how or why not, and leaves nothing', (t) => {
  const answer = TracepointObserver.availability();
  t.is(answer.available, answer.via !== undefined);
  if (answer.via !== 'bpf') t.truthy(answer.reason);
});

const MODULE = fileURLToPath(new URL('../../src/observer/tracepoint.js', import.meta.url));
const canDrop = process.geteuid?.() === 0 && spawnSync('setpriv', ['--version']).status === 0;
const asLittle = ['--bounding-set=-all', '--inh-caps=-all'];
(canDrop ? test : test.skip)(
  `root without capabilities is told what is missing${canDrop ? '' : ' (skipped: needs root and setpriv)'}`,
  (t) => {
    const program = `import(${JSON.stringify(MODULE)}).then(({TracepointObserver}) =>
      console.log(JSON.stringify(TracepointObserver.availability())))`;
    const { stdout, stderr } = spawnSync(
      'setpriv',
      [...asLittle, process.execPath, '-e', program],
      { encoding: 'utf8' },
    );
    const answer = JSON.parse(stdout || stderr);
    t.false(answer.available);
    t.regex(answer.reason, /needs CAP_(SYS_ADMIN|BPF|PERFMON)/);
  },
);

for (const via of ways) {
  observing(`a listener may flush and stop: the order stays, by ${via}${note}`, async (t) => {
    const owned = ownedBy(t);
    const nobody = refusing(owned);
    const seen: bigint[] = [];
    const settled: { readonly untilNs: bigint; readonly count: number }[] = [];
    const call = () =>
      void t.throws(() => sys.connect(tcp(owned), nobody), { code: 'ECONNREFUSED' });
    const observer: TracepointObserver = await start(t, {
      ...{ via, ports: [nobody.port] },
      onEvent({ tNs }) {
        seen.push(tNs);
        if (seen.length !== 2) return;
        // Newer than what is still to be handed on.
        call();
        void observer.flush();
        void observer.stop();
      },
      onSettled: (untilNs) => settled.push({ untilNs, count: seen.length }),
    });
    call();
    call();
    await observer.flush();
    await observer.stop();
    t.true(seen.length > 4);
    t.true(seen.every((tNs, i) => i === 0 || tNs >= (seen[i - 1] ?? 0n)));
    const before = settled.length;
    await observer.flush();
    t.is(settled.length, before, 'who has stopped has nothing to say of what happens now');
    for (const { untilNs, count } of settled) {
      t.true(seen.slice(count).every((tNs) => tNs > untilNs));
    }
  });
}
