import type {
  DepartureEvent,
  End,
  EnterEvent,
  ExitEvent,
  SegmentEvent,
  StateEvent,
  TimelineEvent,
} from '../experiment/event.js';
import { mayHandOver } from '../tcp/machine.js';
import { type Attached, attach, lostOf } from './attach.js';
import { printable } from './printable.js';
import type { Paint } from './terminal.js';
import { fitted } from './width.js';

export interface LadderOptions {
  /** Of the terminal, in columns; never less than 60 are used. */
  readonly width: number;
  readonly paint: Paint;
}

/** What a line has to show; the columns are cut to their widths. */
interface Line {
  readonly tNs: number;
  readonly client?: string;
  readonly server?: string;
  /** The lane in between, already as wide as it is. */
  readonly lane?: string;
  readonly style?: Parameters<Paint>[0];
}

const GUTTER = 11;
const NARROW = 60;
/** From here on there is room for call arguments and sources. */
const WIDE = 112;
/** A state seen this close to its segment stands beside it; one seen later has its own line, with its own time. */
const BESIDE_NS = 1e6;

/** Calls worth a line even if nothing came of them; any other has one if something did. */
const TELLING: ReadonlySet<string> = new Set([
  ...['socket', 'bind', 'listen', 'accept', 'accept4', 'connect', 'shutdown', 'close'],
  ...['read', 'readv', 'recvfrom', 'recvmsg', 'sendto', 'sendmsg'],
  ...['poll', 'ppoll', 'select', 'pselect6', 'epoll_wait', 'epoll_pwait'],
  ...['nanosleep', 'clock_nanosleep', 'exit_group'],
]);

/**
 * The events as a ladder: the client on the left, the server on the right, time going down with the step since the line
 * before in the margin. Segments are arrows, with the states they lead to beside them; calls stand with the end that makes
 * them. A state in brackets follows from the segments, and nobody saw it. Ends in a newline; no line is wider than `width`.
 */
export function formatLadder(
  events: Iterable<TimelineEvent>,
  { width, paint }: LadderOptions,
): string {
  return new Ladder([...events], Math.max(NARROW, Math.floor(width)), paint).format();
}

class Ladder {
  readonly #events: readonly TimelineEvent[];
  readonly #paint: Paint;
  readonly #wide: boolean;
  readonly #column: number;
  readonly #lane: number;
  readonly #attached: Attached;
  readonly #lost: ReadonlySet<DepartureEvent>;
  /** The state each end was last shown in, and what came before it until when. */
  readonly #shown = new Map<End, { state: string; before?: string; tNs: number }>();
  /** First sequence number of each end: later ones are shown relative to it. */
  readonly #base = new Map<End, number>();

  constructor(events: readonly TimelineEvent[], width: number, paint: Paint) {
    this.#events = withoutHousekeeping(events);
    this.#paint = paint;
    this.#wide = width >= WIDE;
    this.#column = this.#wide ? 26 : 13;
    this.#lane = width - GUTTER - 2 * (this.#column + 1) - 1;
    this.#attached = attach(events);
    this.#lost = lostOf(events);
  }

  format(): string {
    const header = `${'step'.padStart(GUTTER - 1)} ${'client'.padEnd(this.#column)}`;
    const text = [this.#paint('bold', `${header}${''.padEnd(this.#lane + 3)}server`)];
    let before: number | undefined;
    for (const line of this.#lines()) {
      text.push(this.#render(line, before));
      before = line.tNs;
    }
    return `${text.join('\n')}\n`;
  }

  *#lines(): Generator<Line> {
    const beside = this.#besideSegments();
    for (const [at, event] of this.#events.entries()) {
      switch (event.kind) {
        case 'segment':
          yield this.#segment(event);
          break;
        case 'departure':
          if (this.#lost.has(event)) yield this.#lostSegment(event);
          break;
        case 'state':
          if (!beside.has(event)) yield* this.#state(event);
          break;
        case 'enter':
          yield* this.#enter(event, this.#events[at + 1]);
          break;
        case 'exit':
          yield* this.#exit(event, this.#events[at - 1]);
          break;
        case 'moment':
          yield { tNs: event.tNs, lane: ` ${printable(event.name)} `, style: 'dim' };
          break;
        case 'retransmit':
          yield this.#note(event, 'sends again');
          break;
        default: {
          const act = event.kind === 'send-reset' ? 'sends a reset' : 'takes a reset';
          yield this.#note(event, event.reason === undefined ? act : `${act}: ${event.reason}`);
        }
      }
    }
  }

  #besideSegments(): Set<StateEvent> {
    const beside = new Set<StateEvent>();
    for (const [state, segment] of this.#attached.segmentOf) {
      if (Math.abs(state.tNs - segment.tNs) < BESIDE_NS) beside.add(state);
    }
    return beside;
  }

  #segment(event: SegmentEvent): Line {
    const ends: Partial<Record<End, string>> = {};
    for (const { end, state, seen } of this.#attached.effects.get(event) ?? []) {
      const near = seen.find(({ tNs }) => Math.abs(tNs - event.tNs) < BESIDE_NS);
      if (near !== undefined) ends[end] = this.#show(near);
      else if (seen.length === 0 && this.#shown.get(end)?.state !== state) ends[end] = `[${state}]`;
    }
    const body = this.#label(event);
    const room = this.#lane - 2 - body.length - 2;
    const [left, right] = [2, Math.max(0, room - 2)].map((count) => '-'.repeat(count));
    const [west, east] = event.discarded ? ['x', 'x'] : ['<', '>'];
    const lane =
      event.end === 'client'
        ? `${left} ${body} ${right}${east}`
        : `${west}${right} ${body} ${left}`;
    const style = event.flags.includes('R') ? { style: 'red' as const } : {};
    return { tNs: event.tNs, ...ends, lane: ` ${lane}`.slice(0, this.#lane), ...style };
  }

  /** An arrow that goes half the way. */
  #lostSegment(event: DepartureEvent): Line {
    const body = `-- ${this.#label(event)} --`;
    const lane = event.end === 'client' ? ` ${body}x` : `x${body} `.padStart(this.#lane);
    return { tNs: event.tNs, lane: lane.slice(0, this.#lane), style: 'yellow' };
  }

  /** The longest description that leaves room for an arrow. */
  #label(event: SegmentEvent | DepartureEvent): string {
    const { end, flags, sequence, acknowledgment, window, payloadLength } = event;
    const peer = end === 'client' ? 'server' : 'client';
    if (!this.#base.has(end)) this.#base.set(end, sequence);
    const seq = (sequence - (this.#base.get(end) ?? 0)) >>> 0;
    const ack = (acknowledgment - (this.#base.get(peer) ?? 0)) >>> 0;
    const range = payloadLength > 0 ? `seq ${seq}:${(seq + payloadLength) >>> 0}` : `seq ${seq}`;
    const length = payloadLength > 0 ? ` len ${payloadLength}` : '';
    const acks = flags.includes('.') ? ` ack ${ack}` : '';
    const longest = `${flags} ${range}${acks} win ${window}${length}`;
    const choices = [
      ...(this.#wide ? [longest] : []),
      `${flags} ${range}${acks}${length}`,
      `${flags} ${range}${length}`,
      `${flags}${length}`,
    ];
    return choices.find(({ length }) => length + 7 <= this.#lane) ?? flags;
  }

  *#state(event: StateEvent): Generator<Line> {
    if (event.listener) {
      yield { tNs: event.tNs, server: `(${event.state})` };
      return;
    }
    // The end of a socket whose connection may go on without it: others see whether it does.
    if (mayHandOver(event.oldState, event.state)) return;
    const shown = this.#shown.get(event.end);
    if (shown?.state === event.state) return;
    if (shown?.before === event.state && event.tNs - event.latenessNs <= shown.tNs) return;
    yield { tNs: event.tNs, [event.end]: this.#show(event) };
  }

  #show({ end, state, tNs, source }: StateEvent): string {
    const shown = this.#shown.get(end);
    if (shown?.state !== state) {
      this.#shown.set(end, { state, tNs, ...(shown && { before: shown.state }) });
    }
    return this.#wide ? `${state} (${source})` : state;
  }

  *#enter(event: EnterEvent, next: TimelineEvent | undefined): Generator<Line> {
    if (event.end === null) return;
    const name = `${event.syscall}(${this.#wide ? argumentsOf(event) : ''})`;
    // Nothing happened inside: the call takes one line.
    const whole = next?.kind === 'exit' && next.enter === event.id;
    const text = whole ? `${name} = ${next.result}` : name;
    yield { tNs: event.tNs, [event.end]: text, style: 'dim' };
  }

  *#exit(event: ExitEvent, previous: TimelineEvent | undefined): Generator<Line> {
    if (event.end === null || (previous?.kind === 'enter' && previous.id === event.enter)) return;
    const text = `${this.#wide ? `${event.syscall}() ` : ''}= ${event.result}`;
    yield { tNs: event.tNs, [event.end]: text, style: 'dim' };
  }

  #note({ tNs, end }: { tNs: number; end: End }, text: string): Line {
    return { tNs, lane: ` * ${end} ${text}`, style: 'yellow' };
  }

  #render({ tNs, client = '', server = '', lane = '', style }: Line, before?: number): string {
    const step = before === undefined ? formatStep(0) : `+${formatStep(tNs - before)}`;
    const cell = (text: string): string => fitted(text, this.#column);
    const plain = ` ${cell(client)}|${fitted(lane, this.#lane)}| ${cell(server)}`;
    const body = plain.trimEnd();
    return (
      this.#paint('dim', step.padStart(GUTTER - 1)) +
      (style === undefined ? body : this.#paint(style, body))
    );
  }
}

/** Leaves out the calls of a thread that have nothing to do with sockets, such as memory's. */
function withoutHousekeeping(events: readonly TimelineEvent[]): TimelineEvent[] {
  const shown = new Set<number | undefined>();
  for (const event of events) {
    if ('cause' in event) shown.add(event.cause?.id);
    if (event.kind === 'enter' && TELLING.has(event.syscall)) shown.add(event.id);
  }
  return events.filter((event) => {
    if (event.kind === 'enter') return shown.has(event.id);
    return event.kind !== 'exit' || (event.enter !== undefined && shown.has(event.enter));
  });
}

/** How many of the six registers a call reads (the system call table in kernel/sys_ni.c and its kin). */
const ARITY: Readonly<Record<string, number>> = {
  ...{ close: 1, exit_group: 1, listen: 2, shutdown: 2, nanosleep: 2 },
  ...{ socket: 3, bind: 3, accept: 3, connect: 3, read: 3, write: 3, readv: 3, writev: 3, poll: 3 },
  ...{ getsockname: 3, getpeername: 3, recvmsg: 3, sendmsg: 3 },
  ...{ accept4: 4, clock_nanosleep: 4, epoll_wait: 4, getsockopt: 5, setsockopt: 5 },
};

/** Numbers as they are; what can only be an address in hexadecimal. */
function argumentsOf({ syscall, args }: EnterEvent): string {
  return args
    .slice(0, ARITY[syscall])
    .map((each) => (each < 1n << 31n ? String(each) : `0x${each.toString(16)}`))
    .join(', ');
}

/** At most nine characters, in the largest unit that is not a fraction. */
function formatStep(ns: number): string {
  if (Math.abs(ns) < 1e3) return `${ns.toFixed(0)} ns`;
  if (Math.abs(ns) < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
  if (Math.abs(ns) < 1e9) return `${(ns / 1e6).toFixed(ns < 1e8 ? 2 : 1)} ms`;
  return `${(ns / 1e9).toFixed(ns < 1e11 ? 2 : 0)} s`;
}
