import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { decodeTcpInfo, tcpInfoFields, tcpInfoOptions } from '../../src/tcp/info.js';

/**
 * getsockopt(TCP_INFO) of an accepted ::1 socket whose peer closed without sending, on Linux 6.18
 * (Python: `s.getsockopt(6, 11, 512).hex()`).
 */
const CLOSE_WAIT = Buffer.from(
  '080000000007aa01e01c0300409c000000800000180200000000000000000000000000000000000000000000' +
    '0c000000000000000c0000000c00000000000100b8ff00003c0000001e000000ffffff7f0a000000b8ff0000' +
    '0300000000000000b8ff000000000000763d4aa203000000ffffffffffffffff000000000000000001000000' +
    '000000000100000003000000000000003c000000000000000000000000000000000000000000000000000000' +
    '0000000000000000000000000000000001000000000000000000000000000000000000000000000000000000' +
    '0000000000000000000001000000010000000000000000000000000000000000000000000000000000000000' +
    '00000000000000000000000000000000',
  'hex',
);

test('a CLOSE_WAIT socket as Linux 6.18 returned it', (t) => {
  const info = decodeTcpInfo(CLOSE_WAIT);
  t.is(info.state, 'CLOSE_WAIT');
  t.is(info.caState, 'Open');
  t.deepEqual(tcpInfoOptions(info.options ?? 0), ['TIMESTAMPS', 'SACK', 'WSCALE']);
  t.is(info.sndWscale, 10);
  t.is(info.rcvWscale, 10);
  t.is(info.deliveryRateAppLimited, true);
  t.is(info.fastopenClientFail, 'TFO_STATUS_UNSPEC');
  t.is(info.rtoUs, 204_000);
  t.is(info.atoUs, 40_000);
  t.is(info.lastAckRecvMs, 12);
  t.is(info.pmtuBytes, 65_536);
  t.is(info.rttUs, 60);
  t.is(info.rttvarUs, 30);
  t.is(info.sndCwnd, 10);
  t.is(info.pacingRateBytesPerSec, 15_607_676_278);
  t.is(info.maxPacingRateBytesPerSec, 2 ** 64);
  t.is(info.segsIn, 3);
  t.is(info.accecn, 0);
});

test('all bytes 0xff: the largest value of every field', (t) => {
  const info = decodeTcpInfo(new Uint8Array(280).fill(0xff));
  t.is(info.state, 'UNKNOWN(255)');
  t.is(info.caState, 'UNKNOWN(255)');
  t.is(info.sndWscale, 15);
  t.is(info.rcvWscale, 15);
  t.is(info.fastopenClientFail, 'TFO_SYN_RETRANSMITTED');
  t.is(info.rtoUs, 0xffff_ffff);
  t.is(info.totalRtoRecoveries, 0xffff);
  t.is(tcpInfoOptions(0xff).length, 8);
});

test('toObject, toJSON and the getters agree, field by field', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300, size: 'max' }), (bytes) => {
      const info = decodeTcpInfo(bytes);
      const object = info.toObject();
      t.deepEqual(
        Object.keys(object),
        tcpInfoFields.map(({ name }) => name),
      );
      for (const { name } of tcpInfoFields) t.is(object[name], info[name], name);
      t.deepEqual(JSON.parse(JSON.stringify(info)), JSON.parse(JSON.stringify(object)));
    }),
  );
});

test('a field is there exactly when the kernel returned all of its bytes', (t) => {
  for (let length = 1; length <= 284; length++) {
    const info = decodeTcpInfo(new Uint8Array(length));
    for (const { name, offset, size } of tcpInfoFields) {
      t.is(info[name] !== undefined, offset + size <= length, `${name} of ${length} bytes`);
    }
  }
});

test('no bytes are no tcp_info: there is always a state', (t) => {
  t.throws(() => decodeTcpInfo(new Uint8Array()), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
  const state: string = decodeTcpInfo(Uint8Array.of(8)).state;
  t.is(state, 'CLOSE_WAIT');
});

test('toObject() lists what the view does not', (t) => {
  const info = decodeTcpInfo(CLOSE_WAIT);
  t.deepEqual(Object.keys(info), []);
  t.is({ ...info.toObject() }.state, 'CLOSE_WAIT');
});

test('bytes off a 4-byte boundary decode the same', (t) => {
  for (const shift of [1, 2, 3]) {
    const bytes = new Uint8Array(CLOSE_WAIT.length + shift);
    bytes.set(CLOSE_WAIT, shift);
    const info = decodeTcpInfo(bytes.subarray(shift));
    t.deepEqual(info.toObject(), decodeTcpInfo(CLOSE_WAIT).toObject());
  }
});

for (const shift of [0, 1]) {
  test(`a view shows what its bytes hold now, at byteOffset ${shift}`, (t) => {
    const bytes = new Uint8Array(300).subarray(shift, shift + 280);
    const info = decodeTcpInfo(bytes);
    t.is(info.rttUs, 0);
    const before = info.toObject();
    bytes.set(CLOSE_WAIT);
    t.is(info.rttUs, 60);
    t.is(before.rttUs, 0);
  });
}

const hasCompiler = spawnSync('cc', ['--version']).status === 0;
const withCompiler = hasCompiler ? test : test.skip;

withCompiler(
  `every field lies where linux/tcp.h has it${hasCompiler ? '' : ' (needs cc: not installed)'}`,
  (t) => {
    const header = run(t, 'cc', ['-E', '-xc', '-'], '#include <linux/tcp.h>\n').toString();
    const known = tcpInfoFields.filter(
      ({ c }) => c !== null && new RegExp(`\\b${c}\\b`).test(header),
    );
    t.true(known.length >= 50, 'linux/tcp.h was read');
    // Each field set to all ones in a struct of zeros: what is set is where the field lies.
    const program = `
      #include <stdio.h>
      #include <string.h>
      #include <linux/tcp.h>
      static void show(const char *name, const unsigned char *bytes) {
        printf("%s ", name);
        for (unsigned i = 0; i < sizeof(struct tcp_info); i++) printf("%02x", bytes[i]);
        printf("\\n");
      }
      int main(void) {
        struct tcp_info t;
        ${known.map(({ name, c }) => `memset(&t, 0, sizeof t); t.${c} = -1; show("${name}", (void *)&t);`).join('\n')}
        return 0;
      }`;
    const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const executable = join(directory, 'layout');
    run(t, 'cc', ['-w', '-xc', '-', '-o', executable], program);
    const lines = run(t, executable, [], '').toString().trim().split('\n');
    t.is(lines.length, known.length);
    for (const [index, field] of known.entries()) {
      const [name, hex = ''] = (lines[index] ?? '').split(' ');
      t.is(name, field.name);
      const expected = Buffer.alloc(hex.length / 2);
      const ones = 'width' in field ? ((1 << field.width) - 1) << field.shift : 0xff;
      expected.fill(ones, field.offset, field.offset + field.size);
      t.is(hex, expected.toString('hex'), field.c ?? '');
    }
    const last = tcpInfoFields.at(-1);
    t.true(Buffer.from(lines[0]?.split(' ')[1] ?? '', 'hex').length <= 280, 'header is no newer');
    t.is((last?.offset ?? 0) + (last?.size ?? 0), 280);
  },
);

function run(
  t: { is(actual: unknown, expected: unknown, message: string): unknown },
  command: string,
  args: string[],
  input: string,
): Buffer {
  const { status, stdout, stderr } = spawnSync(command, args, { input });
  t.is(status, 0, `${command}: ${stderr}`);
  return stdout;
}

test('the table has no gap and no overlap', (t) => {
  let end = 0;
  for (const field of tcpInfoFields) {
    if ('width' in field && field.shift > 0) continue;
    const { name, offset } = field;
    t.is<number, number>(offset, end, name);
    end += field.size;
  }
});
