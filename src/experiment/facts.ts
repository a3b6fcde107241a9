import { getSystemErrorName } from 'node:util';
import type { End, EnterEvent } from './event.js';
import type { AppRecord, Left, Moment, RunRecord } from './record.js';
import { identityOf } from './repeats.js';
import { makesTcpSocket } from './tcp-call.js';

const ENDS: readonly End[] = ['client', 'server'];
/** What an end is compared by first. */
export const VERDICT = 'verdict';
/** What the facts about the states of an end are called, and those about time. */
export const PATH = 'path of the ';
export const TIME = 'ms to ';

/** What a run is compared by: a value of JSON each, in the order they are told. */
export function factsOf(record: RunRecord): ReadonlyMap<string, unknown> {
  const facts = new Map<string, unknown>();
  const { verdict, reason, events, moments, left, application } = record;
  facts.set(VERDICT, reason === undefined ? verdict : `${verdict}: ${reason}`);
  if (verdict === 'skipped') return facts;

  for (const end of ENDS) facts.set(`${PATH}${end}`, record.ends[end].path);
  for (const moment of moments) {
    for (const end of ENDS) facts.set(`${end} at "${moment.name}"`, socketAt(moment, end));
  }
  facts.set('segments', segmentsOf(events));
  facts.set(
    'resets',
    events.flatMap((event) =>
      event.kind === 'send-reset' ? [`${event.end} ${event.reason ?? ''}`.trim()] : [],
    ),
  );
  facts.set('retransmissions', events.filter(({ kind }) => kind === 'retransmit').length);
  for (const end of ENDS) {
    const told = application?.[end] ?? [];
    facts.set(`verbs of the ${end}`, ofKind(told, 'call'));
    facts.set(`events of the ${end}`, ofKind(told, 'event'));
  }
  for (const end of ENDS) {
    const { counts, errors } = systemCalls(record, end);
    for (const [name, count] of counts) facts.set(`${end} calls ${name}`, count);
    if (errors !== undefined) facts.set(`failed calls, ${end}`, errors);
  }
  if (left !== undefined) facts.set('left behind', leftBehind(left));
  // On a link a segment departs, and may never arrive.
  const began = events.find(({ kind }) => kind === 'segment' || kind === 'departure');
  for (const { name, tNs } of moments) {
    if (began === undefined) break;
    facts.set(`${TIME}"${name}"`, Math.round((tNs - began.tNs) / 1e5) / 10);
  }
  return facts;
}

/** Each segment once: how often a busy machine has it sent again is no driver's affair, and is counted by itself. */
function segmentsOf(events: RunRecord['events']): string[] {
  const known = new Set<string>();
  return events.flatMap((event) => {
    if (event.kind !== 'segment') return [];
    const { end, flags, payloadLength: length } = event;
    const identity = identityOf(event);
    if (identity !== undefined && known.has(`${end} ${identity}`)) return [];
    known.add(`${end} ${identity}`);
    return [`${end} ${flags}${length > 0 ? ` ${length}` : ''}`];
  });
}

function socketAt({ sockets, tcpInfo, diagnoses }: Moment, end: End): string {
  const socket = sockets.find((each) => each.end === end);
  const cause = diagnoses.find((each) => each.end === end)?.cause;
  if (socket === undefined) return tcpInfo[end] === undefined ? 'gone' : `${tcpInfo[end]}, held`;
  const { state, recvQ, sendQ, inode, timer } = socket;
  const parts = [state, inode === 0 ? 'no owner' : 'held', `Recv-Q ${recvQ}`, `Send-Q ${sendQ}`];
  if (timer !== 'off') parts.push(`timer ${timer}`);
  return [...parts, ...(cause === undefined ? [] : [cause])].join(', ');
}

/** What was done or told, in order. Data that came in several pieces is one: how it is cut up is the kernel's affair. */
function ofKind(told: readonly AppRecord[], wanted: AppRecord['kind']): string[] {
  const texts: string[] = [];
  let data = 0;
  for (const { kind, name, result, code } of told) {
    if (kind !== wanted) continue;
    const isData = kind === 'event' && name === 'data' && typeof result === 'number';
    if (isData && data > 0) texts.pop();
    data = isData ? data + result : 0;
    texts.push([name, code ?? (isData ? data : result) ?? ''].join(' ').trim());
  }
  return texts;
}

/** How an end's calls on sockets went. */
interface Calls {
  readonly counts: ReadonlyMap<string, number>;
  /** Those that failed, in order, by their errors; undefined where nobody followed its calls. */
  readonly errors: readonly string[] | undefined;
}

/**
 * How often an end made each call on a TCP socket, its listener included, and which of them failed: what a program does
 * besides, to be a program, is not counted.
 */
function systemCalls({ events }: RunRecord, end: End): Calls {
  const counts = new Map<string, number>();
  const errors: string[] = [];
  const sockets = new Set<number>();
  const made = new Map<number, EnterEvent>();
  for (const event of events) {
    if (event.kind === 'exit' && event.enter !== undefined) {
      const call = made.get(event.enter);
      if (call === undefined) continue;
      const result = Number(event.result);
      if (result >= 0 && MAKES_SOCKET.has(call.syscall)) sockets.add(result);
      const error = result < 0 ? getSystemErrorName(result) : '';
      if (isError(error)) errors.push(`${call.syscall} ${error}`);
    }
    if (event.kind !== 'enter' || event.end !== end) continue;
    const { syscall, args, id } = event;
    const fd = Number(args[syscall === 'epoll_ctl' ? 2 : 0]);
    if (!makesTcpSocket(event) && !sockets.has(fd)) continue;
    made.set(id, event);
    counts.set(syscall, (counts.get(syscall) ?? 0) + 1);
    if (syscall === 'close') sockets.delete(fd);
  }
  return { counts, errors: counts.size === 0 ? undefined : errors };
}

const MAKES_SOCKET: ReadonlySet<string> = new Set(['socket', 'accept', 'accept4']);

/** What only says that one has to wait is none, nor is the kernel's own note to make the call again (ERESTARTSYS). */
const isError = (name: string): boolean =>
  /^E/.test(name) && !['EAGAIN', 'EINPROGRESS', 'EINTR'].includes(name);

/** The connection's sockets that were still there; a listener is no connection. */
function leftBehind({ sockets, tcpInfo }: Left): string[] {
  return ENDS.flatMap((end) => {
    const socket = sockets.find((each) => each.end === end);
    if (socket !== undefined) {
      return [`${end} ${socket.state}, ${socket.inode === 0 ? 'no owner' : 'held'}`];
    }
    const state = tcpInfo[end];
    return state === undefined ? [] : [`${end} ${state}, held: in no list`];
  });
}
