import type { Comparison } from '../experiment/bench-compare.js';
import type {
  BenchRecord,
  DriverBench,
  ModeBench,
  Ratio,
  ScalePoint,
} from '../experiment/bench-record.js';
import type { Paint } from './terminal.js';

const STATES = ['FIN_WAIT1', 'FIN_WAIT2', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSING'] as const;

/** A time in the unit that shows three figures. */
export function formatUs(us: number): string {
  if (!Number.isFinite(us)) return '-';
  if (us >= 1e6) return `${(us / 1e6).toFixed(2)} s`;
  if (us >= 1000) return `${(us / 1000).toFixed(2)} ms`;
  return `${us.toFixed(us < 100 ? 2 : 1)} us`;
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const times = (ratio: number): string => (Number.isFinite(ratio) ? ratio.toFixed(3) : '-');

/** Columns under each other: the first to the left, the others to the right. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  return rows.map((cells) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

const range = ({ p10, p90 }: Ratio): string =>
  Number.isFinite(p10) ? `${times(p10)}..${times(p90)}` : '-';

function payers({ timeWait: { client, server }, cycles }: DriverBench): string {
  if (cycles === 0) return '-';
  const names = [client > 0 ? 'client' : '', server > 0 ? 'server' : ''].filter(Boolean);
  return names.length === 0 ? 'nobody' : names.join(' and ');
}

const HEADER = [
  ...['driver', 'p50', 'p90', 'p99', 'p99.9', 'max', 'close to EOF', '/ C', 'p10..p90'],
  ...['cycles/s', 'calls', 'TIME_WAIT', 'left'],
];

function driverRow(driver: DriverBench): string[] {
  const { p50Us, p90Us, p99Us, p999Us, maxUs, closeToEof, ratioToC, ratio } = driver;
  return [
    `  ${driver.driver}`,
    ...[p50Us, p90Us, p99Us, p999Us, maxUs, closeToEof.p50Us].map(formatUs),
    times(ratioToC),
    range(ratio),
    driver.cycles === 0 ? '-' : driver.cyclesPerSecond.toFixed(0),
    driver.systemCalls === undefined ? '-' : driver.systemCalls.toFixed(1),
    payers(driver),
    String(driver.socketsLeft),
  ];
}

function stateRows({ drivers }: ModeBench): string[][] {
  const rows = drivers
    .filter(({ states }) => states !== undefined)
    .map(({ driver, states }) => [
      `  ${driver}`,
      ...STATES.map((state) => {
        const spread = states?.[state];
        return spread === undefined ? '-' : formatUs(spread.p50Us);
      }),
    ]);
  return rows.length === 0 ? [] : [['  time in state, p50', ...STATES], ...rows];
}

function modeText(mode: ModeBench, paint: Paint): string {
  const lines = [paint('bold', `${mode.mode}: ${mode.title}`)];
  lines.push(...align([['', ...HEADER.slice(1)], ...mode.drivers.map(driverRow)]));
  lines.push(...align(stateRows(mode)));
  if (mode.control !== undefined) {
    lines.push(
      paint('dim', `  control: C / C ${times(mode.control.median)} (${range(mode.control)})`),
    );
  }
  for (const { driver, faults } of mode.drivers) {
    for (const { what, count } of faults) {
      lines.push(paint('red', `  fault: ${driver}: ${count} x ${what}`));
    }
  }
  return `${lines.join('\n')}\n`;
}

function costsText(modes: readonly ModeBench[], paint: Paint): string {
  const rows = modes.flatMap(({ mode, costs }) =>
    costs === undefined
      ? []
      : [
          [
            `  ${mode}`,
            String(costs.calls),
            ...[costs.crossingUs, costs.systemCallUs, costs.kernelUs, costs.jsUs].map(formatUs),
          ],
        ],
  );
  if (rows.length === 0) return '';
  const header = ['', 'calls', 'native crossing', 'system call', 'kernel path', 'JS'];
  const lines = align([header, ...rows]);
  return `${paint('bold', 'where the time of raw goes (median teardown)')}\n${lines.join('\n')}\n`;
}

/** All of a benchmark, for a person. */
export function formatBench(record: BenchRecord, paint: Paint): string {
  const { kernel, node, cpu, world, cycles, modes, doubts, rssBytes } = record;
  const where = world.kind === 'namespace' ? 'network namespaces of its own' : "the host's network";
  const parts = [
    `teardown: ${cycles} cycles a driver and mode; Linux ${kernel}, node ${node}, ${cpu}, ${where}\n`,
    ...modes.map((mode) => modeText(mode, paint)),
    costsText(modes, paint),
  ];
  if (rssBytes !== undefined) {
    const { first, last } = rssBytes;
    parts.push(`memory: ${mib(first)} after the first session, ${mib(last)} at the end\n`);
  }
  if (doubts.length > 0) {
    parts.push(doubts.map((doubt) => `${paint('yellow', 'doubt')}: ${doubt}\n`).join(''));
  }
  return parts.filter(Boolean).join('\n');
}

/** What changed since an earlier run. */
export function formatComparison(comparison: Comparison, paint: Paint): string {
  const { changes, unpaired, bound, ok, doubts } = comparison;
  const rows = changes.map(({ mode, driver, of, before, now, factor, p, verdict }) => [
    `  ${mode}, ${driver}`,
    of,
    times(before),
    times(now),
    times(factor),
    p < 0.0001 ? '< 0.0001' : p.toFixed(4),
    verdict,
  ]);
  const header = ['', 'of', 'before', 'now', 'factor', 'p', ''];
  const verdict = ok
    ? paint('green', `no regression beyond ${bound} x`)
    : paint('red', `a regression beyond ${bound} x`);
  return [
    paint('bold', 'since the earlier run (Wilcoxon rank sum over the rounds)'),
    ...align([header, ...rows]),
    ...unpaired.map((each) => `  ${each}`),
    ...doubts.map((doubt) => `${paint('yellow', 'doubt')}: ${doubt}`),
    verdict,
    '',
  ].join('\n');
}

/** The cost of a teardown against how many sockets there are, with a bar for each point. */
export function formatScale(points: readonly ScalePoint[], paint: Paint): string {
  const most = Math.max(...points.map(({ closeUs }) => closeUs));
  const rows = points.map((point) => [
    `  ${point.connections}`,
    String(point.processes),
    formatUs(point.closeUs),
    point.kernelBytesPerSocket.toFixed(0),
    point.slabBytesPerConnection.toFixed(0),
    '#'.repeat(Math.max(1, Math.round((30 * point.closeUs) / most))).padEnd(30),
  ]);
  const header = ['  in CLOSE_WAIT', 'processes', 'close()', 'sockstat bytes', 'slab bytes', ''];
  return `${paint('bold', 'torn down at once')}\n${align([header, ...rows]).join('\n')}\n`;
}
