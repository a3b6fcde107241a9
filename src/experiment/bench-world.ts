import { World, type WorldKind } from '../world/world.js';
import type { PortBudget } from './bench-ports.js';

const range = { low: 1024, high: 65535 };

/** A world's own bound is half the size of its connection table (tcp_sk_init()), and that follows the machine's memory. */
const UNBOUNDED = 2 ** 31 - 1;

/** The budget of a world of its own. */
export const ownBudget: PortBudget = { ports: range.high - range.low + 1, stubs: UNBOUNDED };

/**
 * Opens a world to measure in: many ports, room for every TIME_WAIT, and none is taken over by a new connection while it
 * is counted. Throws SyscallError where that may not be set.
 */
export async function openWorld(kind: WorldKind): Promise<World> {
  const world = await World.open(kind);
  if (kind === 'host') return world;
  try {
    await world.setSysctl('net/ipv4/ip_local_port_range', `${range.low} ${range.high}`);
    await world.setSysctl('net/ipv4/tcp_max_tw_buckets', `${UNBOUNDED}`);
    await world.setSysctl('net/ipv4/tcp_tw_reuse', '0');
  } catch (error) {
    await world.close();
    throw error;
  }
  return world;
}
