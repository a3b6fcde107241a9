/**
 * By BPF a record is this library's own program's, by perf the kernel's: what is written by hand is held against what the
 * kernel writes.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { SockDiag } from '../../src/observer/sock-diag.js';
import { tcpState } from '../../src/observer/tcp-info.js';
import {
  type TraceEvent,
  TracepointObserver,
  type TracepointOptions,
} from '../../src/observer/tracepoint.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import {
  awaitEvents,
  awaitLoopback,
  type Family,
  families,
  listening,
  refusing,
  sendAgain,
  tcp,
} from '../fixture/sockets.js';
import { until } from '../fixture/until.js';

const { via, reason } = TracepointObserver.availability();
const both = via === 'bpf' ? test : test.skip;
const note = via === 'bpf' ? '' : ` (skipped: ${reason})`;

async function startBoth(
  t: ExecutionContext,
  options: TracepointOptions,
): Promise<readonly [bpf: TracepointObserver, perf: TracepointObserver]> {
  const start = async (via: 'bpf' | 'perf'): Promise<TracepointObserver> => {
    const observer = await TracepointObserver.start({ ...options, via });
    t.teardown(() => observer.stop());
    return observer;
  };
  return [await start('bpf'), await start('perf')];
}

/** An event without what differs by the way it came, and without who was interrupted. */
function essence(event: TraceEvent): object {
  const { tNs: _tNs, netns: _netns, cpu: _cpu, pid: _pid, tid: _tid, ...rest } = event;
  return rest;
}

type Place = { readonly fd?: number } & sys.SocketAddress;

interface Story {
  readonly name: string;
  /** Where it will be, with a listener or without. */
  readonly open: (owned: sys.Descriptors, family: Family) => Place;
  /** Has a reset sent to or from there. */
  readonly act: (owned: sys.Descriptors, family: Family, place: Place) => void;
  readonly reason: string;
  readonly state: string | undefined;
  readonly hasSocket: boolean;
}

function connect(owned: sys.Descriptors, family: Family, place: Place) {
  const client = tcp(owned, family);
  sys.connect(client, place);
  return { client, server: owned.own(sys.accept(place.fd ?? -1).fd) };
}

const resets: readonly Story[] = [
  {
    name: 'a socket with unread data',
    open: listening,
    act(owned, family, place) {
      const { client, server } = connect(owned, family, place);
      sys.write(client, 'unread');
      awaitEvents(server, sys.POLLIN);
      owned.close(server);
      awaitLoopback(() => tcpState(client) === 'CLOSE');
    },
    reason: 'TCP_ABORT_ON_CLOSE',
    state: 'CLOSE',
    hasSocket: true,
  },
  {
    name: 'nobody',
    open: refusing,
    act(owned, family, place) {
      try {
        sys.connect(tcp(owned, family), place);
      } catch {}
    },
    reason: 'NO_SOCKET',
    state: undefined,
    hasSocket: false,
  },
  {
    name: 'the stub of a closed connection',
    open: listening,
    act(owned, family, place) {
      const { client, server } = connect(owned, family, place);
      const [local, remote] = [sys.getpeername(client), sys.getsockname(client)];
      owned.close(server);
      // The ACK of the FIN, at once: until then there is no stub.
      sys.read(client, new Uint8Array(1));
      sys.setsockopt(client, sys.IPPROTO_TCP, sys.TCP_QUICKACK, 1);
      using diag = SockDiag.open();
      awaitLoopback(() => diag.find({ local, remote })?.timer === 'timewait');
      sys.write(client, 'late');
      awaitLoopback(() => tcpState(client) === 'CLOSE');
    },
    reason: 'TCP_TIMEWAIT_SOCKET',
    state: 'TIME_WAIT',
    hasSocket: true,
  },
];

for (const family of families) {
  for (const { name, open, act, reason, state, hasSocket } of resets) {
    both(`${family.name}: a reset of ${name} is told as the kernel tells it${note}`, async (t) => {
      const owned = ownedBy(t);
      const place = open(owned, family);
      // Of all ports there may be more, in a storm that another test makes, than is told within its time.
      const [bpf, perf] = await startBoth(t, { ports: [place.port] });
      act(owned, family, place);
      await Promise.all([bpf.flush(), perf.flush()]);
      const ofSockets = ({ events }: TracepointObserver) =>
        events.flatMap((event) => (event.kind === 'enter' || event.kind === 'exit' ? [] : [event]));
      t.deepEqual(ofSockets(bpf).map(essence), ofSockets(perf).map(essence));
      const sent = ofSockets(bpf).find(({ kind }) => kind === 'send-reset');
      t.like(sent, { kind: 'send-reset', reason, state });
      t.is(sent?.socket !== 0n, hasSocket);
      t.is(sent?.netns, Number(/\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0]));
      t.is(sent?.local.address, family.loopback);
    });
  }

  both(`${family.name}: a retransmission is told as the kernel tells it${note}`, async (t) => {
    const owned = ownedBy(t);
    const listener = listening(owned, family);
    const { client, server } = connect(owned, family, listener);
    const [bpf, perf] = await startBoth(t, { ports: [listener.port] });
    sendAgain({ client, server });
    const again = ({ events }: TracepointObserver) =>
      events.filter(({ kind }) => kind === 'retransmit').map(essence);
    await until(
      () => again(bpf).length > 0 && again(perf).length > 0,
      () => `by BPF ${again(bpf).length}, by perf ${again(perf).length}`,
    );
    t.deepEqual(again(bpf)[0], again(perf)[0]);
    t.like(again(bpf)[0], { state: 'ESTABLISHED', remote: { port: listener.port } });
  });
}

both(`calls are told as the kernel tells them${note}`, async (t) => {
  const owned = ownedBy(t);
  await using actor = await sys.Actor.start({ name: 'caller' });
  const [bpf, perf] = await startBoth(t, { sockets: false, threads: [await actor.gettid()] });
  const fd = owned.own(await actor.socket(sys.AF_INET6, sys.SOCK_STREAM));
  await t.throwsAsync(actor.getpeername(fd), { code: 'ENOTCONN' });
  await actor.setsockopt(fd, sys.SOL_SOCKET, sys.SO_KEEPALIVE, 1);
  await Promise.all([bpf.flush(), perf.flush()]);
  const calls = ({ events }: TracepointObserver) => {
    const from = events.findIndex((e) => e.kind === 'enter' && e.syscall === 'socket');
    const to = events.findLastIndex((e) => e.kind === 'exit' && e.syscall === 'setsockopt');
    return events.slice(from, to + 1).map(essence);
  };
  t.deepEqual(calls(bpf), calls(perf));
  t.like(calls(bpf)[0], { kind: 'enter', syscall: 'socket', args: { 0: 10n, 1: 1n } });
  t.like(calls(bpf).at(-1), { kind: 'exit', syscall: 'setsockopt', result: 0 });
});

both(`where the kernel tells its types, nothing is left to perf events${note}`, async (t) => {
  const observer = await TracepointObserver.start({
    ...{ via: 'bpf', ports: [1], threads: [process.pid] },
  });
  t.teardown(() => observer.stop());
  const held = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the listing's own
    }
  });
  t.deepEqual(observer.missing, []);
  t.is(held.filter((link) => link.includes('bpf-prog')).length, 6);
  t.deepEqual(
    held.filter((link) => link.includes('perf_event')),
    [],
    'letting go of one takes the kernel 50 ms',
  );
});
