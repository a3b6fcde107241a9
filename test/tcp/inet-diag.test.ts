import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { AF_INET, AF_INET6 } from '../../src/tcp/address.js';
import * as diag from '../../src/tcp/inet-diag.js';
import { stateMask } from '../../src/tcp/states.js';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

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
  const cursor = new diag.NetlinkCursor(bytes);
  const seen: { type: number; offset: number; end: number; errno: number }[] = [];
  while (cursor.next()) {
    const { type, offset, end } = cursor;
    seen.push({ type, offset, end, errno: cursor.errno() });
  }
  return { seen, malformed: cursor.malformed };
}

for (const { name, actual, expected } of [
  {
    // Accepted by Linux 6.18 when sent from Python's struct.pack.
    name: 'dump of all IPv4 sockets with info and memory',
    actual: diag.encodeDump({
      family: AF_INET,
      extensions: { info: true, memory: true },
      sequence: 7,
    }),
    expected: `48000000140001030700000000000000${'02064200ffffffff'}${'00'.repeat(48)}`,
  },
  {
    name: 'dump of IPv6 sockets in two states',
    actual: diag.encodeDump({
      family: AF_INET6,
      states: stateMask(['CLOSE_WAIT', 'FIN_WAIT2']),
      sequence: 0xfffffffe,
    }),
    expected: `480000001400010${'3'}feffffff00000000${'0a06000020010000'}${'00'.repeat(48)}`,
  },
  {
    // The kernel's answer quoted this request back: see the ENOENT row below.
    name: 'one IPv4 socket',
    actual: diag.encodeGet({
      family: AF_INET,
      local: { address: '127.0.0.1', port: 1 },
      remote: { address: '127.0.0.1', port: 2 },
      extensions: { info: true },
      sequence: 9,
    }),
    expected:
      '48000000140001000900000000000000' +
      '02060200ffffffff000100027f0000010000000000000000000000007f000001' +
      '00000000000000000000000000000000ffffffffffffffff',
  },
  {
    name: 'one IPv6 socket by cookie and interface, to be destroyed',
    actual: diag.encodeDestroy({
      family: AF_INET6,
      local: { address: '::1', port: 0xabcd },
      remote: { address: '::ffff:127.0.0.1', port: 80 },
      cookie: 0x1122334455667788n,
      interface: 3,
      sequence: 9,
    }),
    expected:
      '48000000150005000900000000000000' +
      '0a060000ffffffffabcd005000000000000000000000000000000001' +
      '00000000000000000000ffff7f000001030000008877665544332211',
  },
]) {
  test(`encodes ${name}`, (t) => {
    t.is(hexOf(actual), expected);
  });
}

test('refuses an address of the other family', (t) => {
  const local = { address: '127.0.0.1', port: 1 };
  const socket = { local, remote: local, sequence: 1 };
  t.throws(() => diag.encodeGet({ ...socket, family: AF_INET6 }), {
    instanceOf: TypeError,
    message: 'not an IPv6 address: 127.0.0.1',
  });
  const nowhere = { ...socket, local: { address: 'localhost', port: 1 } };
  t.throws(() => diag.encodeGet({ ...nowhere, family: AF_INET }), {
    message: 'not an IPv4 address: localhost',
  });
});

for (const { name, bytes, seen, malformed } of [
  { name: 'nothing', bytes: '', seen: [], malformed: undefined },
  {
    name: 'NLMSG_DONE, as Linux 6.18 ends a dump',
    bytes: '1400000003000200070000005811000000000000',
    seen: [{ type: diag.NLMSG_DONE, offset: 16, end: 20, errno: 0 }],
    malformed: undefined,
  },
  {
    name: 'NLMSG_ERROR with ENOENT, as Linux 6.18 answers for a socket that is not there',
    bytes:
      '5c000000020000000900000058110000feffffff4800000014000100090000000000000002060200ffffffff' +
      '000100027f0000010000000000000000000000007f00000100000000000000000000000000000000ffffffff' +
      'ffffffff',
    seen: [{ type: diag.NLMSG_ERROR, offset: 16, end: 92, errno: 2 }],
    malformed: undefined,
  },
  {
    name: 'NLMSG_ERROR with EINVAL, as Linux 6.18 answers a request cut short',
    bytes: '28000000020000000900000058110000eaffffff1400000014000103090000000000000002060000',
    seen: [{ type: diag.NLMSG_ERROR, offset: 16, end: 40, errno: 22 }],
    malformed: undefined,
  },
  {
    name: 'an unknown type, padded, then NLMSG_DONE without a payload',
    bytes: `${message(99, 'aabbcc')}00${message(diag.NLMSG_DONE)}`,
    seen: [
      { type: 99, offset: 16, end: 19, errno: 0 },
      { type: diag.NLMSG_DONE, offset: 36, end: 36, errno: 0 },
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
    const found = diag.findAttribute(bytesOf(bytes), 0, bytes.length / 2, diag.INET_DIAG_INFO);
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
        diag.findAttribute(chunk, 0, end, diag.INET_DIAG_INFO);
      }
    }),
  );
});

const hasCompiler = spawnSync('cc', ['--version']).status === 0;
const withCompiler = hasCompiler ? test : test.skip;

withCompiler(
  `layout and numbers are those of the headers${hasCompiler ? '' : ' (needs cc: not installed)'}`,
  (t) => {
    const f = diag.inetDiagMsg;
    const same = (c: string, value: number) => `_Static_assert(${c} == ${value}, "${c}");`;
    const member = (c: string, value: number) =>
      same(`offsetof(struct inet_diag_msg, ${c})`, value);
    const numbers = Object.entries(diag).flatMap(([name, value]) =>
      typeof value === 'number' && !name.endsWith('_SIZE') ? [same(name, value)] : [],
    );
    t.true(numbers.length >= 12);
    const program = [
      '#include <stddef.h>',
      '#include <linux/netlink.h>',
      '#include <linux/sock_diag.h>',
      '#include <linux/inet_diag.h>',
      ...numbers,
      same('sizeof(struct nlmsghdr)', diag.NLMSGHDR_SIZE),
      same('sizeof(struct inet_diag_req_v2)', diag.INET_DIAG_REQ_SIZE),
      same('sizeof(struct inet_diag_msg)', diag.INET_DIAG_MSG_SIZE),
      member('idiag_family', f.family),
      member('idiag_state', f.state),
      member('idiag_timer', f.timer),
      member('idiag_retrans', f.retransmits),
      member('id.idiag_sport', f.sourcePort),
      member('id.idiag_dport', f.destinationPort),
      member('id.idiag_src', f.source),
      member('id.idiag_dst', f.destination),
      member('id.idiag_if', f.interface),
      member('id.idiag_cookie', f.cookie),
      member('idiag_expires', f.expires),
      member('idiag_rqueue', f.rqueue),
      member('idiag_wqueue', f.wqueue),
      member('idiag_uid', f.uid),
      member('idiag_inode', f.inode),
    ].join('\n');
    const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const object = join(directory, 'layout.o');
    const { status, stderr } = spawnSync('cc', ['-xc', '-c', '-', '-o', object], {
      input: `${program}\n`,
    });
    t.is(status, 0, String(stderr));
  },
);
