/**
 * The loopback hands a segment over within the call that sends it, unless the machine is busy. Over a link each takes its time,
 * and a story that counts on more than it has waited for does not come out.
 */

import { run } from '../../src/experiment/run.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import { driversOf, type Scenario } from '../../src/scenario/scenario.js';
import { told } from '../fixture/told.js';
import { noNamespace, testUnless } from '../world/ability.js';

const DELAY_MS = 5;
const LANES = 4;
/** So that nothing is sent again while this process, which is the link, is not let run. */
const PATIENT = { 'net/ipv4/tcp_rto_min_us': '1000000', 'net/ipv4/tcp_early_retrans': '0' };

const overLink = (scenario: Scenario): Scenario => ({
  ...scenario,
  place: { link: true },
  sysctls: { ...PATIENT, ...scenario.sysctls },
  run: (stage) => {
    stage.link.delay({}, DELAY_MS);
    return scenario.run(stage);
  },
});

const stories = catalogue
  .filter(({ place, slow }) => place === undefined && !slow)
  .flatMap((scenario) => driversOf(scenario).map((driver) => ({ scenario, driver })));

testUnless(noNamespace, 'what is told on the loopback is told over a link, too', async (t) => {
  t.timeout(100_000);
  const left = stories.filter(({ driver }) => driver !== 'program');
  t.true(left.length > LANES);
  const lane = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const { scenario, driver } = next;
      const story = overLink(scenario);
      const { record } = await told(() => run(story, { world: 'namespace', driver }));
      const { verdict, reason = '' } = record;
      if (verdict === 'skipped') t.regex(reason, /another connection|^this kernel has no/);
      else t.is(verdict, 'reproduced', `${scenario.name}, ${driver}: ${reason}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
});
