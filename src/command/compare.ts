import { resolve } from 'node:path';
import { NotNode } from '../driver/libuv-program.js';
import type { DriverName } from '../driver/role.js';
import {
  type Comparison,
  compareAll,
  factNames,
  labelsOf,
  tellingDifferences,
  type Variant,
} from '../experiment/compare.js';
import { factsOf, VERDICT } from '../experiment/facts.js';
import type { RunRecord } from '../experiment/record.js';
import type { RunOptions } from '../experiment/run.js';
import { formatComparison } from '../report/compare.js';
import { formatJson } from '../report/json.js';
import { formatMatrix, type MatrixRow } from '../report/matrix.js';
import { Unseen } from '../report/unseen.js';
import { catalogue } from '../scenario/catalogue.js';
import { driversOf, type Scenario } from '../scenario/scenario.js';
import { AS_EXPECTED, EXPECTATION_FAILED, type Io, interruption, Usage } from './command.js';
import { Leftovers } from './leftovers.js';
import { commandOf, isProgram } from './outsider.js';
import { again, bestWorld, needOwnProc } from './place.js';
import { isFile } from './scenario-file.js';
import { checkNames, chosen, driverNamed, TIMEOUT_S } from './selection.js';
import { Watchdog } from './watchdog.js';

const TIMEOUT_MS = TIMEOUT_S * 1000;

export interface CompareFlags {
  readonly drivers?: string;
  readonly node?: readonly string[];
  readonly server?: readonly string[];
  readonly client?: readonly string[];
  readonly json?: true;
  readonly hostNetwork?: true;
}

/** How many scenarios are compared at once, where there are many: they wait more than they compute. */
const JOBS = 4;

/** So many stand side by side; more of them are a matrix. */
const WIDE = 3;

/** `closewait compare` */
export async function compare(
  name: string | undefined,
  flags: CompareFlags,
  io: Io,
): Promise<number> {
  try {
    return await compareNamed(name, flags, io);
  } catch (error) {
    if (error instanceof NotNode) throw new Usage(`--node: ${error.message}`);
    throw error;
  }
}

async function compareNamed(
  name: string | undefined,
  flags: CompareFlags,
  io: Io,
): Promise<number> {
  if (name === undefined) variantsOf(ofNode(flags), flags);
  else checkNames([name]);
  needOwnProc();
  if (!flags.hostNetwork) {
    const exitCode = await again(io);
    if (exitCode !== undefined) return exitCode;
  }
  using leftovers = name !== undefined && isFile(name) ? new Leftovers(io) : undefined;
  using _watchdog = leftovers && (await Watchdog.start(io, leftovers, TIMEOUT_MS));
  const scenarios = name === undefined ? ofNode(flags) : await onlyOne(name);
  const variants = variantsOf(scenarios, flags);
  leftovers?.begin();
  const options: RunOptions = {
    world: flags.hostNetwork ? 'host' : await bestWorld(io),
    signal: interruption(),
    timeoutMs: TIMEOUT_MS,
  };
  let done = 0;
  const comparisons = await compareAll(scenarios, variants, {
    ...{ ...options, jobs: JOBS },
    onEnd: () => io.status?.(`${++done} of ${scenarios.length} scenarios`),
  });
  io.status?.('');
  const [comparison] = comparisons;
  const [scenario] = scenarios;
  if (name === undefined || comparison === undefined || scenario === undefined) {
    io.out(flags.json ? formatJson(comparisons) : tableOf(comparisons, io));
  } else {
    io.out(flags.json ? formatJson(comparison) : textOf(scenario, comparison, io));
  }
  if (!flags.json) {
    const unseen = new Unseen();
    for (const record of comparisons.flatMap(({ records }) => records)) unseen.add(record);
    for (const line of unseen.lines) io.chatter(line);
  }
  const clean = (await leftovers?.report()) ?? true;
  const asExpected = comparisons.every(({ records }, i) =>
    records.every((each) => isExpected(each, scenarios[i])),
  );
  return clean && asExpected ? AS_EXPECTED : EXPECTATION_FAILED;
}

/** The scenario of a name; a file has but one. Throws Usage and CannotRun. */
async function onlyOne(name: string): Promise<readonly Scenario[]> {
  const scenarios = await chosen([name]);
  if (scenarios.length === 1) return scenarios;
  const names = scenarios.map((each) => each.name).join(', ');
  throw new Usage(`${name} exports several scenarios (${names}): compare takes a file of one`);
}

/** The scenarios that only Node can act: what several Nodes are compared by, if nothing else is said. */
function ofNode({ node = [], ...flags }: CompareFlags): readonly Scenario[] {
  if (node.length === 0) throw new Usage('name a scenario, or other Nodes with --node');
  for (const flag of ['drivers', 'server', 'client'] as const) {
    if (flags[flag] !== undefined) throw new Usage(`--${flag} is for one scenario: name it`);
  }
  return catalogue.filter((each) => driversOf(each).every((driver) => driver === 'libuv'));
}

/** That a driver no one vouched for, or a command, does something else is what was asked, and no failure. */
function isExpected(
  { ok, verdict, driver, command }: RunRecord,
  scenario: Scenario | undefined,
): boolean {
  const vouched =
    command === undefined && scenario !== undefined && driversOf(scenario).includes(driver);
  return ok || (verdict === 'not-reproduced' && !vouched);
}

function variantsOf(
  scenarios: readonly Scenario[],
  { drivers, node = [], ...flags }: CompareFlags,
): Variant[] {
  const commands = (['server', 'client'] as const).flatMap((end) =>
    (flags[end] ?? []).map(
      (line) => ({ driver: 'program', command: commandOf(end, line) }) as const,
    ),
  );
  const named = drivers?.split(',').map((each) => driverNamed(each.trim()));
  const all: readonly DriverName[] =
    named ?? defaultDrivers(scenarios).slice(0, commands.length > 0 ? 1 : undefined);
  if (node.length > 0 && !all.includes('libuv')) throw new Usage('--node is for driver libuv');
  for (const path of node) {
    // A path alone: what PATH leads to is this Node.
    if (!isProgram(resolve(path))) {
      throw new Usage(`--node: there is no program ${path} to run${hint(path)}`);
    }
  }
  const variants = [
    ...all.flatMap((driver): Variant[] =>
      driver === 'libuv'
        ? [{ driver }, ...node.map((each) => ({ driver, node: resolve(each) }))]
        : [{ driver }],
    ),
    ...commands,
  ];
  if (variants.length > 1) return variants;
  throw new Usage(
    `one driver (${all.join()}) is nothing to compare: name another with --drivers, for libuv a Node with --node, ` +
      'or a command with --server or --client',
  );
}

/** A scenario's name behind --node is taken for one more path. */
const hint = (path: string): string =>
  catalogue.some(({ name }) => name === path) ? ' (a scenario goes before --node)' : '';

function defaultDrivers(scenarios: readonly Scenario[]): readonly DriverName[] {
  const own = [...new Set(scenarios.flatMap(driversOf))];
  if (!own.includes('raw')) return own;
  return own.includes('program') ? ['raw', 'libuv', 'program'] : ['raw', 'libuv'];
}

function textOf(scenario: Scenario, comparison: Comparison, { paint, columns }: Io): string {
  const { records, differences } = comparison;
  const title = paint('bold', `${scenario.name}: ${scenario.title}`);
  const count = differences.length === 1 ? '1 difference' : `${differences.length} differences`;
  const labels = labelsOf(records);
  const format = { paint, width: columns };
  const onlyNodes = records.every(({ driver }) => driver === 'libuv');
  if (onlyNodes || labels.length > WIDE) {
    const rows = differences.map(({ what, values }) => ({
      what,
      values: labels.map((label) => values[label]),
    }));
    const verdict = {
      what: VERDICT,
      values: records.map((record) => factsOf(record).get(VERDICT)),
    };
    const all = rows.some(({ what }) => what === VERDICT) ? rows : [verdict, ...rows];
    return `${title}\n\n${formatMatrix(versions(labels), all, format)}\n${count}\n`;
  }
  const differing = new Set(differences.map(({ what }) => what));
  const facts = records.map(factsOf);
  const sides = { labels, facts, names: factNames(facts), differing };
  return `${title}\n\n${formatComparison(sides, format)}\n${count}\n`;
}

/** Nodes by their versions: columns are narrow. */
const versions = (labels: readonly string[]): string[] =>
  labels.map((label) => label.replace(/^node (?=v\d)/, ''));

function tableOf(comparisons: readonly Comparison[], { paint, columns }: Io): string {
  const [first] = comparisons;
  const labels = labelsOf(first?.records ?? []);
  const rows: MatrixRow[] = [];
  let differing = 0;
  for (const comparison of comparisons) {
    const { scenario, records } = comparison;
    const differences = tellingDifferences(comparison);
    if (differences.length > 0) differing++;
    rows.push({ what: scenario, values: records.map(({ verdict }) => verdict) });
    for (const { what, values } of differences) {
      if (what === VERDICT && rows.at(-1)?.what === VERDICT) continue;
      rows.push({ what, values: labels.map((label) => values[label]), detail: true });
    }
  }
  return (
    `${formatMatrix(versions(labels), rows, { paint, width: columns })}\n` +
    `${differing} of ${comparisons.length} scenarios differ in what applications and peers see; ` +
    'name one for its calls and times\n'
  );
}
