/** Arguments that run code, or that are refused, while a call is on its way to the actor. */
import * as sys from '../../src/syscall/sys.js';
import { actorOf } from '../fixture/actors.js';
import { ownedBy, test } from '../fixture/descriptors.js';

test('a call made by the getter of an argument is a call of its own', async (t) => {
  const owned = ownedBy(t);
  const pairs = [1, 2].map(() => sys.socketpair(sys.AF_UNIX, sys.SOCK_DGRAM | sys.SOCK_CLOEXEC));
  const [[outer = -1, at = -1] = [], [inner = -1, other = -1] = []] = pairs;
  for (const fd of pairs.flat()) owned.own(fd);
  const actor = await actorOf(t);
  const begun: Promise<number>[] = [];
  const message: Parameters<typeof actor.sendmsg>[1] = {
    data: [Buffer.from('outer')],
    get address(): never {
      begun.push(actor.sendmsg(inner, { data: [Buffer.from('the inner')] }));
      return undefined as never;
    },
  };
  t.is(await actor.sendmsg(outer, message), 5);
  const buffer = new Uint8Array(16);
  t.is(sys.read(at, buffer), 5);
  for (const sent of await Promise.all(begun)) {
    t.is(sent, 9);
    t.is(sys.read(other, buffer), 9);
  }
  t.true(begun.length > 0);
});

test('and so is one made while the addon reads the elements of an array', async (t) => {
  const owned = ownedBy(t);
  const [from, to] = sys.pipe2().map((fd) => owned.own(fd)) as [number, number];
  const actor = await actorOf(t);
  const begun: Promise<number>[] = [];
  const data = Object.defineProperty([Buffer.from('outer')], 0, {
    get() {
      begun.push(actor.gettid());
      return Buffer.from('outer');
    },
  });
  t.is(await actor.writev(to, data), 5);
  const tid = await actor.gettid();
  t.true(begun.length > 0);
  t.deepEqual(
    await Promise.all(begun),
    begun.map(() => tid),
  );
  t.is(sys.read(from, new Uint8Array(8)), 5);
  t.is(actor.outstanding, 0);
});

test('a call that is refused is not outstanding, and the answers of the others stay theirs', async (t) => {
  const actor = await actorOf(t);
  const options: Promise<unknown>[] = [];
  const socket = ownedBy(t).own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  const names = [sys.SO_TYPE, sys.SO_DOMAIN, sys.SO_PROTOCOL];
  for (let i = 0; i < 300; i++) {
    options.push(actor.getsockopt(socket, sys.SOL_SOCKET, names[i % 3] as number));
    await t.throwsAsync(actor.read('3' as never, new Uint8Array(1)), { instanceOf: TypeError });
    if (i % 7 === 0) t.is(await actor.getsockopt(socket, sys.SOL_SOCKET, sys.SO_DOMAIN), 2);
  }
  const values = [sys.SOCK_STREAM, sys.AF_INET, sys.IPPROTO_TCP];
  t.deepEqual(
    await Promise.all(options),
    options.map((_, i) => values[i % 3]),
  );
  t.is(actor.outstanding, 0);
});

test('what only looks like a signal is refused before the call is made', async (t) => {
  const actor = await actorOf(t);
  const [from, to] = sys.pipe2(sys.O_NONBLOCK).map((fd) => ownedBy(t).own(fd)) as [number, number];
  sys.write(to, 'abc');
  const refuse = (): never => {
    throw new TypeError('no event target');
  };
  // Node before 24 says so by itself.
  const signal: AbortSignal = Object.create(AbortSignal.prototype, {
    aborted: { value: false },
    addEventListener: { value: refuse },
  });
  for (let i = 0; i < 2; i++) {
    await t.throwsAsync(actor.read(from, new Uint8Array(8), { signal }), {
      instanceOf: TypeError,
    });
  }
  t.is(await actor.read(from, new Uint8Array(8)), 3);
});
