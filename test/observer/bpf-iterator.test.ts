import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { fill } from '../../src/driver/fill.js';
import { BpfIterator, type IteratorOptions } from '../../src/observer/bpf-iterator.js';
import { readBtf } from '../../src/observer/bpf-types.js';
import { iteratorProgram } from '../../src/observer/iterator-program.js';
import { socketTypes } from '../../src/observer/iterator-types.js';
import { type SnapshotOptions, SockDiag } from '../../src/observer/sock-diag.js';
import * as bpf from '../../src/syscall/bpf.js';
import * as sys from '../../src/syscall/sys.js';
import { type SocketRow, SocketTable } from '../../src/tcp/socket-table.js';
import { World } from '../../src/world/world.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { type Family, families, ipv4, ipv6 } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';

const { available, reason } = BpfIterator.availability();
const iterating = available ? test : test.skip;
const note = available ? '' : ` (skipped: ${reason})`;

/** A namespace of its own, and the two ways to ask who is in it. */
class Place implements AsyncDisposable {
  readonly actor: sys.Actor;
  readonly #world: World;
  readonly #diag: SockDiag;

  private constructor(world: World, actor: sys.Actor, diag: SockDiag) {
    this.#world = world;
    this.actor = actor;
    this.#diag = diag;
  }

  static async open(): Promise<Place> {
    const world = await World.open('namespace');
    const actor = await world.actor('there');
    return new Place(world, actor, new SockDiag(await actor.socket(...SockDiag.socket)));
  }

  bySockDiag(options: SnapshotOptions = {}): SocketRow[] {
    return byCookie(this.#diag.snapshot(options));
  }

  async byIterator(iterator: BpfIterator): Promise<SocketRow[]> {
    const table = iterator.snapshot(await this.actor.bpf_iter_create(iterator.link));
    return byCookie(table);
  }

  /** Asks sock_diag before and after, and again until nothing but time has changed in between. */
  async inOneMoment(ask: () => Promise<SocketRow[]>, options: SnapshotOptions = {}) {
    for (let tries = 0; ; tries++) {
      const before = this.bySockDiag(options);
      const rows = await ask();
      const after = this.bySockDiag(options);
      const stood = isDeepStrictEqual(before.map(still), after.map(still));
      const running = before.every(({ timerMs }, i) => timerMs >= (after[i]?.timerMs ?? 0));
      if (stood && running) return { before, rows, after };
      if (tries === 100) throw new Error('the sockets are never the same for a moment');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#diag.close();
    await this.#world.close();
  }
}

function byCookie(table: SocketTable): SocketRow[] {
  return [...table].sort((a, b) => Number(a.cookie - b.cookie));
}

/** Without what time alone changes. */
function still({ timerMs: _, ...row }: SocketRow): object {
  return row;
}

interface Connection {
  readonly client: number;
  readonly server: number;
  readonly listener: number;
}

async function connect(
  owned: sys.Descriptors,
  actor: sys.Actor,
  { domain, loopback }: Family,
): Promise<Connection> {
  const socket = async () => owned.own(await actor.socket(domain, sys.SOCK_STREAM));
  const listener = await socket();
  await actor.bind(listener, { address: loopback, port: 0 });
  await actor.listen(listener, 7);
  const client = await socket();
  await actor.connect(client, sys.getsockname(listener));
  return { listener, client, server: owned.own((await actor.accept(listener)).fd) };
}

/** Sockets in every state that lasts, with something in each queue, and one more in the namespace's accept queue. */
async function openAll(owned: sys.Descriptors, actor: sys.Actor, family: Family): Promise<void> {
  const establish = () => connect(owned, actor, family);
  const idle = await establish();
  const another = owned.own(await actor.socket(family.domain, sys.SOCK_STREAM));
  await actor.connect(another, sys.getsockname(idle.listener));

  const queued = await establish();
  sys.setsockopt(queued.server, sys.SOL_SOCKET, sys.SO_KEEPALIVE, 1);
  await actor.write(queued.client, 'unread');

  const halfClosed = await establish();
  await actor.shutdown(halfClosed.client, sys.SHUT_WR);
  sys.poll([{ fd: halfClosed.server, events: sys.POLLRDHUP }], 5000);
  await actor.read(halfClosed.server, new Uint8Array(1));

  const orphaned = await establish();
  owned.close(orphaned.client);

  const waiting = await establish();
  owned.close(waiting.client);
  sys.poll([{ fd: waiting.server, events: sys.POLLRDHUP }], 5000);
  owned.close(waiting.server);

  // ret 0: nothing arrives any more, and what is sent is sent again and again.
  const deaf = await establish();
  sys.attachFilter(deaf.server, new Uint8Array([6, 0, 0, 0, 0, 0, 0, 0]));
  await actor.write(deaf.client, 'lost');

  const full = await establish();
  await fill(actor, full.client, undefined);

  // A SYN without anybody who answers, and one whose answer nobody gets.
  const { loopback, domain } = family;
  const dropping = owned.own(await actor.socket(domain, sys.SOCK_STREAM));
  await actor.bind(dropping, { address: loopback, port: 0 });
  await actor.listen(dropping, 7);
  const knocking = owned.own(await actor.socket(domain, sys.SOCK_STREAM | sys.SOCK_NONBLOCK));
  sys.attachFilter(knocking, new Uint8Array([6, 0, 0, 0, 0, 0, 0, 0]));
  await actor.connect(knocking, sys.getsockname(dropping)).catch((error: sys.SyscallError) => {
    if (error.code !== 'EINPROGRESS') throw error;
  });
}

const STATES = [
  ...['CLOSE_WAIT', 'ESTABLISHED', 'FIN_WAIT2', 'LISTEN', 'SYN_RECV', 'SYN_SENT', 'TIME_WAIT'],
];
/** Those sockets, once they are in those states: what was sent may be taken on after the call, by a thread of the kernel's. */
async function populate(
  owned: sys.Descriptors,
  place: Place,
  all: readonly Family[] = families,
): Promise<void> {
  for (const family of all) await openAll(owned, place.actor, family);
  const states = () => [...new Set(place.bySockDiag().map(({ state }) => state))].sort();
  await until(
    () => isDeepStrictEqual(states(), STATES),
    () => states().join(),
  );
}

const TIMERS = ['keepalive', 'off', 'on', 'persist', 'timewait'];

iterating(`every socket's row is the one that sock_diag has${note}`, async (t) => {
  await using place = await Place.open();
  using owned = new sys.Descriptors();
  await populate(owned, place);
  const seen = (what: (row: SocketRow) => string) => [...new Set(place.bySockDiag().map(what))];
  await until(
    () => TIMERS.every((timer) => seen((row) => row.timer).includes(timer)),
    () => seen((row) => row.timer).join(),
  );

  for (const lookAhead of [true, false]) {
    using iterator = BpfIterator.open({ lookAhead });
    const { before, rows, after } = await place.inOneMoment(() => place.byIterator(iterator));
    t.deepEqual(rows.map(still), before.map(still));
    for (const [i, { timerMs }] of rows.entries()) {
      t.true(timerMs <= (before[i]?.timerMs ?? 0) && timerMs >= (after[i]?.timerMs ?? 0));
    }
  }
});

iterating(`only the states and the family that are asked for${note}`, async (t) => {
  await using place = await Place.open();
  using owned = new sys.Descriptors();
  await populate(owned, place);
  const choices: IteratorOptions[] = [
    { states: ['LISTEN'] },
    { states: ['TIME_WAIT'] },
    { states: ['FIN_WAIT2'] },
    { states: ['SYN_RECV'] },
    { states: ['NEW_SYN_RECV'] },
    { states: ['ESTABLISHED', 'CLOSE_WAIT'], family: 4 },
    { family: 6 },
    { states: [] },
  ];
  for (const options of choices) {
    using iterator = BpfIterator.open(options);
    const ask = () => place.byIterator(iterator);
    const { before, rows } = await place.inOneMoment(ask, options);
    t.deepEqual(rows.map(still), before.map(still), JSON.stringify(options));
    t.is(rows.length > 0, options.states === undefined || [...options.states].length > 0);
  }
});

iterating(`an inode is found through the file, too, as before Linux 6.17${note}`, async (t) => {
  await using place = await Place.open();
  const owned = ownedBy(t);
  await populate(owned, place, [ipv4]);
  const btf = readBtf();
  const types = btf && socketTypes(btf);
  if (types === undefined) return t.fail('no types');
  const program = owned.own(
    bpf.bpf_prog_load({
      type: bpf.BPF_PROG_TYPE_TRACING,
      attachType: bpf.BPF_TRACE_ITER,
      attachBtfId: types.iterator,
      instructions: iteratorProgram({ ...types, inode: undefined }, { states: -1, tickNs: 1e6 }),
      license: 'GPL',
    }),
  );
  const link = owned.own(bpf.bpf_link_create(program, bpf.BPF_TRACE_ITER));
  const iterator = owned.own(await place.actor.bpf_iter_create(link));
  const bytes = new Uint8Array(65_536);
  const table = new SocketTable([bytes.subarray(0, sys.read(iterator, bytes))], { dumps: 0 });
  const inodes = (rows: readonly SocketRow[]) => rows.map(({ inode }) => inode);
  t.deepEqual(inodes(byCookie(table)), inodes(place.bySockDiag()));
});

iterating(`the namespace is that of who makes the iterator${note}`, async (t) => {
  await using one = await Place.open();
  await using two = await Place.open();
  using owned = new sys.Descriptors();
  await connect(owned, one.actor, ipv4);
  using iterator = BpfIterator.open();
  t.is((await one.byIterator(iterator)).length, 3);
  t.deepEqual(await two.byIterator(iterator), []);
  const here = new Set([...iterator.snapshot()].map(({ cookie }) => cookie));
  t.false(one.bySockDiag().some(({ cookie }) => here.has(cookie)));
});

iterating(`more sockets than one read has room for${note}`, async (t) => {
  await using place = await Place.open();
  using owned = new sys.Descriptors();
  const { listener } = await connect(owned, place.actor, ipv6);
  for (let i = 0; i < 400; i++) {
    sys.connect(owned.own(await place.actor.socket(sys.AF_INET6, sys.SOCK_STREAM)), {
      ...sys.getsockname(listener),
    });
    await place.actor.accept(listener).then(({ fd }) => owned.own(fd));
  }
  using iterator = BpfIterator.open();
  const { before, rows } = await place.inOneMoment(() => place.byIterator(iterator));
  t.is(rows.length, 803);
  t.deepEqual(rows.map(still), before.map(still));
});

iterating(`closed, it has no more to tell; twice is once${note}`, (t) => {
  const iterator = BpfIterator.open();
  iterator.close();
  iterator.close();
  t.throws(() => iterator.snapshot(), { code: 'EBADF' });
});

test('refused as an option: a state or a family that is none', (t) => {
  t.throws(() => BpfIterator.open({ states: ['OPEN' as never] }), { instanceOf: RangeError });
  t.throws(() => BpfIterator.open({ family: 5 as never }), { instanceOf: RangeError });
});

const MODULE = fileURLToPath(new URL('../../src/observer/bpf-iterator.js', import.meta.url));
const canDrop = process.geteuid?.() === 0 && spawnSync('setpriv', ['--version']).status === 0;
(canDrop ? test : test.skip)(
  `without capabilities it says which it needs${canDrop ? '' : ' (skipped: needs root and setpriv)'}`,
  (t) => {
    const program = `import(${JSON.stringify(MODULE)}).then(({BpfIterator}) =>
      console.log(JSON.stringify(BpfIterator.availability())))`;
    const flags = ['--bounding-set=-all', '--inh-caps=-all'];
    const { stdout } = spawnSync('setpriv', [...flags, process.execPath, '-e', program], {
      encoding: 'utf8',
    });
    t.like(JSON.parse(stdout), { available: false, reason: 'needs CAP_BPF and CAP_PERFMON' });
  },
);
