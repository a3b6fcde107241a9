import type { ListenOptions } from '../driver/role.js';
import type { Endpoint } from '../tcp/address.js';
import type { Stage } from './scenario.js';

/** Brings both ends to ESTABLISHED; where the server can be reached. */
export async function establish(
  { server, client, reach }: Stage,
  options?: ListenOptions,
): Promise<Endpoint> {
  const address = await server.listen(options);
  await client.connect(address);
  await server.accept();
  await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
  return address;
}
