import type { ClientRole } from '../driver/role.js';
import { establish } from './establish.js';
import type { Scenario, Stage } from './scenario.js';

const PORTS = 3;

/** Clients that share a few ports, all but the last of them connected. */
async function connectAll(stage: Stage, ports: number): Promise<void> {
  const { server, client, fails, moment } = stage;
  const address = await establish(stage);
  const { port } = await server.peer();
  const low = Math.min(port, 65_536 - ports);
  const next = async (): Promise<ClientRole> => {
    const other = await client.another();
    await other.setOption('IP_LOCAL_PORT_RANGE', { low, high: low + ports - 1 });
    return other;
  };
  for (let i = 0; i < PORTS; i++) await (await next()).connect(address);
  await moment('full');
  await fails(`connection ${PORTS + 1}`, 'EADDRNOTAVAIL', (await next()).connect(address));
}

/** A client that has used up its ports. */
export const portExhaustion: Scenario = {
  name: 'port-exhaustion',
  title: 'Ephemeral ports are used up: EADDRNOTAVAIL',
  source: 'ip(7), IP_LOCAL_PORT_RANGE and ip_local_port_range; connect(2); __inet_hash_connect()',
  summary:
    'Other clients have 3 ports for connections to one server, and each port is good for one at a time. The fourth ' +
    'connect() fails with EADDRNOTAVAIL before a single segment is sent. More addresses, more ports, or fewer ' +
    'connections: the client must change.',
  path: {
    client: ['SYN_SENT', 'ESTABLISHED'],
    server: ['SYN_RECV', 'ESTABLISHED'],
  },
  segments: ['S', 'S.', '.'],
  control: {
    what: 'there is a fourth port',
    run: (stage) => connectAll(stage, PORTS + 1),
  },

  run: (stage) => connectAll(stage, PORTS),
};
