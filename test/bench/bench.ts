import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { capture } from './capture.js';
import { diagnose } from './diagnose.js';
import { floor } from './floor.js';
import { holding } from './holders.js';
import { iterator } from './iterator.js';
import type { Bound, Figure, Group } from './pair.js';
import { tracing } from './tracing.js';

const GROUPS: Readonly<Record<string, Group>> = {
  floor,
  observers: { ...tracing, ...capture, ...holding, ...iterator },
  diagnose,
};

const USAGE = `usage: npm run bench [-- [GROUP] [--rounds N] [--json]]

Prints what things cost as ratios against plain C programs of the same shape, paired in one run.
Traffic is on loopback, in the network namespace this is started in.

  GROUP       ${Object.keys(GROUPS).join(', ')} (floor)
  --rounds N  pairs a ratio is taken over (31)
  --json      one document instead of a table

Exit: 0 every bound holds, 1 a bound is missed, 2 usage, 3 a panel could not be run.`;

/** Noise of more than this between two instances of one program makes the other ratios doubtful. */
const CONTROL_TOLERANCE = 0.03;

interface Results {
  readonly group: string;
  readonly kernel: string;
  readonly node: string;
  readonly cpus: number;
  readonly rounds: number;
  readonly figures: readonly Figure[];
  /** Panels that could not be run, and why. */
  readonly missing: ReadonlyArray<{ readonly panel: string; readonly reason: string }>;
  readonly doubts: readonly string[];
}

async function measure(group: string, panels: Group, rounds: number): Promise<Results> {
  const figures: Figure[] = [];
  const missing: Array<{ panel: string; reason: string }> = [];
  for (const [panel, run] of Object.entries(panels)) {
    console.error(`bench: ${panel}...`);
    try {
      figures.push(...(await run(rounds)));
    } catch (error) {
      missing.push({ panel, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  const { length } = cpus();
  const machine = { kernel: release(), node: process.version, cpus: length };
  return { group, ...machine, rounds, figures, missing, doubts: doubtsAbout(figures) };
}

function doubtsAbout(figures: readonly Figure[]): string[] {
  return figures
    .filter(({ control, ratio }) => control && Math.abs(ratio.median - 1) > CONTROL_TOLERANCE)
    .map(({ what, ratio }) => `${what} took ${ratio.median.toFixed(3)} x its own time: noisy`);
}

function format(results: Results): string {
  const { group, kernel, node, rounds, missing, doubts } = results;
  const header = ['', 'ratio', 'p10..p90', 'bound', 'holds', 'its time', "the other's"];
  const lines = align([header, ...results.figures.map(row)]);
  lines.unshift(
    `${group}: Linux ${kernel}, node ${node}, ${results.cpus} CPUs, ${rounds} pairs`,
    '',
  );
  lines.push(...missing.map(({ panel, reason }) => `not run: ${panel}: ${reason}`));
  lines.push(...doubts.map((doubt) => `doubt: ${doubt}`));
  return lines.join('\n');
}

function row({ what, against, ratio, medianNs, bound, ok, control }: Figure): string[] {
  return [
    `${control ? '  control: ' : ''}${what} / ${against}`,
    ratio.median.toFixed(3),
    `${ratio.p10.toFixed(3)}..${ratio.p90.toFixed(3)}`,
    bound ? formatBound(bound) : '',
    bound ? (ok ? 'yes' : 'NO') : '',
    formatNs(medianNs.what),
    formatNs(medianNs.against),
  ];
}

function formatBound(bound: Bound): string {
  return 'atMost' in bound ? `<= ${bound.atMost}` : `>= ${bound.atLeast}`;
}

function formatNs(ns: number): string {
  if (ns < 1e3) return `${ns.toFixed(0)} ns`;
  return ns < 1e6 ? `${(ns / 1e3).toFixed(2)} us` : `${(ns / 1e6).toFixed(1)} ms`;
}

/** Aligns columns: the first to the left, numbers to the right. */
function align(rows: readonly string[][]): string[] {
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  return rows.map((cells) =>
    cells
      .map((cell, column) => {
        const width = widths?.[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

interface Options {
  readonly group: string;
  readonly panels: Group;
  readonly rounds: number;
  readonly json: boolean;
}

function parse(args: string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '31' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const [group = 'floor', ...rest] = positionals;
  const panels = Object.hasOwn(GROUPS, group) ? GROUPS[group] : undefined;
  if (!panels) throw new TypeError(`no such group: ${group}`);
  if (rest.length > 0) throw new TypeError(`one group at a time, not also ${rest.join(' ')}`);
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new TypeError(`--rounds ${values.rounds}`);
  return { group, panels, rounds, json: values.json };
}

async function main(args: string[]): Promise<number> {
  let options: Options | undefined;
  try {
    options = parse(args);
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    return 2;
  }
  if (!options) {
    console.log(USAGE);
    return 0;
  }
  const results = await measure(options.group, options.panels, options.rounds);
  console.log(options.json ? JSON.stringify(results, null, 2) : format(results));
  if (results.figures.some(({ ok }) => !ok)) return 1;
  return results.missing.length > 0 ? 3 : 0;
}

process.exitCode = await main(process.argv.slice(2));
