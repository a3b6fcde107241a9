/** `closewait release` as its users start it: it asks, or is told; and it does one thing. */
import type { ExecutionContext } from 'ava';
import { snapshot } from '../../src/observer/sock-diag.js';
import type * as sys from '../../src/syscall/sys.js';
import type { Cause } from '../../src/tcp/cause.js';
import { languages, leaking } from '../diagnose/servers.js';
import { Program } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { netAdmin } from '../fixture/privilege.js';
import { noTool, testUnless } from '../world/ability.js';
import { CLI, closewait } from './closewait.js';

const noCompiler = languages[0]?.missing;
const C = languages[0] as (typeof languages)[0];

interface Leak {
  readonly pid: string;
  readonly fd: string;
  readonly endpoints: [local: string, remote: string];
  readonly port: number;
}

/** A server that leaks, and which of its descriptors it is. */
async function leak(t: ExecutionContext, owned: sys.Descriptors, cause: Cause): Promise<Leak> {
  const { program, port } = await leaking(t, owned, C, cause);
  const { stdout } = closewait('diagnose', '--pid', String(program.pid), '--json');
  const [{ fd, local, remote }] = JSON.parse(stdout).sockets;
  const [here, there] = [local, remote].map(({ address, port: at }) => `${address}:${at}`);
  const endpoints: [string, string] = [here ?? '', there ?? ''];
  return { pid: String(program.pid), fd: String(fd), endpoints, port };
}

const states = (port: number): string[] =>
  [...snapshot()]
    .filter(({ local }) => local.port === port && local.address === '127.0.0.1')
    .map(({ state }) => state)
    .sort();

for (const [title, args, says] of [
  ['nothing', [], /say which/],
  ['no descriptor', ['--pid', '1', '--how', 'reset'], /say which/],
  ['no way', ['--pid', '1', '--fd', '3'], /say which/],
  ['an unknown way', ['--pid', '1', '--fd', '3', '--how', 'kill'], /shutdown or reset: kill/],
  ['a pid that is none', ['--pid', '0', '--fd', '3', '--how', 'reset'], /not a pid: 0/],
  ['a descriptor that is none', ['--pid', '1', '--fd', '-', '--how', 'reset'], /not a fd: -/],
  ['one endpoint', ['--destroy', '127.0.0.1:80'], /takes two: LOCAL REMOTE/],
  ['three endpoints', ['--destroy', '1.2.3.4:1', '1.2.3.4:2', '1.2.3.4:3'], /takes two/],
  ['an endpoint that is none', ['--destroy', 'localhost:80', '1.2.3.4:1'], /not an address and/],
  ['both ways', ['--destroy', '1.2.3.4:1', '1.2.3.4:2', '--fd', '3'], /not both/],
] as const) {
  test(`usage: ${title}: exit 2, said on stderr`, (t) => {
    const { code, stdout, stderr } = closewait('release', ...args, '--yes');
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
  });
}

testUnless(noCompiler, 'nobody to ask: it says what it would do, and does nothing', async (t) => {
  const { pid, fd, port } = await leak(t, ownedBy(t), 'not-closed');
  const before = states(port);
  t.true(before.includes('CLOSE_WAIT'));
  const asked = closewait('release', '--pid', pid, '--fd', fd, '--how', 'reset');
  t.is(asked.code, 2);
  t.regex(asked.stderr, /CLOSE_WAIT 127.*held by pid \d+ fd \d+: connect\(AF_UNSPEC\)/);
  t.regex(asked.stderr, /--yes does it unasked/);
  t.deepEqual(states(port), before);
});

for (const how of ['shutdown', 'reset'] as const) {
  testUnless(noCompiler, `--how ${how}: exit 0, and the connection is gone`, async (t) => {
    const { pid, fd, port } = await leak(t, ownedBy(t), 'not-closed');
    const args = ['--pid', pid, '--fd', fd, '--how', how, '--yes', '--json'];
    const { code, stdout, stderr } = closewait('release', ...args);
    t.is(code, 0, stderr);
    const { action, target, result } = JSON.parse(stdout);
    t.is(action, how);
    t.like(target, { pid: Number(pid), fd: Number(fd), state: 'CLOSE_WAIT' });
    t.like(result, { helped: true, before: 'CLOSE_WAIT', after: 'CLOSE' });
    t.deepEqual(result.stillHeld, [{ pid: Number(pid), fd: Number(fd) }]);
    t.false(states(port).includes('CLOSE_WAIT'));
    // What it had, it has no more: only close() is left.
    const again = closewait('release', ...args);
    t.is(again.code, 3);
    t.regex(again.stderr, /has no connection \(CLOSE\)/);
  });
}

testUnless(noCompiler, 'shutdown of a held FIN_WAIT2: exit 1, it did not help', async (t) => {
  const { pid, fd } = await leak(t, ownedBy(t), 'peer-never-closes');
  const args = ['--pid', pid, '--fd', fd, '--how', 'shutdown', '--yes'];
  const { code, stdout } = closewait('release', ...args);
  t.is(code, 1);
  t.regex(stdout, /^that did not help: FIN_WAIT2 -> FIN_WAIT2 in \d+ ms/);
});

testUnless(
  noCompiler ?? (netAdmin.held ? undefined : netAdmin.reason),
  '--destroy: one connection by its endpoints',
  async (t) => {
    const { pid, endpoints, port } = await leak(t, ownedBy(t), 'not-closed');
    const stranger = closewait('release', '--pid', '1', '--destroy', ...endpoints, '--yes');
    t.is(stranger.code, 3);
    t.true(states(port).includes('CLOSE_WAIT'));
    const args = ['--pid', pid, '--destroy', ...endpoints, '--yes', '--json'];
    const { code, stdout, stderr } = closewait('release', ...args);
    t.is(code, 0, stderr);
    t.like(JSON.parse(stdout), { action: 'destroy', result: { helped: true, after: 'CLOSE' } });
    t.false(states(port).includes('CLOSE_WAIT'));
    t.is(closewait('release', '--destroy', ...endpoints, '--yes').code, 3);
  },
);

testUnless(noCompiler, 'what cannot be released: exit 3, and why', async (t) => {
  const { pid } = await leak(t, ownedBy(t), 'not-closed');
  for (const [fd, says] of [
    ['0', /is no TCP socket/],
    ['3', /listens: it is no connection/],
    ['999', /pid \d+ has no fd 999/],
  ] as const) {
    const { code, stdout, stderr } = closewait(
      ...['release', '--pid', pid, '--fd', fd, '--how', 'reset', '--yes'],
    );
    t.is(code, 3, fd);
    t.is(stdout, '');
    t.regex(stderr, says);
  }
});

for (const [answer, code] of [
  ['n', 1],
  ['y', 0],
] as const) {
  testUnless(
    noCompiler ?? noTool('script'),
    `asked on a terminal, answered ${answer}`,
    async (t) => {
      const { pid, fd, port } = await leak(t, ownedBy(t), 'not-closed');
      const command = [
        process.execPath,
        CLI,
        'release',
        '--pid',
        pid,
        '--fd',
        fd,
        '--how',
        'reset',
      ];
      const release = new Program(t, ['script', '-qec', command.join(' '), '/dev/null']);
      await release.shows('stdout', /Do it\? \[y\/N\]/);
      release.type(`${answer}\n`);
      t.is(await release.end(), code);
      t.is(states(port).includes('CLOSE_WAIT'), answer === 'n');
    },
  );
}
