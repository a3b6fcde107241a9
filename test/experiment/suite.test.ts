import type { DriverName } from '../../src/driver/role.js';
import { run } from '../../src/experiment/run.js';
import { type Outcome, runSuite } from '../../src/experiment/suite.js';
import { normal } from '../../src/scenario/normal.js';
import { noNamespace, testUnless } from '../world/ability.js';
import { altered } from './observed.js';

const driven = (driver: DriverName) => ({ scenario: normal, driver, family: 4 }) as const;

testUnless(noNamespace, 'a story that is late is a record, and the next is run', async (t) => {
  const endless = altered({ run: () => new Promise<void>(() => {}) });
  const outcomes: Outcome[] = [];
  await runSuite([{ ...driven('libuv'), scenario: endless }, driven('raw')], {
    jobs: 1,
    signal: new AbortController().signal,
    // The shortest that there is: it is over long before two Nodes have started.
    run: ({ scenario, driver }, signal) =>
      run(scenario, {
        ...{ driver, signal, world: 'namespace' },
        ...(scenario === endless && { timeoutMs: 1 }),
      }),
    onEnd: (outcome) => outcomes.push(outcome),
  });
  t.deepEqual(
    outcomes.map(({ task, run: { record } }) => [task.driver, record.verdict, record.reason]),
    [
      ['libuv', 'not-reproduced', 'the scenario has not ended within 0.001 s'],
      ['raw', 'reproduced', undefined],
    ],
  );
});

testUnless(noNamespace, 'what interrupts a suite ends it, the setting up too', async (t) => {
  const interrupted = new AbortController();
  const begun: DriverName[] = [];
  const suite = runSuite([driven('libuv'), driven('raw')], {
    jobs: 1,
    signal: interrupted.signal,
    onStart: ({ driver }) => {
      begun.push(driver);
      setTimeout(() => interrupted.abort(), 1);
    },
    run: ({ scenario, driver }, signal) => run(scenario, { driver, signal, world: 'namespace' }),
    onEnd: () => t.fail('nothing has ended'),
  });
  await t.throwsAsync(suite, { any: true, name: 'AbortError' });
  t.deepEqual(begun, ['libuv']);
});
