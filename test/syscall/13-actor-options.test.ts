/** What of an actor's call is its argument, and what the options behind the arguments. */
import { SocketAddress } from 'node:net';
import { runInNewContext } from 'node:vm';
import * as sys from '../../src/syscall/sys.js';
import { actorOf, promptly } from '../fixture/actors.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { tcp } from '../fixture/sockets.js';

test('an object with getters is an address, as it is without an actor', async (t) => {
  const owned = ownedBy(t);
  const actor = await actorOf(t);
  const address = new SocketAddress({ address: '127.0.0.1', port: 0 });
  sys.bind(tcp(owned), address);
  const fd = tcp(owned);
  await actor.bind(fd, address);
  t.is(sys.getsockname(fd).address, '127.0.0.1');
});

test('options of another realm are options', async (t) => {
  const actor = await actorOf(t);
  await actor.gettid(runInNewContext('({})'));
  const options = runInNewContext('({ signal })', { signal: AbortSignal.abort() });
  await t.throwsAsync(actor.gettid(options), { name: 'AbortError' });
});

const wrong: readonly (readonly [what: string, last: unknown, says: RegExp])[] = [
  ['no bytes', new ArrayBuffer(4), /buffer must be a typed array, received an object/],
  [
    'a signal among other parts',
    { signal: undefined, argv: [] },
    /options must be \{signal\} and nothing else/,
  ],
  ['a signal by itself', AbortSignal.abort(), /options must be \{signal\}/],
  ['what is no signal', { signal: 1 }, /signal must be an AbortSignal, received 1/],
];
for (const [what, last, says] of wrong) {
  test(`refused: ${what}`, async (t) => {
    const actor = await actorOf(t);
    const call = async (): Promise<unknown> => actor.read(0, last as Uint8Array);
    const error = await t.throwsAsync(call, { instanceOf: TypeError });
    t.regex(error?.message ?? '', says);
  });
}

test('an event that is none of an abort ends no call, and the abort after it is heard', async (t) => {
  const [from = -1, to = -1] = sys.pipe2(sys.O_CLOEXEC).map((fd) => ownedBy(t).own(fd));
  const actor = await actorOf(t);
  const controller = new AbortController();
  const { signal } = controller;
  const first = actor.read(from, new Uint8Array(1), { signal });
  signal.dispatchEvent(new Event('abort'));
  sys.write(to, 'x');
  t.is(await promptly(first), 1);
  const second = actor.read(from, new Uint8Array(1), { signal });
  signal.dispatchEvent(new Event('abort'));
  controller.abort();
  await t.throwsAsync(promptly(second), { name: 'AbortError' });
});

test('an abort is heard whatever other listeners do to its event', async (t) => {
  const [from = -1] = sys.pipe2(sys.O_CLOEXEC).map((fd) => ownedBy(t).own(fd));
  const actor = await actorOf(t);
  const controller = new AbortController();
  controller.signal.addEventListener('abort', (event) => event.stopImmediatePropagation());
  const call = actor.read(from, new Uint8Array(1), { signal: controller.signal });
  controller.abort();
  await t.throwsAsync(promptly(call), { name: 'AbortError' });
});
