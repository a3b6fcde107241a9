import * as gate from '../../src/syscall/gate.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { socketFilter, testWith } from '../fixture/privilege.js';

const { SEQUENCE } = sys;
const bytes = new Uint8Array(16);
const clock = [SEQUENCE.clock, 0, 0, 0];

function sequence(
  rows: readonly (readonly number[])[],
  room: Uint8Array = bytes,
): [number[], bigint[]] {
  const results = new Int32Array(rows.length);
  const stamps = new BigInt64Array(rows.filter(([what]) => what === SEQUENCE.clock).length);
  must(sys.sequence(Int32Array.from(rows.flat()), room, results, stamps), rows.length);
  return [[...results], [...stamps]];
}
function must(a: number, b: number): void {
  if (a !== b) throw new Error(`expected ${b} steps, made ${a}`);
}

test('sequence: each step returns what the call does, and the clock is read between them', (t) => {
  const before = process.hrtime.bigint();
  const [a, b] = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM);
  const [results, stamps] = sequence([
    clock,
    [SEQUENCE.write, a, 5, 0],
    [SEQUENCE.read, b, 16, 0],
    [SEQUENCE.shutdown, a, sys.SHUT_WR, 0],
    [SEQUENCE.read, b, 16, 0],
    [SEQUENCE.getsockopt, a, sys.SOL_SOCKET, sys.SO_TYPE],
    [SEQUENCE.gettid, 0, 0, 0],
    [SEQUENCE.close, a, 0, 0],
    [SEQUENCE.close, b, 0, 0],
    [SEQUENCE.close, 1 << 30, 0, 0],
    clock,
  ]);
  const [first = 0n, last = 0n] = stamps;
  t.true(before <= first && first <= last && last <= process.hrtime.bigint());
  t.deepEqual(results, [0, 5, 5, 0, 0, sys.SOCK_STREAM, sys.gettid(), 0, 0, -sys.EBADF, 0]);
});

test('sequence: a descriptor below 0 is the result of an earlier step', (t) => {
  const owned = ownedBy(t);
  const listener = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  sys.bind(listener, { address: '127.0.0.1', port: 0 });
  sys.listen(listener, 1);
  const address = sys.encodeAddress(sys.getsockname(listener));
  const [[client = -1, connected, server = -1, ...closed]] = sequence(
    [
      [SEQUENCE.socket, sys.AF_INET, sys.SOCK_STREAM, 0],
      [SEQUENCE.connect, -1, address.length, 0],
      [SEQUENCE.accept, listener, sys.SOCK_CLOEXEC, 0],
      [SEQUENCE.close, -3, 0, 0],
      [SEQUENCE.close, -1, 0, 0],
    ],
    address,
  );
  t.is(connected, 0);
  t.true(client >= 0 && server >= 0 && client !== server);
  t.deepEqual(closed, [0, 0]);
});

const refused: [does: string, steps: number[], results: number, stamps: number][] = [
  ['a step there is none of', [99, 0, 0, 0], 1, 0],
  ['a step below 0', [-1, 0, 0, 0], 1, 0],
  ['a result that is not there yet', [SEQUENCE.close, -2, 0, 0], 1, 0],
  ['no room for results', [SEQUENCE.gettid, 0, 0, 0], 0, 0],
  ['no room for a stamp', clock, 1, 0],
  ['more bytes than there are', [SEQUENCE.read, 0, 17, 0], 1, 0],
  ['bytes below 0', [SEQUENCE.write, 0, -1, 0], 1, 0],
];
for (const [does, steps, results, stamps] of refused) {
  test(`sequence: ${does}: EINVAL, and nothing is done`, (t) => {
    const error = t.throws(() =>
      sys.sequence(
        Int32Array.from([SEQUENCE.close, 1 << 30, 0, 0, ...steps]),
        bytes,
        new Int32Array(results + (results > 0 ? 1 : 0)),
        new BigInt64Array(stamps),
      ),
    );
    t.is((error as sys.SyscallError).code, 'EINVAL');
  });
}

testWith(socketFilter)('sequence: a filter is no int, however long the program', (t) => {
  const fd = ownedBy(t).own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  const ask = [SEQUENCE.getsockopt, fd, sys.SOL_SOCKET, sys.SO_GET_FILTER];
  for (let length = 0; length <= 5; length++) {
    const program = Array.from({ length }, () => [6, 0, 0, 0, 255, 255, 255, 255]).flat();
    if (length > 0) sys.attachFilter(fd, Uint8Array.from(program));
    t.deepEqual(sequence([ask])[0], [-sys.EINVAL]);
  }
});

test('sequence: an option whose answer the question measures has no room in an int', (t) => {
  const owned = ownedBy(t);
  const udp = owned.own(sys.socket(sys.AF_INET, sys.SOCK_DGRAM));
  const tcp = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  sys.setOption(udp, 'IP_TTL', 7);
  const [results] = sequence([
    [SEQUENCE.getsockopt, udp, sys.IPPROTO_IP, sys.IP_MSFILTER],
    [SEQUENCE.getsockopt, udp, sys.IPPROTO_IP, sys.MCAST_MSFILTER],
    [SEQUENCE.getsockopt, tcp, sys.IPPROTO_TCP, sys.TCP_AO_GET_KEYS],
    [SEQUENCE.getsockopt, udp, sys.IPPROTO_IP, sys.IP_TTL],
    [SEQUENCE.getsockopt, 1 << 30, sys.IPPROTO_IP, sys.IP_TTL],
  ]);
  t.deepEqual(results, [-sys.EINVAL, -sys.EINVAL, -sys.EINVAL, 7, -sys.EBADF]);
});

test('gates: the results of the calls they are', (t) => {
  const [a, b] = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM);
  t.is(gate.write(a, 7), 7);
  t.is(gate.read(b), 7);
  t.is(gate.shutdown(a, sys.SHUT_WR), 0);
  t.is(gate.read(b), 0);
  t.is(gate.getsockopt(a, sys.SOL_SOCKET, sys.SO_TYPE), sys.SOCK_STREAM);
  t.is(gate.getsockopt(a, sys.SOL_SOCKET, 9999), -sys.ENOPROTOOPT);
  t.is(gate.close(a), 0);
  t.is(gate.close(b), 0);
  t.is(gate.close(a), -sys.EBADF);
  t.is(gate.read(a), -sys.EBADF);
  t.is(gate.write(b, gate.GATE_BYTES), -sys.EBADF);
});

test('sequence: steps that are overwritten while they are made do no harm', (t) => {
  const [a, b] = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM);
  // What is read becomes the second step: a read of more than there is room for.
  const steps = new Int32Array(8);
  sys.write(
    a,
    new Uint8Array(Int32Array.of(SEQUENCE.read, b, 32, 0, SEQUENCE.read, b, 1 << 20, 0).buffer),
  );
  steps.set([SEQUENCE.read, b, 32, 0, SEQUENCE.gettid, 0, 0, 0]);
  const own = new Uint8Array(steps.buffer);
  const error = t.throws(() =>
    sys.sequence(steps, own, new Int32Array(2), new BigInt64Array()),
  ) as sys.SyscallError;
  t.is(error.code, 'EINVAL');
  sys.close(a);
  sys.close(b);
});

test('sequence: numbers that do not begin where numbers may are refused', (t) => {
  const odd = new Uint8Array(new ArrayBuffer(40), 1, 32) as unknown as Int32Array;
  for (const [steps, results] of [
    [odd, new Int32Array(8)],
    [new Int32Array(4), odd],
  ] as const) {
    const error = t.throws(() => sys.sequence(steps, bytes, results, new BigInt64Array(8)));
    t.is((error as sys.SyscallError).code, 'EINVAL');
  }
});
