/** A run that is followed while it goes on. */
import type { ExecutionContext } from 'ava';
import type { TimelineEvent } from '../../src/experiment/event.js';
import { run } from '../../src/experiment/run.js';
import { TracepointObserver } from '../../src/observer/tracepoint.js';
import { closeWait } from '../../src/scenario/close-wait.js';
import { test } from '../fixture/descriptors.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from '../world/ability.js';

const NAMESPACE = { world: 'namespace' } as const;
const inNamespace = (title: string, act: (t: ExecutionContext) => Promise<void>): void =>
  testUnless(noNamespace, title, act);

inNamespace('who follows a run is waited for, and heard where it fails', async (t) => {
  let read = 0;
  const options = { ...NAMESPACE, driver: 'raw' } as const;
  const { record } = await run(closeWait, {
    ...options,
    onTimeline: async (timeline) => {
      for await (const _ of timeline) {
        await new Promise(setImmediate);
        read++;
      }
    },
  });
  t.is(read, record.events.length);
  const failing = run(closeWait, {
    ...options,
    onTimeline: async (timeline) => {
      for await (const _ of timeline) throw new Error('seen enough');
    },
  });
  await t.throwsAsync(failing, { message: 'seen enough' });
});

test('on the host the calls of both programs are followed too', async (t) => {
  const { record } = await run(closeWait, { world: 'host', driver: 'program' });
  t.is(record.verdict, 'reproduced', record.reason);
  const { available } = TracepointObserver.availability();
  const calling = record.events.flatMap((event) => (event.kind === 'enter' ? [event.end] : []));
  t.deepEqual([...new Set(calling)].sort(), available ? ['client', 'server'] : []);
});

inNamespace('a run is told of while it goes on, all of it and nothing else', async (t) => {
  const live: TimelineEvent[] = [];
  let following: Promise<void> | undefined;
  const follow = async (timeline: AsyncIterable<TimelineEvent>): Promise<void> => {
    for await (const event of timeline) live.push(event);
  };
  const { record } = await run(closeWait, {
    ...{ ...NAMESPACE, driver: 'raw' },
    onTimeline: (timeline) => {
      following = follow(timeline);
    },
    // The story does not go on before what it has come to has been told.
    onMoment: async ({ name }) => {
      await until(
        () => live.some((event) => event.kind === 'moment' && event.name === name),
        () => `${live.length} events, and not ${name}`,
      );
    },
  });
  await following;
  t.true(live.length > 0);
  t.deepEqual(live, record.events);
});
