import type { DriverName } from '../driver/role.js';
import type { Scenario } from '../scenario/scenario.js';
import type { End, EnterEvent } from './event.js';
import type { AppRecord, Left, Moment, RunRecord } from './record.js';
import { type RunOptions, run } from './run.js';

/** Who acts one of the runs. */
export interface Variant {
  readonly driver: DriverName;
  /** The Node of it, where it has one: a path. Left out: this one. */
  readonly node?: string;
}

/** One thing that runs have not in common. */
export interface Difference {
  readonly what: string;
  /** By the run's label; null where there was none. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** The same scenario by several. */
export interface Comparison {
  readonly scenario: string;
  readonly records: readonly RunRecord[];
  readonly differences: readonly Difference[];
}

const ENDS: readonly End[] = ['client', 'server'];
/** Times that are closer are the machine's affair: a delayed ACK takes 40 ms. */
const NOTABLE_MS = 20;
const NOTABLE_RATIO = 2;

/** Runs a scenario by each variant, one after the other, and tells what differs. Throws what `run` throws. */
export async function compare(
  scenario: Scenario,
  variants: readonly Variant[],
  options: Omit<RunOptions, keyof Variant>,
): Promise<Comparison> {
  const records: RunRecord[] = [];
  for (const variant of variants) {
    const { record } = await run(scenario, { ...options, ...variant });
    records.push(record);
  }
  return { scenario: scenario.name, records, differences: differencesOf(records) };
}

/** A name for each run: its driver's, or that of what ran it where a driver ran it several times. */
export function labelsOf(records: readonly RunRecord[]): string[] {
  return records.map(({ driver, runtime }, i) => {
    const alike = records.filter((other) => other.driver === driver);
    if (alike.length === 1) return driver;
    const label = runtime ?? driver;
    const same = alike.filter((other) => other.runtime === runtime);
    return same.length === 1 ? label : `${label} #${i + 1}`;
  });
}

/**
 * What the runs have not in common, in the order of `factsOf`. One that was skipped differs by that alone. Times differ
 * always; they are named where the longest is more than twice the shortest, and by 20 ms.
 */
export function differencesOf(records: readonly RunRecord[]): Difference[] {
  const labels = labelsOf(records);
  const facts = records.map(factsOf);
  return factNames(facts).flatMap((what) => {
    const values: Record<string, unknown> = {};
    for (const [i, each] of facts.entries()) {
      if (what !== VERDICT && records[i]?.verdict === 'skipped') continue;
      values[labels[i] ?? ''] = each.get(what) ?? null;
    }
    const all = Object.values(values);
    const differ = what.startsWith(TIME)
      ? isNotable(all)
      : new Set(all.map((value) => JSON.stringify(value))).size > 1;
    return differ ? [{ what, values }] : [];
  });
}

/** The names of all facts, each once, in the order that every run tells them. */
export function factNames(facts: readonly ReadonlyMap<string, unknown>[]): string[] {
  const names: string[] = [];
  for (const each of facts) {
    let after = -1;
    for (const name of each.keys()) {
      const known = names.indexOf(name);
      if (known < 0) names.splice(after + 1, 0, name);
      after = known < 0 ? after + 1 : known;
    }
  }
  return names;
}

const VERDICT = 'verdict';
const TIME = 'ms to ';

function isNotable(times: readonly unknown[]): boolean {
  const known = times.filter((time) => typeof time === 'number');
  const [least, most] = [Math.min(...known), Math.max(...known)];
  return most - least > NOTABLE_MS && most > NOTABLE_RATIO * least;
}

/** What a run is compared by: a value of JSON each, in the order they are told. */
export function factsOf(record: RunRecord): ReadonlyMap<string, unknown> {
  const facts = new Map<string, unknown>();
  const { verdict, reason, events, moments, left, application } = record;
  facts.set(VERDICT, reason === undefined ? verdict : `${verdict}: ${reason}`);
  if (verdict === 'skipped') return facts;

  for (const end of ENDS) facts.set(`path of the ${end}`, record.ends[end].path);
  for (const moment of moments) {
    for (const end of ENDS) facts.set(`${end} at "${moment.name}"`, socketAt(moment, end));
  }
  facts.set(
    'segments',
    events.flatMap((event) => {
      if (event.kind !== 'segment') return [];
      const { end, flags, payloadLength: length } = event;
      return [`${end} ${flags}${length > 0 ? ` ${length}` : ''}`];
    }),
  );
  facts.set(
    'resets',
    events.flatMap((event) =>
      event.kind === 'send-reset' ? [`${event.end} ${event.reason ?? ''}`.trim()] : [],
    ),
  );
  facts.set('retransmissions', events.filter(({ kind }) => kind === 'retransmit').length);
  for (const end of ENDS) {
    const told = application?.[end] ?? [];
    facts.set(`verbs of the ${end}`, ofKind(told, 'call'));
    facts.set(`events of the ${end}`, ofKind(told, 'event'));
  }
  for (const end of ENDS) {
    for (const [name, count] of systemCalls(record, end)) {
      facts.set(`${end} calls ${name}`, count);
    }
  }
  if (left !== undefined) facts.set('left behind', leftBehind(left));
  const began = events.find(({ kind }) => kind === 'segment');
  for (const { name, tNs } of moments) {
    if (began === undefined) break;
    facts.set(`${TIME}"${name}"`, Math.round((tNs - began.tNs) / 1e5) / 10);
  }
  return facts;
}

function socketAt({ sockets, tcpInfo, diagnoses }: Moment, end: End): string {
  const socket = sockets.find((each) => each.end === end);
  const cause = diagnoses.find((each) => each.end === end)?.cause;
  if (socket === undefined) return tcpInfo[end] === undefined ? 'gone' : `${tcpInfo[end]}, held`;
  const { state, recvQ, sendQ, inode, timer } = socket;
  const parts = [state, inode === 0 ? 'no owner' : 'held', `Recv-Q ${recvQ}`, `Send-Q ${sendQ}`];
  if (timer !== 'off') parts.push(`timer ${timer}`);
  return [...parts, ...(cause === undefined ? [] : [cause])].join(', ');
}

function ofKind(told: readonly AppRecord[], wanted: AppRecord['kind']): string[] {
  return told.flatMap(({ kind, name, result, code }) =>
    kind === wanted ? [[name, code ?? result ?? ''].join(' ').trim()] : [],
  );
}

/**
 * How often an end made each call on a socket, its listener included: what a program does besides, to be a program, is
 * not counted. Nothing where nobody followed its calls.
 */
function systemCalls({ events }: RunRecord, end: End): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const sockets = new Set<number>();
  const makers = new Map<number, EnterEvent>();
  for (const event of events) {
    if (event.kind === 'exit' && event.enter !== undefined) {
      const made = makers.get(event.enter);
      if (made !== undefined && event.result >= 0) sockets.add(Number(event.result));
    }
    if (event.kind !== 'enter' || event.end !== end) continue;
    const { syscall, args, id } = event;
    if (MAKES_SOCKET.has(syscall)) makers.set(id, event);
    const fd = Number(args[syscall === 'epoll_ctl' ? 2 : 0]);
    if (syscall !== 'socket' && !sockets.has(fd)) continue;
    counts.set(syscall, (counts.get(syscall) ?? 0) + 1);
    if (syscall === 'close') sockets.delete(fd);
  }
  return counts;
}

const MAKES_SOCKET: ReadonlySet<string> = new Set(['socket', 'accept', 'accept4']);

/** The connection's sockets that were still there; a listener is no connection. */
function leftBehind({ sockets, tcpInfo }: Left): string[] {
  return ENDS.flatMap((end) => {
    const socket = sockets.find((each) => each.end === end);
    if (socket !== undefined) {
      return [`${end} ${socket.state}, ${socket.inode === 0 ? 'no owner' : 'held'}`];
    }
    const state = tcpInfo[end];
    return state === undefined ? [] : [`${end} ${state}, held: in no list`];
  });
}
