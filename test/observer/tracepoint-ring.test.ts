/** A BPF ring whose reader is made to stand elsewhere: what a kernel rarely does, or never. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { type TraceEvent, TracepointObserver } from '../../src/observer/tracepoint.js';
import { BPF_MAP_TYPE_RINGBUF } from '../../src/syscall/bpf.js';
import { Mapping } from '../../src/syscall/mapping.js';
import { pageSize } from '../../src/syscall/page-size.js';
import * as sys from '../../src/syscall/sys.js';
import { BPF_RINGBUF_BUSY_BIT } from '../../src/tcp/ring.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { refusing, tcp } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';

const { via, reason } = TracepointObserver.availability();
const byBpf = via === 'bpf' ? test : test.skip;
const note = via === 'bpf' ? '' : ` (skipped: ${reason})`;

const RING_BYTES = 1 << 16;

const linkOf = (fd: string): string => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ''; // the listing's own
  }
};

/** The descriptor of the only ring there is. */
function ringOf(): number {
  const type = new RegExp(`^map_type:\\s${BPF_MAP_TYPE_RINGBUF}$`, 'm');
  const isRing = (fd: string) => type.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));
  const maps = readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).includes('bpf-map'));
  return Number(maps.find(isRing));
}

/** Where the observer's reading goes on, to be read and changed. */
function readerOf(t: ExecutionContext, ring: number): BigUint64Array {
  const mapping = new Mapping(ring, pageSize(), { writable: true });
  t.teardown(() => mapping.unmap());
  return new BigUint64Array(mapping.bytes.buffer, 0, 1);
}

/** Makes events: calls a port where nobody is. */
const callNobody = (t: ExecutionContext, owned: sys.Descriptors, nobody: sys.SocketAddress) =>
  void t.throws(() => sys.connect(tcp(owned), nobody), { code: 'ECONNREFUSED' });

byBpf(`a ring that cannot be read ends it, with an error${note}`, async (t) => {
  const owned = ownedBy(t);
  const nobody = refusing(owned);
  const failures: Error[] = [];
  const seen: TraceEvent[] = [];
  await using observer = await TracepointObserver.start({
    ...{ via: 'bpf', ports: [nobody.port] },
    onEvent: (event) => seen.push(event),
    onFailure: (error) => failures.push(error),
  });
  // As if the reader had lost its place: half a header on.
  readerOf(t, ringOf())[0] = 4n;
  callNobody(t, owned, nobody);
  const [failure] = await until(
    () => (failures.length > 0 ? failures : undefined),
    () => `${seen.length} events and no failure`,
  );
  t.regex(failure?.message ?? '', /^BPF ring/);
  await observer.flush();
  await observer.stop();
  t.is(failures.length, 1);
});

byBpf(`behind a record that is being written nothing is settled${note}`, async (t) => {
  const owned = ownedBy(t);
  const nobody = refusing(owned);
  const options = { via: 'bpf', ports: [nobody.port], ringBytes: RING_BYTES } as const;
  const seen: TraceEvent[] = [];
  const settled: { readonly untilNs: bigint; readonly seen: number }[] = [];
  await using observer = await TracepointObserver.start({
    ...options,
    onEvent: (event) => seen.push(event),
    onSettled: (untilNs) => settled.push({ untilNs, seen: seen.length }),
  });
  const ring = ringOf();
  const page = pageSize();
  using mapping = new Mapping(ring, page + 2 * RING_BYTES, { offset: page });
  const words = new Uint32Array(mapping.bytes.buffer, page);
  const reader = readerOf(t, ring);
  const lookedAt: bigint[] = [];
  await using other = await TracepointObserver.start({
    ...{ ...options, onEvent: () => {} },
    onSettled: (untilNs) => lookedAt.push(untilNs),
  });

  callNobody(t, owned, nobody);
  const afterNs = sys.clock_gettime(sys.CLOCK_MONOTONIC);
  // As if the first record were still being written: half of a kernel's address looks like a length with the busy bit.
  const start = reader[0] ?? 0n;
  const busy = words.findIndex((word, i) => 4 * i > start && word >= BPF_RINGBUF_BUSY_BIT);
  reader[0] = BigInt(4 * busy);
  // Who looks as often has looked a few times since.
  await until(
    () => lookedAt.filter((ns) => ns > afterNs).length > 3,
    () => `looked ${lookedAt.length} times`,
  );
  t.deepEqual(seen, []);
  reader[0] = start;
  await Promise.all([observer.flush(), other.flush()]);

  t.true(seen.length > 0);
  const tooSoon = settled.filter((each) =>
    seen.slice(each.seen).some((e) => e.tNs <= each.untilNs),
  );
  t.deepEqual(tooSoon, []);
});
