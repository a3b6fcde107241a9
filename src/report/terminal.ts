import { relative } from 'node:path';
import type {
  CapturedFrame,
  Check,
  Diagnosis,
  Moment,
  ObserverReport,
  Run,
} from '../experiment/record.js';
import type { Scenario } from '../scenario/scenario.js';
import { formatEndpoint } from '../tcp/address.js';
import { formatNetstat } from './netstat.js';
import { printable } from './printable.js';
import { TcpdumpFormatter } from './tcpdump.js';

/** Wraps text in a style, or returns it as it is where the output is no terminal. */
export type Paint = (style: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string) => string;

const ADVICE: Readonly<Record<Diagnosis['cause'], string>> = {
  'eof-unread':
    'Read the socket: until read() returns 0 the program does not know that its peer is gone.',
  'not-closed':
    'Call close() when read() has returned 0. Nothing else ends CLOSE_WAIT: it has no timer.',
  'never-accepted': 'Accept faster, or find what keeps the program from accept().',
  'shared-fd':
    'Close every copy of the descriptor, also those that other processes have inherited.',
  'still-sending': 'Nothing: a half-closed connection is doing its work.',
  ghost: 'Close the descriptor: the connection behind it is gone.',
  'peer-never-closes':
    'Close the descriptor, or make the peer close: shutdown() alone sets no timer.',
};

/** Calls in which a thread waits for data. */
const READS: ReadonlySet<string> = new Set(['read', 'readv', 'recvfrom', 'recvmsg']);

/** From here on an acknowledgment has waited for a timer: the shortest delayed ACK of Linux (TCP_DELACK_MIN). */
const DELAYED_NS = 39e6;

const ms = (ns: number): string => `${(ns / 1e6).toFixed(3)} ms`;

function heading(paint: Paint, text: string): string {
  return `\n${paint('bold', `== ${text}`)}\n`;
}

function indent(text: string, by = '  '): string {
  return text.replace(/\n$/, '').replace(/^/gm, by);
}

function tcpInfoLine({ tcpInfo }: Moment, observers: readonly ObserverReport[]): string {
  const states = Object.entries(tcpInfo).map(([end, state]) => `${end} ${state}`);
  const refused = observers.find(({ name }) => name === 'TCP_INFO')?.reason;
  return `getsockopt(TCP_INFO): ${states.join(', ') || refused || 'no end has a descriptor left'}`;
}

function clockText(observer: string, setMs: readonly number[]): string {
  const steps = setMs.map((ms) => `${(ms / 1000).toFixed(3)} s`).join(', ');
  return `the clock was set meanwhile, by ${steps}: what ${observer} saw may be out of its place by as much`;
}

function diagnosisText(diagnosis: Diagnosis, moment: Moment): string {
  const { end, cause, evidence, thread, missing } = diagnosis;
  const socket = moment.sockets.find((each) => each.end === end);
  const lines: string[] = [];
  if (socket !== undefined) {
    const owner = socket.owner;
    lines.push(
      `${socket.state} ${formatEndpoint(socket.local)} <- ${formatEndpoint(socket.remote)}` +
        (owner === undefined
          ? ''
          : `, held by ${printable(owner.program)} (pid ${owner.pid}) as fd ${owner.fd}`),
    );
  }
  lines.push(`cause: ${cause}`, ...evidence.map((each) => `  - ${each}`));
  if (thread?.syscall?.name !== undefined) {
    const where = thread.wchan === undefined ? '' : ` (in ${thread.wchan})`;
    lines.push(
      `  - thread ${thread.tid} waits in ${thread.syscall.name}${where}${READS.has(thread.syscall.name) ? '' : ': not in read(), not on its way to close()'}`,
    );
  }
  if (missing !== undefined) {
    lines.push(
      `the call that is missing: ${relative(process.cwd(), missing.file)}:${missing.line}`,
      `    ${missing.text}`,
    );
  }
  lines.push(`what to do: ${ADVICE[cause]}`);
  return lines.join('\n');
}

/** Where the article and the kernel of this run differ; only what the run itself showed, and what it did not show. */
function differences({ frames, record }: Run): string[] {
  const notes: string[] = [];
  const unseen: string[] = [];
  const data = frames.find(({ segment }) => segment.payloadLength > 0)?.segment.payload;
  if (data === undefined) unseen.push('the bytes of "test"');
  else if (data.at(-1) === 0x0a) {
    const bytes = Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const kept =
      record.driver === 'program' && record.command === undefined ? ' that fgets() keeps' : '';
    notes.push(
      `The ${data.length} bytes of "test" are ${bytes}: the last is the newline${kept}. A string's terminator is not ` +
        'sent: strlen() does not count it.',
    );
  }
  const fin = frames.findIndex(({ segment }) => segment.flags.includes('F'));
  const [sent, acked] = [frames[fin], frames[fin + 1]];
  if (sent !== undefined && acked !== undefined) {
    const after = acked.tNs - sent.tNs;
    const how =
      after >= DELAYED_NS
        ? 'the delayed ACK, as in the article (41 ms)'
        : 'not delayed; in the article it took 41 ms';
    notes.push(`The FIN was acknowledged after ${ms(after)}: ${how}.`);
  } else unseen.push('when the FIN was acknowledged');
  const last = frames.findLastIndex(({ segment }) => segment.flags.includes('F'));
  const [answer, end] = [frames[last], frames[last + 1]];
  if (last > fin && answer !== undefined && end !== undefined) {
    const waits = record.moments.at(-1)?.sockets.find(({ state }) => state === 'TIME_WAIT')?.end;
    const where = waits === undefined ? '' : ` TIME_WAIT is at the ${waits}, which closed first.`;
    notes.push(
      `LAST_ACK lasted from the server's FIN to its ACK: ${ms(end.tNs - answer.tNs)}.${where}`,
    );
  } else unseen.push('how long LAST_ACK lasted');
  if (unseen.length > 0) {
    const { reason } = record.observers.find(({ name }) => name === 'capture') ?? {};
    const why = reason === undefined ? '' : `; capture ${reason}`;
    notes.push(`Not compared, as no packet that shows it was seen${why}: ${unseen.join(', ')}.`);
  }
  notes.push(
    'Addresses are numbers, as with tcpdump -n and netstat -n; the port is one the kernel chose. The window and its scale ' +
      "are this kernel's.",
  );
  const orphan = record.moments
    .find(({ name }) => name === 'close-wait')
    ?.sockets.find(({ end, inode }) => end === 'client' && inode === 0);
  if (orphan !== undefined) {
    // Beyond TCP_TIMEWAIT_LEN the timeout has two parts of equal length, and the socket is let go between them: tcp_close() and
    // tcp_keepalive_timer().
    const lifeMs = orphan.timer === 'keepalive' ? 2 * orphan.timerMs : orphan.timerMs;
    notes.push(
      `FIN_WAIT2 without an owner has ${(lifeMs / 1000).toFixed(1)} s to live (tcp_fin_timeout). When they are ` +
        'over the entry is gone; the article says TIME_WAIT follows. It follows only if the server closes in time, as ' +
        'above. `closewait run fin-wait2-expiry` shows the other way.',
    );
  }
  return notes;
}

function momentText(
  moment: Moment,
  frames: readonly CapturedFrame[],
  observers: readonly ObserverReport[],
  formatter: TcpdumpFormatter,
  paint: Paint,
): string {
  const parts = [heading(paint, `${printable(moment.name)} (${ms(moment.tNs)})`)];
  for (const { realtimeNs, segment } of frames) {
    parts.push(formatter.format({ timeNs: realtimeNs, segment }), '\n');
  }
  if (frames.length > 0) parts.push('\n');
  parts.push(formatNetstat(moment.sockets), '\n', tcpInfoLine(moment, observers), '\n');
  for (const diagnosis of moment.diagnoses) {
    parts.push(
      `\n${paint('yellow', `Why does the ${diagnosis.end} not call close()?`)}\n`,
      indent(diagnosisText(diagnosis, moment)),
      '\n',
    );
  }
  return parts.join('');
}

function checkLine(check: Check, paint: Paint): string {
  const { ok, what, expected, observed, source } = check;
  const mark = ok ? paint('green', 'ok') : paint('red', 'NOT OK');
  const values = ok
    ? JSON.stringify(observed)
    : `expected ${JSON.stringify(expected)}, observed ${JSON.stringify(observed)}`;
  return `${mark} ${what}: ${values} ${paint('dim', `(${source})`)}`;
}

const PLACES: Readonly<Record<Run['record']['world']['kind'], string>> = {
  namespace: 'a network namespace of its own',
  network: 'two network namespaces of its own',
  host: 'the network it was started in',
};

/** The whole story of one run, for a person: programs, then moment by moment packets, sockets, states, causes. */
export function formatRun(run: Run, scenario: Scenario, paint: Paint): string {
  const { record, frames } = run;
  const where = PLACES[record.world.kind];
  const command = record.command && ` (the ${record.command.end} is ${record.command.line})`;
  const parts = [
    `${paint('bold', `${record.scenario}: ${scenario.title}`)}\n`,
    `Linux ${record.kernel}, driver ${record.driver}${command ?? ''}, ${where} (${record.world.privilege})\n`,
  ];
  for (const { name, available, reason, clockSetMs } of record.observers) {
    if (!available) parts.push(paint('yellow', `not seen: ${name}: ${reason}`), '\n');
    if (clockSetMs !== undefined) parts.push(paint('yellow', clockText(name, clockSetMs)), '\n');
  }
  parts.push(formatLosses(run, paint));
  for (const [end, transcript] of Object.entries(record.transcripts)) {
    parts.push(heading(paint, `the ${end}'s terminal`), transcript.replace(/\n?$/, '\n'));
  }
  const formatter = new TcpdumpFormatter();
  let from = Number.NEGATIVE_INFINITY;
  for (const moment of record.moments) {
    const since = from;
    const own = frames.filter(({ tNs }) => tNs > since && tNs <= moment.tNs);
    parts.push(momentText(moment, own, record.observers, formatter, paint));
    from = moment.tNs;
  }
  const rest = frames.filter(({ tNs }) => tNs > from);
  if (rest.length > 0) parts.push(heading(paint, 'afterwards'));
  for (const { realtimeNs, segment } of rest) {
    parts.push(formatter.format({ timeNs: realtimeNs, segment }), '\n');
  }
  // The article's programs, and not somebody else's.
  const isArticle = record.scenario === 'close-wait' && record.command === undefined;
  const notes = isArticle ? differences(run) : [];
  if (notes.length > 0) {
    parts.push(heading(paint, 'beside the article'), notes.map((note) => `- ${note}\n`).join(''));
  }
  parts.push(heading(paint, 'checks'));
  for (const check of record.checks) parts.push(checkLine(check, paint), '\n');
  for (const end of ['client', 'server'] as const) {
    parts.push(`path of the ${end}: ${record.ends[end].path.join(' > ')}\n`);
  }
  parts.push('\n', formatVerdict(run, paint), '\n');
  return parts.join('');
}

/** A line for each observer that missed something, and for the timeline where it did not keep all; mostly none. */
export function formatLosses({ record }: Run, paint: Paint): string {
  const missed = record.observers.flatMap(({ name, lost = 0 }) =>
    lost > 0 ? [`${name} missed ${lost}, at most: what it alone says proves nothing`] : [],
  );
  const gone = record.findings.flatMap(({ kind, sources, what }) =>
    kind === 'lost' && sources.length === 0 ? [what] : [],
  );
  return [...missed, ...gone].map((line) => `${paint('yellow', line)}\n`).join('');
}

/** One line: the verdict, and why where it is not the one hoped for. */
export function formatVerdict({ record }: Run, paint: Paint): string {
  const passed = record.checks.filter(({ ok }) => ok).length;
  const colour = record.verdict === 'reproduced' ? 'green' : record.ok ? 'yellow' : 'red';
  const count = record.checks.length === 0 ? '' : `, ${passed} of ${record.checks.length} checks`;
  const why = record.reason === undefined ? '' : `: ${record.reason}`;
  const who = `${record.driver}${record.family === 6 ? ', IPv6' : ''}`;
  return `${paint(colour, record.verdict)} ${record.scenario} (${who}${count})${why}`;
}
