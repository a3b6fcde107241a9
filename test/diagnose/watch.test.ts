/** A watch over this very process: what it holds, and how that grows. */
import { fstatSync } from 'node:fs';
import { diagnose } from '../../src/diagnose/diagnose.js';
import { Watch } from '../../src/diagnose/watch.js';
import { holds } from '../../src/diagnose/watch-ghosts.js';
import type { Tick } from '../../src/diagnose/watch-record.js';
import { tcpInfo } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import { compiled, Program, scratch } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import {
  awaitEvents,
  awaitLoopback,
  connected,
  drain,
  listening,
  tcp,
} from '../fixture/sockets.js';
import { until } from '../fixture/until.js';
import { testUnless } from '../world/ability.js';
import { languages, leaderless } from './servers.js';

const { pid } = process;
const noCompiler = languages[0]?.missing;

/** Looks until a look fits: where a pass over /proc costs much, the next one is far away. */
async function seen(watch: Watch, fits: (tick: Tick) => boolean): Promise<Tick> {
  const end = performance.now() + 60_000;
  for (;;) {
    const tick = await watch.look();
    if (fits(tick)) return tick;
    if (performance.now() > end) throw new Error(`not seen: ${JSON.stringify(tick)}`);
  }
}

function notClosed(owned: sys.Descriptors): { port: number; server: number } {
  const { client, server, address } = connected(owned);
  owned.close(client);
  drain(server);
  return { port: address.port, server };
}

test('it goes on until a process has ended, whether or not somebody reaps it', async (t) => {
  const { pid: child, pidfd } = sys.spawn('/bin/sleep', { argv: ['sleep', '60'] });
  ownedBy(t).own(pidfd);
  using watch = await Watch.open({ pids: [child] });
  t.true(watch.goesOn);
  sys.pidfd_send_signal(pidfd, sys.SIGKILL);
  await until(
    () => !watch.goesOn,
    () => 'a zombie is watched',
  );
  sys.waitid(sys.P_PID, child, sys.WEXITED);
});

test('groups by process, listener, state and cause; standing from the second look on', async (t) => {
  const { port } = notClosed(ownedBy(t));
  using watch = await Watch.open({ pids: [pid], ports: [port] });
  const group = { pid, state: 'CLOSE_WAIT', cause: 'not-closed', listener: port, sockets: 1 };
  const first = await watch.look();
  t.like(first, { sockets: 1, leaks: 0, unattributed: 0, groups: [{ ...group, standing: 0 }] });
  const second = await watch.look();
  t.like(second, { sockets: 1, leaks: 1, groups: [{ ...group, standing: 1, leak: true }] });
  t.true((second.groups[0]?.oldestMs ?? -1) >= 0);
});

for (const looks of [0, 4]) {
  test(`a half-close in use, new at look ${looks + 1}, stands at neither end`, async (t) => {
    const owned = ownedBy(t);
    const { client, server, address } = connected(owned);
    using watch = await Watch.open({ ports: [address.port] });
    for (let look = 0; look < looks; look++) await watch.look();
    sys.shutdown(client, sys.SHUT_WR);
    drain(server);
    const buffer = new Uint8Array(8);
    const ends = (tick: Tick) =>
      Object.fromEntries(
        tick.groups.map(({ state, cause, standing }) => [state, [cause, standing]]),
      );
    await watch.look();
    for (let look = 0; look < 3; look++) {
      sys.write(server, 'tick');
      sys.read(client, buffer);
      await until(
        () => sys.ioctl(server, sys.SIOCOUTQ) === 0,
        () => 'the ACK',
      );
      const tick = await watch.look();
      t.deepEqual(ends(tick)['FIN_WAIT2'], ['peer-never-closes', 0]);
      t.is(ends(tick)['CLOSE_WAIT']?.[1], 0);
      t.is(tick.leaks, 0);
    }
    using idle = await Watch.open({ pids: [pid], ports: [address.port] });
    await idle.look();
    t.deepEqual(ends(await idle.look()), {
      CLOSE_WAIT: ['not-closed', 1],
      FIN_WAIT2: ['peer-never-closes', 1],
    });
  });
}

test('what is read slowly, or goes on to another state, does not stand', async (t) => {
  const owned = ownedBy(t);
  const { client, server, address } = connected(owned);
  sys.write(client, 'one and all');
  owned.close(client);
  awaitEvents(server, sys.POLLRDHUP);
  using watch = await Watch.open({ pids: [pid], ports: [address.port] });
  await watch.look();
  for (let look = 0; look < 3; look++) {
    sys.read(server, new Uint8Array(1));
    t.like(await watch.look(), { leaks: 0, groups: [{ cause: 'eof-unread', standing: 0 }] });
  }
  t.like(await watch.look(), { leaks: 1, groups: [{ cause: 'eof-unread', standing: 1 }] });
  drain(server);
  t.like(await watch.look(), { leaks: 0, groups: [{ cause: 'not-closed', standing: 0 }] });
});

test('growth, and when descriptors run out', async (t) => {
  const owned = ownedBy(t);
  using watch = await Watch.open({ pids: [pid] });
  const { fd: listener, address, port } = listening(owned);
  let last: Tick | undefined;
  for (let i = 0; i < 6; i++) {
    const client = tcp(owned);
    sys.connect(client, { address, port });
    owned.close(client);
    drain(owned.own(sys.accept(listener).fd));
    last = await watch.look();
  }
  const own = last?.processes.find((each) => each.pid === pid);
  t.true((own?.maxFds ?? Infinity) > (own?.openFds ?? Infinity));
  t.true((own?.perMinute ?? 0) > 0);
  t.true((own?.fullInMs ?? 0) > 0);

  const isOurs = ({ listener: at }: { listener: number | null }) => at === port;
  const tick = await seen(watch, ({ groups }) => groups.find(isOurs)?.sockets === 6);
  const group = tick.groups.find(isOurs);
  t.like(group, { cause: 'not-closed', leak: true });
  t.true((group?.perMinute ?? 0) > 0);
  t.true((group?.fullInMs ?? 0) > 0);
});

test('what goes is counted no more', async (t) => {
  const owned = ownedBy(t);
  const { port, server } = notClosed(owned);
  using watch = await Watch.open({ ports: [port] });
  t.is((await watch.look()).sockets, 1);
  owned.close(server);
  await seen(watch, ({ groups }) => groups.length === 0);
  t.pass();
});

test("connections that nobody has accepted are their listener's", async (t) => {
  const owned = ownedBy(t);
  const { address, port } = listening(owned);
  const client = tcp(owned);
  sys.connect(client, { address, port });
  owned.close(client);
  using watch = await Watch.open({ pids: [pid], ports: [port] });
  const tick = await seen(watch, ({ sockets }) => sockets === 1);
  const group = { pid, cause: 'never-accepted', state: 'CLOSE_WAIT', listener: port };
  t.like(tick.groups, [{ ...group, fullInMs: null }]);
});

/** A listener that others may have beside it. */
function sharing(owned: sys.Descriptors, at: sys.SocketAddress): number {
  const fd = tcp(owned);
  sys.setsockopt(fd, sys.SOL_SOCKET, sys.SO_REUSEPORT, 1);
  sys.bind(fd, at);
  sys.listen(fd, 64);
  return fd;
}

/** Connects and closes, several times. */
function knock(at: sys.SocketAddress, times: number): void {
  for (let i = 0; i < times; i++) {
    using owned = new sys.Descriptors();
    sys.connect(tcp(owned), at);
  }
}

/** How many wait at a listener. */
const queued = (fd: number): number => tcpInfo(fd).unacked ?? 0;

for (const { where, address, accepts, isOurs } of [
  {
    where: 'the listener of another address with the same port has',
    ...{ address: '127.0.0.2', accepts: false, isOurs: false },
  },
  {
    where: 'either of two listeners of one address may have',
    ...{ address: '127.0.0.1', accepts: false, isOurs: true },
  },
  {
    where: 'the one of two listeners of one address that does not accept has',
    ...{ address: '127.0.0.1', accepts: true, isOurs: false },
  },
]) {
  test(`connections that ${where}: ${isOurs ? '' : 'not '}this one's as well`, async (t) => {
    const owned = ownedBy(t);
    const ours = sharing(owned, { address: '127.0.0.1', port: 0 });
    const { port } = sys.getsockname(ours);
    const theirs = sharing(owned, { address, port });
    // The kernel chooses between the two by the client's port.
    let knocks = 0;
    while (knocks < 3 || !queued(theirs) || (isOurs && !queued(ours))) {
      knock({ address, port }, 1);
      knocks++;
      awaitLoopback(() => queued(ours) + queued(theirs) === knocks);
    }
    let waiting = knocks;
    for (; accepts && queued(ours) > 0; waiting--) sys.close(sys.accept(ours).fd);
    const other = new Program(t, ['sleep', '60'], theirs);
    owned.close(theirs);
    using watch = await Watch.open({ pids: [other.pid], ports: [port] });
    const { groups } = await seen(watch, ({ leaks }) => leaks === waiting);
    t.like(groups, [
      { pid: other.pid, cause: 'never-accepted', listener: port, standing: waiting },
    ]);
    using here = await Watch.open({ pids: [pid], ports: [port] });
    await here.look();
    t.is((await here.look()).leaks, isOurs ? waiting : 0);
    const { counts, sockets } = await diagnose({ pids: [pid], ports: [port], settleMs: 50 });
    t.is(counts['never-accepted'], isOurs ? waiting : 0);
    t.true(sockets.every(({ evidence }) => !/^0 connections/m.test(evidence.join('\n'))));
  });
}

test("connections that wait at a listener younger than the watch are its process's", async (t) => {
  const owned = ownedBy(t);
  using watch = await Watch.open({ pids: [pid] });
  await watch.look();
  const { address, port } = listening(owned);
  knock({ address, port }, 1);
  const { groups } = await seen(watch, ({ leaks }) => leaks > 0);
  t.like(groups, [{ pid, cause: 'never-accepted', listener: port, sockets: 1, standing: 1 }]);
});

test('connections that wait at a listener that nobody can be found for: attributed, to nobody', async (t) => {
  const owned = ownedBy(t);
  const { fd: listener, address, port } = listening(owned);
  const [end = -1] = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM).map((fd) => owned.own(fd));
  const data = new Uint8Array(Int32Array.of(listener).buffer);
  const control = [{ level: sys.SOL_SOCKET, type: sys.SCM_RIGHTS, data }];
  sys.sendmsg(end, { data: [Buffer.from('!')], control });
  owned.close(listener);
  knock({ address, port }, 1);
  using watch = await Watch.open({ ports: [port] });
  const { groups } = await seen(watch, (tick) => tick.leaks === 1 && tick.unattributed === 0);
  t.like(groups, [{ pid: null, cause: 'never-accepted', listener: port }]);
});

test('two descriptors of one socket', async (t) => {
  const owned = ownedBy(t);
  const { port, server } = notClosed(owned);
  owned.own(sys.dup(server));
  using watch = await Watch.open({ pids: [pid], ports: [port] });
  t.like(await watch.look(), { sockets: 1, groups: [{ cause: 'shared-fd' }] });
});

/** A descriptor whose connection is gone. */
async function haunted(owned: sys.Descriptors): Promise<{ ghost: number; port: number }> {
  const { client, server, address } = connected(owned);
  sys.setOption(client, 'SO_LINGER', { on: true, seconds: 0 });
  owned.close(client);
  await until(
    () => sys.poll([{ fd: server, events: 0 }], 0)[0]?.revents,
    () => 'the RST',
  );
  return { ghost: server, port: address.port };
}

test('a ghost, until it is closed', async (t) => {
  const owned = ownedBy(t);
  const { ghost, port } = await haunted(owned);
  using watch = await Watch.open({ pids: [pid], ports: [port] });
  t.like(await watch.look(), { groups: [{ pid, state: 'CLOSE', cause: 'ghost', standing: 0 }] });
  t.like(await watch.look(), { leaks: 1, groups: [{ cause: 'ghost', standing: 1 }] });
  owned.close(ghost);
  // Its number may lead to another socket by then.
  t.is(tcp(owned), ghost);
  t.like(await watch.look(), { sockets: 0, leaks: 0, groups: [] });
});

test('a ghost that two processes hold is of the one that is left', async (t) => {
  const owned = ownedBy(t);
  const { ghost, port } = await haunted(owned);
  const other = new Program(t, ['sleep', '60'], ghost);
  using here = await Watch.open({ pids: [pid], ports: [port] });
  using there = await Watch.open({ pids: [other.pid], ports: [port] });
  using all = await Watch.open({ ports: [port] });
  for (const watch of [here, there, all]) t.is((await watch.look()).sockets, 1);
  owned.close(ghost);
  t.like(await here.look(), { leaks: 0, groups: [] });
  t.like(await there.look(), { leaks: 1, groups: [{ pid: other.pid }] });
  t.like(await all.look(), { leaks: 1, groups: [{ pid: other.pid }] });
});

testUnless(noCompiler, 'who holds a socket after its first thread has ended', async (t) => {
  const owned = ownedBy(t);
  const { server } = connected(owned);
  const { ino } = fstatSync(server);
  const program = new Program(t, [compiled(scratch(t), 'leaderless')], server);
  await program.shows('stdout', /^ready\n/);
  const { pid: left } = program;
  await leaderless(left);
  t.true(holds({ pid: left, fd: 0 }, ino));
  t.false(holds({ pid: left, fd: 1 }, ino));
  t.false(holds({ pid: left, fd: 99 }, ino));
  program.signal('SIGKILL');
  await program.end();
  t.false(holds({ pid: left, fd: 0 }, ino));
});

test("others' sockets are left out", async (t) => {
  const { port } = notClosed(ownedBy(t));
  using watch = await Watch.open({ pids: [process.ppid], ports: [port] });
  t.like(await watch.look(), { sockets: 0, groups: [] });
  using elsewhere = await Watch.open({ pids: [pid], ports: [port === 1 ? 2 : 1] });
  t.like(await elsewhere.look(), { sockets: 0, groups: [] });
});

for (const [what, options] of [
  ['a pid', { pids: [0] }],
  ['a port', { ports: [65_536] }],
] as const) {
  test(`refused: what is not ${what}`, async (t) => {
    await t.throwsAsync(Watch.open(options), { instanceOf: RangeError });
  });
}

test('refused: a process that is not there', async (t) => {
  await t.throwsAsync(Watch.open({ pids: [2 ** 22 + 1] }), { code: 'ENOENT' });
});
