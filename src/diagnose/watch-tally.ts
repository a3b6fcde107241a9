import { type Cause, isLeak } from '../tcp/cause.js';
import { stateName } from '../tcp/states.js';
import { commOf } from './census.js';
import { causeOfKind, KINDS } from './kind.js';
import type { DescriptorUse } from './limits.js';
import { fullInMs, perMinute, Trend } from './trend.js';
import type { GroupTick } from './watch-record.js';

interface Group {
  readonly pid: number;
  readonly comm: string | null;
  readonly listener: number;
  readonly state: number;
  readonly cause: Cause;
  readonly trend: Trend;
  sockets: number;
  standing: number;
  oldestMs: number;
}

/** The groups of a watch, counted anew at each look; what they were before is kept as their trend. */
export class Tally {
  readonly #groups = new Map<string, Group>();
  /** By process, listener and kind: several kinds may have one cause. Null where nothing is suspicious. */
  readonly #cells = new Map<number, Group | null>();

  /** Begins a look. */
  begin(): void {
    for (const group of this.#groups.values()) {
      group.sockets = 0;
      group.standing = 0;
      group.oldestMs = 0;
    }
  }

  /**
   * Counts a socket: of process `pid`, 0 if nobody's that can be seen, come in by port `listener`, 0 if by none, seen for
   * `ageMs` now, 0 if this look is the first.
   */
  add(pid: number, listener: number, kind: number, ageMs: number): void {
    const key = (pid * 0x1_0000 + listener) * KINDS + kind;
    let group = this.#cells.get(key);
    if (group === undefined) {
      group = this.#groupOf(pid, listener, kind);
      this.#cells.set(key, group);
    }
    if (group === null) return;
    group.sockets++;
    if (ageMs > 0) group.standing++;
    if (ageMs > group.oldestMs) group.oldestMs = ageMs;
  }

  /** Ends a look, with how many descriptors each process has: the fastest growing group first, then the largest. */
  end(nowMs: number, uses: ReadonlyMap<number, DescriptorUse>): GroupTick[] {
    const ticks: GroupTick[] = [];
    let over = false;
    for (const [key, group] of this.#groups) {
      group.trend.add(nowMs, group.sockets);
      if (group.trend.isZero) over = this.#groups.delete(key);
      if (group.sockets > 0) ticks.push(tickOf(group, uses.get(group.pid)));
    }
    // Cells that lead to a group which is no longer there are found anew.
    if (over) this.#cells.clear();
    return ticks.sort((a, b) => (b.perMinute ?? 0) - (a.perMinute ?? 0) || b.sockets - a.sockets);
  }

  /** The processes whose sockets this look has counted. */
  get pids(): Set<number> {
    const counted = [...this.#groups.values()].filter(({ sockets }) => sockets > 0);
    return new Set(counted.map(({ pid }) => pid).filter((pid) => pid !== 0));
  }

  #groupOf(pid: number, listener: number, kind: number): Group | null {
    const cause = causeOfKind(kind);
    if (cause === undefined) return null;
    const state = kind & 0xf;
    const key = [pid, listener, state, cause].join();
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const comm = pid === 0 ? null : (commOf(pid) ?? null);
    const group: Group = {
      ...{ pid, comm, listener, state, cause },
      trend: new Trend(),
      ...{ sockets: 0, standing: 0, oldestMs: 0 },
    };
    this.#groups.set(key, group);
    return group;
  }
}

function tickOf(group: Group, use: DescriptorUse | undefined): GroupTick {
  const { pid, comm, listener, state, cause, trend, sockets, standing, oldestMs } = group;
  // What was never accepted takes no descriptor.
  const takes = use !== undefined && cause !== 'never-accepted';
  return {
    ...{ pid: pid === 0 ? null : pid, comm },
    state: stateName(state),
    ...{ cause, leak: isLeak(cause) },
    listener: listener === 0 ? null : listener,
    ...{ sockets, standing, oldestMs: Math.round(oldestMs) },
    perMinute: perMinute(trend.perMs),
    fullInMs: takes ? fullInMs(use.max - use.open, trend.perMs) : null,
  };
}
