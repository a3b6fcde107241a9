/** Calls that end when there is nobody left to be told of it: a worker's, whose event loop does not turn any more. */
import test from 'ava';
import { runScript } from '../fixture/script.js';

/** In the worker: one call of each kind that opens something. `done` gets 8 bytes when all have been made. */
const OPENING = `
  import * as sys from \${JSON.stringify(SYS)};
  import { parentPort } from 'node:worker_threads';
  const done = \${done};
  const actor = await sys.Actor.start();
  const listener = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  sys.bind(listener, { address: '127.0.0.1', port: 0 });
  sys.listen(listener, 1);
  const client = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  sys.connect(client, sys.getsockname(listener));
  const [a, b] = sys.socketpair(sys.AF_UNIX, sys.SOCK_DGRAM);
  const rights = new Uint8Array(Int32Array.of(a, b, a).buffer);
  const control = [{ level: sys.SOL_SOCKET, type: sys.SCM_RIGHTS, data: rights }];
  sys.sendmsg(a, { data: [new Uint8Array(1)], control });
  parentPort.postMessage([listener, client, a, b]);
  for (const call of [
    actor.accept(listener),
    actor.socket(sys.AF_INET, sys.SOCK_STREAM),
    actor.socketpair(sys.AF_UNIX, sys.SOCK_STREAM),
    actor.pipe2(),
    actor.eventfd(0),
    actor.epoll_create1(),
    actor.open('/dev/null', sys.O_RDONLY),
    actor.dup(a),
    actor.fcntl(a, sys.F_DUPFD, 0),
    actor.ioctl(a, sys.SIOCGSKNS),
    actor.getsockopt(a, sys.SOL_SOCKET, sys.SO_PEERPIDFD, new Uint8Array(4)),
    actor.recvmsg(b, { buffers: [new Uint8Array(1)], controlLength: 64 }),
    actor.pidfd_open(process.pid),
    actor.spawn('/bin/sleep', { argv: ['sleep', '60'] }),
    actor.write(done, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)),
  ]) call.catch(() => {});
`;

for (const [how, last, end] of [
  ['is terminated', 'for (;;);', 'sys.read(done, new Uint8Array(8)); await worker.terminate();'],
  [
    'calls process.exit()',
    'sys.read(done, new Uint8Array(8)); process.exit();',
    "if (worker.threadId !== -1) await once(worker, 'exit');",
  ],
] as const) {
  test(`what calls had opened for a worker that ${how} before it is told is closed, and a program gone`, (t) => {
    const ended = runScript(
      `import { readdirSync } from 'node:fs';
       import { once } from 'node:events';
       import { Worker } from 'node:worker_threads';
       const start = (source) => new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
       const open = () => readdirSync('/proc/self/fd').length;
       const done = sys.eventfd(0);
       // The first of all workers has Node open a file that stays open.
       await once(start(''), 'exit');
       const before = open();
       const worker = start(\`${OPENING}${last}\`);
       const [own] = await once(worker, 'message');
       ${end}
       for (const fd of own) sys.close(fd);
       let children = 'children';
       try {
         sys.waitid(0 /* P_ALL */, 0, sys.WEXITED | sys.WNOHANG);
       } catch ({ code }) {
         children = code;
       }
       process.stdout.write([open() - before, children].join(' '));`,
    );
    t.is(ended.stderr, '');
    t.is(ended.stdout, '0 ECHILD');
    t.is(ended.status, 0);
  });
}
