import type { DriverName, End } from '../driver/role.js';
import { invalidValue, shown as plain } from '../tcp/argument.js';
import type { Cause } from '../tcp/cause.js';
import { type TcpStateName, tcpStates } from '../tcp/states.js';
import type { Control, PlaceOptions, Scenario, SocketExpectation } from './scenario.js';

/** Says what is wrong with a value, each in a phrase that names the place; nothing where it is right. */
type Check = (value: unknown, where: string) => string[];

/** A check of every field a type has: one that is added there is asked for here. */
type Fields<T> = Readonly<Record<keyof T, Check>>;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isGenerator = (value: unknown): boolean =>
  /^\[object (Async)?GeneratorFunction\]$/.test(Object.prototype.toString.call(value));

function shown(value: unknown): string {
  if (isGenerator(value)) return 'a generator';
  if (!isObject(value) && !Array.isArray(value)) return plain(value);
  try {
    return JSON.stringify(value);
  } catch {
    // A circle, a bigint.
    return plain(value);
  }
}

function expecting(what: string, holds: (value: unknown) => boolean): Check {
  return (value, where) =>
    holds(value) ? [] : [`${where} must be ${what}, received ${shown(value)}`];
}

const text = expecting('a text', (value) => typeof value === 'string' && value !== '');
const yes = expecting('true or left out', (value) => value === true);
const flag = expecting('true or false', (value) => typeof value === 'boolean');
const count = expecting('a whole number', (value) => Number.isInteger(value) && Number(value) >= 0);
/** Calling a generator runs none of it. */
const act = expecting(
  'a function, and no generator',
  (value) => typeof value === 'function' && !isGenerator(value),
);
const name = expecting(
  'words of lower case, joined by "-"',
  (value) => typeof value === 'string' && /^[a-z0-9]+(-[a-z0-9]+)*$/.test(value),
);
const flags = expecting(
  'flags as tcpdump spells them ("S", "P.", ".")',
  (value) => typeof value === 'string' && /^[SFRPUEW]*\.?$/.test(value) && value !== '',
);

const oneOf = (...values: readonly unknown[]): Check =>
  expecting(`one of ${values.map(shown).join(', ')}`, (value) => values.includes(value));

const either =
  (...checks: readonly Check[]): Check =>
  (value, where) =>
    checks.some((check) => check(value, where).length === 0)
      ? []
      : checks.flatMap((check) => check(value, where)).slice(-1);

const listOf =
  (check: Check): Check =>
  (value, where) =>
    Array.isArray(value)
      ? value.flatMap((each, i) => check(each, `${where}[${i}]`))
      : [`${where} must be a list, received ${shown(value)}`];

/** A list that is not empty. */
const some =
  (check: Check): Check =>
  (value, where) =>
    Array.isArray(value) && value.length === 0
      ? [`${where} must be left out or name one at least`]
      : listOf(check)(value, where);

/** An object whose keys are the author's. */
const mapOf =
  (check: Check): Check =>
  (value, where) =>
    isObject(value)
      ? Object.entries(value).flatMap(([key, each]) => check(each, `${where}["${key}"]`))
      : [`${where} must be an object, received ${shown(value)}`];

/** An object of known fields, `needed` among them. */
function shape<T>(fields: Fields<T>, needed: readonly (keyof T & string)[] = []): Check {
  const known = Object.keys(fields);
  return (value, where) => {
    if (!isObject(value)) return [`${where || 'it'} must be an object, received ${shown(value)}`];
    const at = (key: string): string => (where === '' ? key : `${where}.${key}`);
    // What a class gives its objects is theirs, too.
    const keys = new Set([...Object.keys(value), ...known]);
    const present = [...keys].filter((key) => value[key] !== undefined);
    return [
      ...needed.filter((key) => !present.includes(key)).map((key) => `${at(key)} is missing`),
      ...present
        .filter((key) => !known.includes(key))
        .map((key) => `${at(key)} is no field: there are ${known.join(', ')}`),
      ...known
        .filter((key) => present.includes(key))
        .flatMap((key) => fields[key as keyof T](value[key], at(key))),
    ];
  };
}

const DRIVERS: Readonly<Record<DriverName, true>> = {
  raw: true,
  libuv: true,
  program: true,
};
const ENDS: Readonly<Record<End, true>> = { client: true, server: true };
const CAUSES: Readonly<Record<Cause, true>> = {
  'eof-unread': true,
  'not-closed': true,
  'never-accepted': true,
  'shared-fd': true,
  'still-sending': true,
  ghost: true,
  'peer-never-closes': true,
};

const keysOf = (names: object): Check => oneOf(...Object.keys(names));
const perEnd = (check: Check): Check =>
  shape<Record<End, unknown>>({ client: check, server: check });
const state: Check = (value, where) =>
  tcpStates.includes(value as TcpStateName)
    ? []
    : [`${where} must be a TCP state as netstat spells it (FIN_WAIT2), received ${shown(value)}`];

const socket = shape<SocketExpectation>({
  recvQ: count,
  sendQ: either(count, oneOf('some')),
  owned: flag,
  timer: text,
  cause: keysOf(CAUSES),
  waitsIn: shape<Record<DriverName, unknown>>({ raw: text, libuv: text, program: text }),
});

/** Settings that a network namespace has of its own. */
const sysctls: Check = (value, where) => [
  ...Object.keys(isObject(value) ? value : {})
    .filter((path) => !/^net(\/[^/]+)+$/.test(path) || path.split('/').includes('..'))
    .map((path) => `${where}["${path}"] must be a path below /proc/sys, in net/`),
  ...mapOf(text)(value, where),
];

const scenario = shape<Scenario>(
  {
    name,
    title: text,
    source: text,
    summary: text,
    drivers: some(keysOf(DRIVERS)),
    place: shape<PlaceOptions>({ link: yes, wire: keysOf(ENDS) }),
    sysctls,
    needsNamespace: yes,
    slow: yes,
    families: some(oneOf(4, 6)),
    path: perEnd(listOf(state)),
    momentary: perEnd(listOf(state)),
    listener: listOf(state),
    proof: perEnd(state),
    segments: listOf(flags),
    resets: listOf(keysOf(ENDS)),
    expected: mapOf(perEnd(socket)),
    control: shape<Control>({ what: text, sysctls, run: act }, ['what', 'run']),
    run: act,
  },
  ['name', 'title', 'source', 'summary', 'path', 'run'],
);

/** What keeps a value from being a Scenario, each thing in a phrase; empty where nothing does. */
export function faultsOf(value: unknown): string[] {
  const faults = scenario(value, '');
  return faults.length > 0 ? faults : unprovable(value as Scenario);
}

/** Refuses what is no scenario, with all that is wrong with it. */
export function checkScenario(value: unknown): void {
  const faults = faultsOf(value);
  if (faults.length > 0) throw invalidValue(`not a scenario: ${faults.join('; ')}`);
}

/** What nobody could hold against anything: a proof that is not on the way, the states of what has none. */
const unprovable = ({ proof = {}, path, place }: Scenario): string[] => [
  ...Object.entries(proof)
    .filter(([end, state]) => !path[end as End]?.includes(state))
    .map(([end, state]) => `proof.${end} is ${state}, which path.${end} does not go through`),
  ...Object.entries(path)
    .filter(([end, states]) => end === place?.wire && states.length > 0)
    .map(([end]) => `path.${end} is of a wire, which is in no state`),
];
