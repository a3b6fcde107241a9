import { once } from 'node:events';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { threadsOf } from '../../src/observer/process.js';
import { SockDiag } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import { refusing } from '../fixture/sockets.js';
import { noTool, testUnless } from '../world/ability.js';
import {
  callsIn,
  closewait,
  compiled,
  Program,
  scratch,
  traced,
  until,
  whyNoTrace,
} from './programs.js';

const USAGE = 'Usage : closewait client <IP> <port> \n';
const HELLO = 'Connected..............\n';
const PROMPT = 'Input message(Q to quit): ';
const REPLY = 'Message from server: ';

const refusals: { title: string; args: string[]; says: RegExp }[] = [
  { title: 'nothing', args: [], says: /^$/ },
  { title: 'no port', args: ['127.0.0.1'], says: /^$/ },
  { title: 'one argument too many', args: ['127.0.0.1', '1', '2'], says: /^$/ },
  {
    title: 'a name',
    args: ['localhost', '1'],
    says: /^"localhost" is not an IPv4 or IPv6 address/,
  },
  {
    title: 'half an address',
    args: ['127.1', '1'],
    says: /^"127.1" is not an IPv4 or IPv6 address/,
  },
  { title: 'port 0', args: ['127.0.0.1', '0'], says: /^"0" is not a port: .* 1 to 65535\n$/ },
  { title: 'a word for a port', args: ['127.0.0.1', 'http'], says: /^"http" is not a port/ },
  { title: 'an option', args: ['127.0.0.1', '1', '--close'], says: /^Unknown option '--close'/ },
];

for (const { title, args, says } of refusals) {
  test(`usage: ${title}`, async (t) => {
    const client = new Program(t, closewait('client', ...args));
    t.is(await client.end(), 1);
    t.is(client.stdout, USAGE);
    t.regex(client.stderr, says);
  });
}

test('nobody listens: what C says, then what the kernel said, exit 1', async (t) => {
  const owned = new sys.Descriptors();
  t.teardown(() => owned[Symbol.dispose]());
  const { port } = refusing(owned);
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`));
  t.is(await client.end(), 1);
  t.is(client.stdout, '');
  t.regex(
    client.stderr,
    /^connect\(\) error\n.*ECONNREFUSED.*start `closewait server <port>`.*\n$/,
  );
});

test('what cannot be said on stderr is still exit 1', async (t) => {
  for (const args of [['localhost', '1'], []]) {
    const full = ['sh', '-c', '"$@" 2>/dev/full', 'sh', ...closewait('client', ...args)];
    const client = new Program(t, full);
    t.is(await client.end(), 1);
    t.is(client.stdout, USAGE);
  }
});

const long = 'x'.repeat(1500);
const conversations: { title: string; input: string; output: string; sent: string }[] = [
  {
    title: 'Q',
    input: 'test\nQ\nnot read\n',
    output: `${HELLO}${PROMPT}${REPLY}test\n${PROMPT}`,
    sent: 'test\n',
  },
  { title: 'q', input: 'q\n', output: HELLO + PROMPT, sent: '' },
  { title: 'no input at all is Q', input: '', output: HELLO + PROMPT, sent: '' },
  {
    title: 'the end of input is Q; a Q without its newline before it is a message',
    input: 'Q',
    output: `${HELLO}${PROMPT}${REPLY}Q${PROMPT}`,
    sent: 'Q',
  },
  {
    title: 'Quit is a message, an empty line too',
    input: 'Quit\n\nQ\n',
    output: `${HELLO}${PROMPT}${REPLY}Quit\n${PROMPT}${REPLY}\n${PROMPT}`,
    sent: 'Quit\n\n',
  },
  {
    title: 'a message longer than the buffer is two',
    input: `${long}\nQ\n`,
    output: `${HELLO}${PROMPT}${REPLY}${'x'.repeat(1023)}${PROMPT}${REPLY}${'x'.repeat(477)}\n${PROMPT}`,
    sent: `${long}\n`,
  },
  {
    title: 'any bytes, NUL included',
    input: 'a\0b\xff\xfe\nQ\n',
    output: `${HELLO}${PROMPT}${REPLY}a\0b\xff\xfe\n${PROMPT}`,
    sent: 'a\0b\xff\xfe\n',
  },
];

for (const { title, input, output, sent } of conversations) {
  test(`conversation: ${title}`, async (t) => {
    let received = '';
    const { port, server } = await listening(t, (socket) =>
      socket.on('data', (bytes) => {
        received += bytes.toString('latin1');
        socket.write(bytes);
      }),
    );
    const client = new Program(t, closewait('client', '127.0.0.1', `${port}`));
    client.endInput(Buffer.from(input, 'latin1'));
    t.is(await client.end(), 0);
    t.is(client.stdout, output);
    t.is(client.stderr, '');
    await drained(server);
    t.is(received, sent);
  });
}

test('typed in pieces, a line is sent when its newline comes', async (t) => {
  const { port } = await listening(t, (socket) => socket.pipe(socket));
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`));
  await client.shows('stdout', /quit\): $/);
  client.type('te');
  client.type('st\nQ');
  await client.shows('stdout', /Message from server: test\n.*quit\): $/s);
  client.type('\n');
  t.is(await client.end(), 0);
});

test('input that somebody makes non-blocking is waited for', async (t) => {
  const { port } = await listening(t, (socket) => socket.pipe(socket));
  const [readEnd, writeEnd] = sys.pipe2(sys.O_CLOEXEC);
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`), readEnd);
  await client.shows('stdout', /quit\): $/);
  // It is the same open file for both processes, and this read began before: the next one finds it non-blocking.
  sys.fcntl(readEnd, sys.F_SETFL, sys.O_NONBLOCK);
  sys.write(writeEnd, 'test\n');
  // Its first thread: another may have a lower number, where the kernel has begun to count anew.
  const call = () => threadsOf(client.pid).find(({ tid }) => tid === client.pid)?.syscall?.name;
  await until(
    () => call()?.match(/poll|^restart_syscall$/) ?? undefined,
    () => `in ${call()}: ${client.stdout}`,
  );
  sys.write(writeEnd, 'Q\n');
  t.is(await client.end(), 0);
  t.is(client.stdout, `${HELLO}${PROMPT}${REPLY}test\n${PROMPT}`);
  sys.close(readEnd);
  sys.close(writeEnd);
});

test('the end of input stays the end: what comes after is not read', async (t) => {
  const path = join(scratch(t), 'input');
  writeFileSync(path, 'abc');
  let received = '';
  const { port, server } = await listening(t, (socket) =>
    socket.on('data', (bytes) => {
      received += bytes;
      appendFileSync(path, 'more\n');
      socket.write(bytes);
    }),
  );
  using owned = new sys.Descriptors();
  const input = owned.own(sys.open(path, sys.O_RDONLY | sys.O_CLOEXEC));
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`), input);
  t.is(await client.end(), 0);
  t.is(client.stdout, `${HELLO}${PROMPT}${REPLY}abc${PROMPT}`);
  await drained(server);
  t.is(received, 'abc');
});

const ends: { title: string; serve: (socket: Socket) => void; exit: number }[] = [
  { title: 'Q', serve: (socket) => socket.pipe(socket), exit: 0 },
  { title: 'the end of the server', serve: (socket) => socket.end(), exit: 1 },
];
const noCompiler = noTool('cc');

for (const { title, serve, exit } of ends) {
  for (const program of ['own', 'c']) {
    const given = `at ${title} whoever reads the file next reads on from there: ${program}`;
    testUnless(program === 'c' ? noCompiler : undefined, given, async (t) => {
      const directory = scratch(t);
      const path = join(directory, 'input');
      writeFileSync(path, `test\n${exit === 0 ? 'Q\n' : ''}the rest\n`);
      using owned = new sys.Descriptors();
      const input = owned.own(sys.open(path, sys.O_RDONLY | sys.O_CLOEXEC));
      const { port } = await listening(t, serve);
      const command = program === 'c' ? [compiled(directory, 'echo_client')] : closewait('client');
      const client = new Program(t, [...command, '127.0.0.1', `${port}`], input);
      t.is(await client.end(), exit);
      t.is(readFileSync(input, 'utf8'), 'the rest\n');
    });
  }
}

for (const output of ['>/dev/full', '>&-']) {
  test(`output that goes nowhere (${output}) ends no conversation, as in C`, async (t) => {
    let received = '';
    const { port, server } = await listening(t, (socket) =>
      socket.on('data', (bytes) => {
        received += bytes;
        socket.write(bytes);
      }),
    );
    const words = closewait('client', '127.0.0.1', `${port}`);
    const client = new Program(t, ['sh', '-c', `"$@" ${output}`, 'sh', ...words]);
    client.endInput('one\ntwo\nQ\n');
    t.is(await client.end(), 0);
    t.is(client.stderr, '');
    await drained(server);
    t.is(received, 'one\ntwo\n');
  });
}

test('over IPv6', async (t) => {
  const { port } = await listening(t, (socket) => socket.pipe(socket), '::1');
  const client = new Program(t, closewait('client', '::1', `${port}`));
  client.endInput('test\n');
  t.is(await client.end(), 0);
  t.is(client.stdout, `${HELLO}${PROMPT}${REPLY}test\n${PROMPT}`);
});

test('a reply in two parts is printed one prompt late, as in C', async (t) => {
  const { port, sockets } = await listening(t, () => undefined);
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`));
  client.type('one\n');
  const [socket] = await until(
    () => (sockets.length > 0 ? sockets : undefined),
    () => 'a client',
  );
  socket?.write('on');
  await client.shows('stdout', /: on\S*Input message\(Q to quit\): $/);
  socket?.write('e\n');
  client.endInput('two\nQ\n');
  t.is(await client.end(), 0);
  t.is(client.stdout, `${HELLO}${PROMPT}${REPLY}on${PROMPT}${REPLY}e\n${PROMPT}`);
});

test('the server closes: said, exit 1', async (t) => {
  const { port } = await listening(t, (socket) => socket.once('data', () => socket.end()));
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`));
  client.type('test\n');
  t.is(await client.end(), 1);
  t.is(client.stdout, HELLO + PROMPT);
  t.regex(client.stderr, /^The server closed the connection/);
});

test('the server resets: read() error, exit 1', async (t) => {
  const { port } = await listening(t, (socket) =>
    socket.once('data', () => socket.resetAndDestroy()),
  );
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`));
  client.type('test\n');
  t.is(await client.end(), 1);
  t.regex(client.stderr, /^read\(\) error\n.*ECONNRESET.*\n$/);
});

test('the connection was reset while the user typed: write() error, exit 1', async (t) => {
  const { port, sockets } = await listening(t, () => undefined);
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`));
  await client.shows('stdout', /quit\): $/);
  const [socket] = await until(
    () => (sockets.length > 0 ? sockets : undefined),
    () => 'a client',
  );
  const address = '127.0.0.1';
  const ends = {
    local: { address, port: socket?.remotePort ?? 0 },
    remote: { address, port },
  };
  using diag = SockDiag.open();
  t.is(diag.find(ends)?.state, 'ESTABLISHED');
  socket?.resetAndDestroy();
  await until(
    () => (diag.find(ends) === undefined ? true : undefined),
    () => 'the RST has not come',
  );
  client.type('test\n');
  t.is(await client.end(), 1);
  t.regex(client.stderr, /^write\(\) error\n.*(ECONNRESET|EPIPE).*\n$/);
});

test('SIGINT ends it as in C', async (t) => {
  const { port } = await listening(t, () => undefined);
  const client = new Program(t, closewait('client', '127.0.0.1', `${port}`));
  await client.shows('stdout', /quit\): $/);
  client.signal('SIGINT');
  t.is(await client.end(), 'SIGINT');
});

const noTrace = whyNoTrace();
const traceTest = noTrace === undefined ? test : test.skip;
const because = noTrace === undefined ? '' : ` (skipped: ${noTrace})`;

traceTest(
  `the transcript and the system calls of the C program, in its order${because}`,
  async (t) => {
    const directory = scratch(t);
    const seen: { calls: string[]; stdout: string; exit: unknown }[] = [];
    for (const name of ['c', 'own']) {
      const { port } = await listening(t, (socket) => socket.pipe(socket));
      const command = name === 'c' ? [compiled(directory, 'echo_client')] : closewait('client');
      const log = join(directory, `${name}.strace`);
      const client = new Program(t, traced(log, [...command, '127.0.0.1', `${port}`]));
      client.endInput(`test\n${long}\n\nquit\nQ\n`);
      const exit = await client.end();
      seen.push({ calls: await callsIn(log), stdout: client.stdout, exit });
    }
    const [c, own] = seen;
    t.deepEqual(own, c);
    t.is(own?.exit, 0);
    t.is(own?.calls.at(-1), 'close(socket) = 0');
  },
);

/** A TCP server of this process on a port of its own; it goes with the test. */
async function listening(t: ExecutionContext, serve: (socket: Socket) => void, host = '127.0.0.1') {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    serve(socket);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, host);
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, server, sockets };
}

/** Waits until every connection of the server has ended. */
async function drained(server: ReturnType<typeof createServer>): Promise<void> {
  server.close();
  await once(server, 'close');
}
