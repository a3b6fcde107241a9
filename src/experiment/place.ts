import type { End, Hosts } from '../driver/role.js';
import type { Scenario } from '../scenario/scenario.js';
import type { Link } from '../world/link.js';
import { Network } from '../world/network.js';
import type { Wire } from '../world/wire.js';
import { type Privilege, World, type WorldKind } from '../world/world.js';
import type { Tap } from './packets.js';

/** Where a run happens, as far as an experiment is concerned. */
export interface Place extends Hosts, AsyncDisposable {
  readonly kind: WorldKind | 'network';
  readonly privilege: Privilege;
  /** The ends that have a TCP. */
  readonly ends: readonly End[];
  readonly taps: readonly Tap[];
  readonly link: Link | undefined;
  readonly wire: Wire | undefined;
}

const ENDS: readonly End[] = ['client', 'server'];
/** Where a wire listens, and whence it calls. */
const WIRE_PORT = 40_000;

/** Opens what a scenario asks for. Throws what World.open and Network.open throw. */
export async function openPlace(
  { place = {} }: Pick<Scenario, 'place'>,
  kind: WorldKind,
  family: 4 | 6,
): Promise<Place> {
  const { link = false, wire } = place;
  if (!link && wire === undefined) {
    const world = await World.open(kind);
    return {
      ...{ kind, privilege: world.privilege, client: world, server: world, ends: ENDS },
      ...{ link: undefined, wire: undefined },
      taps: [{ host: world, interfaceName: 'lo', name: 'lo', arriving: false }],
      [Symbol.asyncDispose]: () => world.close(),
    };
  }
  const network = await (link
    ? Network.open({ link, ...(wire && { wire }) })
    : Network.open({ ...(wire && { wire }) }));
  try {
    const { client, server, privilege } = network;
    const ends = ENDS.filter((end) => end !== wire);
    const speaker = wire && (await network.wire({ version: family, port: WIRE_PORT }));
    return {
      ...{ kind: 'network', privilege, client, server, ends, link: network.link, wire: speaker },
      taps: ends.map((end) => ({
        ...{ host: network[end], interfaceName: 'eth0', name: `eth0 of the ${end}` },
        arriving: wire === undefined,
      })),
      async [Symbol.asyncDispose]() {
        await speaker?.close();
        await network.close();
      },
    };
  } catch (error) {
    await network.close();
    throw error;
  }
}
