import { accessSync, constants } from 'node:fs';
import type { DriverName } from '../driver/role.js';
import {
  type Comparison,
  compare as compareRuns,
  factNames,
  factsOf,
  labelsOf,
  type Variant,
} from '../experiment/compare.js';
import type { RunRecord } from '../experiment/record.js';
import { formatComparison } from '../report/compare.js';
import { formatJson } from '../report/json.js';
import { driversOf, type Scenario } from '../scenario/scenario.js';
import { AS_EXPECTED, EXPECTATION_FAILED, type Io, interruption, Usage } from './command.js';
import { Leftovers } from './leftovers.js';
import { again, bestWorld, needOwnProc } from './place.js';
import { isFile } from './scenario-file.js';
import { checkNames, chosen, driverNamed, TIMEOUT_S } from './selection.js';

export interface CompareFlags {
  readonly drivers?: string;
  readonly node?: readonly string[];
  readonly json?: true;
  readonly hostNetwork?: true;
}

/** `closewait compare` */
export async function compare(name: string, flags: CompareFlags, io: Io): Promise<number> {
  checkNames([name]);
  needOwnProc();
  if (!flags.hostNetwork) {
    const exitCode = await again(io);
    if (exitCode !== undefined) return exitCode;
  }
  using leftovers = isFile(name) ? new Leftovers(io) : undefined;
  const scenarios = await chosen([name]);
  const [scenario, ...others] = scenarios;
  if (scenario === undefined || others.length > 0) {
    const names = scenarios.map((each) => each.name).join(', ');
    throw new Usage(`${name} exports several scenarios (${names}): compare takes a file of one`);
  }
  const variants = variantsOf(scenario, flags);
  leftovers?.begin();
  const comparison = await compareRuns(scenario, variants, {
    world: flags.hostNetwork ? 'host' : await bestWorld(io),
    signal: interruption(),
    timeoutMs: TIMEOUT_S * 1000,
  });
  io.out(flags.json ? formatJson(comparison) : textOf(scenario, comparison, io));
  const clean = (await leftovers?.report()) ?? true;
  return clean && comparison.records.every((each) => isExpected(each, scenario))
    ? AS_EXPECTED
    : EXPECTATION_FAILED;
}

/** That a driver no one vouched for does something else is what was asked, and no failure. */
function isExpected({ ok, verdict, driver }: RunRecord, scenario: Scenario): boolean {
  return ok || (verdict === 'not-reproduced' && !driversOf(scenario).includes(driver));
}

function variantsOf(scenario: Scenario, { drivers, node = [] }: CompareFlags): Variant[] {
  const named = drivers?.split(',').map((each) => driverNamed(each.trim()));
  const all: readonly DriverName[] = named ?? defaultDrivers(scenario);
  if (node.length > 0 && !all.includes('libuv')) throw new Usage('--node is for driver libuv');
  for (const path of node) {
    try {
      accessSync(path, constants.X_OK);
    } catch (error) {
      throw new Usage(`--node: ${(error as Error).message}`);
    }
  }
  const variants = all.flatMap((driver): Variant[] =>
    driver === 'libuv'
      ? [{ driver }, ...node.map((each) => ({ driver, node: each }))]
      : [{ driver }],
  );
  if (variants.length > 1) return variants;
  throw new Usage(
    `one driver (${all.join()}) is nothing to compare: name another with --drivers, or for libuv a Node with --node`,
  );
}

function defaultDrivers(scenario: Scenario): readonly DriverName[] {
  const own = driversOf(scenario);
  if (!own.includes('raw')) return own;
  return own.includes('program') ? ['raw', 'libuv', 'program'] : ['raw', 'libuv'];
}

function textOf(scenario: Scenario, comparison: Comparison, { paint, columns }: Io): string {
  const { records, differences } = comparison;
  const differing = new Set(differences.map(({ what }) => what));
  const facts = records.map(factsOf);
  const sides = { labels: labelsOf(records), facts, names: factNames(facts), differing };
  const count = differences.length === 1 ? '1 difference' : `${differences.length} differences`;
  return (
    `${paint('bold', `${scenario.name}: ${scenario.title}`)}\n\n` +
    `${formatComparison(sides, { paint, width: columns })}\n${count}\n`
  );
}
