import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { missingClose } from '../../src/driver/server.js';
import { socketsOf, threadsOf } from '../../src/observer/process.js';
import * as sys from '../../src/syscall/sys.js';
import { stateName } from '../../src/tcp/states.js';
import { refusing } from '../fixture/sockets.js';
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

const USAGE = 'Usage : closewait server <port>\n';

const refusals: { title: string; args: string[]; says: RegExp }[] = [
  { title: 'no port', args: [], says: /^$/ },
  { title: 'two ports', args: ['1', '2'], says: /^$/ },
  { title: 'a word for a port', args: ['http'], says: /^"http" is not a port: .* 0 to 65535\n$/ },
  { title: 'an empty port', args: [''], says: /^"" is not a port/ },
  { title: 'a port of 17 bits', args: ['65536'], says: /^"65536" is not a port/ },
  { title: 'an unknown option', args: ['0', '--reuse'], says: /^Unknown option '--reuse'/ },
  { title: '--host without an address', args: ['0', '--host'], says: /^Option '--host <value>'/ },
  {
    title: 'a name for --host',
    args: ['0', '--host', 'localhost'],
    says: /names are not looked up/,
  },
];

for (const { title, args, says } of refusals) {
  test(`usage: ${title}`, async (t) => {
    const server = new Program(t, closewait('server', ...args));
    t.is(await server.end(), 1);
    t.is(server.stdout, USAGE);
    t.regex(server.stderr, says);
  });
}

test('a port in use: what C says, then what the kernel said, exit 1', async (t) => {
  const first = new Program(t, closewait('server', '0'));
  const port = await first.port();
  const second = new Program(t, closewait('server', `${port}`));
  t.is(await second.end(), 1);
  t.is(second.stdout, '');
  t.regex(second.stderr, /^bind\(\) error\n.*EADDRINUSE.*choose another port.*\n$/);
});

test('an address of another machine: bind() error', async (t) => {
  const server = new Program(t, closewait('server', '0', '--host', '192.0.2.1'));
  t.is(await server.end(), 1);
  t.regex(server.stderr, /^bind\(\) error\n.*EADDRNOTAVAIL.*\n$/);
});

test('a port that was asked for is not announced, as in C', async (t) => {
  const port = freePort();
  const server = new Program(t, closewait('server', `${port}`, '--close'));
  await until(
    () => (mainCallOf(server.pid)?.startsWith('accept') ? true : undefined),
    () => server.stderr,
  );
  (await connected(t, port)).end();
  t.is(await server.end(), 0);
  t.is(server.stderr, '');
});

for (const host of ['127.0.0.1', '::1', '::']) {
  test(`--host ${host}`, async (t) => {
    const server = new Program(t, closewait('server', '0', '--close', `--host=${host}`));
    const port = await server.port();
    const name = host.includes(':') ? `[${host}]` : host;
    t.is(server.stderr, `Listening on ${name}:${port}\n`);
    const client = await connected(t, port, host === '127.0.0.1' ? host : '::1');
    t.is(await echoed(client, 'test\n'), 'test\n');
    client.end();
    t.is(await server.end(), 0);
  });
}

test('without close(): CLOSE_WAIT, asleep in clock_nanosleep, until SIGINT', async (t) => {
  const server = new Program(t, closewait('server', '0'));
  const client = await connected(t, await server.port());
  t.is(await echoed(client, 'test\n'), 'test\n');
  t.is(stateOfConnection(server.pid), 'ESTABLISHED');
  client.end();

  await until(
    () => (sleeps(server.pid) ? true : undefined),
    () =>
      JSON.stringify(threadsOf(server.pid), (_, value) =>
        typeof value === 'bigint' ? `${value}` : value,
      ),
  );
  t.is(stateOfConnection(server.pid), 'CLOSE_WAIT');
  t.is(server.stdout, 'Connected client 1 \n');

  server.signal('SIGINT');
  t.is(await server.end(), 'SIGINT');
  t.is(server.stdout, 'Connected client 1 \n');
});

test('--close: the same conversation, then exit 0', async (t) => {
  const server = new Program(t, closewait('server', '0', '--close'));
  const port = await server.port();
  const client = await connected(t, port);
  t.is(await echoed(client, 'test\n'), 'test\n');
  client.end();
  t.is(await server.end(), 0);
  t.is(server.stdout, 'Connected client 1 \n');
  t.is(server.stderr, `Listening on 0.0.0.0:${port}\n`);
  await t.throwsAsync(connected(t, port), { code: 'ECONNREFUSED' });
});

test('any bytes, any number of them, come back', async (t) => {
  const server = new Program(t, closewait('server', '0', '--close'));
  const client = await connected(t, await server.port());
  const bytes = Buffer.alloc(
    300_000,
    Uint8Array.from({ length: 251 }, (_, i) => i),
  );
  t.is(await echoed(client, bytes.toString('latin1')), bytes.toString('latin1'));
  client.end();
  t.is(await server.end(), 0);
});

test('a second client is never accepted', async (t) => {
  const server = new Program(t, closewait('server', '0'));
  const port = await server.port();
  const first = await connected(t, port);
  await echoed(first, 'a');
  const second = await connected(t, port);
  second.write('b');
  t.is(await echoed(first, 'c'), 'c');
  t.is(stateOfConnection(server.pid), 'ESTABLISHED');
  t.is(socketsOf(server.pid).filter(isTcp).length, 2, 'the listener and the first connection');
});

test('a reset ends the conversation with a message, and the descriptor stays open', async (t) => {
  const server = new Program(t, closewait('server', '0'));
  const client = await connected(t, await server.port());
  await echoed(client, 'a');
  client.resetAndDestroy();
  await server.shows('stderr', /^read\(\) error\n.*ECONNRESET.*reset the connection\n$/m);
  await until(
    () => (sleeps(server.pid) ? true : undefined),
    () => server.stderr,
  );
  t.is(server.stdout, 'Connected client 1 \n');
});

test('a reset under --close still ends with 0', async (t) => {
  const server = new Program(t, closewait('server', '0', '--close'));
  const client = await connected(t, await server.port());
  await echoed(client, 'a');
  client.resetAndDestroy();
  t.is(await server.end(), 0);
  t.regex(server.stderr, /^read\(\) error\n.*ECONNRESET/m);
});

test('missingClose points at the call in the TypeScript source', (t) => {
  const found = missingClose();
  if (found === undefined) return t.fail('not found');
  t.regex(found.file, /[/\\]src[/\\]driver[/\\]server\.ts$/);
  t.notRegex(found.file, /dist/);
  const lines = readFileSync(found.file, 'utf8').split('\n');
  t.is(lines[found.line - 1]?.trim(), found.text);
  t.is(found.text, 'if (close) sys.close(client);');
  t.is(lines.filter((line) => line.includes('sys.close(client)')).length, 1);
});

const noTrace = whyNoTrace();
const traceTest = noTrace === undefined ? test : test.skip;
const because = noTrace === undefined ? '' : ` (skipped: ${noTrace})`;

for (const mode of [[], ['close']]) {
  traceTest(`the system calls of the C program, in its order ${mode}${because}`, async (t) => {
    const directory = scratch(t);
    const commands = {
      c: [compiled(directory, 'echo_server'), ...mode],
      own: closewait('server', '0', ...mode.map((word) => `--${word}`)),
    };
    const seen: string[][] = [];
    for (const [name, command] of Object.entries(commands)) {
      const log = join(directory, `${name}.strace`);
      const server = new Program(t, traced(log, command));
      const client = await connected(t, await server.port());
      t.is(await echoed(client, 'test\n'), 'test\n');
      t.is(await echoed(client, 'again\n'), 'again\n');
      client.end();
      if (mode.length === 0) {
        await until(
          () => (/^clock_nanosleep\(/m.test(readFileSync(log, 'utf8')) ? true : undefined),
          () => name,
        );
        server.signal('SIGINT');
      }
      await server.end();
      seen.push(await callsIn(log));
    }
    const [c, own = []] = seen;
    t.deepEqual(own, c);
    t.deepEqual(own.slice(0, 5), [
      'socket(AF_INET, SOCK_STREAM, IPPROTO_IP)',
      'bind(socket, {sa_family=AF_INET, sin_port=PORT, sin_addr=inet_addr("0.0.0.0")}, 16) = 0',
      'listen(socket, 5) = 0',
      'accept(socket)',
      String.raw`write(stdout, "Connected client 1 \n")`,
    ]);
    t.is(own.includes('close(connection) = 0'), mode.length === 1);
  });
}

async function connected(t: ExecutionContext, port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host });
  t.teardown(() => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject);
  });
  return socket;
}

/** A port that the kernel gives nobody unasked: it is free still when a program has started. */
function freePort(): number {
  using owned = new sys.Descriptors();
  return refusing(owned).port;
}

/** Sends the text and waits until as many bytes are back. */
async function echoed(socket: Socket, text: string): Promise<string> {
  let back = '';
  const take = (bytes: Buffer) => {
    back += bytes.toString('latin1');
  };
  socket.on('data', take);
  socket.write(text, 'latin1');
  await until(
    () => (back.length >= text.length ? true : undefined),
    () => `${back.length} bytes back`,
  );
  socket.off('data', take);
  return back;
}

function mainCallOf(pid: number): string | undefined {
  return threadsOf(pid).find(({ tid }) => tid === pid)?.syscall?.name;
}

/** In clock_nanosleep, which goes on as restart_syscall where its process was stopped. */
function sleeps(pid: number): boolean {
  return ['clock_nanosleep', 'restart_syscall'].includes(mainCallOf(pid) ?? '');
}

/** The states of the kernel's TCP sockets by inode, as /proc/net/tcp and tcp6 have them. */
function tcpStatesByInode(): Map<number, string> {
  const rows = ['tcp', 'tcp6'].flatMap((name) =>
    readFileSync(`/proc/net/${name}`, 'latin1').trim().split('\n').slice(1),
  );
  return new Map(
    rows.map((row) => {
      const columns = row.trim().split(/\s+/);
      return [Number(columns[9]), stateName(Number.parseInt(columns[3] ?? '', 16))];
    }),
  );
}

function isTcp({ inode }: { inode: number }): boolean {
  return tcpStatesByInode().has(inode);
}

function stateOfConnection(pid: number): string | undefined {
  const states = tcpStatesByInode();
  return socketsOf(pid)
    .map(({ inode }) => states.get(inode))
    .find((state) => state !== undefined && state !== 'LISTEN');
}
