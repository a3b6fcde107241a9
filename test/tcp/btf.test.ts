import { readFileSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import { Btf } from '../../src/tcp/btf.js';

/**
 * What gcc -gbtf writes for this, little-endian, of 64-bit longs and pointers:
 *
 * struct net { long pad; union { struct { int a; unsigned inum; } ns; long other; }; };
 * typedef struct { struct net *net; } possible_net_t;
 * struct common { int family; unsigned bits:3; unsigned more:5; const volatile possible_net_t skc_net; };
 * struct sock { struct common __sk_common; union { struct { char c; int inner; }; long x; }; };
 * enum e { A, B };
 * struct sock s; struct net n; enum e ee;
 * int bpf_iter_tcp(struct sock *k) { return k->inner + (ee==A); }
 */
const BYTES = new Uint8Array(
  Buffer.from(
    [
      '9feb010018000000000000004402000044020000bd00000000000000020000040800000005000000',
      '02000000000000001400000003000000200000000100000000000001040000002000000107000000',
      '00000001040000002000000000000000020000050800000019000000010000000000000025000000',
      '05000000000000001c0000000000000108000000400000012b00000002000004100000002f000000',
      '05000000000000000000000004000000400000000000000001000004080000003300000008000000',
      '00000000000000000000000206000000370000000000000807000000000000000000000a09000000',
      '00000000000000090a0000004600000004000084100000004d000000020000000000000054000000',
      '03000000200000035900000003000000230000055e0000000b000000400000000000000002000004',
      '080000006b0000000e000000000000006d0000000200000020000000660000000000000101000000',
      '08000003000000000200000508000000000000000d00000000000000730000000500000000000000',
      '7500000002000004180000007a0000000c00000000000000000000000f0000008000000086000000',
      '020000060400000088000000000000008a00000001000000000000000100000d02000000b6000000',
      '13000000000000000000000210000000900000000000000e11000000010000008e0000000000000e',
      '06000000010000008c0000000000000e1000000001000000930000000000000c12000000b8000000',
      '0300000f000000001400000000000000040000001500000000000000100000001600000000000000',
      '1800000000696e74006100756e7369676e656420696e7400696e756d006e73006c6f6e6720696e74',
      '006f74686572006e657400706164006e657400706f737369626c655f6e65745f7400636f6d6d6f6e',
      '0066616d696c790062697473006d6f726500736b635f6e65740063686172006300696e6e65720078',
      '00736f636b005f5f736b5f636f6d6d6f6e0065004100420073006e006565006270665f697465725f',
      '746370002f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f622e6300006b002e62737300',
    ].join(''),
    'hex',
  ),
);

/**
 * The same for this:
 *
 * struct sock { int x; };
 * enum reason { NONE, SOME };
 * typedef struct sock alias;
 * typedef void (*btf_trace_reset)(void *data, const struct sock *sk, const alias *other, const enum reason why, long id);
 * typedef int number;
 * typedef number *pointer;
 * btf_trace_reset trace; pointer p;
 */
const PARAMETERS = new Uint8Array(
  Buffer.from(
    [
      '9feb010018000000000000007801000078010000780000000100000001000004040000000a000000',
      '020000000000000006000000000000010400000020000001000000000000000a010000000c000000',
      '020000060400000013000000000000001800000001000000000000000000000a040000001d000000',
      '0000000104000000200000002a0000000000000801000000000000000000000a0700000000000000',
      '0500000d00000000000000000a000000000000000b000000000000000c0000000000000005000000',
      '000000000d0000000000000000000002000000000000000000000002030000000000000000000002',
      '08000000350000000000000108000000400000010000000000000002090000003e00000000000008',
      '0e0000004e0000000000000802000000000000000000000210000000550000000000000811000000',
      '630000000000000e12000000010000005d0000000000000e0f00000001000000000000000000000c',
      '09000000730000000200000f00000000130000000000000008000000140000000000000008000000',
      '00736f636b00696e74007800726561736f6e004e4f4e4500534f4d4500756e7369676e656420696e',
      '7400616c69617300766f6964006c6f6e6720696e74006274665f74726163655f7265736574006e75',
      '6d62657200706f696e7465720074726163650070002f686f6d652f6d792f742e6300002e62737300',
    ].join(''),
    'hex',
  ),
);

const parameters: readonly [typedef: string, parameters: string[] | undefined][] = [
  ['btf_trace_reset', ['', 'sock', 'sock', 'reason', 'long int']],
  ['pointer', undefined],
  ['number', undefined],
  ['sock', undefined],
  ['none', undefined],
];

for (const [typedef, expected] of parameters) {
  test(`parametersOf('${typedef}') is ${JSON.stringify(expected)}`, (t) => {
    t.deepEqual(Btf.parse(PARAMETERS)?.parametersOf(typedef), expected);
  });
}

const members: readonly [struct: string, path: string, offset: number | undefined][] = [
  ['sock', '__sk_common', 0],
  ['sock', '__sk_common.skc_net.net', 8],
  ['sock', 'inner', 20],
  ['sock', 'x', 16],
  ['net', 'ns.inum', 12],
  ['net', 'other', 8],
  ['common', 'bits', 4],
  ['common', 'more', 4],
  ['common', 'skc_net', 8],
  ['common', 'skc', undefined],
  ['sock', 'none', undefined],
  ['sock', '__sk_common.none', undefined],
  ['sock', '__sk_common.skc_net.net.pad', undefined],
  ['none', 'net', undefined],
  ['', '', undefined],
];

for (const [struct, path, offset] of members) {
  test(`offsetOf('${struct}', '${path}') is ${offset}`, (t) => {
    t.is(Btf.parse(BYTES)?.offsetOf(struct, path), offset);
  });
}

test('a typedef is found by its name, and a name of something else is none', (t) => {
  t.is(Btf.parse(BYTES)?.typedefId('possible_net_t'), 9);
  t.is(Btf.parse(BYTES)?.typedefId('sock'), undefined);
});

test('a function and a struct are found by their names, too', (t) => {
  t.is(Btf.parse(BYTES)?.functionId('bpf_iter_tcp'), 23);
  t.is(Btf.parse(BYTES)?.functionId('net'), undefined);
  t.is(Btf.parse(BYTES)?.structId('net'), 6);
  t.is(Btf.parse(BYTES)?.structId('bpf_iter_tcp'), undefined);
});

const swapped = Uint8Array.from(BYTES).fill(0xeb, 0, 1).fill(0x9f, 1, 2);
const refused: readonly [name: string, bytes: Uint8Array][] = [
  ['nothing', new Uint8Array()],
  ['a header cut short', BYTES.subarray(0, 23)],
  ['bytes in the other order', swapped],
  ['types past the end', BYTES.subarray(0, 300)],
];
for (const [name, bytes] of refused) {
  test(`no BTF: ${name}`, (t) => t.is(Btf.parse(bytes), undefined));
}

test('an unknown kind ends the types; those before it stay', (t) => {
  // The kind of struct sock, 4, becomes 30, which there is none of; struct common is before it.
  const hex = Buffer.from(BYTES).toString('hex');
  const bytes = Buffer.from(hex.replace('75000000020000041800', '750000000200001e1800'), 'hex');
  t.is(Btf.parse(bytes)?.offsetOf('sock', 'x'), undefined);
  t.is(Btf.parse(bytes)?.offsetOf('common', 'more'), 4);
});

test('no bytes make it throw or go round in circles', (t) => {
  const mutations = fc.array(fc.tuple(fc.nat(BYTES.length - 1), fc.nat(255)), { maxLength: 12 });
  fc.assert(
    fc.property(mutations, fc.nat(BYTES.length), (changes, length) => {
      for (const whole of [BYTES, PARAMETERS]) {
        const bytes = whole.slice(0, length);
        for (const [at, value] of changes) if (at < length) bytes[at] = value;
        const btf = Btf.parse(bytes);
        btf?.offsetOf('sock', '__sk_common.skc_net.net');
        btf?.offsetOf('net', 'ns.inum');
        btf?.typedefId('possible_net_t');
        btf?.parametersOf('btf_trace_reset');
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

let vmlinux: Uint8Array | undefined;
try {
  vmlinux = readFileSync('/sys/kernel/btf/vmlinux');
} catch {}
(vmlinux ? test : test.skip)(
  `the running kernel's own types can be read${vmlinux ? '' : ' (skipped: no /sys/kernel/btf)'}`,
  (t) => {
    const btf = Btf.parse(vmlinux ?? new Uint8Array());
    t.true((btf?.offsetOf('sock', '__sk_common.skc_net.net') ?? 0) > 0);
    t.true((btf?.offsetOf('net', 'ns.inum') ?? 0) > 0);
  },
);
