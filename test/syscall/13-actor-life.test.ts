import { test } from '../fixture/descriptors.js';
import { runScript } from '../fixture/script.js';

/** An actor whose thread is in the call before the script goes on. */
const BLOCKED = `
  import { readFileSync } from 'node:fs';
  async function blocked(make, name) {
    const actor = await sys.Actor.start();
    const tid = await actor.gettid();
    const pending = make(actor);
    const number = () => Number.parseInt(readFileSync(\`/proc/self/task/\${tid}/syscall\`, 'utf8'));
    // The second is what a sleep becomes where the process is stopped and goes on.
    const names = [name, 'restart_syscall'];
    while (!names.includes(sys.syscallName(number()))) await new Promise(setImmediate);
    return { actor, tid, pending };
  }
  const listener = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  sys.bind(listener, { address: '127.0.0.1', port: 0 });
  sys.listen(listener, 1);
  const accepting = () => blocked((actor) => actor.accept(listener), 'accept');
  const sleeping = () => blocked((actor) => actor.nanosleep(3600), 'clock_nanosleep');
`;

/** One script, and how it ends. */
function ends(
  title: string,
  source: string,
  status: number,
  stderr: RegExp | '' = '',
  stdout = '',
): void {
  test(title, (t) => {
    const ended = runScript(BLOCKED + source);
    t.is(ended.signal, null, 'it ended by itself');
    if (stderr === '') t.is(ended.stderr, '');
    else t.regex(ended.stderr, stderr);
    t.is(ended.stdout, stdout);
    t.is(ended.status, status);
  });
}

ends('an idle actor does not keep the process alive', 'await sys.Actor.start();', 0);

ends(
  'nor does one that has worked',
  'const actor = await sys.Actor.start(); await actor.gettid(); await actor.gettid();',
  0,
);

ends(
  'a call under way does keep it alive, until it returns',
  `const { pending } = await blocked((actor) => actor.accept(listener), 'accept');
   pending.then(({ fd }) => process.stdout.write('accepted'));
   sys.connect(sys.socket(sys.AF_INET, sys.SOCK_STREAM), sys.getsockname(listener));`,
  0,
  '',
  'accepted',
);

for (const call of ['accepting', 'sleeping']) {
  ends(`process.exit() while an actor is ${call}`, `await ${call}(); process.exit(0);`, 0);

  ends(
    `process.exit() while eight actors are ${call}, with more calls queued`,
    `for (let i = 0; i < 8; i++) {
       const { actor } = await ${call}();
       actor.gettid();
     }
     process.exit(0);`,
    0,
  );

  ends(
    `an uncaught exception while an actor is ${call}`,
    `await ${call}(); setImmediate(() => { throw new Error('not caught'); });`,
    1,
    /Error: not caught/,
  );

  ends(
    `the actor is stopped while it is ${call}: nothing is left to wait for`,
    `const { actor, pending } = await ${call}();
     pending.catch((error) => process.stdout.write(error.name));
     await actor.stop();`,
    0,
    '',
    'AbortError',
  );

  ends(
    `the actor is aborted while it is ${call}: nothing is left to wait for`,
    `const abort = new AbortController();
     const call = '${call}' === 'sleeping'
       ? blocked((a) => a.nanosleep(3600, { signal: abort.signal }), 'clock_nanosleep')
       : blocked((a) => a.accept(listener, { signal: abort.signal }), 'accept');
     const { pending } = await call;
     pending.catch((error) => process.stdout.write(error.name));
     abort.abort();`,
    0,
    '',
    'AbortError',
  );
}

/** The same in a worker; the parent sees its thread go. */
const IN_WORKER = `
  import { readdirSync } from 'node:fs';
  import { once } from 'node:events';
  import { Worker } from 'node:worker_threads';
  const head = \`
    import * as sys from \${JSON.stringify(SYS)};
    import { parentPort } from 'node:worker_threads';
    const actor = await sys.Actor.start({ name: 'in worker' });
    const listener = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
    sys.bind(listener, { address: '127.0.0.1', port: 0 });
    sys.listen(listener, 1);
    const tid = await actor.gettid();
  \`;
  const BLOCK = \`
    const pending = actor.accept(listener);
    const queued = actor.gettid();
    parentPort.postMessage(tid);
  \`;
  const start = (source) => new Worker(new URL('data:text/javascript,' + encodeURIComponent(head + source)));
  async function inAccept(tid) {
    const number = () => Number.parseInt(readFileSync(\`/proc/self/task/\${tid}/syscall\`, 'utf8'));
    while (sys.syscallName(number()) !== 'accept') await new Promise(setImmediate);
  }
  // Who waited for the end of a thread may still find it listed for a moment.
  async function gone(tid) {
    while (readdirSync('/proc/self/task').includes(String(tid))) await new Promise(setImmediate);
    return true;
  }
`;

ends(
  'a worker is terminated while its actor blocks: the thread is gone, the process goes on',
  `${IN_WORKER}
   const worker = start(BLOCK);
   const [tid] = await once(worker, 'message');
   await inAccept(tid);
   await worker.terminate();
   process.stdout.write(String(await gone(tid)));`,
  0,
  '',
  'true',
);

ends(
  'process.exit() in a worker whose actor blocks ends the worker, and its thread',
  `${IN_WORKER}
   const worker = start(BLOCK + "parentPort.once('message', () => process.exit(3));");
   const [tid] = await once(worker, 'message');
   await inAccept(tid);
   worker.postMessage('go');
   const [code] = await once(worker, 'exit');
   process.stdout.write(code + ' ' + (await gone(tid)));`,
  0,
  '',
  '3 true',
);

ends(
  'an uncaught exception in a worker whose actor blocks is an error event',
  `${IN_WORKER}
   const worker = start(BLOCK + "parentPort.once('message', () => { throw new Error('in worker'); });");
   const [tid] = await once(worker, 'message');
   await inAccept(tid);
   worker.postMessage('go');
   const [error] = await once(worker, 'error');
   if (worker.threadId !== -1) await once(worker, 'exit');
   process.stdout.write(error.message + ' ' + (await gone(tid)));`,
  0,
  '',
  'in worker true',
);

ends(
  'a worker that has nothing left to do ends, its idle actor with it',
  `${IN_WORKER}
   const worker = start('parentPort.postMessage(tid); parentPort.unref();');
   const [tid] = await once(worker, 'message');
   if (worker.threadId !== -1) await once(worker, 'exit');
   process.stdout.write(String(await gone(tid)));`,
  0,
  '',
  'true',
);

ends(
  'process.exit() of the main thread while a worker and its actor block',
  `${IN_WORKER}
   const worker = start(BLOCK);
   const [tid] = await once(worker, 'message');
   await inAccept(tid);
   await sleeping();
   process.exit(0);`,
  0,
);

ends(
  'twenty workers, one after the other, each with an actor that blocks',
  `${IN_WORKER}
   const before = readdirSync('/proc/self/task').length;
   for (let i = 0; i < 20; i++) {
     const worker = start(BLOCK);
     await once(worker, 'message');
     await worker.terminate();
   }
   while (readdirSync('/proc/self/task').length > before) await new Promise(setImmediate);`,
  0,
);

test('actors that nobody holds any more are collected, and their threads with them', (t) => {
  const ended = runScript(
    `import { readdirSync } from 'node:fs';
     const threads = () => readdirSync('/proc/self/task').length;
     const before = threads();
     // Held until they are counted: a collection may come at any time.
     async function forget() {
       const actors = await Promise.all(Array.from({ length: 16 }, () => sys.Actor.start()));
       const started = threads() - before;
       for (const actor of actors) await actor.gettid();
       return started;
     }
     process.stdout.write(String(await forget()));
     while (threads() > before) {
       gc();
       await new Promise((resolve) => setTimeout(resolve, 5));
     }
     process.stdout.write(' ' + (threads() - before));`,
    ['--expose-gc'],
  );
  t.is(ended.stderr, '');
  t.is(ended.stdout, '16 0');
  t.is(ended.status, 0);
});

test('an actor with a call under way is not collected', (t) => {
  const ended = runScript(
    `const fds = sys.socketpair(sys.AF_UNIX, sys.SOCK_STREAM);
     let result;
     async function forget() {
       (await sys.Actor.start()).read(fds[0], new Uint8Array(1)).then((n) => { result = n; });
     }
     await forget();
     for (let i = 0; i < 20; i++) {
       gc();
       await new Promise(setImmediate);
     }
     sys.write(fds[1], 'x');
     while (result === undefined) await new Promise(setImmediate);
     process.stdout.write(String(result));`,
    ['--expose-gc'],
  );
  t.is(ended.stderr, '');
  t.is(ended.stdout, '1');
  t.is(ended.status, 0);
});

test('the handle of an actor that is gone is nobody, until another has it', (t) => {
  const ended = runScript(
    `const { native } = await import(new URL('native.js', SYS).href);
     const gettid = native.calls.indexOf('gettid');
     const told = [];
     const handles = (() => [1, 2].map((which) => new native.Actor(() => told.push(which)).handle))();
     const kept = new native.Actor((id) => told.push(id));
     kept.start('kept', -1);
     const isGone = (handle) => {
       try {
         return native.submit(handle, 1, gettid) && false;
       } catch (error) {
         return error instanceof RangeError;
       }
     };
     while (!handles.every(isGone)) {
       gc();
       await new Promise(setImmediate);
     }
     const next = new native.Actor((id) => told.push(id));
     next.start('next', -1);
     for (const { handle } of [kept, next]) native.submit(handle, handle, gettid);
     while (told.length < 2) await new Promise(setImmediate);
     kept.stop();
     next.stop();
     process.stdout.write(\`\${handles} \${told.sort()} \${[-1, 3, 2 ** 32, 'x', undefined].map(isGone)}\`);`,
    ['--expose-gc'],
  );
  t.is(ended.stderr, '');
  t.is(ended.stdout, '0,1 0,2 true,true,true,true,true');
  t.is(ended.status, 0);
});

/** The addon's actor by itself: what is told of a call here throws, each time. */
const THROWING = `
  const { native } = await import(new URL('native.js', SYS).href);
  let told = 0;
  const actor = new native.Actor(() => {
    told++;
    throw new Error('not told');
  });
  actor.start('actor', -1);
  const [from] = sys.pipe2();
  const queue = (call, ...args) => {
    for (const id of [1, 2, 3]) native.submit(actor.handle, id, native.calls.indexOf(call), ...args);
  };
`;

ends(
  'one call whose end cannot be told takes nothing from the next; stop() throws it',
  `${THROWING}
   queue('read', from, new Uint8Array(1));
   try {
     actor.stop();
   } catch ({ message }) {
     process.stdout.write(\`\${message}, told \${told}\`);
   }`,
  0,
  '',
  'not told, told 3',
);

ends(
  'and where nobody stops the actor it is an uncaught exception',
  `${THROWING}
   let caught = 0;
   process.on('uncaughtException', () => caught++);
   queue('gettid');
   while (told < 3 || caught === 0) await new Promise(setImmediate);
   process.stdout.write(\`told \${told}\`);`,
  0,
  '',
  'told 3',
);

/** The same; what is told of any call stops the actor, and may not start it again before all is told. */
const STOPPING = `
  const { native } = await import(new URL('native.js', SYS).href);
  const told = [];
  const submit = (id, call, ...args) => native.submit(actor.handle, id, native.calls.indexOf(call), ...args);
  const actor = new native.Actor((id) => {
    told.push(id);
    actor.stop();
    if (told.length === 1 && actor.start('again', -1) !== -sys.EALREADY) throw new Error('started');
  });
  actor.start('actor', -1);
  const [from, to] = sys.pipe2();
`;

ends(
  'an actor may be stopped while it tells that a call has ended',
  `${STOPPING}
   for (const id of [1, 2, 3]) submit(id, 'gettid');
   submit(4, 'write', to, new Uint8Array(1));
   // Three have ended before the event loop hears of the first.
   sys.read(from, new Uint8Array(1));
   while (told.length < 4) await new Promise(setImmediate);
   process.stdout.write(\`told \${told.sort()}\`);`,
  0,
  '',
  'told 1,2,3,4',
);

ends(
  'and while it is stopped already; started anew, it keeps the process alive while a call is out',
  `${STOPPING}
   for (const id of [1, 2, 3]) submit(id, 'read', from, new Uint8Array(1));
   actor.stop();
   if (actor.start('anew', -1) !== 0) throw new Error('not started');
   submit(4, 'clock_nanosleep', sys.CLOCK_MONOTONIC, 0, BigInt64Array.of(0n, 20_000_000n), new BigInt64Array(2));
   process.on('exit', () => process.stdout.write(\`told \${told.sort()}\`));`,
  0,
  '',
  'told 1,2,3,4',
);
