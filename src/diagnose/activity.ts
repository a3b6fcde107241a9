import type { Watch } from './interest.js';
import type { ProcessReport, ThreadReport } from './process.js';

/** Calls that wait for descriptors which their registers do not name. */
const waitsForMany = new Set([
  ...['poll', 'ppoll', 'select', 'pselect6', 'io_uring_enter', 'io_getevents', 'io_pgetevents'],
]);

const acceptCalls = new Set(['accept', 'accept4']);
const epollCalls = new Set(['epoll_wait', 'epoll_pwait', 'epoll_pwait2']);

/** What is asked about the threads of a process. */
export interface Question {
  readonly fd: number;
  /** The event loops that watch it; null where the process has none. */
  readonly watches: readonly Watch[] | null;
  /** What the descriptor is called in the answer. */
  readonly what: 'the descriptor' | 'the listener';
  /** Whether somebody ought to be waiting for it. */
  readonly isAwaited: boolean;
}

/** Says who acts on a descriptor at this moment, or why nobody does; each a phrase. */
export function activityOf({ pid, threads }: ProcessReport, question: Question): string[] {
  const { fd, watches, what, isAwaited } = question;
  const phrases = threads
    .filter((thread) => thread.fd === fd)
    .map(({ tid, call }) => `thread ${tid} waits in ${call}(${fd})`);
  if (what === 'the listener' && !threads.some(({ call = '' }) => acceptCalls.has(call))) {
    phrases.push(`no thread of pid ${pid} waits in accept()`);
  }
  if (watches?.length === 0) phrases.push(`no event loop of the process watches ${what}`);
  for (const { epfd, events } of watches ?? []) {
    phrases.push(`an event loop (epoll ${epfd}) watches ${what} for ${events}`);
  }
  if (isAwaited) phrases.push(...hindrances(threads, question));
  const stopped = stoppedText(threads);
  if (stopped !== undefined) phrases.push(`pid ${pid} ${stopped}`);
  return phrases;
}

/** Why nobody comes to it, as far as every thread's call is known. */
function hindrances(threads: readonly ThreadReport[], { fd, watches, what }: Question): string[] {
  if (!threads.every(isKnown)) return [];
  if (!watches || watches.length === 0) {
    const isWaitedFor = threads.some((each) => each.fd === fd || waitsForMany.has(each.call ?? ''));
    return isWaitedFor ? [] : [`no thread waits for ${what}`];
  }
  // An epoll instance is ready or not like any descriptor: it may be poll() or another instance that is waited in.
  if (threads.some(({ call = '' }) => waitsForMany.has(call))) return [];
  if (watches.some(({ nested }) => nested)) return [];
  const waiting = new Set(
    threads.filter(({ call = '' }) => epollCalls.has(call)).map((each) => each.fd),
  );
  const busy = watches.filter(({ epfd }) => !waiting.has(epfd));
  if (busy.length < watches.length) return [];
  return busy.map(
    ({ epfd }) =>
      `at this moment no thread waits in epoll_wait(${epfd}): its event loop is busy or blocked`,
  );
}

function isKnown({ call, reason }: ThreadReport): boolean {
  return call !== undefined || reason === 'running';
}

/** T and t of proc_pid_stat(5). */
function stoppedText(threads: readonly ThreadReport[]): string | undefined {
  if (threads.length === 0) return undefined;
  if (threads.every(({ state }) => state === 'T'))
    return 'is stopped: it does nothing until SIGCONT';
  if (threads.every(({ state }) => state === 't'))
    return 'is stopped by a tracer, such as a debugger';
  return undefined;
}
