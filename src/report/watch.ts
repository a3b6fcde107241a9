import type { GroupTick, ProcessTick, Tick } from '../diagnose/watch-record.js';
import { printable } from './printable.js';
import type { Paint } from './terminal.js';

const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

const COLUMNS = [
  ['PID', 9],
  ['PROGRAM', 16],
  ['STATE', 12],
  ['CAUSE', 18],
  ['LISTENER', 9],
  ['SOCKETS', 8],
  ['STANDING', 9],
  ['OLDEST', 9],
  ['PER MIN', 9],
  ['FULL IN', 9],
] as const;

/** Formats a look as a table that is drawn over the one before, at the top of a terminal of that many rows and columns. */
export function formatScreen(
  tick: Tick,
  paint: Paint,
  { columns, rows }: { readonly columns: number; readonly rows: number },
): string {
  const lines = [
    [undefined, `${tick.time}  ${summary(tick)}`],
    ...tick.processes.map((each) => [undefined, processText(each)] as const),
    ['bold', row(COLUMNS.map(([name]) => name))],
    ...tick.groups.map((each) => [growth(each), groupText(each)] as const),
    ...tick.incomplete.map((reason) => ['yellow', `not seen: ${reason}`] as const),
  ] as const;
  const shown = lines.slice(0, Math.max(1, rows - 1));
  const text = shown.map(([style, line]) => {
    const cut = line.slice(0, columns);
    return `${style === undefined ? cut : paint(style, cut)}${CLEAR_LINE}\n`;
  });
  return `${HOME}${text.join('')}${CLEAR_BELOW}`;
}

/** What the columns of plain lines are, to be said once. */
export function formatHeader({ time }: Tick): string {
  return `${time}  ${row(COLUMNS.map(([name]) => name)).trimEnd()}\n`;
}

/** Formats a look as plain lines, each of which says when it was: for a file or a pipe. */
export function formatLines(tick: Tick): string {
  const lines = [
    summary(tick),
    ...tick.processes.map(processText),
    ...tick.groups.map((each) => groupText(each).trimEnd()),
    ...tick.incomplete.map((reason) => `not seen: ${reason}`),
  ];
  return lines.map((line) => `${tick.time}  ${line}\n`).join('');
}

function summary({ leaks, sockets, unattributed }: Tick): string {
  const unknown = unattributed === 0 ? '' : `, ${unattributed} not attributed yet`;
  return `${leaks} leaks, ${sockets} suspicious sockets${unknown}`;
}

function processText({ pid, comm, openFds, maxFds, perMinute, fullInMs }: ProcessTick): string {
  const rate = perMinute === null ? '' : `, ${signed(perMinute)} a minute`;
  const full = fullInMs === null ? '' : `, full in ${duration(fullInMs)}`;
  return `${printable(comm)} (pid ${pid}): ${openFds} of ${maxFds ?? 'unlimited'} descriptors${rate}${full}`;
}

function groupText(group: GroupTick): string {
  return row([
    ...[
      group.pid ?? '-',
      printable(group.comm ?? '-'),
      group.state,
      group.cause,
      group.listener ?? '-',
    ],
    ...[group.sockets, group.standing, duration(group.oldestMs)],
    group.perMinute === null ? '-' : signed(group.perMinute),
    group.fullInMs === null ? '-' : duration(group.fullInMs),
  ]);
}

function growth({ leak, perMinute }: GroupTick): 'red' | 'yellow' | undefined {
  if (!leak) return undefined;
  return (perMinute ?? 0) > 0 ? 'red' : 'yellow';
}

function row(cells: readonly (string | number)[]): string {
  return cells
    .map((cell, index) => String(cell).padEnd(COLUMNS[index]?.[1] ?? 0))
    .join(' ')
    .trimEnd();
}

function signed(value: number): string {
  return value > 0 ? `+${value}` : String(value);
}

/** `850 ms`, `12 s`, `3 min`, `5 h`, `2 d`: the largest unit that leaves more than one of it. */
export function duration(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
