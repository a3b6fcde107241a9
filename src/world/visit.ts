import * as sys from '../syscall/sys.js';
import type { World } from './world.js';

const OWN = '/proc/thread-self/ns/net';

/**
 * Takes the calling thread itself into a world, until the result is disposed: what it opens meanwhile, Node's sockets
 * included, is of that network. Nothing to do in a world of kind `host`.
 */
export async function visit(world: World): Promise<Disposable> {
  if (world.kind === 'host') return { [Symbol.dispose]: () => {} };
  const actor = await world.actor('door');
  using fds = new sys.Descriptors();
  const inside = fds.own(await actor.open(OWN, sys.O_RDONLY | sys.O_CLOEXEC));
  await actor.stop();
  const outside = fds.own(sys.open(OWN, sys.O_RDONLY | sys.O_CLOEXEC));
  sys.setns(inside, sys.CLONE_NEWNET);
  fds.release(outside);
  let back = false;
  return {
    [Symbol.dispose]() {
      if (back) return;
      back = true;
      sys.setns(outside, sys.CLONE_NEWNET);
      sys.close(outside);
    },
  };
}
