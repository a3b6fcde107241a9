import type { DescriptorIterator } from '../observer/descriptor-iterator.js';
import { codeOf, isGone, numbersIn, processOfThread, unlessGone } from '../observer/proc.js';
import { SyscallError } from '../syscall/error.js';
import { isLeak } from '../tcp/cause.js';
import type { TcpStateName } from '../tcp/states.js';
import { Census, namespacesHeldBy, startTicksOf } from './census.js';
import { Eyes } from './eyes.js';
import { Finding, keepersOf, type Surroundings } from './finding.js';
import { interestOf } from './interest.js';
import { mountedNamespaces } from './mounts.js';
import type { Suspect } from './namespace.js';
import { checkOptions, type DiagnoseOptions } from './options.js';
import { describe, type ProcessReport } from './process.js';
import type { Counts, Diagnosis, SocketReport } from './record.js';
import { settle } from './settle.js';
import { sourcesOf } from './source.js';

const SETTLE_MS = 1000;
/** What began a second before this process, or later, is looked at twice. */
const YOUNG_TICKS = 100;

/**
 * Finds the sockets of running processes that stay although their connection is over or half over, and says why.
 *
 * Sees: CLOSE_WAIT, held FIN_WAIT2, unanswered FINs, descriptors in CLOSE, with all their holders. Blind to: what no
 * process of this /proc holds; processes that may not be read (`incomplete` counts them). Costs: one pass over /proc, one
 * dump of sock_diag for each namespace, and up to `settleMs` of watching where something is young. Needs: nothing for
 * processes of one's own user; CAP_SYS_PTRACE for others, CAP_SYS_ADMIN for other namespaces. It reads and copies
 * descriptors for an instant; it stops, signals and writes to nobody unless `stacks` is asked for.
 *
 * Throws TypeError or RangeError for options that are none, SyscallError where sock_diag itself is refused.
 */
export async function diagnose(asked: DiagnoseOptions = {}): Promise<Diagnosis> {
  const options = checkOptions(asked);
  const { settleMs = SETTLE_MS, signal } = options;
  const pids = options.pids && new Set(options.pids);
  using eyes = new Eyes();
  const missed = await openNamespaces(eyes, options);
  let listeners = eyes.list();
  let shown = eyes.look();
  using iterator = await iteratorFor(eyes.listed);
  let census = new Census(iterator);
  let ghosts = eyes.seekGhosts(census, pids);
  signal?.throwIfAborted();
  // A namespace that no thread is in is found by a descriptor of it or of a socket in it. Once: where namespaces come and go
  // all the time there would be no end.
  const holders = pids ?? (options.all ? numbersIn('/proc') : undefined);
  if (holders && (await eyes.openHidden(namespacesHeldBy(holders)))) {
    listeners = eyes.list();
    shown = eyes.look();
    census = new Census(iterator);
    ghosts = eyes.seekGhosts(census, pids);
  }

  const isWanted = (suspect: Suspect): boolean => {
    const { ports, states } = options;
    if (ports && !isAt(suspect, ports)) return false;
    if (states?.includes(suspect.state as TcpStateName) === false) return false;
    return !pids || keepersOf(suspect, { census, listeners }).some(({ pid }) => pids.has(pid));
  };
  const all = ghosts.length === 0 ? shown : [...shown, ...ghosts];
  const first = options.ports || options.states || pids ? all.filter(isWanted) : all;
  const { watched, passing } = await settle(first, (young) => eyes.look(young), {
    settleMs,
    signal,
  });
  // Descriptors have come and gone while one watched; the census has to be as fresh as the last look. A ghost was asked by
  // its descriptor.
  if (watched.some(({ watchedMs, suspect }) => watchedMs > 0 && suspect.state !== 'CLOSE')) {
    census = new Census(iterator);
  }

  const processOf = remembered(describe);
  const youngTicks = (startTicksOf('self') ?? 0) - YOUNG_TICKS;
  const surroundings: Surroundings = {
    ...{ census, listeners, pids, processOf },
    isYoung: remembered((pid) => (startTicksOf(pid) ?? youngTicks) >= youngTicks),
    interestOf: remembered((pid) => interestOf(pid, census.epollOf(pid))),
    sourcesOf: remembered(sourcesOf),
  };
  const found = watched
    .map((each) => Finding.of(each, surroundings))
    .filter((each) => each !== undefined);
  const sockets = withoutClosed(found, eyes);

  const incomplete = new Set([...missed, ...eyes.incomplete, ...blindSpots(census, sockets)]);
  for (const pid of pids ?? []) {
    if (census.refused.has(pid)) incomplete.add(`pid ${pid}: ${refusal(census.refused.get(pid))}`);
  }
  const unreadable = pids
    ? [...pids].some((pid) => census.refused.has(pid))
    : options.all === true && (census.refused.size > 0 || census.hidden !== undefined);
  const involved = new Set(pids);
  for (const socket of sockets) {
    if (socket.isShared) for (const { pid } of socket.holders) involved.add(pid);
    else if (socket.pid !== null) involved.add(socket.pid);
  }
  const reports = [...involved].map(processOf).filter((each) => each !== undefined);
  return {
    sockets,
    counts: count(sockets, passing + found.length - sockets.length),
    processes: await withStacks(reports, options),
    namespaces: eyes.namespaces,
    incomplete: [...incomplete],
    sufficient: missed.length === 0 && eyes.incomplete.length === 0 && !unreadable,
  };
}

/** From how many sockets on it pays to load a program that tells of their holders. */
const MANY = 5000;

/** What makes a census of very many faster, where it may be had. */
export async function iteratorFor(sockets: number): Promise<DescriptorIterator | undefined> {
  if (sockets < MANY) return undefined;
  const { DescriptorIterator } = await import('../observer/descriptor-iterator.js');
  return DescriptorIterator.openIfAllowed();
}

function isAt({ local, remote }: Suspect, ports: readonly number[]): boolean {
  return ports.some((port) => port === local.port || port === remote?.port);
}

/** Asks once for each process. */
function remembered<T>(ask: (pid: number) => T): (pid: number) => T {
  const known = new Map<number, T>();
  return (pid) => {
    const answer = known.get(pid);
    if (answer !== undefined || known.has(pid)) return answer as T;
    known.set(pid, ask(pid));
    return known.get(pid) as T;
  };
}

/** Opens what is to be looked at; returns why some of it cannot be. */
async function openNamespaces(
  eyes: Eyes,
  { pids, all, signal }: DiagnoseOptions,
): Promise<string[]> {
  if (pids === undefined) eyes.openOwn();
  const missed = new Set<string>();
  for (const pid of pids ?? (all ? numbersIn('/proc') : [])) {
    signal?.throwIfAborted();
    const leader = pids && processOfThread(pid);
    if (leader !== undefined && leader !== pid) {
      missed.add(`pid ${pid}: a thread of process ${leader}`);
      continue;
    }
    const code = await openThreadsOf(pid, eyes, missed);
    if (pids !== undefined && isGone(code)) missed.add(`pid ${pid}: no such process`);
    else if (pids !== undefined && code !== '') missed.add(`pid ${pid}: ${refusal(code)}`);
  }
  for (const path of all ? mountedNamespaces() : []) {
    try {
      await eyes.openAt(path);
    } catch (error) {
      if (!(error instanceof Error) || codeOf(error) === '') throw error;
      missed.add(`the network namespace at ${path}: ${error.message}`);
    }
  }
  return [...missed];
}

/**
 * Opens the namespaces of a process: each of its threads may have one of its own. Returns the errno where it is gone or may
 * not be read.
 */
async function openThreadsOf(pid: number, eyes: Eyes, missed: Set<string>): Promise<string> {
  const tasks = `/proc/${pid}/task`;
  let answer = 'ENOENT';
  for (const tid of unlessGone(() => numbersIn(tasks)) ?? []) {
    try {
      await eyes.openAt(`${tasks}/${tid}/ns/net`);
      answer = '';
    } catch (error) {
      const code = codeOf(error);
      if (isGone(code)) continue;
      if (code !== 'EACCES' && code !== 'EPERM') throw error;
      if (!(error instanceof SyscallError) || code === 'EACCES') return code;
      // Who may look into a process need not be one who may enter its namespace.
      missed.add(`the network namespace of pid ${pid}: ${error.message}`);
      answer = '';
    }
  }
  return answer;
}

/** Leaves out sockets that no holder was found for and that are gone by now: they were closed between look and census. */
function withoutClosed(found: readonly Finding[], eyes: Eyes): readonly Finding[] {
  const unclaimed = new Set(found.filter(isUnclaimed));
  if (unclaimed.size === 0) return found;
  const now = new Set(
    eyes.look([...unclaimed].map(({ suspect }) => suspect)).map(({ cookie }) => cookie),
  );
  return found.filter((each) => !unclaimed.has(each) || now.has(each.cookie));
}

/** Whether somebody ought to hold it, and nobody was seen to: an orphan is held by nobody. */
function isUnclaimed({ pid, inode, cause }: SocketReport): boolean {
  return pid === null && (inode !== 0 || cause === 'never-accepted');
}

function blindSpots({ refused, hidden }: Census, sockets: readonly SocketReport[]): string[] {
  const reasons: string[] = [];
  const unclaimed = sockets.filter(isUnclaimed).length;
  const effect = unclaimed === 0 ? '' : `; ${unclaimed} sockets are listed without a holder`;
  const byCode = new Map<string, number>();
  for (const code of refused.values()) byCode.set(code, (byCode.get(code) ?? 0) + 1);
  for (const [code, count] of byCode) {
    reasons.push(
      `${count === 1 ? '1 process' : `${count} processes`} may not be read: ${refusal(code)}${effect}`,
    );
  }
  if (hidden !== undefined) reasons.push(`${hidden}${effect}`);
  if (unclaimed > 0 && reasons.length === 0) {
    reasons.push(
      `${unclaimed} sockets are listed without a holder: the kernel's own, in flight over a Unix socket, in the table of a single thread, with io_uring only, or of a process outside this pid namespace`,
    );
  }
  return reasons;
}

/** Why a process may not be read. */
export function refusal(code = 'EACCES'): string {
  return `${code}: of another user, not dumpable or guarded by a security module (CAP_SYS_PTRACE may help)`;
}

async function withStacks(
  processes: readonly ProcessReport[],
  { stacks, pids = [], signal }: DiagnoseOptions,
): Promise<readonly ProcessReport[]> {
  if (!stacks) return processes;
  const { stacksOf } = await import('./stacks.js');
  const all: ProcessReport[] = [];
  for (const process of processes) {
    if (!pids.includes(process.pid)) all.push(process);
    else all.push({ ...process, stacks: await stacksOf(process, signal) });
  }
  return all;
}

function count(sockets: readonly SocketReport[], passing: number): Counts {
  const counts = {
    sockets: sockets.length,
    leaks: 0,
    'eof-unread': 0,
    'not-closed': 0,
    'never-accepted': 0,
    'shared-fd': 0,
    'still-sending': 0,
    ghost: 0,
    'peer-never-closes': 0,
    passing,
  };
  for (const { cause } of sockets) {
    counts[cause]++;
    if (isLeak(cause)) counts.leaks++;
  }
  return counts;
}
