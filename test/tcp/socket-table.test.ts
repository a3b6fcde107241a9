import test from 'ava';
import fc from 'fast-check';
import { AF_INET, AF_INET6 } from '../../src/tcp/address.js';
import { SocketTable, timerName } from '../../src/tcp/socket-table.js';
import { stateName } from '../../src/tcp/states.js';

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

/**
 * Answers to dumps of a Linux 6.18 kernel in the middle of an experiment, as recv() returned them
 * from a Python AF_NETLINK socket: IPv4 without extensions, IPv6 without, one socket with
 * TCP_INFO and memory.
 */
const IPV4 =
  '7c00000014000200070000005811000002080000e723e1b87f0000010000000000000000000000007f000001' +
  '0000000000000000000000000000000004000000000000000000000006000000000000000000000000000000' +
  '050008000100000008000f00000000000c001500010000000000000006001600520000007c00000014000200' +
  '070000005811000002040100e1b8e7237f0000010000000000000000000000007f0000010000000000000000' +
  '00000000000000000600000000000000c0000000000000000100000000000000000000000500080003000000' +
  '08000f00000000000c00150001000000000000000600160052000000';
const IPV6 =
  '840000001400020007000000581100000a0a0000d6d900000000000000000000000000000000000000000000' +
  '000000000000000000000000000000000700000000000000000000000000000005000000000000001d600000' +
  '050008000000000005000b000000000008000f00000000000c00150001000000000000000600160012000000' +
  '7c0000001400020007000000581100000a010000d6d9d70600000000000000000000ffff7f00000100000000' +
  '000000000000ffff7f000001000000000800000000000000000000000000000000000000000000001f600000' +
  '050008000000000008000f00000000000c001500010000000000000006001600120000007c00000014000200' +
  '07000000581100000a080000d6d9ed4c00000000000000000000000000000001000000000000000000000000' +
  '0000000100000000090000000000000000000000010000000000000000000000216000000500080001000000' +
  '08000f00000000000c0015000100000000000000060016001200000060000000140002000700000058110000' +
  '0a050300ed4cd6d9000000000000000000000000000000010000000000000000000000000000000100000000' +
  '0a0000000000000058ea00000000000000000000000000000000000008000f0000000000';
const WITH_INFO =
  'c00100001400020007000000581100000a080000d6d9ed4c0000000000000000000000000000000100000000' +
  '0000000000000000000000010000000009000000000000000000000001000000000000000000000021600000' +
  '050008000100000008000f00000000000c001500010000000000000006001600120000002800070040030000' +
  '0000020000000000001e3c00c00c0000000000000000000000000000000000001c010200080000000007aa01' +
  'e01c0300409c0000008000001802000000000000000000000000000000000000000000000c00000000000000' +
  '0c0000000c00000000000100b8ff00003c0000001e000000ffffff7f0a000000b8ff00000300000000000000' +
  'b8ff000000000000763d4aa203000000ffffffffffffffff0000000000000000010000000000000001000000' +
  '03000000000000003c0000000000000000000000000000000000000000000000000000000000000000000000' +
  '0000000000000000010000000000000000000000000000000000000000000000000000000000000000000000' +
  '0000010000000100000000000000000000000000000000000000000000000000000000000000000000000000' +
  '0000000000000000';
const DONE = '1400000003000200070000005811000000000000';
const EINVAL = '28000000020000000900000058110000eaffffff1400000014000103090000000000000002060000';

function captured(): SocketTable {
  return new SocketTable([IPV4, DONE, IPV6, DONE].map(bytesOf), { dumps: 2 });
}

test('rows of a captured dump', (t) => {
  const table = captured();
  t.is(table.length, 6);
  t.deepEqual(table.incomplete, []);
  t.true(table.complete);
  const common = { uid: 0, timer: 'off', timerMs: 0, retransmits: 0, interface: 0 } as const;
  t.deepEqual(
    [...table],
    [
      {
        ...common,
        // Peer closed after 5 bytes, nobody accepted: inode 0, 5 bytes and the FIN.
        state: 'CLOSE_WAIT',
        family: AF_INET,
        local: { address: '127.0.0.1', port: 59171 },
        remote: { address: '127.0.0.1', port: 57784 },
        recvQ: 6,
        sendQ: 0,
        inode: 0,
        cookie: 4n,
        shutdown: 1,
      },
      {
        ...common,
        state: 'FIN_WAIT1',
        family: AF_INET,
        local: { address: '127.0.0.1', port: 57784 },
        remote: { address: '127.0.0.1', port: 59171 },
        recvQ: 0,
        sendQ: 1,
        inode: 0,
        timer: 'on',
        timerMs: 192,
        cookie: 6n,
        shutdown: 3,
      },
      {
        ...common,
        state: 'LISTEN',
        family: AF_INET6,
        local: { address: '::', port: 55001 },
        remote: { address: '::', port: 0 },
        recvQ: 0,
        sendQ: 5,
        inode: 24605,
        cookie: 7n,
        shutdown: 0,
      },
      {
        ...common,
        state: 'ESTABLISHED',
        family: AF_INET6,
        local: { address: '::ffff:127.0.0.1', port: 55001 },
        remote: { address: '::ffff:127.0.0.1', port: 55046 },
        recvQ: 0,
        sendQ: 0,
        inode: 24607,
        cookie: 8n,
        shutdown: 0,
      },
      {
        ...common,
        state: 'CLOSE_WAIT',
        family: AF_INET6,
        local: { address: '::1', port: 55001 },
        remote: { address: '::1', port: 60748 },
        recvQ: 1,
        sendQ: 0,
        inode: 24609,
        cookie: 9n,
        shutdown: 1,
      },
      {
        ...common,
        // This one came as FIN_WAIT2 with the timer of the TIME_WAIT stub that holds it.
        state: 'FIN_WAIT2',
        family: AF_INET6,
        local: { address: '::1', port: 60748 },
        remote: { address: '::1', port: 55001 },
        recvQ: 0,
        sendQ: 0,
        inode: 0,
        timer: 'timewait',
        timerMs: 59_992,
        cookie: 10n,
      },
    ],
  );
});

test('columns say what the rows say', (t) => {
  const table = captured();
  const rows = [...table];
  t.deepEqual(
    [...table.state].map(stateName),
    rows.map(({ state }) => state),
  );
  t.deepEqual(
    [...table.timer].map(timerName),
    rows.map(({ timer }) => timer),
  );
  for (const name of [
    'family',
    'recvQ',
    'sendQ',
    'inode',
    'uid',
    'timerMs',
    'retransmits',
    'cookie',
    'interface',
  ] as const) {
    t.deepEqual(
      [...table[name]],
      rows.map((row) => row[name]),
      name,
    );
    t.is(table[name], table[name], 'made once');
  }
  t.deepEqual(
    [...table.localPort],
    rows.map(({ local }) => local.port),
  );
  t.deepEqual(
    [...table.remotePort],
    rows.map(({ remote }) => remote.port),
  );
});

test('at() finds what iteration gives, from either end', (t) => {
  const table = captured();
  const rows = [...table];
  for (const [index, row] of rows.entries()) {
    t.deepEqual(table.at(index), row);
    t.deepEqual(table.at(index - rows.length), row);
  }
  for (const index of [6, -7, 0.5, Number.NaN, Infinity]) t.is(table.at(index), undefined);
  t.is(new SocketTable([]).at(0), undefined);
});

test('TCP_INFO and memory come with the row when they were asked for', (t) => {
  const row = new SocketTable([bytesOf(WITH_INFO), bytesOf(DONE)]).at(0);
  t.is(row?.info?.state, 'CLOSE_WAIT');
  t.is(row?.info?.rttUs, 60);
  t.is(row?.info?.accecn, 0);
  t.deepEqual(row?.memory, {
    rmemAlloc: 832,
    rcvbuf: 131_072,
    wmemAlloc: 0,
    sndbuf: 3_939_840,
    fwdAlloc: 3264,
    wmemQueued: 0,
    optmem: 0,
    backlog: 0,
    drops: 0,
  });
});

test('a chunk off a 4-byte boundary reads the same', (t) => {
  const shifted = new Uint8Array(Buffer.from(`ff${IPV6}${DONE}`, 'hex')).subarray(1);
  t.deepEqual([...new SocketTable([shifted])], [...new SocketTable([bytesOf(IPV6 + DONE)])]);
});

const withFlags = (hex: string, flags: string) => hex.slice(0, 12) + flags + hex.slice(16);
const withLength = (hex: string, length: string) => length + hex.slice(8);

for (const { name, chunks, dumps, length, incomplete } of [
  { name: 'no bytes', chunks: [], length: 0, incomplete: ['1 of 1 dumps did not end'] },
  { name: 'an empty dump', chunks: [DONE], length: 0, incomplete: [] },
  {
    name: 'one of two dumps',
    chunks: [IPV4, DONE],
    dumps: 2,
    length: 2,
    incomplete: ['1 of 2 dumps did not end'],
  },
  {
    name: 'an interrupted dump',
    chunks: [withFlags(IPV4, '1200'), withFlags(DONE, '1200')],
    length: 2,
    incomplete: ['dump interrupted by changes'],
  },
  {
    name: 'a refused request',
    chunks: [EINVAL],
    length: 0,
    incomplete: ['request refused: errno 22', '1 of 1 dumps did not end'],
  },
  {
    name: 'a dump that failed at its end',
    chunks: [IPV4, `${DONE.slice(0, 32)}f4ffffff`],
    length: 2,
    incomplete: ['dump failed: errno 12'],
  },
  {
    name: 'an overrun',
    chunks: ['10000000040000000000000000000000', DONE],
    length: 0,
    incomplete: ['messages lost: receive buffer overrun'],
  },
  {
    name: 'a no-op and a message of unknown type',
    chunks: ['10000000010000000000000000000000', '10000000ff0000000000000000000000', DONE],
    length: 0,
    incomplete: ['unknown message type 255'],
  },
  {
    name: 'a socket message too short to be one',
    chunks: [withLength(IPV4.slice(0, 160), '50000000'), DONE],
    length: 0,
    incomplete: ['socket message cut short'],
  },
  {
    name: 'a chunk cut short inside its second message',
    chunks: [IPV4.slice(0, 400), DONE],
    length: 1,
    incomplete: ['netlink message at byte 124: length 124 past the end'],
  },
]) {
  test(`incomplete or not: ${name}`, (t) => {
    const table = new SocketTable(chunks.map(bytesOf), dumps === undefined ? {} : { dumps });
    t.is(table.length, length);
    t.deepEqual(table.incomplete, incomplete);
    t.is(table.complete, incomplete.length === 0);
    t.is([...table].length, length);
  });
}

test("the receiver's own reasons come first", (t) => {
  const table = new SocketTable([bytesOf(DONE)], { incomplete: ['ENOBUFS'] });
  t.deepEqual(table.incomplete, ['ENOBUFS']);
});

test('a message with mangled attributes is still a row', (t) => {
  const bytes = bytesOf(WITH_INFO);
  bytes[88] = 1;
  const row = new SocketTable([bytes, bytesOf(DONE)]).at(0);
  t.is(row?.state, 'CLOSE_WAIT');
  t.is(row?.info, undefined);
  t.is(row?.shutdown, undefined);
});

test('an INET_DIAG_INFO without bytes is none', (t) => {
  const bytes = bytesOf(WITH_INFO);
  bytes.set([4, 0, 2, 0], 88);
  t.is(new SocketTable([bytes, bytesOf(DONE)]).at(0)?.info, undefined);
});

test('a timer of a newer kernel keeps its number', (t) => {
  t.is(timerName(4), 'persist');
  t.is(timerName(5), 'UNKNOWN(5)');
});

test('never throws on mutated or random bytes', (t) => {
  const mutated = fc
    .tuple(
      fc.constantFrom(IPV4, IPV6, WITH_INFO),
      fc.array(fc.tuple(fc.nat(447), fc.nat(255)), { maxLength: 8 }),
      fc.nat(450),
    )
    .map(([hex, changes, length]) => {
      const bytes = bytesOf(hex);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes.subarray(0, length);
    });
  fc.assert(
    fc.property(
      fc.array(fc.oneof(mutated, fc.uint8Array({ maxLength: 200, size: 'max' }))),
      (chunks) => {
        const table = new SocketTable(chunks);
        const rows = [...table];
        t.is(rows.length, table.length);
        t.is(table.cookie.length, table.length);
        t.deepEqual(
          [...table.inode],
          rows.map(({ inode }) => inode),
        );
        for (const row of rows) JSON.stringify(row.info);
      },
    ),
  );
});
