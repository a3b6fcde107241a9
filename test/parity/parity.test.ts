/** Every scenario, by every driver that can act it: the same states, checked by two observers that know nothing of each other. */

import { run } from '../../src/experiment/run.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import { driversOf } from '../../src/scenario/scenario.js';
import { followsPath } from '../../src/tcp/states.js';
import { noNamespace, testUnless } from '../world/ability.js';

for (const scenario of catalogue) {
  for (const driver of driversOf(scenario)) {
    testUnless(noNamespace, `${scenario.name}, ${driver}`, async (t) => {
      const { record } = await run(scenario, { world: 'namespace', driver });
      t.deepEqual(
        record.checks.filter(({ ok }) => !ok),
        [],
      );
      t.is(record.reason, undefined);
      t.is(record.verdict, 'reproduced');
      for (const end of ['client', 'server'] as const) {
        t.true(followsPath(record.ends[end].path, scenario.path[end] ?? []), `path of the ${end}`);
      }
      for (const observer of ['TCP_INFO', 'sock_diag', 'capture']) {
        t.true(
          record.checks.some(({ source }) => source === observer),
          `${observer} has a say`,
        );
      }
      const asked = record.moments.flatMap(({ tcpInfo, sockets }) =>
        Object.entries(tcpInfo).map(([end, state]) => ({
          state,
          listed: sockets.find((socket) => socket.end === end)?.state ?? 'CLOSE',
        })),
      );
      t.true(asked.length > 0);
      for (const { state, listed } of asked) t.is(state, listed);
    });
  }
}
