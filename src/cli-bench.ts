// `closewait bench`: from its flags to text and an exit code. cli.ts prints.

import { readFileSync, writeFileSync } from 'node:fs';
import { BenchRefusedError, bench } from './experiment/bench.js';
import { compareBench, parseBench } from './experiment/bench-compare.js';
import { type BenchFlags, planBench } from './experiment/bench-options.js';
import { measureScale } from './experiment/bench-scale.js';
import { formatBench, formatComparison, formatScale } from './report/bench.js';
import { formatBenchHtml } from './report/bench-html.js';
import { formatJson } from './report/json.js';
import type { Paint } from './report/terminal.js';
import type { WorldKind } from './world/world.js';

export interface BenchCommandFlags extends BenchFlags {
  readonly json?: true;
  readonly compare?: string;
  readonly html?: string;
}

/** The command line asks for what there is not. */
export class BenchUsageError extends Error {
  override readonly name = 'BenchUsageError';
}

export { BenchRefusedError };

function usage<T>(parse: () => T, file?: string): T {
  try {
    return parse();
  } catch (error) {
    const where = file === undefined ? '' : `${file}: `;
    throw new BenchUsageError(`${where}${(error as Error).message}`);
  }
}

/** A benchmark whose flags have been understood, and whose files are there. */
export interface ReadyBench {
  run(options: {
    readonly world: WorldKind;
    readonly signal: AbortSignal;
    readonly chatter: (line: string) => void;
    readonly paint: Paint;
  }): Promise<{ readonly text: string; readonly ok: boolean; readonly interrupted: boolean }>;
}

/** Throws BenchUsageError before anything is measured. */
export function readyBench({ json, compare, html, ...flags }: BenchCommandFlags): ReadyBench {
  const plan = usage(() => planBench(flags));
  const before =
    compare === undefined
      ? undefined
      : usage(() => parseBench(readFileSync(compare, 'utf8')), compare);
  if (html !== undefined) usage(() => writeFileSync(html, '', { flag: 'a' }), html);
  return {
    async run({ world, signal, chatter, paint }) {
      const onMode = ({ name }: { name: string }): void => chatter(`${name}...`);
      const record = await bench({ ...plan, world, signal, onMode });
      const onPoint = (connections: number): void => chatter(`${connections} in CLOSE_WAIT...`);
      const scale = await measureScale(plan.scale, { world, signal, onPoint });
      const whole = { ...record, ...(scale.length > 0 && { scale }) };
      const since = before && compareBench(before, record, plan.bound);
      if (html !== undefined) writeFileSync(html, formatBenchHtml(record));
      const text = json
        ? formatJson(since ? { ...whole, comparison: since } : whole)
        : [
            formatBench(record, paint),
            ...(scale.length > 0 ? [formatScale(scale, paint)] : []),
            ...(since ? [formatComparison(since, paint)] : []),
          ].join('\n');
      const { ok, interrupted } = record;
      return { text, ok: ok && since?.ok !== false, interrupted };
    },
  };
}
