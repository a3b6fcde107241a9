import { readFileSync } from 'node:fs';
import { ReferenceProgram } from '../driver/reference.js';
import { snapshot } from '../observer/sock-diag.js';
import { visit } from '../world/visit.js';
import type { WorldKind } from '../world/world.js';
import type { ScalePoint } from './bench-record.js';
import { openWorld } from './bench-world.js';

/** Below the limit of descriptors that a process usually may raise itself to. */
const HELD_BY_ONE = 15_000;
const PAGE_BYTES = 4096;

export interface ScaleOptions {
  readonly world: WorldKind;
  readonly signal?: AbortSignal;
  /** Called before each point. */
  readonly onPoint?: (connections: number) => void;
}

/** The curve, as far as it came. */
export interface Scale {
  readonly points: readonly ScalePoint[];
  /** Why it ends before it should. */
  readonly failure?: string;
  /** It ends because it was to. */
  readonly interrupted?: true;
}

interface Memory {
  /** TCP: mem of /proc/net/sockstat, in bytes: what is charged for data. */
  readonly dataBytes: number;
  /** Slab of /proc/meminfo: the objects themselves, and everybody else's. */
  readonly slabBytes: number;
}

function memory(): Memory {
  const [, pages = '0'] =
    /^TCP:.* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'latin1')) ?? [];
  const [, kib = '0'] = /^Slab:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'latin1')) ?? [];
  return { dataBytes: Number(pages) * PAGE_BYTES, slabBytes: Number(kib) * 1024 };
}

/**
 * Holds so many connections in CLOSE_WAIT, by as many processes as that takes, and closes them, the processes one after the
 * other. Each point has a world of its own. What could not be held ends the curve, and is told as `failure`.
 */
export async function measureScale(
  points: readonly number[],
  { world: kind, signal, onPoint }: ScaleOptions,
): Promise<Scale> {
  const measured: ScalePoint[] = [];
  for (const connections of points) {
    if (signal?.aborted) return { points: measured, interrupted: true };
    onPoint?.(connections);
    try {
      measured.push(await measurePoint(connections, kind, signal));
    } catch (error) {
      if (signal?.aborted) return { points: measured, interrupted: true };
      const failure = `${connections} in CLOSE_WAIT: ${(error as Error).message}`;
      return { points: measured, failure };
    }
  }
  return { points: measured };
}

async function measurePoint(
  connections: number,
  kind: WorldKind,
  signal: AbortSignal | undefined,
): Promise<ScalePoint> {
  await using world = await openWorld(kind);
  using _inside = await visit(world);
  const programs: ReferenceProgram[] = [];
  try {
    const before = memory();
    for (let left = connections; left > 0; left -= HELD_BY_ONE) {
      const share = Math.min(left, HELD_BY_ONE);
      const program = await ReferenceProgram.start(world, 'crowd', [String(share)], signal);
      programs.push(program);
      await program.line(); // ready
    }
    const held = snapshot({ states: ['CLOSE_WAIT'] }).length;
    if (kind === 'namespace' && held !== connections) {
      throw new Error(`expected ${connections} in CLOSE_WAIT, observed ${held}`);
    }
    const after = memory();
    let ns = 0;
    for (const program of programs) {
      await program.tell('1');
      ns += Number(await program.line());
    }
    return {
      connections,
      processes: programs.length,
      closeUs: ns / connections / 1000,
      kernelBytesPerSocket: (after.dataBytes - before.dataBytes) / connections,
      slabBytesPerConnection: (after.slabBytes - before.slabBytes) / connections,
    };
  } finally {
    for (const program of programs.reverse()) await program[Symbol.asyncDispose]();
  }
}
