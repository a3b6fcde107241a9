import { formatJson } from '../report/json.js';
import { catalogue } from '../scenario/catalogue.js';
import { driversOf } from '../scenario/scenario.js';
import { AS_EXPECTED, type Io } from './command.js';

/** `closewait list` */
export function list({ json }: { json?: true }, { out }: Io): number {
  if (json) {
    const rows = catalogue.map((scenario) => {
      const { name, title, source, summary } = scenario;
      return { name, title, source, summary, drivers: driversOf(scenario) };
    });
    out(formatJson(rows));
    return AS_EXPECTED;
  }
  const width = Math.max(...catalogue.map(({ name }) => name.length));
  for (const { name, title } of catalogue) out(`${name.padEnd(width)}  ${title}\n`);
  return AS_EXPECTED;
}
