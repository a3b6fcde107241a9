/** What a wire says to what it did not expect, and what it refuses to send. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Network } from '../../src/world/network.js';
import { finished } from '../cli/closewait.js';
import { installed, noPlainUser, PLAIN } from '../fixture/installed.js';
import { noNamespace, noUserNamespace, testUnless } from './ability.js';
import { onWire } from './scene.js';

/** What comes out of a wait, as text. */
async function messageOf(waiting: Promise<unknown>): Promise<string> {
  const error = await waiting.then(
    () => new Error('it came'),
    (reason: Error) => reason,
  );
  return error.message;
}

onWire('another segment than was expected is told with all before it', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  await scene.write(fd, 'hello');
  t.like(await t.throwsAsync(wire.expect('F.', { win: 9, data: '' })), {
    name: 'UnexpectedSegmentError',
    code: 'ERR_UNEXPECTED_SEGMENT',
    observed: { flags: 'P.', payloadLength: 5 },
  });
  const [head, ...lines] = wire.conversation.split('\n');
  t.regex(head ?? '', /^> S {2}seq 0, win 65535, mss 14\d0, sackOK, wscale 7$/);
  t.regex(lines[0] ?? '', /^< S\. seq 0, ack 1, win \d+, mss 14\d0, sackOK, wscale \d+$/);
  t.is(lines[1], '> .  seq 1, ack 1, win 65535');
  t.regex(lines[2] ?? '', /^< P\. seq 1:6, ack 1, win \d+, "hello"$/);
});

onWire('what was expected is told in the numbers of the conversation', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  await scene.write(fd, 'hello');
  await wire.expect('P.', { data: 'hello' });
  wire.send('.');
  await scene.write(fd, 'again');
  const message = await messageOf(wire.expect('P.', { seq: +1, ack: -1, data: 'x' }));
  t.regex(
    message,
    /^expected P\., seq 7, ack 0, "x"; observed P\. seq 6:11, ack 1, win \d+, "again"\n {2}> S /,
  );
});

for (const [what, expecting] of Object.entries({
  seq: { seq: +1 },
  ack: { ack: +1 },
  win: { win: 1 },
  data: { data: 'HELLO' },
  'less data': { data: 'hell' },
  again: { again: true },
})) {
  onWire(`another ${what} than was expected`, async (t, scene, wire) => {
    const { fd } = await scene.connected();
    await scene.write(fd, 'hello');
    await t.throwsAsync(wire.expect('P.', expecting), { code: 'ERR_UNEXPECTED_SEGMENT' });
  });
}

onWire('a field that nobody reads is refused', async (t, scene, wire) => {
  await scene.connected();
  const slip = { window: 5 } as object;
  t.throws(() => wire.send('.', slip), { code: 'ERR_INVALID_ARG_VALUE', message: /"window"/ });
  await t.throwsAsync(wire.expect('.', slip), { code: 'ERR_INVALID_ARG_VALUE' });
});

onWire('what may be anything is not asked', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  await scene.write(fd, 'hello');
  await wire.expect('.P', { seq: 'any', ack: 'any' });
  t.pass();
});

onWire('nothing within the deadline is told, and nothing is lost by it', async (t, scene, wire) => {
  const { fd } = await scene.connected();
  const message = await messageOf(wire.expect('P.', { deadlineMs: 1 }));
  t.regex(message, /^expected P\., seq 1, ack 1; observed nothing within 1 ms\n {2}> S /);
  await scene.write(fd, 'hello');
  await wire.expect('P.', { data: 'hello' });
});

onWire('what was not expected is something', async (t, scene, wire) => {
  await scene.connected();
  wire.send('R', { seq: +1 });
  const message = await messageOf(wire.expectNothing());
  t.regex(message, /^expected nothing but the reset of a probe; observed \. {2}seq 1, ack 1/);
});

onWire('a stranger is told by its port', async (t, scene, wire) => {
  await scene.connected();
  const connecting = t.throwsAsync(scene.host.connect(await scene.socket(), wire.local));
  const message = await messageOf(wire.expect('.'));
  t.regex(message, /^expected \., seq 1, ack 1; observed S .* from .*:\d+\n/);
  await scene.host.stop();
  await connecting;
});

onWire("a wrong checksum of the host's is not taken for a segment", async (t, scene, wire) => {
  const { port } = await scene.connected();
  const source = { address: scene.address, port };
  await scene.put({ source, destination: wire.local, flags: '.' }, { badChecksum: true });
  const message = await messageOf(wire.expect('.'));
  t.regex(message, /; observed \. {2}seq .*, checksum incorrect\n/);
});

onWire('a frame that is no segment is told as such', async (t, scene, wire) => {
  const { port } = await scene.connected();
  const source = { address: scene.address, port };
  await scene.put({ source, destination: wire.local }, { cutTo: -4 });
  const message = await messageOf(wire.expect('.'));
  t.regex(message, /observed a frame without TCP: truncated/);
});

onWire('two conversations over one wire', async (t, scene, wire) => {
  await using other = await scene.wireAt(wire.local.port + 1);
  const { fd, port } = await scene.listen();
  await wire.connect(port);
  await other.connect(port);
  for (const one of [wire, other]) {
    await scene.write(await scene.accept(fd), 'hello');
    await one.expect('P.', { data: 'hello' });
  }
  t.not(wire.local.port, other.local.port);
});

onWire('what does not fit is refused, and nothing is sent', async (t, scene, wire) => {
  t.throws(() => wire.send('S'), { message: /nobody to send to/ });
  await scene.connected();
  for (const [flags, sending] of [
    ['R', { to: 65_536 }],
    ['P.', { data: new Uint8Array(70_000) }],
    ['.', { win: 65_536 }],
    ['.', { seq: 0.5 }],
  ] as const) {
    t.throws(() => wire.send(flags, sending), { instanceOf: RangeError }, JSON.stringify(sending));
  }
  t.throws(() => wire.send('X'), { instanceOf: TypeError });
  await t.throwsAsync(scene.wireAt(65_536), { instanceOf: RangeError });
  await t.throwsAsync(scene.wireAt(1, { iss: -1 }), { instanceOf: RangeError });
  await t.throwsAsync(wire.expect('X'), { instanceOf: TypeError });
  await wire.expectNothing();
});

onWire('one wait at a time; closing ends it', async (t, _scene, wire) => {
  const waiting = t.throwsAsync(wire.expect('S'), { name: 'AbortError' });
  await t.throwsAsync(wire.expect('S'), { message: /waited for already/ });
  await wire.close();
  await waiting;
  await wire.close();
  t.throws(() => wire.send('S', { to: 1 }), { message: /closed/ });
  await t.throwsAsync(wire.expect('S'), { name: 'AbortError' });
});

onWire('frames that nobody took in time are not passed over', async (t, scene, wire) => {
  const { port } = await scene.connected();
  const source = { address: scene.address, port };
  const payload = new Uint8Array(1000);
  await scene.put({ source, destination: wire.local, flags: '.', payload }, { times: 20_000 });
  await t.throwsAsync(wire.expect('.', { seq: 'any', ack: 'any' }), {
    message: /frames were lost/,
  });
});

const inside = (root: string, path: string): string =>
  pathToFileURL(join(root, 'dist/src', path)).href;

/** As the comment of Wire has it, in a process of its own. */
const example = (root: string): string => `
  const sys = await import('${inside(root, 'syscall/sys.js')}');
  const { Network } = await import('${inside(root, 'world/network.js')}');
  const network = await Network.open({ wire: 'server' });
  const client = await network.client.actor('client');
  const said = [];
  for (const version of [4, 6]) {
    const wire = await network.wire({ version, port: 80 });
    const fd = await client.socket(version === 4 ? sys.AF_INET : sys.AF_INET6, sys.SOCK_STREAM);
    const connecting = client.connect(fd, wire.local);
    await wire.expect('S');
    wire.send('S.');
    await wire.expect('.');
    await connecting;
    wire.send('R', { seq: +1 });
    await wire.expect('.');
    said.push(wire.conversation.split('\\n').map((line) => line.slice(0, 4)));
    await wire.close();
    sys.close(fd);
  }
  process.stdout.write(JSON.stringify({ said, privilege: network.privilege }));
  await network.close();`;

const said = ['< S ', '> S.', '< . ', '> R ', '< . '];

testUnless(noPlainUser ?? noUserNamespace, 'a plain user has a wire, inside', async (t) => {
  const root = installed(t);
  const node = [process.execPath, '--input-type=module', '-e', example(root)];
  const command = [...PLAIN, 'unshare', '-Urn', ...node];
  const { code, stdout, stderr } = finished(command);
  t.is(stderr, '');
  t.deepEqual(JSON.parse(stdout), { said: [said, said], privilege: 'user-namespace' });
  t.is(code, 0);
});

testUnless(noNamespace, 'hosts that both have a stack have no wire', async (t) => {
  await using network = await Network.open();
  await t.throwsAsync(network.wire(), { message: /both hosts .* have a stack/ });
});
