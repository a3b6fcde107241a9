import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { diagnose } from '../../src/diagnose/diagnose.js';
import { namesGoSection } from '../../src/diagnose/elf.js';
import { describe } from '../../src/diagnose/process.js';
import { type Runtime, runtimeOf } from '../../src/diagnose/runtime.js';
import { stackPlan, stacksOf, stackToolFor } from '../../src/diagnose/stacks.js';
import { snapshot } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import { visit } from '../../src/world/visit.js';
import { World } from '../../src/world/world.js';
import { Program, scratch } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { tcp } from '../fixture/sockets.js';
import { noNamespace, noTool, testUnless } from '../world/ability.js';

test('Node: by its executable', (t) => {
  t.is(runtimeOf(process.pid), 'node');
});

test('native: what is neither named nor linked as anything else', async (t) => {
  const cat = new Program(t, ['cat']);
  cat.type('x');
  await cat.shows('stdout', /x/);
  t.is(runtimeOf(cat.pid), 'native');
});

test('no such process: ENOENT', (t) => {
  t.throws(() => runtimeOf(2 ** 22 + 1), { code: 'ENOENT' });
});

// TypeScript's own compiler is a Go program, and is installed with this package's tools.
const TSC = fileURLToPath(
  new URL(
    `../../../node_modules/@typescript/typescript-linux-${process.arch}/lib/tsc`,
    import.meta.url,
  ),
);
const noGo = existsSync(TSC) ? undefined : 'no Go program here';

/** An ELF header with sections at a place, and one that has their names at another. */
function elf(sections: bigint, names: bigint): Buffer {
  const bytes = Buffer.alloc(200);
  bytes.write('\x7fELF\x02\x01', 'latin1');
  bytes.writeBigUInt64LE(sections, 0x28);
  bytes.writeBigUInt64LE(names, 64 + 0x18);
  bytes.writeBigUInt64LE(2n ** 64n - 1n, 64 + 0x20);
  bytes.write('\0.go.buildinfo\0', 150, 'latin1');
  return bytes;
}

// The kernel runs a program without looking at its sections: they may be anywhere.
for (const [what, bytes, isGo] of [
  ['sections where they should be', elf(64n, 150n), true],
  ['another section', elf(64n, 152n), false],
  ['no sections', elf(0n, 150n), false],
  ['sections behind the end', elf(500n, 150n), false],
  ['sections nowhere', elf(2n ** 64n - 1n, 150n), false],
  ['names nowhere', elf(64n, 2n ** 64n - 1n), false],
  ['cut short', elf(64n, 150n).subarray(0, 50), false],
  ['no ELF', Buffer.alloc(200), false],
] as const) {
  test(`the header of an executable: ${what}`, (t) => {
    const read = (position: number, length: number): Buffer => {
      t.true(Number.isSafeInteger(position));
      return bytes.subarray(position, position + length);
    };
    t.is(namesGoSection(read), isGo);
  });
}

testUnless(noGo, 'Go: by the section its linker writes', async (t) => {
  const program = new Program(t, [TSC, '--lsp', '--stdio']);
  program.type('Content-Length: 2\r\n\r\n{}');
  await program.shows('stderr', /./).catch(() => undefined);
  t.is(runtimeOf(program.pid), 'go');
});

const JAVA = `
import java.net.*;
public class Leak {
  public static void main(String[] args) throws Exception {
    ServerSocket listener = new ServerSocket(0, 8, InetAddress.getByName("127.0.0.1"));
    System.out.println("port " + listener.getLocalPort());
    Socket connection = listener.accept();
    while (connection.getInputStream().read() >= 0) continue;
    System.out.println("done");
    System.in.read();
    connection.close();
  }
}`;

testUnless(noTool('java'), 'Java: a leak, its runtime and its stacks', async (t) => {
  const owned = ownedBy(t);
  const file = join(scratch(t), 'Leak.java');
  writeFileSync(file, JAVA);
  const program = new Program(t, ['java', '-Xint', file]);
  const [, port] = await program.shows('stdout', /^port (\d+)\n/m);
  const client = owned.own(sys.socket(sys.AF_INET6, sys.SOCK_STREAM));
  sys.connect(client, { address: '::ffff:127.0.0.1', port: Number(port) });
  owned.close(client);
  await program.shows('stdout', /^done\n/m);
  const tool = stackToolFor({ pid: program.pid, runtime: 'java' });
  const { sockets, processes } = await diagnose({
    ...{ pids: [program.pid], settleMs: 100, stacks: tool?.command[0] === 'jcmd' },
  });
  t.like(sockets, [{ cause: 'not-closed', runtime: 'java', pid: program.pid }]);
  if (tool?.command[0] === 'jcmd') t.regex(processes[0]?.stacks?.text ?? '', /Leak\.main/);
});

/** Gives a test a network of its own, where it may have one: on the host the port of Node's inspectors is anybody's. */
async function isolate(t: ExecutionContext): Promise<void> {
  if (noNamespace !== undefined) return;
  const world = await World.open('namespace');
  t.teardown(() => world.close());
  const inside = await visit(world);
  t.teardown(() => inside[Symbol.dispose]());
}

test('Node: stacks through its own inspector, of a busy and of an idle main thread, of a file too', async (t) => {
  await isolate(t);
  for (const [source, says, inFile] of [
    [
      'function busy() { const end = Date.now() + 300; while (Date.now() < end); setImmediate(busy); }' +
        'setImmediate(busy); console.log("up");',
      /busy \S*:1:\d+/,
    ],
    ['process.stdin.resume(); console.log("up");', /waits in its event loop\nactive: .*PipeWrap/],
    ['process.stdin.resume(); console.log("up");', /waits in its event loop/, true],
  ] as const) {
    const file = join(scratch(t), 'app.js');
    writeFileSync(file, source);
    const program = new Program(t, [process.execPath, ...(inFile ? [file] : ['-e', source])]);
    await program.shows('stdout', /^up\n/m);
    const { text, reason } = await stacksOf({ pid: program.pid, runtime: 'node' });
    t.regex(text ?? '', says, reason);
    t.notRegex(text ?? '', /still listens/);
    await program.shows('stderr', /Debugger ending/);
    t.is(program.stderr.match(/Debugger listening/g)?.length, 1, 'it has not opened again');
    program.signal('SIGKILL');
    await program.end();
  }
});

test('Node: a process that SIGUSR1 would kill is left alone', async (t) => {
  const cat = new Program(t, ['cat']);
  cat.type('x');
  await cat.shows('stdout', /x/);
  const { reason } = await stacksOf({ pid: cat.pid, runtime: 'node' });
  t.is(reason, 'it does not catch SIGUSR1: that would kill it');
  cat.endInput();
  t.is(await cat.end(), 0);
});

test('Node: whoever else listens there is asked nothing, and an abort leaves no inspector open', async (t) => {
  await isolate(t);
  const owned = ownedBy(t);
  const idle = [process.execPath, '-e', 'process.stdin.resume(); console.log("up")'];
  const program = new Program(t, idle);
  await program.shows('stdout', /up/);
  const other = tcp(owned);
  sys.setOption(other, 'SO_REUSEADDR', true);
  sys.bind(other, { address: '127.0.0.1', port: 9229 });
  sys.listen(other, 8);
  const cookie = sys.getOption(other, 'SO_COOKIE');
  const queued = () =>
    [...snapshot({ states: ['LISTEN'] })].find((row) => row.cookie === cookie)?.recvQ;
  const { reason } = await stacksOf({ pid: program.pid, runtime: 'node' });
  t.regex(reason ?? '', /another process listens$/);
  t.is(queued(), 0);
  owned.close(other);
  program.endInput();
  await program.end();

  const next = new Program(t, idle);
  await next.shows('stdout', /up/);
  const controller = new AbortController();
  const stacks = stacksOf({ pid: next.pid, runtime: 'node' }, controller.signal);
  await next.shows('stderr', /Debugger listening/);
  controller.abort();
  await t.throwsAsync(stacks, { any: true, message: /abort/ });
  await next.shows('stderr', /Debugger ending/);
  next.endInput();
  await next.end();
});

testUnless(noTool('cc'), 'a process whose first thread has ended is there', async (t) => {
  const file = join(scratch(t), 'leaderless');
  const source = fileURLToPath(new URL('../../../test/fixture/leaderless.c', import.meta.url));
  t.is(spawnSync('cc', ['-pthread', '-o', file, source]).status, 0);
  const program = new Program(t, [file]);
  await program.shows('stdout', /ready/);
  t.like(describe(program.pid), { pid: program.pid, comm: 'leaderless' });
  program.endInput();
  t.is(await program.end(), 0);
});

const all: readonly string[] = ['inspector', 'jcmd', 'jstack', 'py-spy', 'gdb', 'eu-stack'];

for (const { runtime, installed, tool } of [
  { runtime: 'java', installed: all, tool: 'jcmd' },
  { runtime: 'java', installed: ['jstack', 'gdb'], tool: 'jstack' },
  { runtime: 'python', installed: all, tool: 'py-spy' },
  { runtime: 'python', installed: ['gdb'], tool: 'gdb' },
  { runtime: 'go', installed: all, tool: 'gdb' },
  { runtime: 'node', installed: all, tool: 'inspector' },
  { runtime: 'native', installed: all, tool: 'eu-stack' },
  { runtime: 'native', installed: [], tool: undefined },
] as const satisfies readonly {
  runtime: Runtime;
  installed: readonly string[];
  tool: string | undefined;
}[]) {
  test(`stacks of ${runtime} with ${installed.join(', ') || 'no tool'}: ${tool}`, (t) => {
    const isThere = (file: string) => (installed as readonly string[]).includes(file);
    const found = stackToolFor({ pid: 4242, runtime }, isThere);
    t.is(found?.command[0], tool);
    if (found !== undefined) t.true(found.command.includes('4242'));
  });
}

test('the plan names a tool, what it does, and what would show more', async (t) => {
  const [own] = stackPlan({ stacks: true, pids: [process.pid] });
  t.regex(own ?? '', /^`inspector \d+` for pid \d+ sends it SIGUSR1/);
  t.notRegex(own ?? '', /install/);
  t.deepEqual(stackPlan({ pids: [process.pid] }), []);
  t.deepEqual(stackPlan({ stacks: true, pids: [2 ** 22 + 1] }), []);
});

testUnless(
  noTool('python3') ?? noTool('gdb'),
  "Python without py-spy: said that the frames are the interpreter's",
  async (t) => {
    const program = new Program(t, ['python3', '-c', 'print("up", flush=True); input()']);
    await program.shows('stdout', /^up\n/m);
    const [plan = ''] = stackPlan({ stacks: true, pids: [program.pid] });
    if (noTool('py-spy') === undefined) t.notRegex(plan, /install/);
    else t.regex(plan, /stops it by ptrace .*interpreter's frames: .* install py-spy$/);
  },
);
