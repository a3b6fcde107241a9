import { once } from 'node:events';
import { createContext, runInContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { runScript, runWithoutAddon } from '../fixture/script.js';
import { connected } from '../fixture/sockets.js';

const SYS = new URL('../../src/syscall/sys.js', import.meta.url).href;

test('arrays, objects and signals of another realm are as good as ours', async (t) => {
  const { client, server } = connected(ownedBy(t));
  await using actor = await sys.Actor.start();
  const realm = createContext({ sys, client, server, actor, AbortSignal });
  const run = (source: string): unknown => runInContext(source, realm);
  t.true(run('new Uint8Array(1)') instanceof Uint8Array === false, 'it is another realm');
  t.is(run(`const bytes = new Uint8Array(8); sys.write(client, new Uint8Array([1, 2, 3]))`), 3);
  t.is(run('sys.read(server, bytes) * 10 + bytes[2]'), 33);
  t.is(run('sys.writev(client, [new Uint8Array([4]), new Uint8Array([5])])'), 2);
  t.is(run('sys.poll([{ fd: server, events: sys.POLLIN }], 5000)[0].revents'), sys.POLLIN);
  t.is(await run('actor.read(server, bytes)'), 2);
  t.is(run('bytes[1]'), 5);
  t.is(run('sys.setsockopt(server, sys.SOL_SOCKET, sys.SO_LINGER, new Uint8Array(8))'), undefined);
  run('const address = Uint8Array.from(sys.encodeAddress(sys.getpeername(client)))');
  t.throws(() => run('sys.connect(client, address)'), { code: 'EISCONN' });
  t.is(await run("actor.write(client, '6').then(() => sys.read(server, bytes))"), 1);
  t.deepEqual(run('sys.encodeAddress(address)'), sys.encodeAddress(sys.getpeername(client)));
  t.deepEqual(run('sys.decodeDirents(new Uint8Array())'), []);
  t.throws(() => run('sys.read(server, [1])'), { instanceOf: TypeError, message: /typed array/ });
});

test('environments of one process make and cancel calls at the same time', async (t) => {
  const source = `
    import * as sys from ${JSON.stringify(SYS)};
    import { parentPort } from 'node:worker_threads';
    const listener = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
    sys.bind(listener, { address: '127.0.0.1', port: 0 });
    sys.listen(listener, 1);
    const actor = await sys.Actor.start();
    const names = new Set();
    for (let turn = 0; turn < 50; turn++) {
      const abort = new AbortController();
      const accepting = actor.accept(listener, { signal: abort.signal });
      setImmediate(() => abort.abort());
      names.add((await accepting.catch((error) => error)).name);
    }
    await actor.stop();
    sys.close(listener);
    parentPort.postMessage([...names]);
  `;
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  const workers = Array.from({ length: 4 }, () => new Worker(url));
  const ended = Promise.all(workers.map((worker) => once(worker, 'exit')));
  const answers = await Promise.all(workers.map((worker) => once(worker, 'message')));
  for (const [names] of answers) t.deepEqual(names, ['AbortError']);
  await ended;
});

test('modules loaded twice over one addon, as by a test runner that gives each file its own: no answer is mistaken', (t) => {
  const { stdout, stderr } = runScript(
    `
    import { register } from 'node:module';
    const index = new URL('../index.js', SYS).href;
    const again = async function resolve(specifier, context, next) {
      const found = await next(specifier, context);
      if (!context.parentURL?.endsWith('?again') || !found.url.startsWith('file:')) return found;
      return { ...found, url: found.url + '?again' };
    };
    register('data:text/javascript,' + encodeURIComponent('export ' + again));
    const [one, two] = [await import(index), await import(index + '?again')];
    const listener = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
    sys.bind(listener, { address: '127.0.0.1', port: 0 });
    sys.listen(listener, 1);
    const client = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
    const kept = one.tcpInfo(listener);
    for (const { tcpState, tcpInfo } of [one, two, one, two]) {
      process.stdout.write([tcpState(listener), tcpState(client), tcpInfo(listener).state, ''].join(' '));
    }
    process.stdout.write(one.tcpInfo === two.tcpInfo ? 'the same' : kept.state);`,
    ['--no-deprecation'],
  );
  t.is(stderr, '');
  t.is(stdout, `${'LISTEN CLOSE LISTEN '.repeat(4)}LISTEN`);
});

test('workers alone use the addon, one after the other: it stays, and its one signal harms nobody', (t) => {
  const { status, signal, stdout, stderr } = runWithoutAddon(`
    import { readFileSync } from 'node:fs';
    import { Worker } from 'node:worker_threads';

    // What a thread does with the addon; returns how a blocked read ended.
    const use = async (SYS, thread) => {
      const sys = await import(SYS);
      const actor = await sys.Actor.start();
      const [from, to] = sys.pipe2();
      const abort = new AbortController();
      const reading = actor.read(from, new Uint8Array(1), { signal: abort.signal });
      setImmediate(() => abort.abort());
      const { name } = await reading.catch((error) => error);
      await actor.stop();
      for (const fd of [from, to]) sys.close(fd);
      return thread + ' ' + name;
    };
    const source = \`import { parentPort } from 'node:worker_threads';
      parentPort.postMessage(await (\${use})(\${JSON.stringify(SYS)}, 'worker'));\`;
    const url = new URL('data:text/javascript,' + encodeURIComponent(source));
    const caught = () => BigInt('0x' + /SigCgt:\\t(.*)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);

    const before = caught();
    const ends = new Set();
    for (let i = 0; i < 40; i++) {
      await new Promise((resolve) => {
        const worker = new Worker(url, { execArgv: [] });
        worker.on('message', (end) => ends.add(end)).on('error', (error) => ends.add(error.message));
        worker.on('exit', resolve);
      });
    }
    const texts = readFileSync('/proc/self/maps', 'utf8').match(/r-xp .*closewait\\.node$/gm) ?? [];
    const claimed = [...(caught() & ~before).toString(2)].reverse().flatMap((bit, i) => (bit === '1' ? [i + 1] : []));
    for (const number of claimed) process.kill(process.pid, number);
    ends.add(await use(SYS, 'main'));
    console.log(JSON.stringify({ ends: [...ends], texts: texts.length, claimed: claimed.length }));
  `);
  t.is(stderr, '');
  t.deepEqual({ status, signal }, { status: 0, signal: null });
  const ends = ['worker AbortError', 'main AbortError'];
  t.deepEqual(JSON.parse(stdout), { ends, texts: 1, claimed: 1 });
});

/** What a worker does when it is ended, and whether that is before it says that it has begun. */
const ended: readonly [what: string, begins: string, goesOn: string][] = [
  ['loads the addon', '', 'await import(SYS); begun();'],
  [
    'starts and stops actors',
    'const sys = await import(SYS); begun();',
    `for (const actors = [];;) {
       if (actors.push(await sys.Actor.start()) > 8) for (const actor of actors.splice(0)) actor.stop();
     }`,
  ],
  [
    'cancels calls',
    'const sys = await import(SYS); const actor = await sys.Actor.start(); begun();',
    `for (;;) {
       const abort = new AbortController();
       const sleeping = actor.nanosleep(1, { signal: abort.signal }).catch(() => {});
       await null;
       abort.abort();
       await sleeping;
     }`,
  ],
];
for (const [what, begins, goesOn] of ended) {
  test(`a worker that ${what} may be ended at any moment: that ends nobody else`, (t) => {
    const source = `import { parentPort } from 'node:worker_threads';
      const SYS = ${JSON.stringify(SYS)};
      const begun = () => parentPort.postMessage('begun');
      ${begins}
      ${goesOn}`;
    const { status, signal, stderr } = runWithoutAddon(`
      import { Worker } from 'node:worker_threads';
      const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(source)}));
      const start = () => new Worker(url, { execArgv: [] }).on('error', () => {});
      const begun = (worker) => new Promise((resolve) => worker.once('message', resolve));
      const startMs = performance.now();
      const first = start();
      await begun(first);
      await first.terminate();
      const loadMs = performance.now() - startMs;
      for (let i = 0; i < 60; i++) {
        const worker = start();
        if (${begins !== ''}) await begun(worker);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * ${begins === '' ? 'loadMs' : '8'}));
        await worker.terminate();
      }
    `);
    t.is(stderr, '');
    t.deepEqual({ status, signal }, { status: 0, signal: null });
  });
}

test('a Node that may load no addon: importing works, and the first call says why', (t) => {
  const { stdout, stderr } = runScript(
    "try { sys.gettid(); } catch ({ code, message }) { process.stdout.write(code + ': ' + message); }",
    ['--no-addons'],
  );
  t.is(stderr, '');
  t.regex(stdout, /^ERR_ADDON_MISSING: closewait\.node could not be loaded \(.*\): .*--no-addons/);
  t.notRegex(stdout, /npm/);
});
