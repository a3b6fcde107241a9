import test from 'ava';
import { catalogue } from '../../src/scenario/catalogue.js';
import { driversOf } from '../../src/scenario/scenario.js';
import { stateNumber } from '../../src/tcp/states.js';

test('names are unique, and easy to type', (t) => {
  const names = catalogue.map(({ name }) => name);
  t.is(new Set(names).size, names.length);
  for (const name of names) t.regex(name, /^[a-z0-9]+(-[a-z0-9]+)*$/);
});

for (const scenario of catalogue) {
  test(`${scenario.name} says what it is, who acts, and what should happen`, (t) => {
    for (const text of [scenario.title, scenario.source, scenario.summary]) t.regex(text, /\w/);
    const drivers = driversOf(scenario);
    t.true(drivers.length > 0);
    t.is(new Set(drivers).size, drivers.length);
    for (const path of Object.values(scenario.path)) {
      t.true(path.length > 0);
      for (const [i, state] of path.entries()) {
        t.not(stateNumber(state), undefined);
        t.not(state, path[i - 1]);
      }
    }
    for (const flags of scenario.segments ?? []) t.regex(flags, /^[SFRPU]?\.?$|^[FSRP]+\.?$/);
    for (const path of Object.keys(scenario.sysctls ?? {})) t.regex(path, /^net\//);
    for (const [end, state] of Object.entries(scenario.proof ?? {})) {
      t.true(
        scenario.path[end as 'client' | 'server']?.includes(state),
        `${end} is to be in ${state}`,
      );
    }
    t.regex(scenario.control?.what ?? '', /\w.*[^.]$/, 'it has a control');
  });
}
