/** Each source is one witness of several: they say the same, and a run without them ends the same. */
import type { ExecutionContext } from 'ava';
import type { RunRecord } from '../../src/experiment/record.js';
import { run } from '../../src/experiment/run.js';
import { TracepointObserver } from '../../src/observer/tracepoint.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import { closeWait } from '../../src/scenario/close-wait.js';
import { driversOf } from '../../src/scenario/scenario.js';
import { followsPath } from '../../src/tcp/states.js';
import { inTurn } from '../fixture/in-turn.js';
import { told } from '../fixture/told.js';
import { noNamespace, testUnless } from '../world/ability.js';
import { altered, flood, loopbackDown, observed } from './observed.js';

const inNamespace = (title: string, act: (t: ExecutionContext) => Promise<void>): void =>
  testUnless(noNamespace, title, act);
const NAMESPACE = { world: 'namespace' } as const;

for (const scenario of catalogue.filter(({ slow }) => !slow)) {
  for (const driver of driversOf(scenario)) {
    inNamespace(`${scenario.name}, ${driver}: the sources agree`, async (t) => {
      t.timeout(120_000);
      const { record } = await inTurn(() => told(() => observed(scenario, driver)));
      t.deepEqual(record.findings, []);
      const sources = new Set(record.events.map(({ source }) => source));
      const { available } = TracepointObserver.availability();
      // What is refused is over before anyone who looks now and then has seen it.
      const lasting = scenario.path.client?.includes('ESTABLISHED') ? ['polling'] : [];
      for (const source of [...lasting, 'capture', ...(available ? ['tracepoint'] : [])]) {
        t.true(sources.has(source as never), source);
      }
    });

    inNamespace(`${scenario.name}, ${driver}: unobserved it ends the same`, async (t) => {
      t.timeout(120_000);
      const [seen, unseen] = await Promise.all(
        [true, false].map((observed) =>
          inTurn(() => told(() => run(scenario, { ...NAMESPACE, driver, observed }))),
        ),
      );
      t.is(unseen?.record.verdict, 'reproduced', unseen?.record.reason);
      for (const end of ['client', 'server'] as const) {
        const {
          path: { [end]: whole = [] },
          momentary = {},
        } = scenario;
        const paths = [unseen, seen].map((each) => each?.record.ends[end].path ?? []);
        // Either may have had samples alone: the story says what the whole path is.
        for (const path of paths) {
          t.true(followsPath(path, whole, momentary[end]), `${end}: ${path} along ${whole}`);
        }
      }
      const held = ({ record }: NonNullable<typeof seen>) =>
        record.checks
          .filter(({ source }) => ['TCP_INFO', 'sock_diag', 'process', 'scenario'].includes(source))
          .map(({ what, observed }) => [what, observed]);
      t.deepEqual(unseen && held(unseen), seen && held(seen));
      t.deepEqual(unseen?.frames, []);
    });
  }
}

inNamespace('an observer that fails ends the run with its error', async (t) => {
  const { record } = await observed(
    altered({
      async run({ server, reach }) {
        await server.listen();
        await loopbackDown();
        await reach({ server: 'ESTABLISHED' });
      },
    }),
    'raw',
  );
  t.is(record.verdict, 'inconclusive');
  t.regex(record.reason ?? '', /ENETDOWN/);
});

const lostFrames = (record: RunRecord): number =>
  record.observers.find(({ name }) => name === 'capture')?.lost ?? 0;

inNamespace('what others send costs the capture nothing', async (t) => {
  const beside = altered({
    async run(stage) {
      await closeWait.run(stage);
      await flood();
    },
  });
  const { record } = await observed(beside, 'raw');
  t.is(record.verdict, 'reproduced', record.reason);
  t.is(lostFrames(record), 0);
});

inNamespace('a capture that lost frames speaks against no run', async (t) => {
  const flooded = altered({
    async run(stage) {
      await closeWait.run(stage);
      await flood(stage.server.address?.port);
    },
  });
  const { record } = await observed(flooded, 'raw');
  t.true(lostFrames(record) > 0);
  t.is(record.verdict, 'reproduced', record.reason);

  const gaps = await observed(
    { ...flooded, segments: [...(closeWait.segments ?? []), 'R'] },
    'raw',
  );
  t.true(lostFrames(gaps.record) > 0);
  t.is(gaps.record.verdict, 'inconclusive');
  t.false(gaps.record.ok);
  t.regex(gaps.record.reason ?? '', /^segments of the connection: .* \(capture\)$/);
});

inNamespace('ends that agree on ECN do as the others do', async (t) => {
  const ecn = altered({ sysctls: { 'net/ipv4/tcp_ecn': '1' } });
  const { record, frames } = await observed(ecn, 'raw');
  t.is(record.verdict, 'reproduced', record.reason);
  t.deepEqual(record.findings, []);
  t.deepEqual(
    frames.slice(0, 2).map(({ segment }) => segment.flags),
    ['SEW', 'S.E'],
  );
});
