import { Assembler } from '../../src/observer/bpf-assembler.js';
import * as helpers from '../../src/observer/bpf-helpers.js';
import * as bpf from '../../src/syscall/bpf.js';
import { Mapping } from '../../src/syscall/mapping.js';
import { pageSize } from '../../src/syscall/page-size.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { noCompiler, numbersOf, valuesOf, withCompiler } from '../fixture/headers.js';

const RING: bpf.MapOptions = { type: bpf.BPF_MAP_TYPE_RINGBUF, entries: pageSize() };
const COUNT: bpf.MapOptions = {
  type: bpf.BPF_MAP_TYPE_ARRAY,
  keySize: 4,
  valueSize: 8,
  entries: 1,
  flags: bpf.BPF_F_MMAPABLE,
};

/** Why this process may not use bpf(2); undefined where it may. */
const noBpf = ((): string | undefined => {
  try {
    sys.close(bpf.bpf_map_create(RING));
    return;
  } catch (error) {
    return String(error);
  }
})();
const withBpf = noBpf === undefined ? test : test.skip;
const note = noBpf === undefined ? '' : ` (skipped: ${noBpf})`;

withCompiler(`every number of bpf.ts and of a program is the header's${noCompiler}`, (t) => {
  const ours = { ...numbersOf(bpf), ...numbersOf(helpers) };
  t.true(Object.keys(ours).length > 10);
  t.deepEqual(ours, valuesOf('linux/bpf.h', Object.keys(ours)));
  const misses = 'offsetof(struct bpf_prog_info, recursion_misses)';
  t.deepEqual(valuesOf('linux/bpf.h', [misses]), { [misses]: bpf.recursionMissesOffset });
});

const load = (assembler: Assembler, license = 'Dual MIT/GPL') =>
  bpf.bpf_prog_load({
    type: bpf.BPF_PROG_TYPE_TRACEPOINT,
    instructions: assembler.assemble(),
    license,
  });

withBpf(`a program is loaded, and has missed nothing yet${note}`, (t) => {
  const fd = ownedBy(t).own(load(new Assembler().move('r0', 0).exit()));
  t.is(bpf.bpf_recursion_misses(fd), 0);
});

withBpf(`a program that the verifier refuses fails with the verifier's words${note}`, (t) => {
  const error = t.throws(() => load(new Assembler().exit()), { instanceOf: bpf.ProgramError });
  t.is(error?.code, 'EACCES');
  t.is(error?.syscall, 'bpf');
  t.regex(error?.message ?? '', /R0 !read_ok/);
  t.regex(error?.log ?? '', /exit/);
});

withBpf(`reading kernel memory is not for a license that is not GPL-compatible${note}`, (t) => {
  const reads = () =>
    new Assembler()
      .move('r1', 'r10')
      .add('r1', -8)
      .move('r2', 8)
      .move('r3', 0)
      .call(helpers.BPF_FUNC_probe_read_kernel)
      .move('r0', 0)
      .exit();
  ownedBy(t).own(load(reads()));
  t.throws(() => load(reads(), 'MIT'), { code: 'EINVAL', message: /GPL/ });
});

withBpf(`the value of a map is shared memory${note}`, (t) => {
  using memory = new Mapping(ownedBy(t).own(bpf.bpf_map_create(COUNT)), pageSize());
  t.is(new BigUint64Array(memory.bytes.buffer)[0], 0n);
});

test('a mapping that no array could be made of is refused', (t) => {
  for (const length of [0, -1, 4096.5, 2 ** 32 + 4096, Number.NaN]) {
    t.throws(
      () => new Mapping(0, length),
      { instanceOf: RangeError, message: /length/ },
      `${length}`,
    );
  }
});

const refusals: readonly [does: string, call: () => unknown, code: string][] = [
  [
    'a ring that is not whole pages',
    () => bpf.bpf_map_create({ ...RING, entries: 4097 }),
    'EINVAL',
  ],
  ['a map of no type', () => bpf.bpf_map_create({ ...RING, type: 9999 }), 'EINVAL'],
  [
    'a program of no type',
    () => bpf.bpf_prog_load({ type: 9999, instructions: new Uint8Array(8), license: 'GPL' }),
    'EINVAL',
  ],
  [
    'a program of nothing',
    () => bpf.bpf_prog_load({ type: 5, instructions: new Uint8Array(), license: 'GPL' }),
    'E2BIG',
  ],
  ['a link of what is no program', () => bpf.bpf_link_create(0, bpf.BPF_TRACE_ITER), 'EINVAL'],
  [
    'a link of a closed descriptor',
    () => bpf.bpf_link_create(100_000, bpf.BPF_TRACE_ITER),
    'EBADF',
  ],
  ['an iterator of what is no link', () => bpf.bpf_iter_create(0), 'EINVAL'],
  ['an iterator of a closed descriptor', () => bpf.bpf_iter_create(100_000), 'EBADF'],
  ['what a closed descriptor is', () => bpf.bpf_recursion_misses(100_000), 'EBADFD'],
];
for (const [does, call, code] of refusals) {
  withBpf(`refused: ${does}: ${code}${note}`, (t) => {
    const error = t.throws(call, { instanceOf: sys.SyscallError });
    t.deepEqual([error?.syscall, error?.code], ['bpf', code]);
  });
}

const wrong: readonly [what: string, call: () => unknown][] = [
  ['a type that is no number', () => bpf.bpf_map_create({ ...RING, type: 'ring' as never })],
  [
    'instructions that are no bytes',
    () => bpf.bpf_prog_load({ type: 5, instructions: 'exit' as never, license: 'GPL' }),
  ],
  [
    'a license with a NUL in it',
    () => bpf.bpf_prog_load({ type: 5, instructions: new Uint8Array(8), license: 'GPL\0' }),
  ],
];
for (const [what, call] of wrong) {
  test(`not an argument: ${what}`, (t) => {
    t.regex(String(t.throws(call, { any: true } as never)), /^(TypeError|RangeError)/);
  });
}

test('instructions are encoded as RFC 9669 has them', (t) => {
  const bytes = new Assembler()
    .move('r6', 'r1')
    .load('r1', 2, 'r6', 24)
    .jumpIf32('r1', '==', 4_026_531_833, 'out')
    .mapValue('r2', 7)
    .store(4, 'r10', -4, 'r6')
    .atomicAdd('r1', 0, 'r2')
    .label('out')
    .subtract('r1', 'r2')
    .multiply('r1', 8)
    .divide('r1', 'r3')
    .and('r1', 7)
    .shiftLeft('r1', 'r2')
    .shiftRight('r1', 32)
    .jumpIf('r1', '==', 'r2', 'out')
    .jumpIf('r1', '&', 1, 'out')
    .jumpIf32('r1', 's<', 0, 'out')
    .callKernel(65_477)
    .call(5)
    .exit()
    .assemble();
  t.is(
    Buffer.from(bytes).toString('hex').replace(/.{16}/g, '$& ').trim(),
    [
      'bf16000000000000', // r6 = r1
      '6961180000000000', // r1 = *(u16 *)(r6 + 24)
      '16010400f9ffffef', // if w1 == 0xeffffff9 goto +4
      '1822000007000000', // r2 = map value 7
      '0000000000000000',
      '636afcff00000000', // *(u32 *)(r10 - 4) = r6
      'db21000000000000', // lock *(u64 *)(r1 + 0) += r2
      '1f21000000000000', // r1 -= r2
      '2701000008000000', // r1 *= 8
      '3f31000000000000', // r1 /= r3
      '5701000007000000', // r1 &= 7
      '6f21000000000000', // r1 <<= r2
      '7701000020000000', // r1 >>= 32
      '1d21f9ff00000000', // if r1 == r2 goto -7
      '4501f8ff01000000', // if r1 & 1 goto -8
      'c601f7ff00000000', // if w1 s< 0 goto -9
      '85200000c5ff0000', // call kernel function 65477
      '8500000005000000', // call 5
      '9500000000000000', // exit
    ].join(' '),
  );
});

test('a label must be somewhere, and only once', (t) => {
  t.throws(() => new Assembler().jump('out').assemble(), { message: /out is nowhere/ });
  t.throws(() => new Assembler().label('a').label('a'), { message: /there already/ });
});
