/** What the kernel answers to segments that no kernel would send, and to those that never come. */
import { onWire, type Scene } from './scene.js';

/** Brings the host into TIME_WAIT: it closes first. */
async function timeWait(scene: Scene): Promise<{ port: number }> {
  const { fd, port } = await scene.connected();
  await scene.close(fd);
  await scene.wire.expect('F.');
  scene.wire.send('F.');
  await scene.wire.expect('.');
  await scene.in('TIME_WAIT');
  return { port };
}

onWire('the wire connects; data and FIN go both ways', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  t.is(scene.state, 'ESTABLISHED');
  wire.send('P.', { data: 'hello' });
  await wire.expect('.');
  t.is(await scene.read(fd), 'hello');
  await scene.write(fd, 'world');
  const { payload } = await wire.expect('P.', { data: 'world' });
  t.is(Buffer.from(payload).toString(), 'world');
  wire.send('F.');
  await wire.expect('.');
  t.is(scene.state, 'CLOSE_WAIT');
  await scene.close(fd);
  await wire.expect('F.');
  t.is(scene.state, 'LAST_ACK');
  wire.send('.');
  await scene.in('CLOSE');
});

onWire('the host connects, and closes first', async (t, scene, wire) => {
  const fd = await scene.connecting();
  t.is(scene.state, 'ESTABLISHED');
  await scene.close(fd);
  await wire.expect('F.');
  t.is(scene.state, 'FIN_WAIT1');
  wire.send('.');
  await scene.in('FIN_WAIT2');
  wire.send('F.');
  await wire.expect('.');
  await scene.in('TIME_WAIT');
});

onWire('a SYN that offers ECN is a SYN, spelt otherwise', async (t, scene, wire) => {
  await scene.set('tcp_ecn', '1');
  const fd = await scene.socket();
  const connected = scene.host.connect(fd, wire.local);
  await wire.expect('SEW');
  wire.send('S.E');
  await wire.expect('.');
  await connected;
  t.is(scene.state, 'ESTABLISHED');
});

onWire("'S' is a SYN that offers no ECN", async (t, scene, wire) => {
  await scene.set('tcp_ecn', '1');
  const fd = await scene.socket();
  const connecting = t.throwsAsync(scene.host.connect(fd, wire.local), { name: 'AbortError' });
  await t.throwsAsync(wire.expect('S'), { message: /expected S; observed SEW/ });
  await scene.host.stop();
  await connecting;
});

onWire('a SYN to where nobody listens draws a reset', async (t, scene, wire) => {
  const { fd, port } = await scene.listen();
  await scene.close(fd);
  wire.send('S', { to: port });
  await wire.expect('R.');
  t.is(scene.state, 'CLOSE');
});

onWire('a SYN of the host is not answered: SYN_SENT', async (t, scene, wire) => {
  const fd = await scene.socket();
  const connecting = t.throwsAsync(scene.host.connect(fd, wire.local), { name: 'AbortError' });
  await wire.expect('S');
  t.is(scene.state, 'SYN_SENT');
  await wire.expect('S', { again: true });
  t.is(scene.state, 'SYN_SENT');
  await scene.host.stop();
  await connecting;
});

onWire('a SYN+ACK is not answered: SYN_RECV', async (t, scene, wire) => {
  const { port } = await scene.listen();
  wire.send('S', { to: port });
  await wire.expect('S.');
  t.is(scene.state, 'SYN_RECV');
  await wire.expect('S.', { again: true });
  t.is(scene.state, 'SYN_RECV');
});

onWire('simultaneous open: SYN_SENT, SYN_RECV, ESTABLISHED', async (t, scene, wire) => {
  const fd = await scene.socket();
  const connected = scene.host.connect(fd, wire.local);
  await wire.expect('S');
  t.is(scene.state, 'SYN_SENT');
  wire.send('S');
  await wire.expect('S.');
  t.is(scene.state, 'SYN_RECV');
  wire.send('.');
  await connected;
  t.is(scene.state, 'ESTABLISHED');
});

onWire('a reset beyond the window is ignored', async (t, scene, wire) => {
  await scene.connected();
  wire.send('R', { seq: +1_000_000 });
  wire.send('R', { seq: -1 });
  await wire.expectNothing();
  t.is(scene.state, 'ESTABLISHED');
});

onWire('a reset in the window, not exact, draws a challenge ACK', async (t, scene, wire) => {
  await scene.connected();
  wire.send('R', { seq: +1 });
  await wire.expect('.');
  t.is(scene.state, 'ESTABLISHED');
});

onWire('one challenge ACK in tcp_invalid_ratelimit', async (t, scene, wire) => {
  await scene.set('tcp_invalid_ratelimit', '60000');
  await scene.connected();
  wire.send('R', { seq: +1 });
  wire.send('R', { seq: +2 });
  await wire.expect('.');
  await wire.expectNothing();
  await scene.set('tcp_invalid_ratelimit', '0');
  wire.send('R', { seq: +1 });
  wire.send('R', { seq: +2 });
  await wire.expect('.');
  await wire.expect('.');
  t.is(scene.state, 'ESTABLISHED');
});

onWire('a SYN within a connection draws a challenge ACK', async (t, scene, wire) => {
  await scene.connected();
  wire.send('S', { seq: +1000 });
  await wire.expect('.');
  t.is(scene.state, 'ESTABLISHED');
});

onWire('an exact reset ends the connection', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  wire.send('R');
  await wire.expectNothing();
  await scene.in('CLOSE');
  await t.throwsAsync(scene.read(fd), { code: 'ECONNRESET' });
  wire.send('.');
  await wire.expect('R');
});

onWire('a FIN ahead of missing data waits for it', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  wire.send('F.', { seq: +5 });
  const { options } = await wire.expect('.');
  t.true(options.some(({ kind }) => kind === 'sack'));
  t.is(scene.state, 'ESTABLISHED');
  wire.send('P.', { data: 'hello' });
  await wire.expect('.', { ack: +1 });
  t.is(scene.state, 'CLOSE_WAIT');
  t.deepEqual([await scene.read(fd), await scene.read(fd)], ['hello', '']);
});

onWire('simultaneous close: CLOSING, TIME_WAIT', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  await scene.close(fd);
  await wire.expect('F.');
  wire.send('F.', { ack: -1 });
  await wire.expect('.');
  await scene.in('CLOSING');
  wire.send('.');
  await scene.in('TIME_WAIT');
  wire.send('F.', { seq: -1 });
  await wire.expect('.');
  t.is(scene.state, 'TIME_WAIT');
});

onWire('a FIN that is not acknowledged is sent again', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  await scene.close(fd);
  await wire.expect('F.');
  for (let i = 0; i < 3; i++) await wire.expect('F.', { again: true });
  t.is(scene.state, 'FIN_WAIT1');
  wire.send('.');
  await scene.in('FIN_WAIT2');
});

onWire('a reset assassinates TIME_WAIT', async (t, scene, wire) => {
  await timeWait(scene);
  wire.send('R');
  await wire.expectNothing();
  await scene.in('CLOSE');
  wire.send('F.', { seq: -1 });
  await wire.expect('R');
  t.is(scene.state, 'CLOSE');
});

onWire('a reset does not, with tcp_rfc1337', async (t, scene, wire) => {
  await scene.set('tcp_rfc1337', '1');
  await timeWait(scene);
  wire.send('R');
  await wire.expectNothing();
  t.is(scene.state, 'TIME_WAIT');
});

onWire('TIME_WAIT acknowledges a repeated FIN', async (t, scene, wire) => {
  await timeWait(scene);
  wire.send('F.', { seq: -1 });
  await wire.expect('.');
  t.is(scene.state, 'TIME_WAIT');
});

onWire('TIME_WAIT gives way to a new SYN', async (t, scene, wire) => {
  await timeWait(scene);
  wire.send('S', { seq: +100_000 });
  await wire.expect('S.');
  t.is(scene.state, 'SYN_RECV');
  wire.send('.');
  await scene.in('ESTABLISHED');
});

onWire('TIME_WAIT does not give way to an old SYN', async (t, scene, wire) => {
  await timeWait(scene);
  wire.send('S', { seq: -100, ts: -100 });
  await wire.expect('.');
  t.is(scene.state, 'TIME_WAIT');
});

onWire('a segment with a wrong checksum did not arrive', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  wire.send('P.', { data: 'wrong', badChecksum: true });
  await wire.expectNothing();
  wire.send('P.', { data: 'right' });
  await wire.expect('.');
  t.is(await scene.read(fd), 'right');
});

onWire('an old timestamp is an old segment', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  wire.send('P.', { data: 'wrong', ts: -10_000 });
  await wire.expect('.', { ack: -5 });
  wire.send('P.', { data: 'right', seq: -5 });
  await wire.expect('.');
  t.is(await scene.read(fd), 'right');
});

onWire(
  'numbers wrap around',
  async (t, scene, wire) => {
    const { fd } = await scene.connected();
    wire.send('P.', { data: 'hello' });
    await wire.expect('.');
    wire.send('F.');
    await wire.expect('.');
    t.is(scene.state, 'CLOSE_WAIT');
    t.is(await scene.read(fd), 'hello');
  },
  { iss: 0xffff_fffd },
);
