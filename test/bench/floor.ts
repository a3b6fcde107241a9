import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { snapshot, TcpInfoReader, tcpInfo, tcpState } from '../../src/index.js';
import * as sys from '../../src/syscall/sys.js';
import { OneCpu } from './one_cpu.js';
import { alternate, compare, control, type Figure, type Group, timed, timedAsync } from './pair.js';
import { built, command, Reference } from './programs.js';

const LOOPBACK = { address: '127.0.0.1', port: 0 };
const LINGER_ZERO = new Uint8Array(Int32Array.of(1, 0).buffer);

/** The reference programs get a thread that sleeps, as Node has several: native/reference/sleeper.h tells why. */
const THREADED = ['threaded'] as const;

/** What the layers everything else stands on cost, against plain C programs of the same shape. */
export const floor: Group = { lifecycle, tcpInfoFields, actor, sockets, startUp };

/** native/reference/lifecycle.c tells why the listener lingers. */
function listenOnLoopback(): { fd: number; address: { address: string; port: number } } {
  const fd = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  sys.setsockopt(fd, sys.SOL_SOCKET, sys.SO_LINGER, LINGER_ZERO);
  sys.bind(fd, LOOPBACK);
  sys.listen(fd, sys.SOMAXCONN);
  return { fd, address: sys.getsockname(fd) };
}

async function lifecycle(rounds: number): Promise<Figure[]> {
  await using c = await Reference.start('lifecycle', ...THREADED);
  await using twin = await Reference.start('lifecycle', ...THREADED);
  await using alone = await Reference.start('lifecycle');
  const listener = listenOnLoopback();
  const test = Uint8Array.from(Buffer.from('test\n'));
  const bytes = new Uint8Array(5);
  const live = timed(() => {
    const client = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
    sys.connect(client, listener.address);
    const accepted = sys.accept(listener.fd).fd;
    sys.write(client, test);
    sys.read(accepted, bytes);
    sys.write(accepted, bytes);
    sys.read(client, bytes);
    sys.close(client);
    sys.read(accepted, bytes);
    sys.close(accepted);
  });
  try {
    const ns = await alternate({ c: c.run, js: live, twin: twin.run, alone: alone.run }, rounds);
    const js = { name: "a connection's life, ten calls from JS", ns: ns.js };
    return [
      compare(js, { name: 'lifecycle.c', ns: ns.c }, { atMost: 1.06 }),
      compare(js, { name: 'lifecycle.c of one thread', ns: ns.alone }),
      control('lifecycle.c', ns.twin, ns.c),
    ];
  } finally {
    sys.close(listener.fd);
  }
}

async function tcpInfoFields(rounds: number): Promise<Figure[]> {
  await using c = await Reference.start('tcpinfo', ...THREADED);
  await using twin = await Reference.start('tcpinfo', ...THREADED);
  await using alone = await Reference.start('tcpinfo');
  const listener = listenOnLoopback();
  const client = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  sys.connect(client, listener.address);
  const accepted = sys.accept(listener.fd).fd;
  const reader = new TcpInfoReader();
  const arms = {
    c: c.run,
    state: timed(() => tcpState(client)),
    three: timed(() => {
      const { state, rttUs, lastAckRecvMs } = reader.read(client);
      return state === 'ESTABLISHED' && rttUs === lastAckRecvMs;
    }),
    all: timed(() => reader.read(client).toObject()),
    keptState: timed(() => tcpInfo(client).state),
    keptAll: timed(() => tcpInfo(client).toObject()),
    twin: twin.run,
    alone: alone.run,
  };
  try {
    const ns = await alternate(arms, rounds);
    const reference = { name: 'tcpinfo.c', ns: ns.c };
    return [
      compare({ name: 'tcpState(fd)', ns: ns.state }, reference, { atMost: 1.2 }),
      compare({ name: 'three fields by a TcpInfoReader', ns: ns.three }, reference, {
        atMost: 1.2,
      }),
      compare({ name: 'toObject() by a TcpInfoReader', ns: ns.all }, reference, { atMost: 1.6 }),
      compare(
        { name: 'tcpState(fd)', ns: ns.state },
        { name: 'tcpinfo.c of one thread', ns: ns.alone },
      ),
      compare({ name: 'tcpInfo(fd).state', ns: ns.keptState }, reference),
      compare({ name: 'tcpInfo(fd).toObject()', ns: ns.keptAll }, reference),
      control('tcpinfo.c', ns.twin, ns.c),
    ];
  } finally {
    for (const fd of [client, accepted, listener.fd]) sys.close(fd);
  }
}

async function actor(rounds: number): Promise<Figure[]> {
  using _pinned = new OneCpu();
  await using c = await Reference.start('handoff');
  await using twin = await Reference.start('handoff');
  await using ours = await sys.Actor.start({ name: 'bench' });
  const pool = createRequire(import.meta.url)(built('async_worker.node')) as {
    gettid(): Promise<number>;
  };
  const hundred = timedAsync(() => Promise.all(Array.from({ length: 100 }, () => ours.gettid())));
  const arms = {
    c: c.run,
    actor: timedAsync(() => ours.gettid()),
    hundred,
    pool: timedAsync(() => pool.gettid()),
    twin: twin.run,
  };
  const ns = await alternate(arms, rounds);
  const byActor = { name: 'await actor.gettid()', ns: ns.actor };
  return [
    compare(byActor, { name: 'handoff.c', ns: ns.c }, { atMost: 1.3 }),
    compare({ name: 'gettid() by AsyncWorker', ns: ns.pool }, byActor, { atLeast: 2 }),
    compare({ name: '100 at once by the actor', ns: ns.hundred }, byActor),
    control('handoff.c', ns.twin, ns.c),
  ];
}

const HELD = 60_000;
const HELD_BY_ONE = 15_000;

/** Runs `body` while `count` sockets are held by as many processes as RLIMIT_NOFILE asks for. */
export async function whileHeld<T>(count: number, body: () => Promise<T>): Promise<T> {
  if (count <= 0) return await body();
  await using _holder = await Reference.start('hold', String(Math.min(count, HELD_BY_ONE)));
  return await whileHeld(count - HELD_BY_ONE, body);
}

async function sockets(rounds: number): Promise<Figure[]> {
  return await whileHeld(HELD, async () => {
    await using c = await Reference.start('dump');
    await using twin = await Reference.start('dump');
    const seen = snapshot().length;
    if (seen < HELD) throw new Error(`snapshot() saw ${seen} of ${HELD} sockets`);
    const arms = {
      c: c.run,
      js: timed(() => snapshot().length),
      // The work of dump.c, which looks at one family.
      one: timed(() => snapshot({ family: 4 }).length),
      ss: command('ss', '-tanH'),
      twin: twin.run,
    };
    const ns = await alternate(arms, rounds);
    const js = { name: `snapshot() of ${seen} sockets`, ns: ns.js };
    return [
      compare(js, { name: 'dump.c', ns: ns.c }, { atMost: 1.1 }),
      compare(
        { name: 'snapshot({ family: 4 })', ns: ns.one },
        { name: 'dump.c', ns: ns.c },
        { atMost: 1.1 },
      ),
      compare({ name: 'ss -tanH', ns: ns.ss }, js, { atLeast: 2.5 }),
      control('dump.c', ns.twin, ns.c),
    ];
  });
}

async function startUp(rounds: number): Promise<Figure[]> {
  const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
  const node = command(process.execPath, '-e', '0');
  const help = command(process.execPath, cli, '--help');
  const ns = await alternate({ node, help, twin: node }, rounds);
  return [
    compare(
      { name: 'closewait --help', ns: ns.help },
      { name: 'node -e 0', ns: ns.node },
      {
        atMost: 1.5,
      },
    ),
    control('node -e 0', ns.twin, ns.node),
  ];
}
