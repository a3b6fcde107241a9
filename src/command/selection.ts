import { availableParallelism } from 'node:os';
import type { DriverName } from '../driver/role.js';
import type { Task } from '../experiment/suite.js';
import { catalogue } from '../scenario/catalogue.js';
import { driversOf, type Scenario } from '../scenario/scenario.js';
import { Usage } from './command.js';
import { suggestion } from './nearest.js';
import { isFile, loadScenarios } from './scenario-file.js';

/** What of the command line says which runs there are. */
export interface SelectionFlags {
  readonly driver?: string;
  readonly family?: string;
  readonly fast?: true;
  readonly repeat?: string;
}

/** The numbers and names among the flags, checked. */
export interface Selection {
  /** Undefined: each scenario's first. */
  readonly driver: DriverName | 'all' | undefined;
  readonly families: readonly (4 | 6)[];
  readonly fast: boolean;
  readonly repeat: number;
}

/** How long one run may take where nobody says. */
export const TIMEOUT_S = 120;
const DRIVERS: readonly string[] = ['raw', 'libuv', 'program'] satisfies DriverName[];
const FAMILIES: Readonly<Record<string, readonly (4 | 6)[]>> = { 4: [4], 6: [6], both: [4, 6] };

/** Throws Usage. */
export function selectionOf({
  driver,
  family = '4',
  fast,
  repeat = '1',
}: SelectionFlags): Selection {
  const families = Object.hasOwn(FAMILIES, family) ? FAMILIES[family] : undefined;
  if (families === undefined) throw new Usage(`no IP version "${family}": it is 4, 6 or both`);
  return {
    driver: driver === undefined || driver === 'all' ? driver : driverNamed(driver, ', or all'),
    families,
    fast: fast === true,
    repeat: wholeNumber('--repeat', repeat),
  };
}

/** Throws Usage for a name that is no driver's. */
export function driverNamed(name: string, orElse = ''): DriverName {
  if (DRIVERS.includes(name)) return name as DriverName;
  throw new Usage(`no driver "${name}": it is ${DRIVERS.join(' or ')}${orElse}`);
}

/** How many run at once, by the command line or by the machine: they wait more than they compute. */
export function jobsOf(jobs: string | undefined): number {
  return jobs === undefined ? availableParallelism() * 4 : wholeNumber('--jobs', jobs);
}

/** A number from 1 on. Throws Usage. */
export function wholeNumber(flag: string, value: string): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= 1 && number <= 1e6) return number;
  throw new Usage(`${flag} takes a number from 1 to 1000000, not "${value}"`);
}

/** Refuses names that are none, before anything is loaded or run. Throws Usage. */
export function checkNames(names: readonly string[]): void {
  for (const name of names) if (!isFile(name)) scenarioNamed(name);
}

/** The scenarios that were named, or all of them. Throws Usage and CannotRun. */
export async function chosen(
  names: readonly string[],
  { fast = false }: Partial<Selection> = {},
): Promise<readonly Scenario[]> {
  const lists: (readonly Scenario[])[] = [];
  for (const name of names)
    lists.push(isFile(name) ? await loadScenarios(name) : [scenarioNamed(name)]);
  const all = names.length === 0 ? catalogue : lists.flat();
  const scenarios = fast ? all.filter(({ slow }) => slow !== true) : all;
  for (const { name } of scenarios) {
    if (new Set(scenarios.filter((each) => each.name === name)).size > 1) {
      throw new Usage(`two scenarios are called ${name}`);
    }
  }
  if (scenarios.length === 0) throw new Usage('--fast leaves none of these: they are all slow');
  return scenarios;
}

/** Each scenario by each driver and over each IP version, as often as asked for. */
export function tasksOf(scenarios: readonly Scenario[], selection: Selection): Task[] {
  const { driver, families, repeat } = selection;
  const once = scenarios.flatMap((scenario) => {
    const all = driversOf(scenario);
    const drivers = driver === 'all' ? all : [driver ?? all[0] ?? 'raw'];
    return drivers.flatMap((each) =>
      families.map((family) => ({ scenario, driver: each, family })),
    );
  });
  return Array.from({ length: repeat }, () => once).flat();
}

/** One of the catalogue. Throws Usage with the nearest name. */
function scenarioNamed(name: string): Scenario {
  const scenario = catalogue.find((each) => each.name === name);
  if (scenario !== undefined) return scenario;
  const near = suggestion(
    name,
    catalogue.map((each) => each.name),
  );
  throw new Usage(`no scenario "${name}"${near}; \`closewait list\` shows them`);
}
