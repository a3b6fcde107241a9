import { castRaw } from '../../src/driver/raw.js';
import type { Cast } from '../../src/driver/role.js';
import { tcpInfo } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import { Network } from '../../src/world/network.js';
import { World } from '../../src/world/world.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { awaitEvents, refusing } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from '../world/ability.js';

const infoOf = (end: Cast['server'] | Cast['client']) =>
  end.withDescriptor((fd) => tcpInfo(fd).toObject());
const stateOf = (end: Cast['server'] | Cast['client']) =>
  end.withDescriptor((fd) => tcpInfo(fd).state);

async function connect({ server, client }: Cast): Promise<void> {
  await client.connect(await server.listen());
  await server.accept();
}

test('a conversation: what is sent is echoed, the end is read, both close', async (t) => {
  await using world = await World.open('host');
  await using cast = await castRaw(world);
  const { server, client } = cast;
  t.is(server.address, undefined);
  t.is(stateOf(client), undefined);
  await connect(cast);
  t.deepEqual([stateOf(client), stateOf(server)], ['ESTABLISHED', 'ESTABLISHED']);
  await client.send('test\n');
  await server.echo();
  t.is(await client.receive(), 'test\n');
  await client.close();
  t.is(stateOf(client), undefined);
  await server.readEnd();
  t.is(stateOf(server), 'CLOSE_WAIT');
  await server.close();
  t.is(stateOf(server), undefined);
});

test('what is asked of a connection that is not there', async (t) => {
  await using world = await World.open('host');
  await using cast = await castRaw(world);
  const { server, client } = cast;
  const none = { message: 'the client has no connection: it has opened none, or has closed it' };
  await t.throwsAsync(client.send('early'), none);
  await t.throwsAsync(client.close(), none);
  await t.throwsAsync(server.accept(), { message: 'the server does not listen' });
  await client.connect(await server.listen());
  const unaccepted = { message: /^the server has no connection: it has accepted none, / };
  await t.throwsAsync(server.receive(), unaccepted);
  await t.throwsAsync(server.readEnd(), unaccepted);
  await server.accept();
  await client.close();
  await t.throwsAsync(client.send('late'), none);
  await server.stopListening();
  await t.throwsAsync(server.stopListening(), { message: 'the server does not listen' });
});

test('readEnd() does not take data for the end', async (t) => {
  await using world = await World.open('host');
  await using cast = await castRaw(world);
  await connect(cast);
  await cast.client.send('more\n');
  await t.throwsAsync(cast.server.readEnd(), { message: /expected the end.*read 5 bytes/ });
});

test('a late write is answered with the errno of the kernel', async (t) => {
  await using world = await World.open('host');
  await using cast = await castRaw(world);
  await connect(cast);
  // Closing with an unread byte resets the connection.
  await cast.server.send('late\n');
  cast.client.withDescriptor((fd) => awaitEvents(fd, sys.POLLIN));
  await cast.client.close();
  await until(
    () => stateOf(cast.server) === 'CLOSE',
    () => `server in ${stateOf(cast.server)}`,
  );
  await t.throwsAsync(cast.server.send('late\n'), { code: 'ECONNRESET' });
  await t.throwsAsync(cast.server.send('late\n'), { code: 'EPIPE' });
});

test('nobody listens: the errno, the address and the port', async (t) => {
  await using world = await World.open('host');
  await using cast = await castRaw(world);
  const to = refusing(ownedBy(t));
  await t.throwsAsync(cast.client.connect(to), {
    code: 'ECONNREFUSED',
    message: new RegExp(`127.0.0.1:${to.port}`),
  });
});

for (const [call, act] of [
  ['accept', (cast: Cast) => cast.server.listen().then(() => cast.server.accept())],
  ['read', (cast: Cast) => connect(cast).then(() => cast.client.receive())],
] as const) {
  test(`the run's signal ends an end that blocks in ${call}()`, async (t) => {
    await using world = await World.open('host');
    const interrupted = new AbortController();
    await using cast = await castRaw(world, { signal: interrupted.signal });
    const acting = act(cast);
    interrupted.abort();
    await t.throwsAsync(acting, { name: 'AbortError' });
  });

  test(`disposing of the cast ends an end that blocks in ${call}()`, async (t) => {
    await using world = await World.open('host');
    const cast = await castRaw(world);
    const acting = t.throwsAsync(act(cast), { name: 'AbortError' });
    await cast[Symbol.asyncDispose]();
    await acting;
    await cast[Symbol.asyncDispose]();
  });
}

testUnless(noNamespace, 'it is heard of who discards, and who does so no more', async (t) => {
  await using world = await World.open('namespace');
  await using cast = await castRaw(world);
  const heard: [string, boolean][] = [];
  cast.onDiscard = (end, on) => heard.push([end, on]);
  await connect(cast);
  for (const on of [true, false]) await cast.server.discardArriving(on);
  await cast.client.discardArriving(true);
  t.deepEqual(heard, [
    ['server', true],
    ['server', false],
    ['client', true],
  ]);
});

testUnless(noNamespace, 'one more connection: its address at once, its port later', async (t) => {
  await using world = await World.open('namespace');
  await using cast = await castRaw(world);
  await connect(cast);
  const other = await cast.client.another();
  const address = () => other.withDescriptor((fd) => sys.getsockname(fd));
  t.deepEqual(address(), { address: '127.0.0.1', port: 0 });
  const { port } = await cast.server.peer();
  await other.setOption('IP_LOCAL_PORT_RANGE', { low: port, high: port });
  await other.connect(cast.server.address ?? t.fail());
  t.deepEqual(address(), { address: '127.0.0.1', port });
});

testUnless(noNamespace, 'fill() waits for acknowledgments, which make room again', async (t) => {
  await using network = await Network.open({ link: true });
  await using cast = await castRaw(network);
  await connect(cast);
  network.link?.delay({ from: 'server' }, 20);
  const taken = await cast.client.fill();
  const info = infoOf(cast.client) ?? t.fail();
  const { unacked, notsentBytes = 0, sndWndBytes = 0, sndMssBytes = 0 } = info;
  t.is(unacked, 0, 'nothing is on its way');
  t.true(sndWndBytes < sndMssBytes, 'nor has it room for more');
  t.true(notsentBytes > 0 && notsentBytes < taken, `${notsentBytes} of ${taken} wait for room`);
});

testUnless(noNamespace, 'fill() gives up where nothing is acknowledged', async (t) => {
  await using world = await World.open('namespace');
  // As the kernel waits of its own accord; where it cannot be asked for that, it was asked for nothing else.
  await world.setSysctl('net/ipv4/tcp_rto_min_us', '200000').catch(() => {});
  await using cast = await castRaw(world);
  await connect(cast);
  await cast.server.discardArriving(true);
  t.true((await cast.client.fill()) > 0);
  t.true((infoOf(cast.client)?.unacked ?? 0) > 0);
});
