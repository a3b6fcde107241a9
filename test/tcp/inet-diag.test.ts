import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { AF_INET, AF_INET6 } from '../../src/tcp/address.js';
import * as diag from '../../src/tcp/inet-diag.js';
import { stateMask } from '../../src/tcp/states.js';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

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
  ...[
    { scoped: ['%3', '%3'] },
    { scoped: ['%3', ''] },
    { scoped: ['', '%3'], interface: 0 },
    { scoped: ['', '%3'], interface: 3 },
    { scoped: ['', ''], interface: 3 },
  ].map(({ scoped: [local, remote], ...given }) => ({
    name: `one socket of a link: ${local || '-'}, ${remote || '-'}, ${given.interface ?? '-'}`,
    actual: diag.encodeGet({
      family: AF_INET6,
      local: { address: `fe80::1${local}`, port: 1 },
      remote: { address: `fe80::2${remote}`, port: 2 },
      sequence: 9,
      ...given,
    }),
    expected:
      '48000000140001000900000000000000' +
      '0a060000ffffffff00010002fe800000000000000000000000000001' +
      'fe80000000000000000000000000000203000000ffffffffffffffff',
  })),
]) {
  test(`encodes ${name}`, (t) => {
    t.is(hexOf(actual), expected);
  });
}

test('refuses two interfaces for one socket, and an interface by its name', (t) => {
  const link = (scope: string) => ({ address: `fe80::1${scope}`, port: 1 });
  const get = (local: string, remote: string, more?: { interface: number }) =>
    diag.encodeGet({
      ...{ family: AF_INET6, sequence: 1, local: link(local), remote: link(remote) },
      ...more,
    });
  const message = 'a socket is bound to one interface, not to 3 and 4';
  t.throws(() => get('%3', '%4'), { instanceOf: TypeError, message });
  t.throws(() => get('%4', '%4', { interface: 3 }), { message });
  t.throws(() => get('%lo', ''), { message: 'not an IPv6 address: fe80::1%lo' });
});

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

const end = { address: '127.0.0.1', port: 1 };
for (const { what, socket, error } of [
  {
    what: 'a port past 16 bits',
    socket: { remote: { ...end, port: 65537 } },
    error: { code: 'ERR_OUT_OF_RANGE', message: /^remote\.port must be .* received 65537$/ },
  },
  {
    what: 'a negative port',
    socket: { local: { ...end, port: -1 } },
    error: { code: 'ERR_OUT_OF_RANGE', message: /^local\.port must be an integer from 0 to 65535/ },
  },
  {
    what: 'a port as text',
    socket: { local: { ...end, port: '1' } },
    error: { code: 'ERR_INVALID_ARG_TYPE', message: /^local\.port must be .* received "1"$/ },
  },
  {
    what: 'no end',
    socket: { remote: null },
    error: { code: 'ERR_INVALID_ARG_TYPE', message: /^remote\.address must be a string/ },
  },
  {
    what: 'an address that is no text',
    socket: { remote: { ...end, address: Symbol('a') } },
    error: { code: 'ERR_INVALID_ARG_TYPE', message: /^remote\.address must be .* Symbol\(a\)$/ },
  },
  {
    what: 'an interface past 32 bits',
    socket: { interface: 2 ** 32 },
    error: { code: 'ERR_OUT_OF_RANGE', message: /^interface must be/ },
  },
  {
    what: 'a cookie past 64 bits',
    socket: { cookie: 2n ** 64n },
    error: { code: 'ERR_OUT_OF_RANGE', message: /^cookie must be a bigint of 64 bits/ },
  },
  {
    what: 'a negative cookie',
    socket: { cookie: -1n },
    error: { code: 'ERR_OUT_OF_RANGE', message: /^cookie must be a bigint .* received -1$/ },
  },
  {
    what: 'a cookie as text',
    socket: { cookie: 'x' },
    error: { code: 'ERR_INVALID_ARG_TYPE', message: /^cookie must be a bigint .* received "x"$/ },
  },
]) {
  test(`a request for one socket refuses ${what}`, (t) => {
    const request = { family: AF_INET, local: end, remote: end, sequence: 1, ...socket };
    for (const encode of [diag.encodeGet, diag.encodeDestroy]) {
      t.throws(() => encode(request as diag.SocketRequest), error);
    }
  });
}

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
    t.true(numbers.length >= 6);
    const program = [
      '#include <stddef.h>',
      '#include <linux/netlink.h>',
      '#include <linux/sock_diag.h>',
      '#include <linux/inet_diag.h>',
      ...numbers,
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
