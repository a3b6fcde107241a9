import { Running } from '../../src/driver/running.js';
import { World } from '../../src/world/world.js';
import { test } from '../fixture/descriptors.js';

const NOBODY = { snapshot: () => [], find: () => undefined };
const ADDRESS = { address: '127.0.0.1', port: 1 };

test('a command whose end has been ended is not started any more', async (t) => {
  await using world = await World.open('host');
  const running = new Running({ end: 'client', words: ['true'] }, world, NOBODY, undefined);
  await running.stop();
  await t.throwsAsync(running.start(ADDRESS), { message: 'true has been ended' });
});
