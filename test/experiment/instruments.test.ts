/** Observers that cannot all start: those that could are let go of, and say nothing. */
import { Instruments } from '../../src/experiment/instruments.js';
import { Packets, type Tap } from '../../src/experiment/packets.js';
import { openPlace, type Place } from '../../src/experiment/place.js';
import { Timeline } from '../../src/experiment/timeline.js';
import { Network } from '../../src/world/network.js';
import { World } from '../../src/world/world.js';
import { noNamespace, testUnless } from '../world/ability.js';

const OPTIONS = { threads: new Map(), family: 4, observed: true } as const;

const twoHosts = (): Promise<Place> => openPlace({ place: { link: true } }, 'namespace', 4);

testUnless(noNamespace, 'two hosts, and no capture at the second: there is none', async (t) => {
  await using place = await twoHosts();
  const [first, second] = place.taps as [Tap, Tap];
  const taps = [first, { ...second, interfaceName: 'eth7' }];
  await using instruments = await Instruments.start({ ...place, taps }, OPTIONS);
  const capture = instruments.reports.find(({ name }) => name === 'capture');
  t.regex(capture?.reason ?? '', /ENODEV/);
  // The first is off the timeline: no event waits for what it has to say.
  await instruments.serverListens({ address: place.server.addresses[4], port: 9 });
  instruments.mark('begun');
  for await (const event of instruments.timeline) {
    t.like(event, { kind: 'moment', name: 'begun' });
    break;
  }
});

testUnless(noNamespace, 'two hosts, and no sock_diag in the second: none at all', async (t) => {
  await using place = await twoHosts();
  const gone = await Network.open();
  await gone.close();
  await t.throwsAsync(Instruments.start({ ...place, server: gone.server }, OPTIONS), {
    message: 'the world is closed',
  });
});

testUnless(noNamespace, 'packets of a world that is closed: they fail, and end', async (t) => {
  const world = await World.open('namespace');
  using timeline = new Timeline();
  const packets = await Packets.start(
    { host: world, interfaceName: 'lo', name: 'lo', arriving: false },
    timeline,
  );
  const failed = new Promise<Error>((resolve) => {
    packets.onFailure = resolve;
  });
  await world.close();
  t.is((await failed).message, 'the capture ended before the run');
  await packets[Symbol.asyncDispose]();
});

testUnless(
  noNamespace,
  'a program that starts when an observer has failed: no trace is left',
  async (t) => {
    await using place = await openPlace({}, 'namespace', 4);
    await using instruments = await Instruments.start(place, OPTIONS);
    const feed = instruments.timeline.open({
      name: 'capture',
      latenessNs: 0,
      delivers: 'in-order',
    });
    feed.fail(new Error('the interface is down'));
    await t.notThrowsAsync(instruments.threadActs(process.pid, 'client'));
    await t.notThrowsAsync(instruments.finish());
  },
);

testUnless(
  noNamespace,
  'frames that were not kept are missing, like those without room',
  async (t) => {
    await using world = await World.open('namespace');
    using timeline = new Timeline();
    await using packets = await Packets.start(
      { host: world, interfaceName: 'lo', name: 'lo', arriving: false },
      timeline,
    );
    // As after 64 MiB.
    packets.capture.discarded = 3;
    await packets.finish(process.hrtime.bigint());
    t.is(packets.lost, 3);
    t.like(timeline.findings[0], { kind: 'lost', sources: ['capture'], values: { lost: 3 } });
  },
);
