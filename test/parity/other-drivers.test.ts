/** Every scenario by the drivers it does not name: it comes out, a call is missing, or the difference is known and has a reason. */

import type { DriverName } from '../../src/driver/role.js';
import { run } from '../../src/experiment/run.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import { driversOf, type Scenario } from '../../src/scenario/scenario.js';
import { test } from '../fixture/descriptors.js';
import { told } from '../fixture/told.js';
import { noNamespace, testUnless } from '../world/ability.js';
import { knownDifferences } from './known.js';

const DRIVERS: readonly DriverName[] = ['raw', 'libuv', 'program'];
const TIMEOUT_MS = 30_000;

const knownOf = (scenario: string, driver: DriverName) =>
  knownDifferences.find((each) => each.scenario === scenario && each.driver === driver);

/** The same story, which comes to a moment when the server's event loop has gone round. */
const afterTurns = (scenario: Scenario): Scenario => ({
  ...scenario,
  run: (stage) => {
    const moment = async (name: string): Promise<void> => {
      await stage.server.node.heard();
      await stage.moment(name);
    };
    const { place } = scenario;
    return scenario.run({ ...stage, moment, ...(place?.wire && { wire: stage.wire }) });
  },
});

for (const driver of DRIVERS) {
  testUnless(noNamespace, `${driver}: every scenario that does not name it`, async (t) => {
    t.timeout(100_000);
    const scenarios = catalogue.filter(
      (each) => !driversOf(each).includes(driver) && each.slow !== true,
    );
    t.true(scenarios.length > 0);
    const outcomes = await Promise.all(
      inChunks(scenarios, 4).map(async (chunk) => {
        const records = [];
        for (const scenario of chunk) {
          const timeoutMs = knownOf(scenario.name, driver)?.enoughMs ?? TIMEOUT_MS;
          const options = { world: 'namespace', driver, timeoutMs } as const;
          const story = knownOf(scenario.name, driver)?.inItsLoop ? afterTurns(scenario) : scenario;
          records.push((await told(() => run(story, options))).record);
        }
        return records;
      }),
    );
    for (const { scenario, verdict, reason = '' } of outcomes.flat()) {
      const known = knownOf(scenario, driver);
      const at = `${scenario}: ${verdict}: ${reason}`;
      if (known !== undefined) {
        t.is(verdict, 'not-reproduced', at);
        t.regex(reason, known.says, at);
      } else if (verdict === 'skipped') {
        t.regex(reason, new RegExp(`^driver ${driver} cannot express \\S`), at);
      } else {
        t.is(verdict, 'reproduced', at);
      }
    }
  });
}

test('every known difference is of a scenario that does not name the driver, and says why', (t) => {
  for (const { scenario, driver, why } of knownDifferences) {
    const found = catalogue.find(({ name }) => name === scenario);
    t.truthy(found, scenario);
    t.false(found !== undefined && driversOf(found).includes(driver), scenario);
    t.regex(why, /\w{3}/);
  }
});

function inChunks<T>(all: readonly T[], count: number): T[][] {
  return Array.from({ length: count }, (_, at) => all.filter((__, i) => i % count === at));
}
