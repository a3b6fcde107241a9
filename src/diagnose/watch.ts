import type { DescriptorIterator } from '../observer/descriptor-iterator.js';
import { codeOf, isGone, unlessGone } from '../observer/proc.js';
import { SockDiag } from '../observer/sock-diag.js';
import type { SocketTable } from '../tcp/socket-table.js';
import { Census, commOf, type HeldBy, netnsOf } from './census.js';
import { diagnose, iteratorFor } from './diagnose.js';
import { GHOST, kindAt } from './kind.js';
import { type DescriptorUse, descriptorUseOf } from './limits.js';
import { suspiciousStates } from './namespace.js';
import { checkOptions, type DiagnoseOptions } from './options.js';
import type { SocketReport } from './record.js';
import { openSockDiagOf } from './socket-diag.js';
import { fullInMs, perMinute, Trend } from './trend.js';
import type { ProcessTick, Tick } from './watch-record.js';
import { Tally } from './watch-tally.js';

/** What to watch. */
export type WatchOptions = Pick<DiagnoseOptions, 'pids' | 'ports'>;

/** What part of a core each of the two expensive looks may take: the more it costs the rarer it is. */
const SHARE = 0.01;
const CENSUS_MS = 60_000;
const GHOSTS_MS = 60_000;

/** Instead of a pid: nobody has looked yet, nobody asked for has it. */
const UNKNOWN = -1;
const NOT_THEIRS = -2;

/** One socket, from when it was first seen. */
interface Known {
  readonly sinceMs: number;
  /** Whose it is: a pid, 0 if nobody's that can be seen, UNKNOWN or NOT_THEIRS. */
  owner: number;
  shared: boolean;
  /** The last look that saw it. */
  look: number;
}

/** A namespace at one look. */
interface View {
  readonly table: SocketTable;
  /** What is known of each row; undefined where it is not wanted. */
  readonly rows: readonly (Known | undefined)[];
  /** The inode number of the listener at a port. */
  readonly listeners: ReadonlyMap<number, number>;
  /** Whether there is one that no census has met. */
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
 * makes it 1 % of a core. Needs: what diagnose() needs.
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
  #ghosts: readonly SocketReport[] = [];
  /** Stays loaded once there were very many sockets. */
  #iterator: DescriptorIterator | undefined;
  /** The last pass over /proc. */
  #found: Census | undefined;
  #blind: readonly string[] = [];
  #look = 0;

  private constructor(options: WatchOptions, diags: ReadonlyMap<number, SockDiag>) {
    this.#options = options;
    this.#diags = diags;
    this.#pids = options.pids && new Set(options.pids);
    this.#ports = options.ports && new Set(options.ports);
  }

  /** Throws RangeError for what is no pid or port, Node's own error or SyscallError for a process that cannot be watched. */
  static async open(options: WatchOptions = {}): Promise<Watch> {
    checkOptions(options);
    const diags = new Map<number, SockDiag>();
    try {
      if (options.pids === undefined) diags.set(netnsOf('self'), SockDiag.open());
      for (const pid of options.pids ?? []) {
        const netns = netnsOf(pid);
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
    return this.#options.pids?.some((pid) => commOf(pid) !== undefined) ?? true;
  }

  /** Looks once. */
  async look(): Promise<Tick> {
    const nowMs = performance.now();
    this.#look++;
    if (this.#haunting.isDue(nowMs, false)) await this.#seekGhosts(nowMs);
    const views = [...this.#diags.values()].map((diag) => this.#view(diag, nowMs));
    if (
      this.#census.isDue(
        nowMs,
        views.some(({ isNew }) => isNew),
      )
    ) {
      await this.#attribute(nowMs);
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
  #view(diag: SockDiag, nowMs: number): View {
    const table = diag.snapshot({ states: suspiciousStates });
    const { inode, cookie, localPort, remotePort } = table;
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
        known = { sinceMs: nowMs, owner: UNKNOWN, shared: false, look: this.#look };
        this.#known.set(key, known);
      }
      known.look = this.#look;
      if (known.owner === UNKNOWN && number !== 0) isNew = true;
      rows.push(known);
    }
    return { table, rows, listeners: listenersOf(diag), isNew };
  }

  async #attribute(nowMs: number): Promise<void> {
    const before = process.cpuUsage();
    this.#iterator ??= await iteratorFor(this.#known.size);
    const found = new Census(this.#iterator);
    const { refused, hidden } = found;
    this.#found = found;
    for (const [inode, known] of this.#known) {
      const held = found.holdersOf(inode);
      known.owner = this.#ownerOf(held);
      known.shared = held.length > 1;
    }
    const asked = [...refused].filter(([pid]) => this.#pids?.has(pid) ?? true);
    this.#blind = [
      ...(asked.length > 0 ? [`${asked.length} processes may not be read: ${asked[0]?.[1]}`] : []),
      ...(hidden ? ['processes of other users are hidden (/proc is mounted with hidepid)'] : []),
    ];
    this.#census.paid(nowMs, process.cpuUsage(before), CENSUS_MS);
  }

  async #seekGhosts(nowMs: number): Promise<void> {
    const before = process.cpuUsage();
    const found = await diagnose({ ...this.#options, states: ['CLOSE'], settleMs: 0 });
    this.#ghosts = found.sockets;
    this.#haunting.paid(nowMs, process.cpuUsage(before), GHOSTS_MS);
  }

  /** Counts the sockets of a namespace into groups; returns how many nobody is known for yet. */
  #count({ table, rows, listeners }: View, nowMs: number): number {
    const { state, recvQ, sendQ, inode, timer, retransmits, localPort } = table;
    const columns = { state, recvQ, sendQ, inode, timer, retransmits };
    let unattributed = 0;
    for (let row = 0; row < rows.length; row++) {
      const known = rows[row];
      if (known === undefined) continue;
      const port = localPort[row] as number;
      const listener = listeners.get(port);
      // Nobody has accepted it: it is the listener's.
      const isQueued = inode[row] === 0;
      const owner = isQueued ? this.#ownerOf(this.#found?.holdersOf(listener ?? 0)) : known.owner;
      if (owner === UNKNOWN) unattributed++;
      if (owner === NOT_THEIRS || (owner === UNKNOWN && this.#pids !== undefined)) continue;
      const kind = kindAt(columns, row, known.shared && !isQueued);
      const from = listener === undefined ? 0 : port;
      this.#tally.add(Math.max(owner, 0), from, kind, nowMs - known.sinceMs);
    }
    return unattributed;
  }

  #countGhost({ inode, holders }: SocketReport, nowMs: number): void {
    const owner = this.#ownerOf(holders);
    if (owner === NOT_THEIRS) return;
    const known = this.#known.get(inode) ?? {
      ...{ sinceMs: nowMs, owner, shared: holders.length > 1, look: this.#look },
    };
    known.look = this.#look;
    this.#known.set(inode, known);
    this.#tally.add(owner, 0, GHOST, nowMs - known.sinceMs);
  }

  #ownerOf(holders: readonly HeldBy[] | undefined): number {
    if (this.#pids === undefined) return holders?.[0]?.pid ?? 0;
    return holders?.find(({ pid }) => this.#pids?.has(pid))?.pid ?? NOT_THEIRS;
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

function listenersOf(diag: SockDiag): ReadonlyMap<number, number> {
  const { localPort, inode } = diag.snapshot({ states: ['LISTEN'] });
  const listeners = new Map<number, number>();
  for (let row = 0; row < localPort.length; row++) {
    listeners.set(localPort[row] ?? 0, inode[row] ?? 0);
  }
  return listeners;
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
