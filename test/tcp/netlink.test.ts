import test from 'ava';
import fc from 'fast-check';
import * as netlink from '../../src/tcp/netlink.js';
import { fromC, noCompiler, numbersOf, valuesOf, withCompiler } from '../fixture/headers.js';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

const INET_DIAG_INFO = 2;

/** A netlink message: header fields little-endian, sequence 7, port 0. */
function message(type: number, payload = '', { flags = 0, length = 16 + payload.length / 2 } = {}) {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(7, 8);
  return header.toString('hex') + payload;
}

function walk(bytes: Uint8Array) {
  const cursor = new netlink.NetlinkCursor(bytes);
  const seen: { type: number; offset: number; end: number; errno: number }[] = [];
  while (cursor.next()) {
    const { type, offset, end } = cursor;
    seen.push({ type, offset, end, errno: cursor.errno() });
  }
  return { seen, malformed: cursor.malformed };
}

for (const { name, bytes, seen, malformed } of [
  { name: 'nothing', bytes: '', seen: [], malformed: undefined },
  {
    name: 'NLMSG_DONE, as Linux 6.18 ends a dump',
    bytes: '1400000003000200070000005811000000000000',
    seen: [{ type: netlink.NLMSG_DONE, offset: 16, end: 20, errno: 0 }],
    malformed: undefined,
  },
  {
    name: 'NLMSG_ERROR with ENOENT, as Linux 6.18 answers for a socket that is not there',
    bytes:
      '5c000000020000000900000058110000feffffff4800000014000100090000000000000002060200ffffffff' +
      '000100027f0000010000000000000000000000007f00000100000000000000000000000000000000ffffffff' +
      'ffffffff',
    seen: [{ type: netlink.NLMSG_ERROR, offset: 16, end: 92, errno: 2 }],
    malformed: undefined,
  },
  {
    name: 'NLMSG_ERROR with EINVAL, as Linux 6.18 answers a request cut short',
    bytes: '28000000020000000900000058110000eaffffff1400000014000103090000000000000002060000',
    seen: [{ type: netlink.NLMSG_ERROR, offset: 16, end: 40, errno: 22 }],
    malformed: undefined,
  },
  {
    name: 'an unknown type, padded, then NLMSG_DONE without a payload',
    bytes: `${message(99, 'aabbcc')}00${message(netlink.NLMSG_DONE)}`,
    seen: [
      { type: 99, offset: 16, end: 19, errno: 0 },
      { type: netlink.NLMSG_DONE, offset: 36, end: 36, errno: 0 },
    ],
    malformed: undefined,
  },
  {
    name: 'a last message without its padding',
    bytes: message(99, 'aabbcc'),
    seen: [{ type: 99, offset: 16, end: 19, errno: 0 }],
    malformed: undefined,
  },
  {
    name: 'a header cut short',
    bytes: message(99) + message(99).slice(0, 30),
    seen: [{ type: 99, offset: 16, end: 16, errno: 0 }],
    malformed: 'netlink message at byte 16: header cut short',
  },
  {
    name: 'a length under that of the header',
    bytes: message(99, '', { length: 15 }) + message(99),
    seen: [],
    malformed: 'netlink message at byte 0: length 15 under 16',
  },
  {
    name: 'a length of zero',
    bytes: message(99, '', { length: 0 }),
    seen: [],
    malformed: 'netlink message at byte 0: length 0 under 16',
  },
  {
    name: 'a length past the end',
    bytes: message(99, 'aabbccdd', { length: 21 }),
    seen: [],
    malformed: 'netlink message at byte 0: length 21 past the end',
  },
  {
    name: 'the largest length',
    bytes: message(99, '', { length: 0xffffffff }),
    seen: [],
    malformed: 'netlink message at byte 0: length 4294967295 past the end',
  },
]) {
  test(`walks ${name}`, (t) => {
    t.deepEqual(walk(bytesOf(bytes)), { seen, malformed });
  });
}

for (const { name, bytes, expected } of [
  { name: 'nothing', bytes: '', expected: undefined },
  { name: 'the one asked for', bytes: '050008000100000008000200aabbccdd', expected: 'aabbccdd' },
  { name: 'an empty one', bytes: '04000200', expected: '' },
  { name: 'the first of two', bytes: '05000200010000000500020002000000', expected: '01' },
  { name: 'others only', bytes: '0500080001000000', expected: undefined },
  { name: 'a length under 4', bytes: '0300080008000200aabbccdd', expected: undefined },
  { name: 'a length past the end', bytes: '09000200aabbccdd', expected: undefined },
  { name: 'a header cut short', bytes: '0500080001000000080002', expected: undefined },
]) {
  test(`finds among attributes: ${name}`, (t) => {
    const found = netlink.findAttribute(bytesOf(bytes), 0, bytes.length / 2, INET_DIAG_INFO);
    t.is(found === undefined ? undefined : hexOf(found), expected);
  });
}

test('random bytes end every walk inside the chunk', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), fc.nat(220), (bytes, end) => {
      // A plausible length at the start lets the walk go further.
      const likely = Uint8Array.from(bytes);
      if (likely.length >= 4) likely.set([16 + ((likely[0] ?? 0) % 32), 0, 0, 0]);
      for (const chunk of [bytes, likely]) {
        for (const one of walk(chunk).seen)
          t.true(one.offset <= one.end && one.end <= chunk.length);
        netlink.findAttribute(chunk, 0, end, INET_DIAG_INFO);
      }
    }),
  );
});

const EEXIST = -17;

/** An NLMSG_ERROR: errno, the quoted header (of a request of 32 bytes), what follows, flags. */
function refusal(words: string, flags: number, quoted = '', errno = EEXIST) {
  const head = Buffer.alloc(4);
  head.writeInt32LE(errno);
  const request = message(16, '', { length: 32 });
  return message(netlink.NLMSG_ERROR, head.toString('hex') + request + quoted + words, { flags });
}

// "no" as attribute NLMSGERR_ATTR_MSG.
const WORDS = '070001006e6f0000';
const { NLM_F_ACK_TLVS, NLM_F_CAPPED } = netlink;

for (const { name, bytes, expected } of [
  { name: 'in words', bytes: refusal(WORDS, NLM_F_ACK_TLVS | NLM_F_CAPPED), expected: 'no' },
  {
    name: 'in words after the whole request',
    bytes: refusal(WORDS, NLM_F_ACK_TLVS, 'ff'.repeat(16)),
    expected: 'no',
  },
  { name: 'without words', bytes: refusal('', NLM_F_CAPPED), expected: undefined },
  {
    name: 'in other attributes only',
    bytes: refusal('0800020010000000', NLM_F_ACK_TLVS | NLM_F_CAPPED),
    expected: undefined,
  },
  {
    name: 'whose words are cut short',
    bytes: refusal(WORDS.slice(0, 8), NLM_F_ACK_TLVS | NLM_F_CAPPED),
    expected: undefined,
  },
  {
    name: 'cut before the quoted header ends',
    bytes: message(netlink.NLMSG_ERROR, 'efffffff20000000', { flags: NLM_F_ACK_TLVS }),
    expected: undefined,
  },
  {
    name: 'whose quoted request would end past it',
    bytes: refusal(WORDS, NLM_F_ACK_TLVS),
    expected: undefined,
  },
]) {
  test(`reads a refusal ${name}`, (t) => {
    const cursor = new netlink.NetlinkCursor(bytesOf(bytes));
    t.true(cursor.next());
    t.is(cursor.explanation(), expected);
  });
}

test('a nested attribute is found by its type', (t) => {
  const bytes = netlink.encodeAttributes([[5, [[1, Uint8Array.of(7)]]]]);
  t.is(hexOf(bytes), '0c000580' + '0500010007000000');
  const outer = netlink.findAttribute(bytes, 0, bytes.length, 5);
  t.deepEqual(outer && netlink.findAttribute(outer, 0, outer.length, 1), Uint8Array.of(7));
});

test('encodes a message with its head and padded attributes', (t) => {
  const bytes = netlink.encodeMessage({
    type: 16,
    flags: netlink.NLM_F_REQUEST,
    sequence: 7,
    head: Uint8Array.of(1, 2, 3),
    attributes: [
      [1, netlink.encodeText('ab')],
      [2, netlink.encodeU32(0x01020304)],
    ],
  });
  const expected = `${'01020300'}${'0700010061620000'}${'0800020004030201'}`;
  t.is(hexOf(bytes), message(16, expected, { flags: 1 }));
  t.is(netlink.decodeText(bytes.subarray(24, 27)), 'ab');
});

test('refuses an attribute that its length field cannot hold', (t) => {
  t.throws(() => netlink.encodeAttributes([[1, new Uint8Array(65536)]]), {
    instanceOf: RangeError,
  });
});

test('asks for groups in a sockaddr_nl', (t) => {
  t.is(hexOf(netlink.encodeNetlinkAddress(0x11)), '100000000000000011000000');
});

test('random attributes come back as they were', (t) => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.nat(0x3fff), fc.uint8Array({ maxLength: 40 })), {
        selector: ([type]) => type,
      }),
      (attributes) => {
        const bytes = netlink.encodeAttributes(attributes);
        for (const [type, value] of attributes)
          t.deepEqual(netlink.findAttribute(bytes, 0, bytes.length, type), value);
      },
    ),
  );
});

withCompiler(`numbers are those of the headers${noCompiler}`, (t) => {
  const { NLMSGHDR_SIZE, SOCKADDR_NL_SIZE, AF_NETLINK, ...numbers } = numbersOf(netlink);
  t.deepEqual(valuesOf('linux/netlink.h', Object.keys(numbers)), numbers);
  const sizes =
    'printf("%zu %zu %d", sizeof(struct nlmsghdr), sizeof(struct sockaddr_nl), AF_NETLINK);';
  t.is(
    fromC(['sys/socket.h', 'linux/netlink.h'], sizes),
    `${NLMSGHDR_SIZE} ${SOCKADDR_NL_SIZE} ${AF_NETLINK}`,
  );
});
