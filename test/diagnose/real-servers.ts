/** Servers as Debian has them, each in a network namespace of its own. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { netnsOf } from '../../src/diagnose/census.js';
import type { Diagnosis } from '../../src/diagnose/record.js';
import { openSockDiagOf } from '../../src/diagnose/socket-diag.js';
import { CLI } from '../cli/closewait.js';
import { Program, type Scope, scratch } from '../driver/programs.js';
import { until } from '../fixture/until.js';
import { noNamespace, noTool } from '../world/why-not.js';

/** A server that a storm can be sent to. */
export interface Server {
  readonly name: string;
  /** What storm.js is to speak. */
  readonly protocol: 'http' | 'redis' | 'postgres';
  readonly port: number;
  /** How many connections it serves in some seconds. */
  readonly lives: number;
  /** Its command, with what it needs in a directory that goes with the test. */
  readonly command: (t: Scope) => string[];
  /** Why there is none here. */
  readonly missing: string | undefined;
}

const PLAIN = { uid: 65534, gid: 65534 };
const asPlain = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];

/** A directory that belongs to a plain user. */
function home(t: Scope): string {
  const directory = scratch(t);
  chmodSync(directory, 0o755);
  chownSync(directory, PLAIN.uid, PLAIN.gid);
  return directory;
}

function nginx(t: Scope): string[] {
  const directory = home(t);
  mkdirSync(join(directory, 'html'));
  writeFileSync(join(directory, 'html', 'index.html'), 'hello\n');
  writeFileSync(join(directory, 'html', 'big'), Buffer.alloc(1 << 20));
  const at = (name: string): string => join(directory, name);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  writeFileSync(
    at('nginx.conf'),
    `daemon off; worker_processes 2; pid ${at('pid')}; error_log stderr crit; user nobody nogroup;
events { worker_connections 500; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${at(name)};`).join(' ')}
  upstream self { server 127.0.0.1:8080; keepalive 8; }
  server {
    listen 8080 backlog=511;
    root ${at('html')};
    location /proxy { proxy_pass http://self/; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`,
  );
  return ['nginx', '-p', directory, '-c', at('nginx.conf')];
}

function redis(t: Scope): string[] {
  const options = ['--port', '6379', '--bind', '0.0.0.0', '--protected-mode', 'no', '--save', ''];
  return [...asPlain, 'redis-server', ...options, '--dir', home(t)];
}

/** Debian keeps them out of PATH. */
const POSTGRES = '/usr/lib/postgresql';

function postgresBin(): string | undefined {
  try {
    const [newest] = readdirSync(POSTGRES).sort((a, b) => Number(b) - Number(a));
    return newest === undefined ? undefined : join(POSTGRES, newest, 'bin');
  } catch {
    return undefined;
  }
}

function postgres(t: Scope): string[] {
  const bin = postgresBin() ?? '';
  const directory = home(t);
  const data = join(directory, 'data');
  const make = [join(bin, 'initdb'), '-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync'];
  const [file = '', ...args] = [...asPlain, ...make];
  const { status, stderr } = spawnSync(file, args, { encoding: 'utf8', cwd: directory });
  if (status !== 0) throw new Error(`initdb: ${stderr}`);
  writeFileSync(join(data, 'pg_hba.conf'), 'host all all 127.0.0.0/8 trust\n');
  const settings = ['listen_addresses=0.0.0.0', 'port=5432', 'fsync=off', 'log_min_messages=panic'];
  const options = settings.flatMap((each) => ['-c', each]);
  const sockets = ['-c', `unix_socket_directories=${directory}`];
  return [...asPlain, join(bin, 'postgres'), '-D', data, ...options, ...sockets];
}

const noPostgres = postgresBin() === undefined ? 'postgresql is not installed' : undefined;
const noNginx = spawnSync('nginx', ['-v']).error && 'nginx is not installed';

export const servers: readonly Server[] = [
  {
    name: 'nginx',
    protocol: 'http',
    port: 8080,
    lives: 2000,
    command: nginx,
    missing: noNamespace ?? noNginx,
  },
  {
    name: 'redis',
    protocol: 'redis',
    port: 6379,
    lives: 2000,
    command: redis,
    missing: noNamespace ?? noTool('redis-server'),
  },
  {
    name: 'PostgreSQL',
    protocol: 'postgres',
    port: 5432,
    lives: 200,
    command: postgres,
    missing: noNamespace ?? noPostgres,
  },
];

const STORM = fileURLToPath(new URL('./storm.js', import.meta.url));
const STORMS = 2;
/** initdb has gone before it, and a first look into a large data directory. */
const LISTENS_MS = 20_000;

/** What diagnose said of a server while connections were made and after the last of them. */
export interface Weathered {
  readonly lives: number;
  readonly looks: readonly Diagnosis[];
}

/** Sends storms to a server until there have been so many connections, and diagnoses it all the while. */
export async function weathered(t: Scope, server: Server, lives: number): Promise<Weathered> {
  const inside = 'ip link set lo up && exec "$0" "$@"';
  const program = new Program(t, ['unshare', '--net', 'sh', '-c', inside, ...server.command(t)]);
  // Each of them takes its workers along; killed, it would leave them.
  t.teardown(async () => {
    program.signal('SIGINT');
    await program.end();
  });
  const enter = ['nsenter', `--net=/proc/${program.pid}/ns/net`, process.execPath];
  await listens(program, server.port);

  const storm = [...enter, STORM, String(server.port), server.protocol];
  const storms = Array.from({ length: STORMS }, () => new Program(t, storm));
  const done = () => storms.map(({ stdout }) => Number(/(\d+)\n$/.exec(stdout)?.[1] ?? 0));
  const sum = () => done().reduce((all, each) => all + each, 0);
  const looks: Diagnosis[] = [];
  const look = async () => {
    const diagnose = [...enter, CLI, 'diagnose', '--json', '--port', String(server.port)];
    const seen = new Program(t, diagnose);
    const code = await seen.end();
    if (code !== 0 && code !== 1) throw new Error(`diagnose: ${code}: ${seen.stderr}`);
    looks.push(JSON.parse(seen.stdout));
  };
  do await look();
  while (sum() < lives);
  for (const each of storms) each.endInput();
  for (const each of storms) {
    const code = await each.end();
    if (code !== 0) throw new Error(`a storm ended with ${code}: ${each.stderr}`);
  }
  const total = sum();
  await look();
  return { lives: total, looks };
}

async function listens(program: Program, port: number): Promise<void> {
  const host = netnsOf('self');
  await until(
    () => netnsOf(program.pid) !== host,
    () => `a namespace of its own: ${program.stderr}`,
  );
  using diag = await openSockDiagOf(program.pid);
  await until(
    () => diag.snapshot({ states: ['LISTEN'] }).localPort.includes(port),
    () => `port ${port}: ${program.stderr}`,
    LISTENS_MS,
  );
}
