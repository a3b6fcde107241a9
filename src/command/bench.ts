import { readFileSync, writeFileSync } from 'node:fs';
import { BenchRefusedError, bench as measure } from '../experiment/bench.js';
import { compareBench, parseBench } from '../experiment/bench-compare.js';
import { type BenchFlags as PlanFlags, planBench } from '../experiment/bench-options.js';
import { measureScale } from '../experiment/bench-scale.js';
import { formatBench, formatComparison, formatScale } from '../report/bench.js';
import { formatBenchHtml } from '../report/bench-html.js';
import { formatJson } from '../report/json.js';
import {
  AS_EXPECTED,
  CannotRun,
  EXPECTATION_FAILED,
  INTERRUPTED,
  type Io,
  interruption,
  Usage,
} from './command.js';
import { again, bestWorld, needProc } from './place.js';

export interface BenchFlags extends PlanFlags {
  readonly json?: true;
  readonly compare?: string;
  readonly html?: string;
}

/** `closewait bench` */
export async function bench(flags: BenchFlags, io: Io): Promise<number> {
  const { json, compare, html } = flags;
  const { bound, scale: points, ...plan } = usage(() => planBench(flags));
  const before =
    compare === undefined
      ? undefined
      : usage(() => parseBench(readFileSync(compare, 'utf8')), compare);
  // Whether it can be written is asked now, and not when all has been measured.
  if (html !== undefined) usage(() => writeFileSync(html, '', { flag: 'a' }), html);
  needProc();
  const exitCode = await again(io);
  if (exitCode !== undefined) return exitCode;

  const where = { world: await bestWorld(io), signal: interruption() };
  const record = await measure({
    ...plan,
    ...where,
    onMode: ({ name }) => io.chatter(`${name}...`),
  }).catch((error: unknown) => {
    throw error instanceof BenchRefusedError ? new CannotRun(error.message) : error;
  });
  const {
    points: scale,
    failure,
    interrupted = record.interrupted,
  } = await measureScale(points, {
    ...where,
    onPoint: (connections) => io.chatter(`${connections} in CLOSE_WAIT...`),
  });
  const comparison = before && compareBench(before, record, bound);
  if (json) {
    const more = { ...(scale.length > 0 && { scale }), ...(comparison && { comparison }) };
    io.out(formatJson({ ...record, interrupted, ...more }));
  } else {
    io.out(formatBench(record, io.paint));
    if (scale.length > 0) io.out(`\n${formatScale(scale, io.paint)}`);
    if (comparison) io.out(`\n${formatComparison(comparison, io.paint)}`);
  }
  if (interrupted && !record.interrupted) io.chatter('interrupted: not all that was to be held');
  // Last: what was measured is not lost with the page.
  if (html !== undefined) writePage(html, formatBenchHtml(record));
  if (interrupted) return INTERRUPTED;
  if (failure !== undefined) throw new CannotRun(failure);
  return record.ok && comparison?.ok !== false ? AS_EXPECTED : EXPECTATION_FAILED;
}

/** What `parse` gives; what it throws is the command line's fault. */
function usage<T>(parse: () => T, file?: string): T {
  try {
    return parse();
  } catch (error) {
    const where = file === undefined ? '' : `${file}: `;
    throw new Usage(`${where}${(error as Error).message}`);
  }
}

function writePage(file: string, page: string): void {
  try {
    writeFileSync(file, page);
  } catch (error) {
    throw new CannotRun(`${file} is not written: ${(error as Error).message}`);
  }
}
