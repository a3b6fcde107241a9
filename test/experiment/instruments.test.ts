/** Observers that cannot all start: those that could are let go of, and say nothing. */
import { Instruments } from '../../src/experiment/instruments.js';
import { openPlace, type Place } from '../../src/experiment/place.js';
import { Network } from '../../src/world/network.js';
import { noNamespace, testUnless } from '../world/ability.js';

const OPTIONS = { threads: new Map(), family: 4, observed: true } as const;

const twoHosts = (): Promise<Place> => openPlace({ place: { link: true } }, 'namespace', 4);

testUnless(noNamespace, 'two hosts, and no sock_diag in the second: none at all', async (t) => {
  await using place = await twoHosts();
  const gone = await Network.open();
  await gone.close();
  await t.throwsAsync(Instruments.start({ ...place, server: gone.server }, OPTIONS), {
    message: 'the world is closed',
  });
});
