import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { castLibuv } from '../../src/driver/libuv.js';
import type { Cast, ClientRole, ServerRole } from '../../src/driver/role.js';
import { tcpInfo } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import type { Endpoint } from '../../src/tcp/address.js';
import { hasIpv6 } from '../../src/world/interfaces.js';
import { World } from '../../src/world/world.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { socketFilter, testWith } from '../fixture/privilege.js';
import { awaitThat, refusing } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';
import { scratch } from './programs.js';

const stateOf = (end: ServerRole | ClientRole) => end.withDescriptor((fd) => tcpInfo(fd).state);

function lives(pid: string): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function connect({ server, client }: Cast): Promise<Endpoint> {
  const to = await server.listen();
  await client.connect(to);
  await server.accept();
  return to;
}

async function reach(end: ServerRole | ClientRole, state: string | undefined): Promise<void> {
  await until(
    () => stateOf(end) === state,
    () => `${end.end} in ${stateOf(end)}`,
  );
}

for (const family of [4, 6] as const) {
  if (family === 6 && !hasIpv6()) continue;
  test(`IPv${family}: what is sent is echoed, the end is read, both close`, async (t) => {
    await using world = await World.open('host');
    await using cast = await castLibuv(world, { family });
    const { server, client } = cast;
    t.is(server.address, undefined);
    const to = await connect(cast);
    t.deepEqual(await client.peer(), to);
    t.is(await client.send('test\n'), 5);
    await server.echo();
    t.is(await client.receive(), 'test\n');
    await client.close();
    t.is(stateOf(client), undefined);
    await server.readEnd();
    t.is(await server.receive(), '');
    t.is(stateOf(server), 'CLOSE_WAIT');
    await server.close();
    t.is(stateOf(server), undefined);
    t.deepEqual(
      cast.heard?.().server.map(({ name }) => name),
      ['data', 'end', 'close'],
    );
  });
}

test('its programs are Node and nothing of ours but the one file: no addon', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  t.is(cast.runtime, `node ${process.version}`);
  for (const { pid = 0 } of [cast.server, cast.client]) {
    t.not(pid, process.pid);
    t.false(readFileSync(`/proc/${pid}/maps`, 'utf8').includes('closewait.node'));
  }
});

test('readEnd() does not take data for the end', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  await connect(cast);
  await cast.client.send('more\n');
  await t.throwsAsync(cast.server.readEnd(), { message: /expected the end.*read 5 bytes/ });
});

test('half-closed by end(), the other way still works', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const { server, client } = cast;
  await connect(cast);
  await client.shutdown('SHUT_WR');
  await server.readEnd();
  await server.send('still\n');
  t.is(await client.receive(), 'still\n');
  t.is(stateOf(client), 'FIN_WAIT2');
});

test('an error that nobody waited for goes to the next verb, once', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const { server, client } = cast;
  await connect(cast);
  await server.send('x');
  // From here on Node reads by itself: it hears of the reset unasked.
  t.is(await client.receive(), 'x');
  await server.abort();
  await client.node.hears('error');
  await t.throwsAsync(client.receive(), { code: 'ECONNRESET' });
  await t.throwsAsync(client.receive(), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
  await t.throwsAsync(client.send('x'), { code: 'ERR_STREAM_DESTROYED' });
  t.deepEqual(await client.node.heard(), ['data 1', 'error ECONNRESET', 'close']);
});

test('a write to a peer that is gone fails with the errno of the kernel', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const { server, client } = cast;
  await connect(cast);
  await client.close();
  await server.readEnd();
  t.is(await server.send('late\n'), 5);
  await reach(server, 'CLOSE');
  await t.throwsAsync(server.send('late\n'), { code: 'EPIPE' });
});

test('a server that listens no more has closed', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  await cast.server.listen();
  await cast.server.stopListening();
  await t.notThrowsAsync(cast.server.node.hears('server close'));
});

test('nobody listens: the errno, the address and the port', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const to = refusing(ownedBy(t));
  await t.throwsAsync(cast.client.connect(to), {
    code: 'ECONNREFUSED',
    message: new RegExp(`127.0.0.1:${to.port}`),
  });
});

test('a port of the client that is taken is refused where Node binds: when it connects', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const to = await cast.server.listen();
  await cast.client.bind(to.port);
  await t.throwsAsync(cast.client.connect(to), { code: 'EADDRINUSE' });
});

test('the options that Node has reach the kernel', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const { client } = cast;
  await connect(cast);
  const asked = (name: 'TCP_NODELAY' | 'SO_KEEPALIVE' | 'TCP_KEEPIDLE') =>
    client.withDescriptor((fd) => sys.getOption(fd, name));
  t.false(asked('TCP_NODELAY'));
  await client.setOption('TCP_NODELAY', true);
  t.true(asked('TCP_NODELAY'));
  t.false(asked('SO_KEEPALIVE'));
  await client.setOption('TCP_KEEPIDLE', 77);
  t.true(asked('SO_KEEPALIVE'));
  t.is(asked('TCP_KEEPIDLE'), 77);
  await client.setOption('SO_KEEPALIVE', false);
  t.false(asked('SO_KEEPALIVE'));
});

testWith(socketFilter)('what arrives is discarded by the lab, and no longer', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const { server, client } = cast;
  await connect(cast);
  await server.discardArriving(true);
  await client.close();
  await reach(client, undefined);
  t.is(stateOf(server), 'ESTABLISHED');
  await server.discardArriving(false);
  await server.readEnd();
});

const REFUSALS: readonly [what: string, act: (cast: Cast) => Promise<unknown>][] = [
  ['a write that does not wait', ({ client }) => client.fill()],
  ['shutdown(SHUT_RD)', ({ client }) => client.shutdown('SHUT_RD')],
  [
    'setsockopt(SO_LINGER)',
    ({ client }) => client.setOption('SO_LINGER', { on: true, seconds: 1 }),
  ],
  ['getsockopt(SO_LINGER)', ({ client }) => client.getOption('SO_LINGER')],
  ['fcntl(O_NONBLOCK)', ({ client }) => client.setNonblocking(false)],
  ['dup()', ({ client }) => client.duplicate()],
  ['SOCK_DESTROY', ({ client }) => client.destroy()],
  ['another thread', ({ client }) => client.thread()],
  ['socket() without connect()', ({ client }) => client.open()],
  ['sendto(MSG_FASTOPEN)', ({ client }) => client.fastOpen({ address: '', port: 1 }, '')],
  ['connect(AF_UNSPEC)', ({ client }) => client.disconnect()],
  ['another connection', ({ client }) => client.another()],
  ['another connection', ({ server }) => server.another()],
  ['bind() without SO_REUSEADDR', ({ server }) => server.listen({ reuseAddress: false })],
  ['setsockopt(TCP_FASTOPEN)', ({ server }) => server.listen({ fastOpen: 1 })],
];

test('what node:net has nothing for is refused by name', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  for (const [what, act] of REFUSALS) {
    await t.throwsAsync(act(cast), {
      name: 'CannotExpress',
      code: 'ERR_CANNOT_EXPRESS',
      message: `driver libuv cannot express ${what}`,
    });
  }
});

test('without a connection, a server or a method there is nothing to act on', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  await t.throwsAsync(cast.client.send('x'), { message: 'there is no connection' });
  await t.throwsAsync(cast.server.node.callServer('close'), { message: 'there is no server' });
  await cast.server.listen();
  await t.throwsAsync(cast.server.node.callServer('closeAllConnections'), {
    message: 'a net.Server has no closeAllConnections()',
  });
});

for (const [verb, act] of [
  ['accept', (cast: Cast) => cast.server.listen().then(() => cast.server.accept())],
  ['receive', (cast: Cast) => connect(cast).then(() => cast.client.receive())],
  ['hears', (cast: Cast) => cast.client.node.hears('never')],
] as const) {
  test(`the run's signal ends an end that waits in ${verb}()`, async (t) => {
    await using world = await World.open('host');
    const interrupted = new AbortController();
    await using cast = await castLibuv(world, { signal: interrupted.signal });
    const acting = act(cast);
    interrupted.abort();
    await t.throwsAsync(acting, { name: 'AbortError' });
  });

  test(`disposing of the cast ends an end that waits in ${verb}()`, async (t) => {
    await using world = await World.open('host');
    const cast = await castLibuv(world);
    const acting = t.throwsAsync(act(cast), { name: 'AbortError' });
    await cast[Symbol.asyncDispose]();
    await acting;
    await cast[Symbol.asyncDispose]();
  });
}

test('a program that was killed says so to whoever waits', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const accepting = cast.server.listen().then(() => cast.server.accept());
  process.kill(cast.server.pid ?? 0, 'SIGKILL');
  await t.throwsAsync(accepting, { message: /has ended \(signal 9\)/ });
  await t.throwsAsync(cast.server.listen(), { message: /has ended \(signal 9\)/ });
});

test('a program whose end is not heard of yet takes no orders: its end is told', async (t) => {
  await using world = await World.open('host');
  await using cast = await castLibuv(world);
  const { pid = 0 } = cast.server;
  process.kill(pid, 'SIGKILL');
  awaitThat(
    () => !lives(`${pid}`),
    () => `process ${pid} lives`,
  );
  await t.throwsAsync(cast.server.listen(), { message: /has ended \(signal 9\)/ });
});

for (const [what, node, expected] of [
  ['no file', '/nonexistent/node', { code: 'ENOENT', message: /execve/ }],
  ['no program', '/etc/passwd', { code: 'EACCES', message: /execve/ }],
  ['a program that ends', '/bin/false', { message: /\/bin\/false has ended \(exit code 1\)/ }],
  ['a program that talks', '/bin/echo', { message: /printed what is no report: .*libuv-agent/ }],
] as const) {
  test(`a Node that is none, but ${what}: refused, and nothing stays`, async (t) => {
    await using world = await World.open('host');
    await t.throwsAsync(castLibuv(world, { node }), expected);
  });
}

for (const line of ['null', '5', '{"kind":"event","name":"x"}', '{"kind":"failed","id":1}']) {
  test(`a Node that is none, but prints ${line}: refused, and nothing stays`, async (t) => {
    const node = join(scratch(t), 'node');
    writeFileSync(node, `#!/bin/sh\necho '${line}'\n`, { mode: 0o755 });
    await using world = await World.open('host');
    await t.throwsAsync(castLibuv(world, { node }), {
      message: /printed what is no report: |node has ended \(exit code 0\)/,
    });
  });
}

for (const does of ['serves', 'blocks'] as const) {
  test(`a Node that a script has started ends with the script, also where it ${does}`, async (t) => {
    const node = join(scratch(t), 'node');
    writeFileSync(node, `#!/bin/sh\n'${process.execPath}' "$@"\necho over\n`, { mode: 0o755 });
    await using world = await World.open('host');
    let pid = '';
    {
      await using cast = await castLibuv(world, { node });
      await cast.server.listen();
      const script = cast.server.pid;
      pid = readFileSync(`/proc/${script}/task/${script}/children`, 'utf8').trim();
      if (does === 'blocks') await cast.server.node.block();
    }
    await until(
      () => !lives(pid),
      () => `process ${pid} goes on`,
    );
    t.pass();
  });
}
