import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { install, nodeForArm64, noRegistry, output, pack, project } from './consumer.js';

/** Where Debian's cross compiler has the C library of the other machine. */
const SYSROOT = '/usr/aarch64-linux-gnu';
const QEMU = 'qemu-aarch64-static';
const SLOW_MS = 300_000;

function missing(): string | undefined {
  if (process.arch === 'arm64') return 'this is arm64: nothing to cross-compile';
  for (const tool of ['aarch64-linux-gnu-g++', QEMU]) {
    if (spawnSync(tool, ['--version']).status !== 0) return `${tool} is not installed`;
  }
  return noRegistry;
}

const reason = missing();
const run = reason === undefined ? test : test.skip;
const because = reason === undefined ? '' : ` (${reason})`;

/** Without sock_diag, whose netlink family qemu-user does not know. */
const PROGRAM = `
  import { tcpInfo, tcpState } from 'closewait';
  import * as sys from 'closewait/syscall';
  const say = (...what) => process.stdout.write(JSON.stringify(what) + '\\n');

  const listener = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  sys.bind(listener, { address: '127.0.0.1', port: 0 });
  sys.listen(listener, 1);
  const client = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  sys.connect(client, sys.getsockname(listener));
  const { fd, port } = sys.accept(listener);
  say(process.arch, port === sys.getsockname(client).port);
  sys.write(client, 'test');
  const bytes = new Uint8Array(8);
  say(sys.read(fd, bytes), String.fromCharCode(...bytes.subarray(0, 4)));
  say(tcpInfo(fd).state);
  sys.close(client);
  say(sys.read(fd, bytes), tcpState(fd));
  sys.close(fd);
  try { sys.read(fd, bytes); } catch ({ code, errno, syscall }) { say(code, errno, syscall); }

  // The stretch of assembly that a signal is told from: before, in and after the system call.
  const actor = await sys.Actor.start();
  const ends = {};
  for (let turn = 0; turn < 100; turn++) {
    const abort = new AbortController();
    const pending = actor.accept(listener, { signal: abort.signal });
    if (turn % 2) setImmediate(() => abort.abort()); else abort.abort();
    const { name } = await pending.catch((error) => error);
    ends[name] = (ends[name] ?? 0) + 1;
  }
  say(ends);
  const late = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  const accepting = actor.accept(listener);
  sys.connect(late, sys.getsockname(listener));
  say((await accepting).port === sys.getsockname(late).port);
  await actor.stop();
`;

run(`the cross-compiled addon makes calls and cancels them under qemu${because}`, async (t) => {
  t.timeout(2 * SLOW_MS);
  const directory = mkdtempSync(join(tmpdir(), 'closewait-package-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const cwd = project(directory);
  await install(cwd, await pack(directory, 'arm64'));
  writeFileSync(join(cwd, 'program.mjs'), PROGRAM);
  const node = await nodeForArm64();
  const said = await output([QEMU, '-L', SYSROOT, node, 'program.mjs'], { cwd });
  t.deepEqual(
    said
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
    [
      ['arm64', true],
      [4, 'test'],
      ['ESTABLISHED'],
      [0, 'CLOSE_WAIT'],
      ['EBADF', -9, 'read'],
      [{ AbortError: 100 }],
      [true],
    ],
  );
});
