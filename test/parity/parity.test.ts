/** Every scenario, by every driver that can act it: the same states, checked by two observers that know nothing of each other. */

import type { ExecutionContext } from 'ava';
import type { RunRecord } from '../../src/experiment/record.js';
import { run } from '../../src/experiment/run.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import { controlOf, driversOf, type Scenario } from '../../src/scenario/scenario.js';
import { followsPath } from '../../src/tcp/states.js';
import { hasIpv6 } from '../../src/world/interfaces.js';
import { inTurn } from '../fixture/in-turn.js';
import { told } from '../fixture/told.js';
import { noNamespace, testUnless } from '../world/ability.js';

const familiesOf = ({ families = [4, 6], slow }: Scenario): readonly (4 | 6)[] =>
  (slow ? families.slice(0, 1) : families).filter((family) => family === 4 || hasIpv6());

function holds(t: ExecutionContext, scenario: Scenario, record: RunRecord): void {
  t.deepEqual(
    record.checks.filter(({ ok }) => !ok),
    [],
  );
  t.deepEqual(
    record.findings.filter(({ kind }) => kind !== 'lost' && kind !== 'late'),
    [],
  );
  t.is(record.reason, undefined);
  t.is(record.verdict, 'reproduced');
  for (const end of ['client', 'server'] as const) {
    const { path, momentary, place } = scenario;
    const observed = record.ends[end].path;
    t.true(followsPath(observed, path[end] ?? [], momentary?.[end]), `path of the ${end}`);
    if (place?.wire === end) t.deepEqual(observed, [], 'a wire has no states');
  }
  t.true(
    record.checks.some(({ source }) => source === 'capture'),
    'capture has a say',
  );
  // A moment that does not come is one that nothing is held against.
  const moments = record.moments.map(({ name }) => name);
  for (const name of Object.keys(scenario.expected ?? {})) t.true(moments.includes(name), name);
  for (const { tcpInfo, sockets, name } of record.moments) {
    for (const [end, state] of Object.entries(tcpInfo)) {
      const listed = sockets.find((socket) => socket.end === end)?.state ?? 'CLOSE';
      // TIME_WAIT is the connection's, not the descriptor's.
      t.is(state, listed === 'TIME_WAIT' ? 'CLOSE' : listed, `${end} at ${name}`);
    }
  }
}

for (const scenario of catalogue) {
  for (const driver of driversOf(scenario)) {
    for (const family of familiesOf(scenario)) {
      testUnless(noNamespace, `${scenario.name}, ${driver}, IPv${family}`, async (t) => {
        t.timeout(120_000);
        const { record } = await inTurn(() =>
          told(() => run(scenario, { world: 'namespace', driver, family })),
        );
        if (record.verdict === 'skipped') {
          t.log(`skipped: ${record.reason}`);
          t.regex(record.reason ?? '', /^this kernel has no/);
        } else holds(t, scenario, record);
      });
    }
  }

  const { control } = scenario;
  const without = controlOf(scenario);
  if (control === undefined || without === undefined) continue;
  testUnless(noNamespace, `${scenario.name}, not if ${control.what}`, async (t) => {
    t.timeout(120_000);
    // By calls where they can: on the article's programs a control has no say.
    const drivers = driversOf(scenario);
    const [driver = 'raw'] = drivers.includes('raw') ? ['raw' as const] : drivers;
    const { record } = await inTurn(() => run(without, { world: 'namespace', driver }));
    if (record.verdict === 'skipped') t.regex(record.reason ?? '', /^this kernel has no/);
    else t.is(record.verdict, 'not-reproduced');
    // What comes to nothing by an error has shown nothing: a check has to fail.
    const fails = record.checks.some(({ what, ok }) => !ok && !what.startsWith('moment "'));
    t.true(record.verdict === 'skipped' || fails);
  });
}
