import type {
  BenchRecord,
  ClosingState,
  DriverBench,
  ModeBench,
} from '../experiment/bench-record.js';
import { formatUs } from './bench.js';

const STATES: readonly ClosingState[] = [
  'FIN_WAIT1',
  'FIN_WAIT2',
  'CLOSE_WAIT',
  'LAST_ACK',
  'CLOSING',
];
const WIDTH = 720;
const LABEL = 120;
const ROW = 64;
const BAND = 22;

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #57606a; --ground: #ffffff; --line: #d0d7de;
  --c: #57606a; --raw: #0969da; --raw-composite: #1a7f37; --libuv: #bc4c00; --program: #8250df;
  --FIN_WAIT1: #0969da; --FIN_WAIT2: #1a7f37; --CLOSE_WAIT: #cf222e; --LAST_ACK: #8250df; --CLOSING: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9ea7b3; --ground: #0d1117; --line: #30363d;
  --c: #9ea7b3; --raw: #58a6ff; --raw-composite: #3fb950; --libuv: #f0883e; --program: #bc8cff;
  --FIN_WAIT1: #58a6ff; --FIN_WAIT2: #3fb950; --CLOSE_WAIT: #ff7b72; --LAST_ACK: #bc8cff; --CLOSING: #d29922; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
h2 { margin: 2.5rem 0 .25rem; font-size: 1.2rem; } h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p, figcaption { color: var(--dim); margin: .25rem 0; } figure { margin: 0; overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .7rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { color: var(--dim); font-weight: 600; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .axis { stroke: var(--line); }
svg .tick { fill: var(--dim); }
`.trim();

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);

const round = (value: number): string => String(Math.round(value * 100) / 100);

const text = (x: number, y: number, words: string, attributes = ''): string =>
  `<text x="${round(x)}" y="${round(y)}"${attributes}>${escaped(words)}</text>`;

/** 1, 2 and 5 times a power of ten, between two values. */
function ticks(low: number, high: number): number[] {
  const values: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const factor of [1, 2, 5]) values.push(factor * 10 ** power);
  }
  return values.filter((value) => value >= low && value <= high);
}

/** What of a distribution is drawn: to a little beyond the 99.9th percentile, so that one pause does not flatten it. */
function shown(driver: DriverBench): DriverBench['bars'] {
  return driver.bars.filter(([fromUs, count]) => count > 0 && fromUs <= driver.p999Us * 1.05);
}

/** One row of bars for each driver over one logarithmic axis of time. */
function distributions({ mode, drivers }: ModeBench): string {
  const drawn = drivers.map((driver) => ({ driver, bars: shown(driver) }));
  const edges = drawn.flatMap(({ bars }) => bars.map(([fromUs]) => fromUs));
  if (edges.length === 0) return '';
  const low = Math.min(...edges);
  const high = Math.max(...edges) * 2 ** (1 / 16);
  const x = (us: number): number =>
    LABEL + ((WIDTH - LABEL) * Math.log(us / low)) / Math.log(high / low);
  const rows = drawn.map(({ driver, bars }, row) => {
    const bottom = (row + 1) * ROW;
    const most = Math.max(...bars.map(([, count]) => count));
    const rects = bars.map(([fromUs, count]) => {
      const height = Math.max(1, (count / most) * (ROW - 12));
      const toUs = fromUs * 2 ** (1 / 16);
      const width = Math.max(0.5, x(toUs) - x(fromUs) - 0.5);
      return (
        `<rect class="bar" data-mode="${mode}" data-driver="${driver.driver}" x="${round(x(fromUs))}" ` +
        `y="${round(bottom - height)}" width="${round(width)}" height="${round(height)}" ` +
        `fill="var(--${driver.driver})"><title>from ${formatUs(fromUs)}: ${count}</title></rect>`
      );
    });
    const line = `<line class="axis" x1="${LABEL}" x2="${WIDTH}" y1="${bottom}" y2="${bottom}"/>`;
    return text(0, bottom - 8, driver.driver) + rects.join('') + line;
  });
  const bottom = drawn.length * ROW;
  const marks = ticks(low, high).map((us) =>
    text(
      x(us),
      bottom + 16,
      formatUs(us).replace(/\.?0+ /, ' '),
      ' class="tick" text-anchor="middle"',
    ),
  );
  return (
    `<figure><svg viewBox="0 0 ${WIDTH + 20} ${bottom + 24}" role="img" aria-label="how long a teardown took, ${mode}">` +
    `${rows.join('')}${marks.join('')}</svg></figure>`
  );
}

/** For each driver the median time in each state, one after the other. */
function stateBars({ mode, drivers }: ModeBench): string {
  const seen = drivers.filter(({ states }) => states && Object.keys(states).length > 0);
  if (seen.length === 0) return '';
  const p50 = ({ states }: DriverBench, state: ClosingState): number => states?.[state]?.p50Us ?? 0;
  const total = (driver: DriverBench): number =>
    STATES.reduce((sum, state) => sum + p50(driver, state), 0);
  const scale = (WIDTH - LABEL) / Math.max(...seen.map(total));
  const rows = seen.map((driver, row) => {
    let at = LABEL;
    const rects = STATES.filter((state) => p50(driver, state) > 0).map((state) => {
      const width = p50(driver, state) * scale;
      const rect =
        `<rect class="state" data-mode="${mode}" data-driver="${driver.driver}" data-state="${state}" x="${round(at)}" ` +
        `y="${row * BAND + 3}" width="${round(width)}" height="${BAND - 6}" fill="var(--${state})">` +
        `<title>${state}: ${formatUs(p50(driver, state))}</title></rect>`;
      at += width;
      return rect;
    });
    return text(0, row * BAND + 15, driver.driver) + rects.join('');
  });
  const legend = STATES.map(
    (state, i) =>
      `<rect x="${LABEL + i * 115}" y="${seen.length * BAND + 6}" width="10" height="10" fill="var(--${state})"/>` +
      text(LABEL + i * 115 + 15, seen.length * BAND + 15, state),
  );
  return (
    `<h3>Median time in each state</h3><figure><svg viewBox="0 0 ${WIDTH + 20} ${(seen.length + 1) * BAND}" role="img" ` +
    `aria-label="time in each state, ${mode}">${rows.join('')}${legend.join('')}</svg>` +
    '<figcaption>Both ends: FIN_WAIT1 and FIN_WAIT2 at the one that closes first, CLOSE_WAIT and LAST_ACK at the other.</figcaption></figure>'
  );
}

function table({ drivers }: ModeBench): string {
  const header = ['driver', 'p50', 'p90', 'p99', 'p99.9', 'max', 'close to EOF', '/ C', 'faults'];
  const rows = drivers.map((driver) => {
    const { p50Us, p90Us, p99Us, p999Us, maxUs, closeToEof, ratioToC, faults } = driver;
    const failed = faults.reduce((sum, { count }) => sum + count, 0);
    const cells = [
      driver.driver,
      ...[p50Us, p90Us, p99Us, p999Us, maxUs, closeToEof.p50Us].map(formatUs),
      Number.isFinite(ratioToC) ? ratioToC.toFixed(3) : '-',
      String(failed),
    ];
    return `<tr>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`;
  });
  const heads = header.map((cell) => `<th scope="col">${cell}</th>`).join('');
  return `<figure><table><thead><tr>${heads}</tr></thead><tbody>${rows.join('')}</tbody></table></figure>`;
}

/** A benchmark as one page that needs nothing but itself. */
export function formatBenchHtml(record: BenchRecord): string {
  const { kernel, node, cpu, cycles, modes, doubts } = record;
  const sections = modes.map(
    (mode) =>
      `<section><h2>${mode.mode}</h2><p>${escaped(mode.title)}</p>${table(mode)}` +
      `<h3>How long the teardowns took</h3>${distributions(mode)}${stateBars(mode)}</section>`,
  );
  const list = doubts.map((doubt) => `<li>${escaped(doubt)}</li>`).join('');
  const doubted = list === '' ? '' : `<h2>Doubts</h2><ul>${list}</ul>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>How TCP connections end: closewait bench</title><link rel="icon" href="data:,">
<style>${STYLE}</style></head><body>
<h1>How TCP connections end</h1>
<p>${escaped(`${cycles} cycles a driver and mode; Linux ${kernel}, node ${node}, ${cpu}`)}</p>
${sections.join('\n')}
${doubted}
</body></html>
`;
}
