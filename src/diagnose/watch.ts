import { readFileSync } from 'node:fs';
import type { DescriptorIterator } from '../observer/descriptor-iterator.js';
import { codeOf, isGone, numbersIn, parseStat, unlessGone } from '../observer/proc.js';
import { SockDiag } from '../observer/sock-diag.js';
import type { SocketRow, SocketTable } from '../tcp/socket-table.js';
import { Census, commOf, type HeldBy, netnsOf } from './census.js';
import { diagnose, iteratorFor, refusal } from './diagnose.js';
import { GHOST, kindAt } from './kind.js';
import { type DescriptorUse, descriptorUseOf } from './limits.js';
import { type Listener, Listeners, listenerOf } from './listeners.js';
import { suspiciousStates } from './namespace.js';
import { checkNoThread, checkOptions, type DiagnoseOptions } from './options.js';
import { openSockDiagOf } from './socket-diag.js';
import { fullInMs, perMinute, Trend } from './trend.js';
import { type Ghost, stillHaunting } from './watch-ghosts.js';
import { firstSeen, type Known, note, UNKNOWN } from './watch-known.js';
import type { ProcessTick, Tick } from './watch-record.js';
import { Tally } from './watch-tally.js';
import { askForUse, mayBeUsed } from './watch-usage.js';

/** What to watch. */
export type WatchOptions = Pick<DiagnoseOptions, 'pids' | 'ports'>;

/** What part of a core an expensive look may take: the more it costs the rarer it is. */
const SHARE = 0.01;
/** That of the look which tells a half-close in use, where nothing is new: it goes on all the same. */
const USAGE_SHARE = 0.0025;
const CENSUS_MS = 60_000;
const GHOSTS_MS = 60_000;
/** How many ghosts a look asks after. */
const ASKED = 2000;

/** Instead of a pid: nobody asked for has it. */
const NOT_THEIRS = -2;

const NO_LISTENERS: readonly Listener[] = [];

/** A namespace at one look. */
interface View {
  readonly table: SocketTable;
  /** What is known of each row; undefined where it is not wanted. */
  readonly rows: readonly (Known | undefined)[];
  /** The ports that have a listener. */
  readonly ports: ReadonlySet<number>;
  /** The inode numbers of all listeners. */
  readonly listening: Uint32Array;
  /** Each list of listeners that rows without a descriptor have. */
  readonly queues: ReadonlySet<readonly Listener[]>;
  /** Whether there is a socket, or a listener that one waits at, that no census has met. */
  readonly isNew: boolean;
}

/** Something that is done again when its price allows it. */
class Rarely {
  #dueMs = 0;
  #agedMs = 0;

  /** Whether its time has come: the price of the last time is paid off, and there is `need` or it is old. */
  isDue(nowMs: number, need: boolean): boolean {
    return nowMs >= this.#dueMs && (need || nowMs >= this.#agedMs);
  }

  /** Notes what it has cost, in CPU time, and when it has to be renewed at the latest. */
  paid(nowMs: number, cost: NodeJS.CpuUsage, renewMs: number): void {
    this.#dueMs = nowMs + (cost.user + cost.system) / 1000 / SHARE;
    this.#agedMs = nowMs + renewMs;
  }
}

/**
 * Counts, look by look, the sockets that nobody closes, by process, listener, state and cause, and how they grow.
 *
 * Sees: every socket of sock_diag in CLOSE_WAIT, FIN_WAIT1, FIN_WAIT2, CLOSING and LAST_ACK at each look; who holds it, and
 * ghosts, when /proc is read again. Blind to: what comes and goes between two looks. Costs: a filtered dump for each look,
 * 1 us a socket; /proc is read when there is a new socket, ghosts are sought once a minute, and each of the two as rarely as
 * makes it 1 % of a core; what tells a half-close in use, a fourth of that; 4 us for each ghost, of 2000 at a look. Needs:
 * what diagnose() needs.
 */
export class Watch implements Disposable {
  readonly #options: WatchOptions;
  readonly #diags: ReadonlyMap<number, SockDiag>;
  readonly #pids: ReadonlySet<number> | undefined;
  readonly #ports: ReadonlySet<number> | undefined;
  readonly #startMs = performance.now();
  readonly #known = new Map<number, Known>();
  readonly #tally = new Tally();
  readonly #fds = new Map<number, Trend>();
  readonly #census = new Rarely();
  readonly #haunting = new Rarely();
  readonly #asking = new Rarely();
  /** Whether a look has shown one that has not been asked for twice. */
  #isUnasked = false;
  #ghosts: readonly Ghost[] = [];
  /** Stays loaded once there were very many sockets. */
  #iterator: DescriptorIterator | undefined;
  /** The last pass over /proc. */
  #found: Census | undefined;
  /** The inode numbers of the listeners there were before it: it has found who holds them, or nobody can be found. */
  #met: ReadonlySet<number> = new Set();
  #blind: readonly string[] = [];
  #look = 0;

  private constructor(options: WatchOptions, diags: ReadonlyMap<number, SockDiag>) {
    this.#options = options;
    this.#diags = diags;
    this.#pids = options.pids && new Set(options.pids);
    this.#ports = options.ports && new Set(options.ports);
  }

  /** Throws TypeError or RangeError for options that are none, Node's own error or SyscallError for a process that cannot be watched. */
  static async open(asked: WatchOptions = {}): Promise<Watch> {
    const options = checkOptions(asked, ['pids', 'ports']);
    const diags = new Map<number, SockDiag>();
    try {
      if (options.pids === undefined) diags.set(netnsOf('self'), SockDiag.open());
      for (const pid of options.pids ?? []) {
        checkNoThread(pid);
        const netns = netnsIfAllowed(pid);
        if (!diags.has(netns)) diags.set(netns, await openSockDiagOf(pid));
      }
    } catch (error) {
      for (const diag of diags.values()) diag.close();
      throw error;
    }
    return new Watch(options, diags);
  }

  /** Whether one of the processes asked for is still there, or none was asked for. */
  get goesOn(): boolean {
    return this.#options.pids?.some(isRunning) ?? true;
  }

  /** Looks once. */
  async look(): Promise<Tick> {
    const nowMs = performance.now();
    this.#look++;
    if (this.#haunting.isDue(nowMs, false)) await this.#seekGhosts(nowMs);
    else this.#layGhosts();
    const views = [...this.#diags].map(([netns, diag]) => this.#view(netns, diag, nowMs));
    this.#askForUse(nowMs);
    if (
      this.#census.isDue(
        nowMs,
        views.some(({ isNew }) => isNew),
      )
    ) {
      await this.#attribute(views, nowMs);
    }
    this.#tally.begin();
    const incomplete = new Set<string>();
    let unattributed = 0;
    for (const view of views) {
      unattributed += this.#count(view, nowMs);
      for (const reason of view.table.incomplete)
        incomplete.add(`sockets may be missing: ${reason}`);
    }
    for (const ghost of this.#ghosts) this.#countGhost(ghost, nowMs);
    for (const [key, { look }] of this.#known) if (look !== this.#look) this.#known.delete(key);
    for (const reason of this.#blind) incomplete.add(reason);
    return this.#tick(nowMs, unattributed, incomplete);
  }

  /** Lists a namespace, and recognizes the sockets that were there before. */
  #view(netns: number, diag: SockDiag, nowMs: number): View {
    const table = diag.snapshot({ states: suspiciousStates });
    const { inode, cookie, localPort, remotePort } = table;
    const listening = diag.snapshot({ states: ['LISTEN'] });
    const ports = new Set(listening.localPort);
    // Their addresses are made only for who waits at one.
    let listeners: Listeners | undefined;
    const queues = new Set<readonly Listener[]>();
    const rows: (Known | undefined)[] = [];
    let isNew = false;
    for (let row = 0; row < table.length; row++) {
      if (!this.#isAtPort(localPort[row] as number, remotePort[row] as number)) {
        rows.push(undefined);
        continue;
      }
      const number = inode[row] as number;
      // What has no inode has a cookie: below zero, so that the two do not meet.
      const key = number === 0 ? -Number(cookie[row]) : number;
      let known = this.#known.get(key);
      if (known === undefined) {
        known = firstSeen(nowMs);
        this.#known.set(key, known);
      }
      known.look = this.#look;
      if (number === 0) {
        known.listeners = NO_LISTENERS;
        if (ports.has(localPort[row] as number)) {
          known.local ??= (table.at(row) as SocketRow).local;
          listeners ??= new Listeners([...listening].map((each) => listenerOf(netns, each)));
          known.listeners = listeners.queuesOf({ netns, local: known.local });
        }
        queues.add(known.listeners);
      } else isNew ||= known.owner === UNKNOWN;
      rows.push(known);
    }
    isNew ||= [...queues].some((queue) => !this.#hasMet(queue));
    return { table, rows, ports, listening: listening.inode, queues, isNew };
  }

  #hasMet(queue: readonly Listener[]): boolean {
    return queue.every(({ inode }) => this.#met.has(inode));
  }

  async #attribute(views: readonly View[], nowMs: number): Promise<void> {
    const before = process.cpuUsage();
    this.#iterator ??= await iteratorFor(this.#known.size);
    const found = new Census(this.#iterator);
    const { refused, hidden } = found;
    this.#found = found;
    this.#met = new Set(views.flatMap(({ listening }) => [...listening]));
    for (const [inode, known] of this.#known) {
      const held = found.holdersOf(inode);
      known.owner = this.#ownerOf(held);
      known.shared = held.length > 1;
    }
    const asked = [...refused].filter(([pid]) => this.#pids?.has(pid) ?? true);
    this.#blind = [
      ...(asked.length > 0 ? [`${asked.length} processes may not be read: ${asked[0]?.[1]}`] : []),
      ...(hidden === undefined ? [] : [hidden]),
    ];
    this.#census.paid(nowMs, process.cpuUsage(before), CENSUS_MS);
  }

  #askForUse(nowMs: number): void {
    // Two looks are all that `--once` makes.
    if (this.#look > 2 && !this.#asking.isDue(nowMs, this.#isUnasked)) return;
    const before = process.cpuUsage();
    askForUse(this.#diags.values(), this.#known);
    this.#isUnasked = false;
    const cost = process.cpuUsage(before);
    this.#asking.paid(nowMs, cost, (cost.user + cost.system) / 1000 / USAGE_SHARE);
  }

  async #seekGhosts(nowMs: number): Promise<void> {
    const before = process.cpuUsage();
    const found = await diagnose({ ...this.#options, states: ['CLOSE'], settleMs: 0 });
    this.#ghosts = found.sockets.map(({ inode, holders }) => ({ inode, holders }));
    this.#haunting.paid(nowMs, process.cpuUsage(before), GHOSTS_MS);
  }

  /** Forgets the ghosts that have been closed: of very many some at each look, in turn, yet all at the last one. */
  #layGhosts(): void {
    const most = this.#ghosts.length > ASKED && this.goesOn ? ASKED : this.#ghosts.length;
    const rest = this.#ghosts.slice(most);
    this.#ghosts = [...rest, ...stillHaunting(this.#ghosts.slice(0, most))];
  }

  /** Counts the sockets of a namespace into groups; returns how many nobody is known for yet. */
  #count({ table, rows, ports, queues }: View, nowMs: number): number {
    const { state, recvQ, sendQ, inode, timer, retransmits, localPort } = table;
    const columns = { state, recvQ, sendQ, inode, timer, retransmits };
    const owners = new Map([...queues].map((queue) => [queue, this.#ownerAt(queue)]));
    let unattributed = 0;
    for (let row = 0; row < rows.length; row++) {
      const known = rows[row];
      if (known === undefined) continue;
      note(known, state[row] as number, recvQ[row] as number, sendQ[row] as number, nowMs);
      const port = localPort[row] as number;
      const { listeners } = known;
      const isHeld = listeners === undefined;
      const owner = isHeld ? known.owner : (owners.get(listeners) as number);
      if (owner === UNKNOWN) unattributed++;
      if (owner === NOT_THEIRS || (owner === UNKNOWN && this.#pids !== undefined)) continue;
      if (isHeld && known.isUsed !== false && mayBeUsed(known.state)) {
        known.sinceMs = nowMs;
        this.#isUnasked ||= known.isUsed === undefined;
      }
      const kind = kindAt(columns, row, known.shared && isHeld, known.isUsed);
      const cameIn = isHeld ? ports.has(port) : listeners.length > 0;
      this.#tally.add(Math.max(owner, 0), cameIn ? port : 0, kind, nowMs - known.sinceMs);
    }
    return unattributed;
  }

  #countGhost({ inode, holders }: Ghost, nowMs: number): void {
    const owner = this.#ownerOf(holders);
    if (owner === NOT_THEIRS) return;
    const known = this.#known.get(inode) ?? firstSeen(nowMs);
    known.look = this.#look;
    note(known, GHOST, 0, 0, nowMs);
    this.#known.set(inode, known);
    this.#tally.add(owner, 0, GHOST, nowMs - known.sinceMs);
  }

  /** Whose the connections are that wait at one of these listeners. */
  #ownerAt(listeners: readonly Listener[]): number {
    const owner = this.#ownerOf(
      listeners.flatMap(({ inode }) => this.#found?.holdersOf(inode) ?? []),
    );
    return owner > 0 || this.#hasMet(listeners) ? owner : UNKNOWN;
  }

  #ownerOf(holders: readonly HeldBy[]): number {
    if (this.#pids === undefined) return holders[0]?.pid ?? 0;
    return holders.find(({ pid }) => this.#pids?.has(pid))?.pid ?? NOT_THEIRS;
  }

  #isAtPort(local: number, remote: number): boolean {
    return this.#ports === undefined || this.#ports.has(local) || this.#ports.has(remote);
  }

  #tick(nowMs: number, unattributed: number, incomplete: Set<string>): Tick {
    const pids = new Set([...(this.#pids ?? []), ...this.#tally.pids]);
    const uses = new Map<number, DescriptorUse>();
    const processes: ProcessTick[] = [];
    for (const pid of pids) {
      const comm = unlessGone(() => commOf(pid));
      const use = comm === undefined ? undefined : useIfAllowed(pid, incomplete);
      if (comm === undefined) {
        if (this.#pids?.has(pid)) incomplete.add(`pid ${pid}: no such process`);
        continue;
      }
      if (use === undefined) continue;
      uses.set(pid, use);
      const trend = this.#fds.get(pid) ?? new Trend();
      this.#fds.set(pid, trend);
      trend.add(nowMs, use.open);
      processes.push({
        ...{ pid, comm, openFds: use.open },
        maxFds: Number.isFinite(use.max) ? use.max : null,
        perMinute: perMinute(trend.perMs),
        fullInMs: fullInMs(use.max - use.open, trend.perMs),
      });
    }
    for (const pid of this.#fds.keys()) if (!pids.has(pid)) this.#fds.delete(pid);
    const groups = this.#tally.end(nowMs, uses);
    return {
      time: new Date().toISOString(),
      elapsedMs: Math.round(nowMs - this.#startMs),
      sockets: groups.reduce((sum, each) => sum + each.sockets, 0),
      leaks: groups.reduce((sum, each) => sum + (each.leak ? each.standing : 0), 0),
      groups,
      processes,
      unattributed,
      incomplete: [...incomplete],
    };
  }

  /** Closes the netlink sockets and unloads the program. Idempotent. */
  [Symbol.dispose](): void {
    this.#iterator?.close();
    for (const diag of this.#diags.values()) diag.close();
  }
}

/** Throws Node's own error, with what it means here for its message. */
function netnsIfAllowed(pid: number): number {
  try {
    return netnsOf(pid);
  } catch (error) {
    const code = codeOf(error);
    if (error instanceof Error) {
      if (isGone(code)) error.message = `no process ${pid}`;
      else if (code === 'EACCES') error.message = `pid ${pid}: ${refusal(code)}`;
    }
    throw error;
  }
}

/** Whether a process is there, and no zombie: its first thread may be one while others go on. */
function isRunning(pid: number): boolean {
  const running = unlessGone(() => {
    const { state } = parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    return (state !== 'Z' && state !== 'X') || numbersIn(`/proc/${pid}/task`).length > 1;
  });
  return running ?? false;
}

function useIfAllowed(pid: number, incomplete: Set<string>): DescriptorUse | undefined {
  try {
    return descriptorUseOf(pid);
  } catch (error) {
    const code = codeOf(error);
    if (isGone(code)) return undefined;
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    incomplete.add(`descriptors of pid ${pid} cannot be counted: ${code}`);
    return undefined;
  }
}
