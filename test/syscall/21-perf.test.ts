import { spawnSync } from 'node:child_process';
import { pageSize } from '../../src/syscall/page-size.js';
import * as perf from '../../src/syscall/perf.js';
import { CLOCK_MONOTONIC, SyscallError } from '../../src/syscall/sys.js';
import { test } from '../fixture/descriptors.js';
import { fromC, noCompiler, numbersOf, valuesOf, withCompiler } from '../fixture/headers.js';

withCompiler(`every number of perf.ts is the header's${noCompiler}`, (t) => {
  const ours = numbersOf(perf);
  t.true(Object.keys(ours).length > 6);
  t.deepEqual(ours, valuesOf('linux/perf_event.h', Object.keys(ours)));
});

withCompiler(`struct perf_event_attr is what C makes of it${noCompiler}`, (t) => {
  const theirs = fromC(
    ['string.h', 'time.h', 'linux/perf_event.h'],
    `struct perf_event_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.type = PERF_TYPE_TRACEPOINT;
    attr.size = PERF_ATTR_SIZE_VER5;
    attr.config = 2287;
    attr.sample_period = 1;
    attr.sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_RAW;
    attr.read_format = PERF_FORMAT_LOST;
    attr.disabled = 1;
    attr.watermark = 1;
    attr.wakeup_watermark = 4096;
    attr.use_clockid = 1;
    attr.clockid = CLOCK_MONOTONIC;
    for (int i = 0; i < PERF_ATTR_SIZE_VER5; i++) printf("%02x", ((unsigned char *)&attr)[i]);`,
  );
  const ours = perf.encodeTracepointAttributes({
    id: 2287,
    sampleType: perf.PERF_SAMPLE_TIME | perf.PERF_SAMPLE_RAW,
    readFormat: perf.PERF_FORMAT_LOST,
    disabled: true,
    clock: CLOCK_MONOTONIC,
    watermark: 4096,
  });
  t.is(Buffer.from(ours).toString('hex'), theirs);
});

test('the page size is what getconf(1) says', (t) => {
  t.is(pageSize(), Number(spawnSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }).stdout));
});

const attributes = perf.encodeTracepointAttributes({ id: 65_535 });
const oversized = Uint8Array.from(attributes);
new DataView(oversized.buffer).setUint32(4, 4096, true);
const refusals: readonly [does: string, call: () => unknown, syscall: string, code: RegExp][] = [
  [
    'attributes that say they are longer than they are',
    () => perf.perf_event_open(oversized, 0, -1),
    'perf_event_open',
    /^EINVAL$/,
  ],
  [
    'a tracepoint that does not exist',
    () => perf.perf_event_open(attributes, 0, -1),
    'perf_event_open',
    /^(ENOENT|EINVAL|EACCES|EPERM)$/,
  ],
  ['a program on a closed descriptor', () => perf.perf_set_bpf(100_000, 0), 'ioctl', /^EBADF$/],
  ['a ring of a closed descriptor', () => perf.perf_set_output(100_000, 0), 'ioctl', /^EBADF$/],
  ['a filter on a closed descriptor', () => perf.perf_set_filter(100_000, 'a'), 'ioctl', /^EBADF$/],
];
for (const [does, call, syscall, code] of refusals) {
  test(`refused: ${does}`, (t) => {
    const error = t.throws(call, { instanceOf: SyscallError });
    t.is(error?.syscall, syscall);
    t.regex(error?.code ?? '', code);
  });
}

test('attributes shorter than the first version are refused before the kernel sees them', (t) => {
  t.throws(() => perf.perf_event_open(attributes.subarray(0, 63), 0, -1), {
    instanceOf: RangeError,
  });
});
