import type { WorldKind } from '../world/world.js';
import type { ScalePoint } from './bench-record.js';
export async function measureScale(
  _p: readonly number[],
  _o: {
    readonly world: WorldKind;
    readonly signal?: AbortSignal;
    readonly onPoint?: (n: number) => void;
  },
): Promise<ScalePoint[]> {
  return [];
}
