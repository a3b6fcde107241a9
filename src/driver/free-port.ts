import { setTimeout as tick } from 'node:timers/promises';
import * as sys from '../syscall/sys.js';
import type { TcpStateName } from '../tcp/states.js';
import type { Host } from '../world/host.js';
import type { Running } from './running.js';

/** A port that nobody closes the last descriptor of by then is left to whoever is told it: it will say so. */
const LONGEST_MS = 5000;
const BOUND: readonly TcpStateName[] = ['BOUND_INACTIVE'];

/**
 * A port of an address that is free on a host now. The kernel chooses it: it is bound, and closed again. That alone does not
 * free it: a process that was forked meanwhile, or who copied the descriptor to look at it, has it for another moment. Throws the
 * signal's reason.
 */
export async function freePort(
  host: Host,
  family: 4 | 6,
  address: string,
  { sockets, signal }: Pick<Running, 'sockets' | 'signal'>,
): Promise<number> {
  const port = await bound(host, family, address);
  const isHeld = (): boolean =>
    [...sockets.snapshot({ states: BOUND })].some(({ local }) => local.port === port);
  for (const end = performance.now() + LONGEST_MS; isHeld() && performance.now() < end; ) {
    signal?.throwIfAborted();
    await tick(1);
  }
  return port;
}

async function bound(host: Host, family: 4 | 6, address: string): Promise<number> {
  const domain = family === 6 ? sys.AF_INET6 : sys.AF_INET;
  const actor = await host.actor('port');
  using fds = new sys.Descriptors();
  try {
    const fd = fds.own(await actor.socket(domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    await actor.bind(fd, { address, port: 0 });
    return sys.getsockname(fd).port;
  } finally {
    await actor.stop();
  }
}
