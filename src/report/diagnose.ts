import type { ProcessReport, ThreadReport } from '../diagnose/process.js';
import type { Diagnosis, SocketReport } from '../diagnose/record.js';
import type { Source } from '../diagnose/source-record.js';
import { formatEndpoint } from '../tcp/address.js';
import { printable, printableLines } from './printable.js';
import type { Paint } from './terminal.js';

const WIDTH = 100;
const EXAMPLES = 3;

/** Sockets of one process, listener, remote host, state and cause: they share evidence and advice. */
interface Group {
  readonly first: SocketReport;
  readonly sockets: SocketReport[];
}

/**
 * Formats a diagnosis: by process what it runs and waits in, then its sockets by cause, listener and remote host; the oldest
 * of each group in full, advice once per process and cause, at the end what was missed.
 */
export function formatDiagnosis(diagnosis: Diagnosis, paint: Paint): string {
  const { sockets, processes, incomplete } = diagnosis;
  const parts = [summary(diagnosis, paint)];
  const byPid = new Map(processes.map((each) => [each.pid, each]));
  const owned = new Map<number | null, SocketReport[]>();
  for (const socket of sockets) {
    const own = owned.get(socket.pid);
    if (own === undefined) owned.set(socket.pid, [socket]);
    else own.push(socket);
  }
  for (const pid of new Set([...owned.keys(), ...byPid.keys()])) {
    const process = pid === null ? undefined : byPid.get(pid);
    parts.push(processText(process, owned.get(pid) ?? [], paint));
  }
  if (incomplete.length > 0) {
    const reasons = incomplete.map((reason) => wrap(reason, '- ', '  ')).join('');
    parts.push(`${paint('yellow', 'Not seen')}\n${reasons}`);
  }
  return parts.join('\n');
}

function summary({ counts, namespaces }: Diagnosis, paint: Paint): string {
  const { sockets, leaks, passing, ...causes } = counts;
  const where = namespaces.length === 1 ? '' : ` in ${namespaces.length} network namespaces`;
  const of = Object.entries(causes)
    .filter(([, count]) => count > 0)
    .map(([cause, count]) => `${count} ${cause}`);
  const list = of.length === 0 ? '' : `: ${of.join(', ')}`;
  const moved = passing === 0 ? '' : `; ${passing} more had moved on at the second look`;
  const text = `${plural(leaks, 'leak')}, ${plural(sockets, 'suspicious socket')}${where}${list}${moved}`;
  return `${paint(leaks > 0 ? 'red' : 'green', text)}\n`;
}

function processText(
  process: ProcessReport | undefined,
  sockets: readonly SocketReport[],
  paint: Paint,
): string {
  const lines: string[] = [];
  if (process === undefined) lines.push(paint('bold', 'no process that can be seen'), '\n');
  else {
    const { pid, comm, runtime, threads, stacks } = process;
    lines.push(
      paint('bold', `${printable(comm)} (pid ${pid}${runtime ? `, ${runtime}` : ''})`),
      '\n',
    );
    for (const line of waits(threads)) lines.push(`  ${line}\n`);
    if (stacks !== undefined) {
      lines.push(`  ${paint('bold', `stacks: ${stacks.command || 'none'}`)}\n`);
      const text = printableLines(stacks.text ?? `${stacks.reason}\n`);
      lines.push(text.replace(/^(?=.)/gm, '    '));
    }
  }
  const groups = groupsOf(sockets);
  const causes = new Set(groups.map(({ first }) => first.cause));
  for (const cause of causes) {
    const same = groups.filter(({ first }) => first.cause === cause);
    const total = same.reduce((sum, each) => sum + each.sockets.length, 0);
    const leak = same[0]?.first.leak === true;
    lines.push(`  ${paint(leak ? 'red' : 'yellow', cause)}: ${plural(total, 'socket')}\n`);
    for (const group of same) lines.push(groupText(group, paint));
    lines.push(wrap(same[0]?.first.advice ?? '', '    => ', '       '));
  }
  return lines.join('');
}

function groupsOf(sockets: readonly SocketReport[]): Group[] {
  const groups = new Map<string, Group>();
  let last: (Kind & { readonly group: Group }) | undefined;
  for (const socket of sockets) {
    // One follows another of the same group nearly always: no key has to be made then.
    if (last === undefined || !isOf(last, socket)) {
      const { netns, cause, state, listener, remote } = socket;
      const kind = { netns, cause, state, listener, address: remote?.address };
      const key = keyOf(kind);
      const group = groups.get(key) ?? { first: socket, sockets: [] };
      groups.set(key, group);
      last = { ...kind, group };
    }
    last.group.sockets.push(socket);
  }
  return [...groups.values()].sort((a, b) => b.sockets.length - a.sockets.length);
}

/** What the sockets of a group have in common. */
interface Kind extends Pick<SocketReport, 'netns' | 'cause' | 'state' | 'listener'> {
  readonly address: string | undefined;
}

function isOf(kind: Kind, socket: SocketReport): boolean {
  return (
    kind.cause === socket.cause &&
    kind.state === socket.state &&
    kind.netns === socket.netns &&
    kind.address === socket.remote?.address &&
    kind.listener === socket.listener
  );
}

function keyOf({ netns, cause, state, listener, address }: Kind): string {
  return [netns, cause, state, listener && formatEndpoint(listener), address].join();
}

function groupText({ first, sockets }: Group, paint: Paint): string {
  const { state, listener, remote } = first;
  const via = listener === null ? '' : ` by listener ${formatEndpoint(listener)}`;
  const ages = agesOf(sockets);
  const lines = [
    `    ${sockets.length} x ${state}${via}, remote ${remote?.address ?? 'unknown'}, ${agesText(ages)}\n`,
  ];
  const oldest = greatest(ages).flatMap((index) => sockets[index] ?? []);
  for (const socket of oldest) {
    lines.push(`      ${socketText(socket)}
`);
    if (socket.source) lines.push(wrap(sourceText(socket.source), '        ', '        '));
  }
  if (sockets.length > EXAMPLES) {
    lines.push(
      paint('dim', `      and ${sockets.length - EXAMPLES} more (--json lists all)`),
      '\n',
    );
  }
  for (const phrase of oldest[0]?.evidence ?? []) lines.push(wrap(phrase, '      - ', '        '));
  return lines.join('');
}

function agesOf(sockets: readonly SocketReport[]): Float64Array {
  const ages = new Float64Array(sockets.length);
  for (let i = 0; i < ages.length; i++) ages[i] = sockets[i]?.ageMs ?? 0;
  return ages;
}

/** Where the EXAMPLES greatest are, in descending order. To sort thousands for that would be felt. */
function greatest(values: Float64Array): number[] {
  const best: number[] = [];
  const at = (index: number): number => values[index] ?? Number.NEGATIVE_INFINITY;
  let least = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < values.length; index++) {
    if ((values[index] as number) <= least) continue;
    const lesser = best.findIndex((each) => at(each) < at(index));
    best.splice(lesser < 0 ? best.length : lesser, 0, index);
    best.length = Math.min(best.length, EXAMPLES);
    if (best.length === EXAMPLES) least = at(best[EXAMPLES - 1] ?? -1);
  }
  return best;
}

function agesText(ages: Float64Array): string {
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < ages.length; i++) {
    const ms = ages[i] as number;
    if (ms < least) least = ms;
    if (ms > most) most = ms;
  }
  if (seconds(least) === seconds(most)) return `for at least ${seconds(least)}`;
  return `for at least ${seconds(least)} to ${seconds(most)}`;
}

function socketText(socket: SocketReport): string {
  const { local, remote, recvQ, sendQ, ageMs, fd, holders, timer, timerMs, retransmits } = socket;
  const away = remote === null ? '?' : formatEndpoint(remote);
  const clock = timer === 'off' ? '' : `, timer ${timer} ${seconds(timerMs)}`;
  const again = retransmits === 0 ? '' : `, ${retransmits} retransmits`;
  const others = holders
    .slice(1)
    .map((each) => `${printable(each.comm)} (pid ${each.pid}) fd ${each.fd}`);
  const also = others.length === 0 ? '' : `, also ${others.join(', ')}`;
  const which = fd === null ? '' : `fd ${fd}: `;
  return `${which}${formatEndpoint(local)} <- ${away}, Recv-Q ${recvQ}, Send-Q ${sendQ}, >= ${seconds(ageMs)}${clock}${again}${also}`;
}

/** Where a socket comes from, by the process's own record. */
function sourceText(source: Source): string {
  const { kind, file, line, allowHalfOpen, paused, flowing, lastEvents } = source;
  const how = kind === 'client' ? 'connected' : 'accepted by the server that listens';
  const place = file === null ? 'a place unknown' : `${file}:${line}`;
  const state = [
    ...(allowHalfOpen ? ['allowHalfOpen'] : []),
    ...(paused ? ['paused'] : flowing === null ? ['nobody reads it'] : []),
    ...(source.readableEnded ? ['its end was read'] : []),
    ...(source.writableEnded ? ['end() was called'] : []),
  ].map((each) => `, ${each}`);
  const last = lastEvents.map(({ event, agoMs }) => `'${event}' ${seconds(agoMs)} ago`).join(', ');
  return printable(`${how} at ${place}${state.join('')}; ${last === '' ? 'no events' : last}`);
}

/** What the threads wait in, those that wait in the same counted together. */
function waits(threads: readonly ThreadReport[]): string[] {
  const counted = new Map<string, number>();
  for (const thread of threads) {
    const what = waitText(thread);
    counted.set(what, (counted.get(what) ?? 0) + 1);
  }
  return [...counted].map(([what, count]) => `${plural(count, 'thread')} ${what}`);
}

function waitText({ call, fd, wchan, reason, state }: ThreadReport): string {
  const where = wchan === undefined ? '' : ` in ${wchan}`;
  if (call !== undefined) return `in ${call}(${fd ?? ''})${where}`;
  return reason === undefined ? `in state ${state}${where}` : `in state ${state}: ${reason}`;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Breaks a paragraph into lines of WIDTH, the first behind `head`, the others behind `indent`. */
function wrap(text: string, head: string, indent: string): string {
  const lines: string[] = [];
  let line = head;
  let isEmpty = true;
  for (const word of text.split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = indent;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  lines.push(line);
  return `${lines.join('\n')}\n`;
}
