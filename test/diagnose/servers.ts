/** Real servers that leak on purpose, in several languages, and a client that brings them there. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Runtime } from '../../src/diagnose/runtime.js';
import { SockDiag } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import type { Cause } from '../../src/tcp/cause.js';
import type { TcpState } from '../../src/tcp/states.js';
import { compiled, Program, scratch } from '../driver/programs.js';
import { until } from '../fixture/until.js';

/** How to start a server: it prints its port, leaks, prints "done" and lives until EOF on stdin. */
export interface Language {
  readonly name: string;
  /** What diagnose() calls its processes. */
  readonly runtime: Runtime;
  readonly command: (t: ExecutionContext, cause: Cause) => string[];
  /** Causes that no program in this language comes to by itself. */
  readonly not?: readonly Cause[];
  /** Why there are none here. */
  readonly missing?: string | undefined;
}

export const causes: readonly Cause[] = [
  'eof-unread',
  'not-closed',
  'never-accepted',
  'shared-fd',
  'still-sending',
  'ghost',
  'peer-never-closes',
];

/** Where each is: what the kernel has in no table any more is in CLOSE. */
export const states: Readonly<Record<Cause, TcpState>> = {
  'eof-unread': 'CLOSE_WAIT',
  'not-closed': 'CLOSE_WAIT',
  'never-accepted': 'CLOSE_WAIT',
  'shared-fd': 'CLOSE_WAIT',
  'still-sending': 'CLOSE_WAIT',
  ghost: 'CLOSE',
  'peer-never-closes': 'FIN_WAIT2',
};

const PYTHON = `
import os, socket, sys
cause = sys.argv[1]
listener = socket.create_server(('127.0.0.1', 0))
print('port', listener.getsockname()[1], flush=True)
if cause != 'never-accepted':
    connection, _ = listener.accept()
    if cause == 'peer-never-closes':
        connection.shutdown(socket.SHUT_WR)
    elif cause != 'eof-unread':
        try:
            while connection.recv(1000): pass
        except ConnectionResetError: pass
    if cause == 'still-sending':
        connection.setblocking(False)
        try:
            while True: connection.send(bytes(65536))
        except BlockingIOError: pass
    if cause == 'shared-fd' and os.fork() == 0:
        listener.close()
        sys.stdin.read()
        sys.exit()
print('done', flush=True)
sys.stdin.read()
`;

const NODE = `
const { createServer } = require('node:net');
const { spawn } = require('node:child_process');
const { readSync, writeSync } = require('node:fs');
const cause = process.argv[1];
const done = () => writeSync(1, 'done\\n');
const allowHalfOpen = cause !== 'peer-never-closes';
const server = createServer({ allowHalfOpen, pauseOnConnect: cause === 'eof-unread' }, (socket) => {
  socket.on('error', () => undefined);
  if (cause === 'eof-unread') return done();
  if (cause === 'peer-never-closes') return socket.end(done);
  socket.resume().on('end', () => {
    if (cause === 'still-sending') socket.write(Buffer.alloc(1 << 24));
    if (cause === 'shared-fd') spawn('cat', { stdio: ['inherit', 'ignore', 'ignore', socket] });
    done();
  });
}).listen(0, '127.0.0.1', () => {
  writeSync(1, 'port ' + server.address().port + '\\n');
  if (cause !== 'never-accepted') return process.stdin.resume().on('end', () => process.exit());
  // Synchronous work: the event loop does not come to accept().
  done();
  readSync(0, Buffer.alloc(1));
  process.exit();
});
`;

const JAVA = `
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.channels.ServerSocketChannel;
public class Leaky {
  public static void main(String[] args) throws Exception {
    String cause = args[0];
    ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.INET);
    listener.bind(new InetSocketAddress("127.0.0.1", 0));
    System.out.println("port " + listener.socket().getLocalPort());
    if (!cause.equals("never-accepted")) {
      SocketChannel connection = listener.accept();
      ByteBuffer buffer = ByteBuffer.allocate(65536);
      if (cause.equals("peer-never-closes")) connection.shutdownOutput();
      else if (!cause.equals("eof-unread")) {
        try { while (connection.read(buffer.clear()) >= 0) continue; }
        catch (SocketException reset) { }
      }
      if (cause.equals("still-sending")) {
        connection.configureBlocking(false);
        while (connection.write(buffer.clear()) > 0) continue;
      }
    }
    System.out.println("done");
    System.in.read();
  }
}`;

const RUST = `
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
extern "C" { fn fcntl(fd: i32, command: i32, ...) -> i32; }
fn main() {
    let cause = std::env::args().nth(1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("port {}", listener.local_addr().unwrap().port());
    let mut kept = Vec::new();
    if cause != "never-accepted" {
        let (mut connection, _) = listener.accept().unwrap();
        let mut buffer = [0u8; 65536];
        if cause == "peer-never-closes" { connection.shutdown(Shutdown::Write).unwrap(); }
        else if cause != "eof-unread" {
            while let Ok(n) = connection.read(&mut buffer) { if n == 0 { break; } }
        }
        if cause == "still-sending" {
            connection.set_nonblocking(true).unwrap();
            while connection.write(&buffer).is_ok() {}
        }
        if cause == "shared-fd" {
            // Without FD_CLOEXEC a program started later inherits it.
            unsafe { fcntl(connection.as_raw_fd(), 2, 0); }
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map(std::mem::forget).unwrap();
        }
        kept.push(connection);
    }
    println!("done");
    std::io::stdin().read(&mut [0u8]).unwrap();
}
`;

const compiledOnce = new Map<string, string>();

/** Compiles a program by `command`, to which its file is given; returns its directory, which goes with this process. */
function made(name: string, source: string, ...[compiler = '', ...args]: string[]): string {
  const known = compiledOnce.get(name);
  if (known !== undefined) return known;
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, name);
  writeFileSync(file, source);
  const options = { cwd: directory, encoding: 'utf8' } as const;
  const { status, stderr } = spawnSync(compiler, [...args, file], options);
  if (status !== 0) throw new Error(`${compiler}: ${stderr}`);
  compiledOnce.set(name, directory);
  return directory;
}

const noRust = spawnSync('rustc', ['--version']).status === 0 ? undefined : 'no Rust compiler';
const noJava = spawnSync('javac', ['--version']).status === 0 ? undefined : 'no Java compiler';
const noCompiler = spawnSync('cc', ['--version']).status === 0 ? undefined : 'no C compiler';
const noPython = spawnSync('python3', ['--version']).status === 0 ? undefined : 'no python3';

export const languages: readonly Language[] = [
  {
    name: 'C',
    runtime: 'native',
    command: (t, cause) => [compiled(scratch(t), 'leaky_server'), cause],
    missing: noCompiler,
  },
  {
    name: 'Python',
    runtime: 'python',
    command: (_t, cause) => ['python3', '-c', PYTHON, cause],
    missing: noPython,
  },
  {
    name: 'Java',
    runtime: 'java',
    command: (_t, cause) => {
      const directory = made('Leaky.java', JAVA, 'javac', '-proc:none', '-d', '.');
      return ['java', '-Xint', '-Xshare:auto', '-cp', directory, 'Leaky', cause];
    },
    // Java closes every other descriptor in the programs it starts, and has no dup().
    not: ['shared-fd'],
    missing: noJava,
  },
  {
    name: 'Rust',
    runtime: 'native',
    command: (_t, cause) => {
      const directory = made('leaky.rs', RUST, 'rustc', '--edition', '2021', '-o', 'leaky');
      return [join(directory, 'leaky'), cause];
    },
    missing: noRust,
  },
  {
    name: 'Node',
    runtime: 'node',
    command: (_t, cause) => [process.execPath, '-e', NODE, cause],
  },
];

/** Waits until what the client has sent, a FIN or a RST, has brought the server's end into a state. */
export async function reaches(
  ends: { readonly local: sys.SocketAddress; readonly remote: sys.SocketAddress },
  state: TcpState,
): Promise<void> {
  using diag = SockDiag.open();
  const now = (): TcpState => diag.find(ends)?.state ?? 'CLOSE';
  await until(
    () => now() === state,
    () => `${state}; it is in ${now()}`,
  );
}

/** Waits until the first thread of a process has no descriptors any more: pthread_join() returns before the kernel is done with it. */
export async function leaderless(pid: number): Promise<void> {
  const hasLet = (): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/fd/0`) === '';
    } catch (error) {
      // Once it has ended its directory is root's, and closed to others (task_dump_owner() of fs/proc/base.c).
      return ['ENOENT', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '');
    }
  };
  await until(hasLet, () => `the first thread of ${pid} has its descriptors still`);
}

/** Starts a server and its client, and waits until the server has done what it leaks by, and the kernel too. */
export async function leaking(
  t: ExecutionContext,
  owned: sys.Descriptors,
  language: Language,
  cause: Cause,
): Promise<{ readonly program: Program; readonly port: number }> {
  const program = new Program(t, language.command(t, cause));
  const [, text] = await program.shows('stdout', /^port (\d+)\n/m);
  const port = Number(text);
  const client = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  // The server's buffer is full as soon as acknowledgments are late: what is in it finds no room here when they come, either.
  if (cause === 'still-sending') sys.setOption(client, 'SO_RCVBUF', 4096);
  sys.connect(client, { address: '127.0.0.1', port });
  const ends = { local: sys.getpeername(client), remote: sys.getsockname(client) };
  if (cause !== 'peer-never-closes') {
    if (cause === 'eof-unread') sys.send(client, 'unread');
    sys.shutdown(client, sys.SHUT_WR);
  }
  await program.shows('stdout', /^done\n/m);
  if (cause === 'ghost') {
    // The FIN was read; now a RST takes the connection away under the descriptor.
    sys.setOption(client, 'SO_LINGER', { on: true, seconds: 0 });
    owned.close(client);
  }
  await reaches(ends, states[cause]);
  return { program, port };
}
