/** `closewait watch` as its users start it. */
import { get } from 'node:http';
import { snapshot } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import type { SocketRow } from '../../src/tcp/socket-table.js';
import { languages, leaking } from '../diagnose/servers.js';
import { Program } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { connected, drain } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';
import { noTool, testUnless } from '../world/ability.js';
import { CLI, closewait } from './closewait.js';

const noCompiler = languages[0]?.missing;
const C = languages[0] as (typeof languages)[0];

for (const [title, args, says] of [
  ['a pid that is none', ['--pid', 'init'], /not a number: init/],
  ['a port that is none', ['--port', '70000'], /not a port: 70000/],
  ['an interval that is none', ['--interval', '1s'], /not an interval of 10 ms or more: 1s/],
  ['an interval of nothing', ['--interval', '0'], /not an interval of 10 ms or more: 0/],
  ['no address', ['--listen', '9464'], /not an address and port to listen on.*: 9464/],
  ['a name', ['--listen', 'localhost:9464'], /not an address and port to listen on/],
  ['a port too high', ['--listen', '127.0.0.1:65536'], /not an address and port to listen on/],
  ['IPv6 without brackets', ['--listen', '::1:9464'], /not an address and port to listen on/],
] as const) {
  test(`usage: ${title}: exit 2, said on stderr`, (t) => {
    const { code, stdout, stderr } = closewait('watch', ...args);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
  });
}

test('--help says how it ends', (t) => {
  const { code, stdout } = closewait('watch', '--help');
  t.is(code, 0);
  t.regex(stdout, /Ends by Ctrl-C/);
});

test('a process that is not there: exit 3', (t) => {
  const { code, stderr } = closewait('watch', '--once', '--pid', String(2 ** 22 + 1));
  t.is(code, 3);
  t.is(stderr, `closewait: no process ${2 ** 22 + 1}\n`);
});

testUnless(noCompiler, '--once: a leak that stands is exit 1, nothing is exit 0', async (t) => {
  const { program, port } = await leaking(t, ownedBy(t), C, 'not-closed');
  const watched = ['watch', '--once', '--interval', '100', '--pid', String(program.pid)];
  const { code, stdout, stderr } = closewait(...watched, '--json');
  t.is(code, 1, stderr);
  const tick = JSON.parse(stdout);
  t.like(tick, { sockets: 1, leaks: 1 });
  const { pid } = program;
  const group = { pid, comm: 'leaky_server', state: 'CLOSE_WAIT', cause: 'not-closed' };
  t.like(tick.groups, [{ ...group, listener: port, sockets: 1, standing: 1 }]);
  t.like(tick.processes, [{ pid, comm: 'leaky_server' }]);
  t.true(tick.processes[0].openFds > 3);

  const text = closewait(...watched);
  t.is(text.code, 1);
  t.regex(
    text.stdout,
    /^\S+Z {2}PID +PROGRAM .*\n\S+Z {2}1 leaks, 1 suspicious sockets(, \d+ not attributed yet)?\n\S+Z {2}leaky_server \(pid \d+\): \d+ of/,
  );
  t.regex(text.stdout, / CLOSE_WAIT +not-closed +\d+ +1 +1 /);
  t.is(closewait(...watched, '--port', '1').code, 0);
});

testUnless(noCompiler, 'one JSON object a look, until its process ends', async (t) => {
  const { program } = await leaking(t, ownedBy(t), C, 'not-closed');
  const args = ['--json', '--interval', '20', '--pid', String(program.pid)];
  const watch = new Program(t, [process.execPath, CLI, 'watch', ...args]);
  await watch.shows('stdout', /(\{.*\}\n){4}/);
  program.endInput();
  t.is(await program.end(), 0);
  t.is(await watch.end(), 0);
  const ticks = watch.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.true(ticks.length >= 4);
  t.true(ticks.every(({ elapsedMs }, i) => elapsedMs >= (ticks[i - 1]?.elapsedMs ?? 0)));
  t.is(ticks[3].leaks, 1);
  t.deepEqual(ticks.at(-1).groups, []);
});

testUnless(noCompiler, 'what ends takes its ghosts along: exit 0', async (t) => {
  const { program, port } = await leaking(t, ownedBy(t), C, 'ghost');
  const isOurs = ({ local }: SocketRow) => local.address === '127.0.0.1' && local.port === port;
  await until(
    () => ![...snapshot({ states: ['CLOSE_WAIT'] })].some(isOurs),
    () => 'the RST',
  );
  const args = ['--json', '--interval', '20', '--pid', String(program.pid)];
  const watch = new Program(t, [process.execPath, CLI, 'watch', ...args]);
  await watch.shows('stdout', /"leaks":1/);
  program.endInput();
  t.is(await watch.end(), 0);
  const last = JSON.parse(watch.stdout.trim().split('\n').at(-1) ?? '');
  t.like(last, { sockets: 0, leaks: 0, incomplete: [`pid ${program.pid}: no such process`] });
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends it: 1, as leaks stand`, async (t) => {
    const owned = ownedBy(t);
    const { client, server, address } = connected(owned);
    owned.close(client);
    drain(server);
    const args = ['--json', '--interval', '20', '--port', String(address.port)];
    const watch = new Program(t, [process.execPath, CLI, 'watch', ...args]);
    await watch.shows('stdout', /"leaks":1/);
    watch.signal(signal);
    t.is(await watch.end(), 1);
    t.is(sys.getsockname(server).port, address.port);
  });
}

function body(url: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode, text })).on('error', reject);
    }).on('error', reject);
  });
}

for (const address of ['127.0.0.1:0', '[::1]:0']) {
  test(`--listen ${address} answers Prometheus`, async (t) => {
    const owned = ownedBy(t);
    const { client, server, address: at } = connected(owned);
    // Or the command would hold it as well.
    sys.fcntl(server, sys.F_SETFD, sys.FD_CLOEXEC);
    owned.close(client);
    drain(server);
    const args = ['--interval', '20', '--port', String(at.port), '--listen', address];
    const watch = new Program(t, [process.execPath, CLI, 'watch', ...args]);
    const [, url = ''] = await watch.shows('stderr', /metrics at (http:\S+)\n/);
    const { status, text } = await body(url);
    t.is(status, 200);
    const group = `process_pid="${process.pid}".*state="close_wait",server_port="${at.port}",closewait_cause="not-closed"`;
    t.regex(text, new RegExp(`^closewait_connections\\{${group}\\} 1$`, 'm'));
    t.is((await body(new URL('/', url).href)).status, 404);
    // At the first look nothing is known to stay.
    while (!/^closewait_leaks 1$/m.test((await body(url)).text));
    watch.signal('SIGINT');
    t.is(await watch.end(), 1);
  });
}

test('an address that is taken: exit 3', (t) => {
  const { address } = connected(ownedBy(t));
  const { code, stderr } = closewait('watch', '--once', '--listen', `127.0.0.1:${address.port}`);
  t.is(code, 3);
  t.regex(stderr, /EADDRINUSE/);
});

testUnless(noTool('script'), 'on a terminal: redrawn, no larger than it is', async (t) => {
  const watching = `${process.execPath} ${CLI} watch --interval 20 --port 1`;
  const command = `stty rows 6 cols 50; TERM=xterm exec ${watching}`;
  const watch = new Program(t, ['script', '-qec', command, '/dev/null']);
  const screens = () => watch.stdout.split('\x1b[H').slice(1);
  await until(
    () => screens().length > 3,
    () => watch.stdout,
  );
  watch.type('\x03');
  t.is(await watch.end(), 0);
  t.true(screens().every((screen) => screen.split('\n').length <= 6));
});
