/** What a soak does again and again. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import * as sys from '../../src/syscall/sys.js';
import { CLI } from '../cli/closewait.js';
import { type Server, servers, weathered } from '../diagnose/real-servers.js';
import { Traces } from '../experiment/traces.js';
import { callOf } from '../fixture/actors.js';
import { until } from '../fixture/until.js';

export interface Part extends AsyncDisposable {
  run(times: number): Promise<void>;
}

interface Row {
  readonly times: number;
  readonly what: string;
  readonly unavailable?: string | undefined;
  open(): Promise<Part>;
}

const LOOPBACK = { address: '127.0.0.1', port: 0 };
const BYTES = new Uint8Array(64).fill(0x2e);

/** A listener whose connections end by RST, so that a million of them leave no TIME_WAIT to anybody. */
function listen(owned: sys.Descriptors): number {
  const listener = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  sys.setOption(listener, 'SO_LINGER', { on: true, seconds: 0 });
  sys.bind(listener, LOOPBACK);
  sys.listen(listener, 16);
  return listener;
}

function expect(got: unknown, expected: unknown, what: string): void {
  if (got !== expected) throw new Error(`${what}: ${got} instead of ${expected}`);
}

async function lives(): Promise<Part> {
  const owned = new sys.Descriptors();
  const listener = listen(owned);
  const address = sys.getsockname(listener);
  const buffer = new Uint8Array(BYTES.length);
  const live = (): void => {
    const client = sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC);
    sys.connect(client, address);
    const { fd } = sys.accept4(listener, sys.SOCK_CLOEXEC);
    expect(sys.write(client, BYTES), BYTES.length, 'write');
    expect(sys.read(fd, buffer), BYTES.length, 'read');
    sys.close(client);
    expect(sys.read(fd, buffer), 0, 'read of the FIN');
    sys.close(fd);
  };
  return {
    run: async (times) => {
      for (let i = 0; i < times; i++) live();
    },
    [Symbol.asyncDispose]: async () => owned[Symbol.dispose](),
  };
}

async function actorLives(): Promise<Part> {
  const owned = new sys.Descriptors();
  const listener = listen(owned);
  const address = sys.getsockname(listener);
  const server = await sys.Actor.start({ name: 'server' });
  const client = await sys.Actor.start({ name: 'client' });
  const answer = async (): Promise<void> => {
    const { fd } = await server.accept4(listener, sys.SOCK_CLOEXEC);
    const buffer = new Uint8Array(BYTES.length);
    expect(await server.read(fd, buffer), BYTES.length, 'read');
    expect(await server.read(fd, buffer), 0, 'read of the FIN');
    await server.close(fd);
  };
  const ask = async (): Promise<void> => {
    const fd = await client.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC);
    await client.connect(fd, address);
    expect(await client.write(fd, BYTES), BYTES.length, 'write');
    await client.close(fd);
  };
  return {
    run: async (times) => {
      for (let i = 0; i < times; i++) await Promise.all([answer(), ask()]);
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([server.stop(), client.stop()]);
      owned[Symbol.dispose]();
    },
  };
}

async function aborts(): Promise<Part> {
  const owned = new sys.Descriptors();
  const [from = -1, to = -1] = sys.pipe2(sys.O_CLOEXEC).map((fd) => owned.own(fd));
  const actor = await sys.Actor.start({ name: 'reader' });
  const abort = async (turn: number): Promise<void> => {
    const controller = new AbortController();
    const call = actor.read(from, new Uint8Array(1), { signal: controller.signal });
    // At once, a moment later, and when the byte comes as well.
    if (turn % 3 === 1) await new Promise(setImmediate);
    if (turn % 3 === 2) sys.write(to, 'x');
    controller.abort();
    const result = await call.catch((error: unknown) => error);
    if (result instanceof sys.AbortError && turn % 3 === 2) sys.read(from, new Uint8Array(1));
    else if (!(result instanceof sys.AbortError)) expect([result, turn % 3].join(), '1,2', 'read');
  };
  return {
    run: async (times) => {
      for (let i = 0; i < times; i++) await abort(i);
    },
    [Symbol.asyncDispose]: async () => {
      await actor.stop();
      owned[Symbol.dispose]();
    },
  };
}

const SYS = new URL('../../src/syscall/sys.js', import.meta.url).href;
const WORKER = `
  const { parentPort, workerData: fd } = require('node:worker_threads');
  import(${JSON.stringify(SYS)}).then(async ({ Actor }) => {
    const actor = await Actor.start({ name: 'blocked' });
    const tid = await actor.gettid();
    actor.read(fd, new Uint8Array(1));
    parentPort.postMessage(tid);
  });
`;

async function workers(): Promise<Part> {
  const owned = new sys.Descriptors();
  const [from = -1] = sys.pipe2(sys.O_CLOEXEC).map((fd) => owned.own(fd));
  const live = async (): Promise<void> => {
    const worker = new Worker(WORKER, { eval: true, workerData: from });
    const [tid] = (await once(worker, 'message')) as [number];
    await until(
      () => callOf(tid) === 'read',
      () => `thread ${tid} of a worker in read; it is in ${callOf(tid)}`,
    );
    await worker.terminate();
  };
  return {
    run: async (times) => {
      for (let i = 0; i < times; i++) await live();
    },
    [Symbol.asyncDispose]: async () => owned[Symbol.dispose](),
  };
}

/** A run from start to end takes less: so all of it is hit, and a little of what is after it. */
const RUN_MS = 900;

async function kills(): Promise<Part> {
  const live = async (): Promise<void> => {
    const traces = new Traces();
    const [file = '', ...args] = traces.marked([process.execPath, CLI, 'run', 'close-wait']);
    const child = spawn(file, args, { stdio: 'ignore' });
    const end = once(child, 'exit');
    await new Promise((resolve) => setTimeout(resolve, Math.random() * RUN_MS));
    traces.processes(); // takes hold of its namespaces
    child.kill('SIGKILL');
    await end;
    await traces.gone();
  };
  return {
    run: async (times) => {
      for (let i = 0; i < times; i++) await live();
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** A server from Debian under storms, diagnosed all the while: what it says of a healthy server is part of what is left. */
function storms(server: Server): Row {
  return {
    times: 100 * server.lives,
    what: `connections to ${server.name} that end in every way; no false alarm`,
    unavailable: server.missing,
    open: async () => ({
      run: async (times) => {
        const ends: (() => unknown)[] = [];
        try {
          const scope = { teardown: (end: () => unknown) => ends.push(end) };
          const { looks } = await weathered(scope, server, times);
          const leak = looks.flatMap(({ sockets }) => sockets).find(({ leak }) => leak);
          expect(JSON.stringify(leak), undefined, 'leak');
        } finally {
          for (const end of ends.reverse()) await end();
        }
      },
      [Symbol.asyncDispose]: async () => {},
    }),
  };
}

export const parts: Record<string, Row> = {
  raw: { times: 1_000_000, what: 'connection lives, blocking calls', open: lives },
  actors: { times: 1_000_000, what: 'connection lives, two actors', open: actorLives },
  aborts: { times: 100_000, what: 'aborted calls', open: aborts },
  workers: { times: 1000, what: 'workers ended in a blocked call', open: workers },
  kills: {
    times: 1000,
    what: 'runs killed at a random moment; no process and no namespace of theirs is left',
    unavailable: spawnSync('unshare', ['--net', 'true']).status === 0 ? undefined : 'needs root',
    open: kills,
  },
  ...Object.fromEntries(servers.map((server) => [server.protocol, storms(server)])),
};
