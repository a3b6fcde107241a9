import type { Cause, End, EnterEvent, ExitEvent, StateEvent } from './event.js';

/** The calls that make a kernel send, or change a connection's state. The others a packet only happens to interrupt. */
const ACTING: ReadonlySet<string> = new Set([
  'connect',
  'listen',
  'write',
  'writev',
  'sendto',
  'sendmsg',
  'sendmmsg',
  'sendfile',
  'splice',
  'setsockopt',
  'shutdown',
  'close',
  'close_range',
  'dup2',
  'dup3',
  'exit',
  'exit_group',
]);

/** Those that never return: when they are over nobody tells, so what merely happens later is not theirs. */
const ENDLESS: ReadonlySet<string> = new Set(['exit', 'exit_group']);

/** Calls whose first argument is the socket they act on. */
const ON_SOCKET: ReadonlySet<string> = new Set(['connect', 'listen', 'shutdown', 'close']);

interface Call {
  readonly enter: EnterEvent;
  exitNs: number;
}

/**
 * Tells which call caused what. It is given events in order.
 *
 * A state change happens on a thread: on loopback the peer's too happens inside the call that sent the segment, as the
 * kernel delivers it there and then. A segment has no thread, so it is given to the sending end's call of that moment, else
 * to the other end's; a segment during no call (a timer's, or one that waited in a queue) has no cause. Where it is known
 * which socket a descriptor stands for, a call on another socket of the same end is not blamed.
 */
export class CallPairing {
  /** The latest call of each thread. */
  readonly #calls = new Map<number, Call>();
  readonly #sockets = new Map<string, bigint>();

  enter(enter: EnterEvent): void {
    this.#calls.set(enter.tid, { enter, exitNs: Number.POSITIVE_INFINITY });
  }

  /** What an exit adds to itself: its call, and how long that took. */
  exit({ tid, syscall, tNs }: ExitEvent): Pick<ExitEvent, 'enter' | 'durationNs'> {
    const call = this.#calls.get(tid);
    if (call === undefined || call.enter.syscall !== syscall || call.exitNs < tNs) return {};
    call.exitNs = tNs;
    // The number may soon stand for another socket.
    if (syscall === 'close') this.#sockets.delete(keyOf(call.enter));
    return { enter: call.enter.id, durationNs: tNs - call.enter.tNs };
  }

  /** The call on whose thread a state changed or a reset was sent. */
  causeOnThread(
    effect: Pick<StateEvent, 'tNs' | 'end' | 'socket'>,
    tid: number,
  ): Cause | undefined {
    const call = this.#calls.get(tid);
    if (call === undefined || call.exitNs < effect.tNs) return undefined;
    const { enter } = call;
    if (!ACTING.has(enter.syscall)) return undefined;
    if (enter.end === effect.end && effect.socket !== undefined && ON_SOCKET.has(enter.syscall)) {
      const key = keyOf(enter);
      const known = this.#sockets.get(key);
      if (known !== undefined && known !== effect.socket) return undefined;
      this.#sockets.set(key, effect.socket);
    }
    return causeOf(enter, 'thread');
  }

  /** The call during which a segment passed; its time may be wrong by `latenessNs`. */
  causeInTime(sender: End, tNs: number, latenessNs: number): Cause | undefined {
    let best: EnterEvent | undefined;
    for (const { enter, exitNs } of this.#calls.values()) {
      if (enter.end === null || ENDLESS.has(enter.syscall)) continue;
      if (!ACTING.has(enter.syscall) || exitNs + latenessNs < tNs) continue;
      if (best === undefined || (best.end !== sender && enter.end === sender)) best = enter;
    }
    return best && causeOf(best, 'time');
  }
}

function causeOf({ id, syscall, end, tid }: EnterEvent, by: Cause['by']): Cause {
  return { id, syscall, end, tid, by };
}

/** A descriptor, by the end that uses it. */
function keyOf({ end, args }: EnterEvent): string {
  return `${end}:${args[0]}`;
}
