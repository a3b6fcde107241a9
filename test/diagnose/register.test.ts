/** `node --import closewait/register`: what diagnose() says of such a process, and what the process does not notice. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import type { ExecutionContext } from 'ava';
import { diagnose } from '../../src/diagnose/diagnose.js';
import type { SocketReport } from '../../src/diagnose/record.js';
import { finished } from '../cli/closewait.js';
import { Program, scratch } from '../driver/programs.js';
import { test } from '../fixture/descriptors.js';
import { noTool, testUnless } from '../world/ability.js';

const REGISTER = new URL('../../src/diagnose/register.js', import.meta.url).href;

/** Starts a program that prints "done" when it has leaked; its record, if there were a file, would be in the directory. */
async function started(
  t: ExecutionContext,
  source: string,
): Promise<{ program: Program; file: string; directory: string }> {
  const directory = scratch(t);
  const file = join(directory, 'app.mjs');
  writeFileSync(file, source);
  const env = `XDG_RUNTIME_DIR=${directory}`;
  const program = new Program(t, ['env', env, process.execPath, '--import', REGISTER, file]);
  await program.shows('stdout', /^done\n/m);
  return { program, file, directory };
}

/** Both ends: the FIN of one may still be on its way, and what happened `last` at each is written a moment later. */
async function leaks(
  { pid }: Program,
  last: Readonly<Record<string, string>> = {},
): Promise<readonly SocketReport[]> {
  const isWritten = ({ state, source }: SocketReport): boolean => {
    const event = source?.lastEvents.at(-1)?.event;
    return event !== undefined && event === (last[state] ?? event);
  };
  const end = performance.now() + 30_000;
  for (;;) {
    const { sockets } = await diagnose({ pids: [pid], settleMs: 50 });
    if (sockets.length === 2 && sockets.every(isWritten)) return sockets;
    if (performance.now() > end) throw new Error(`not two that are written: ${inspect(sockets)}`);
  }
}

const lineWith = (source: string, part: string): number =>
  source.split('\n').findIndex((line) => line.includes(part)) + 1;

const HALF_OPEN = `
import { connect, createServer } from 'node:net';
const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.resume().on('end', () => console.log('done'));
});
function begin() {
  server.listen(0, '127.0.0.1', () => {
    const client = connect(server.address().port, '127.0.0.1', () => client.end());
  });
}
begin();
process.stdin.resume().on('end', () => process.exit());
`;

test('both ends: file and line, state and events', async (t) => {
  const { program, file, directory } = await started(t, HALF_OPEN);
  const sockets = await leaks(program, { CLOSE_WAIT: 'end', FIN_WAIT2: 'finish' });
  const accepted = sockets.find(({ state }) => state === 'CLOSE_WAIT')?.source;
  const listens = { file, line: lineWith(HALF_OPEN, 'server.listen') };
  t.like(accepted, { kind: 'server', ...listens, allowHalfOpen: true, paused: false });
  t.like(accepted, { flowing: true, readableEnded: true, writableEnded: false });
  t.regex(accepted?.stack[0] ?? '', /^begin \(file:/);
  t.deepEqual(
    accepted?.lastEvents.map(({ event }) => event),
    ['connection', 'resume', 'end'],
  );
  t.true(accepted?.lastEvents.every(({ agoMs }) => agoMs >= 0 && agoMs < 60_000));
  const connected = sockets.find(({ state }) => state === 'FIN_WAIT2')?.source;
  const connects = { file, line: lineWith(HALF_OPEN, 'connect(server') };
  t.like(connected, { kind: 'client', ...connects, allowHalfOpen: false, writableEnded: true });
  t.deepEqual(readdirSync(directory), ['app.mjs']);
});

test('a process killed leaves no file', async (t) => {
  const { program, directory } = await started(t, HALF_OPEN);
  program.signal('SIGKILL');
  t.is(await program.end(), 'SIGKILL');
  t.deepEqual(readdirSync(directory), ['app.mjs']);
});

const PAUSED = `
import { connect, createServer } from 'node:net';
const server = createServer((socket) => {
  socket.once('data', () => {
    socket.pause();
    client.end('more');
    client.on('finish', () => console.log('done'));
  });
}).listen(0, '127.0.0.1', begin);
let client;
function begin() {
  client = connect(server.address().port, '127.0.0.1', () => client.write('some'));
}
process.stdin.resume().on('end', () => process.exit());
`;

test('a socket that was paused', async (t) => {
  const { program } = await started(t, PAUSED);
  const left = await leaks(program, { CLOSE_WAIT: 'pause', FIN_WAIT2: 'finish' });
  // Node has read the end before it stopped: the kernel says not-closed, and only the record tells why.
  const paused = left.find(({ state }) => state === 'CLOSE_WAIT')?.source;
  t.like(paused, { kind: 'server', paused: true, flowing: false, readableEnded: false });
  t.is(paused?.lastEvents.at(-1)?.event, 'pause');
});

const HTTP = `
import { createServer, get } from 'node:http';
const server = createServer().listen(0, '127.0.0.1', () => {
  const headers = { Connection: 'Upgrade', Upgrade: 'test' };
  get({ port: server.address().port, host: '127.0.0.1', headers }).on('error', () => undefined).on('socket', (socket) => {
    sockets.push(socket);
  });
});
const sockets = [];
server.on('upgrade', (request, socket) => {
  socket.resume().on('end', () => console.log('done'));
  sockets[0].end();
});
process.stdin.resume().on('end', () => process.exit());
`;

test('an HTTP upgrade that nobody ends, and the request behind it', async (t) => {
  const { program, file } = await started(t, HTTP);
  const left = await leaks(program);
  const accepted = left.find(({ state }) => state === 'CLOSE_WAIT')?.source;
  t.like(accepted, { file, line: lineWith(HTTP, 'listen(0'), kind: 'server' });
  const asked = left.find(({ state }) => state === 'FIN_WAIT2')?.source;
  t.like(asked, { file, line: lineWith(HTTP, 'get({'), kind: 'client' });
});

const TLS = (key: string, cert: string): string => `
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:tls';
const key = readFileSync(${JSON.stringify(key)});
const cert = readFileSync(${JSON.stringify(cert)});
const server = createServer({ key, cert, allowHalfOpen: true }, (socket) => {
  socket.resume().on('end', () => console.log('done'));
}).listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => client.end());
});
process.stdin.resume().on('end', () => process.exit());
`;

testUnless(noTool('openssl') && spawnable(), 'TLS: both ends', async (t) => {
  const directory = scratch(t);
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const made = finished([
    ...['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost'],
    ...['-keyout', key, '-out', cert],
  ]);
  t.is(made.code, 0, made.stderr);
  const source = TLS(key, cert);
  const { program, file } = await started(t, source);
  const left = await leaks(program);
  const accepted = left.find(({ state }) => state === 'CLOSE_WAIT')?.source;
  t.like(accepted, { file, line: lineWith(source, 'listen(0'), kind: 'server' });
  const connected = left.find(({ state }) => state === 'FIN_WAIT2')?.source;
  t.like(connected, { file, line: lineWith(source, 'connect({'), kind: 'client' });
});

/** `openssl --version` is an error of older ones: `version` is the word. */
function spawnable(): string | undefined {
  return finished(['sh', '-c', 'openssl version']).code === 0 ? undefined : 'no openssl';
}

const THOUSANDS = `
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
const server = createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address();
for (let i = 0; i < 3000; i++) {
  const client = connect(port, '127.0.0.1', () => client.end());
  await once(client.resume(), 'close');
}
const last = connect(port, '127.0.0.1', () => last.end('x'));
server.removeAllListeners('connection');
server.on('connection', (socket) => { socket.pause(); });
const { fstatSync, readdirSync, readlinkSync } = await import('node:fs');
for (const fd of readdirSync('/proc/self/fd')) {
  try {
    if (/closewait-register-/.test(readlinkSync('/proc/self/fd/' + fd))) console.log('size', fstatSync(Number(fd)).size);
  } catch {}
}
last.on('finish', () => setImmediate(() => console.log('done')));
process.stdin.resume().on('end', () => process.exit());
`;

test('the record of thousands of connections stays small', async (t) => {
  const { program, file } = await started(t, THOUSANDS);
  const [, size] = await program.shows('stdout', /^size (\d+)$/m);
  t.true(Number(size) > 0 && Number(size) < 2 << 20, size);
  const held = (await leaks(program)).find(
    ({ state }) => state === 'FIN_WAIT2' || state === 'CLOSE_WAIT',
  );
  t.is(held?.source?.file, file);
});

const ORDINARY = `
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
await once(server, 'listening');
const client = connect(server.address().port, '127.0.0.1');
client.end('hello');
let text = '';
for await (const chunk of client) text += chunk;
const counts = ['end', 'error', 'close'].map((name) => client.listenerCount(name)).join();
const failing = connect(1, '127.0.0.1');
process.on('uncaughtException', (error) => {
  console.log(text, counts, error.code, process.getActiveResourcesInfo().join());
  server.close();
});
`;

/** What a program may have done to what `register` stands on. */
const unusual: readonly (readonly [what: string, flags: readonly string[], source: string])[] = [
  ['ordinary', [], ORDINARY],
  [
    'timers that are numbers',
    [],
    `globalThis.setTimeout = () => 1;
    require('node:net').connect(1, '127.0.0.1').on('error', ({ code }) => console.log(code));`,
  ],
  [
    'a domain that hears of errors',
    [],
    `const socket = new (require('node:net').Socket)();
    const domain = require('node:domain').create();
    domain.on('error', ({ code }) => console.log(code));
    domain.add(socket);
    socket.connect(1, '127.0.0.1');`,
  ],
  [
    'frozen intrinsics',
    ['--frozen-intrinsics', '--no-warnings'],
    `require('node:net').connect(1, '127.0.0.1').on('error', ({ code }) => console.log(code));`,
  ],
  [
    'stacks that only an Error has',
    [],
    `Error.prepareStackTrace = (error) => { throw error; };
    const server = require('node:net').createServer((socket) => socket.resume());
    server.listen(0, '127.0.0.1', () => {
      const client = require('node:net').connect(server.address().port, '127.0.0.1');
      setTimeout(() => { console.log('alive'); client.destroy(); server.close(); }, 200);
    });`,
  ],
];

for (const [what, flags, source] of unusual) {
  test(`the program behaves as without: its output, listeners, errors, end: ${what}`, (t) => {
    const file = join(scratch(t), source === ORDINARY ? 'app.mjs' : 'app.cjs');
    writeFileSync(file, source);
    const without = finished([process.execPath, ...flags, file]);
    const recorded = finished([process.execPath, ...flags, '--import', REGISTER, file]);
    t.regex(without.stdout, /ECONNREFUSED|alive/);
    t.deepEqual(recorded, without);
  });
}

test('where no record can be made, the program runs and is told', (t) => {
  const file = join(scratch(t), 'app.mjs');
  writeFileSync(file, "console.log('ran');");
  const env = { XDG_RUNTIME_DIR: '/nowhere', TMPDIR: '/nowhere' };
  const { code, stdout, stderr } = finished([process.execPath, '--import', REGISTER, file], {
    env,
  });
  t.is(code, 0);
  t.is(stdout, 'ran\n');
  t.regex(stderr, /closewait\/register records nothing: ENOENT/);
});

test('loaded twice, it records once', (t) => {
  const again = pathToFileURL(new URL(REGISTER).pathname).href;
  const count = `
    const { readdirSync, readlinkSync } = require('node:fs');
    const names = readdirSync('/proc/self/fd').map((fd) => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } });
    console.log(names.filter((name) => name.includes('closewait-register-')).length);`;
  const imports = ['--import', REGISTER, '--import', `${again}?2`];
  t.is(finished([process.execPath, ...imports, '-e', count]).stdout, '1\n');
});
