// `import { guard } from 'closewait/guard'`: a test that leaves a socket behind fails, with what it left and where it was opened.

import { setImmediate as turn } from 'node:timers/promises';
import { checkedPid, codeOf, isGone } from '../observer/proc.js';
import { socketsOf } from '../observer/process.js';
import { SockDiag } from '../observer/sock-diag.js';
import { nowMs as now, until } from '../observer/until.js';
import { formatEndpoint } from '../tcp/address.js';
import { type Checks, checkedFields, checkFunction, checkMs } from '../tcp/argument.js';
import { netnsOf } from './census.js';
import { diagnose } from './diagnose.js';
import { checkNoThread } from './options.js';
import type { SocketReport } from './record.js';
import { openSockDiagOf } from './socket-diag.js';
import { REGISTERED } from './source-record.js';

/** What a guard looks at, and how patiently. */
export interface GuardOptions {
  /** Default: this process. */
  readonly pid?: number;
  /** How long a socket must stay as it is to have been left; default 1000. One that goes is not waited for any longer. */
  readonly settleMs?: number;
}

const SETTLE_MS = 1000;
const PATIENCE: Checks<Pick<GuardOptions, 'settleMs'>> = { settleMs: checkMs };
const OPTIONS: Checks<GuardOptions> = { ...PATIENCE, pid: (_, pid) => checkedPid(pid) };

/** A socket was left in CLOSE_WAIT, in a held FIN_WAIT2, or as a ghost. */
export class SocketLeakError extends Error {
  override readonly name = 'SocketLeakError';

  constructor(readonly sockets: readonly SocketReport[]) {
    const count =
      sockets.length === 1 ? '1 socket was left' : `${sockets.length} sockets were left`;
    super(`${count}\n${sockets.map(leakText).join('\n')}`);
  }
}

/** What has been there since before a test, and what has not. */
export interface Guard {
  /** Throws SocketLeakError if there are sockets now that nobody closes and that were not there when the guard was made. */
  check(options?: Pick<GuardOptions, 'settleMs'>): Promise<void>;
}

/**
 * Begins to guard: sockets that the process has now do not count.
 *
 * Needs what diagnose() needs: nothing for this process, and for those of the same user. Throws TypeError or RangeError for
 * options that are none, SyscallError (ENOENT, EACCES) for a process that cannot be read; check() rejects with one (EPERM) where it is in
 * a network namespace that may not be entered.
 */
export function guard(options: GuardOptions = {}): Guard {
  const checked = checkedFields('options', options, OPTIONS);
  const { pid = process.pid, settleMs: patienceMs = SETTLE_MS } = checked;
  checkNoThread(pid);
  const inodes = new Set(socketsOf(pid).map(({ inode }) => inode));
  // What waits for accept() has no inode yet. To ask another namespace takes a moment, and a right that may be missing.
  const waiting =
    netnsOf(pid) === netnsOf('self')
      ? waitingIn(SockDiag.open())
      : openSockDiagOf(pid).then(waitingIn);
  if (waiting instanceof Promise) waiting.catch(() => undefined);
  return {
    async check(given = {}) {
      const { settleMs = patienceMs } = checkedFields('options', given, PATIENCE);
      // Events of this turn are still to come, and with them what closes sockets.
      await turn();
      (globalThis as { [REGISTERED]?: () => void })[REGISTERED]?.();
      let left: readonly SocketReport[] = [];
      try {
        const before = await waiting;
        const isNew = ({ leak, inode, cookie }: SocketReport): boolean =>
          leak && !inodes.has(inode) && !before.has(cookie);
        using diag = await openSockDiagOf(pid);
        left = await settled(pid, diag, isNew, settleMs);
      } catch (error) {
        // A process that has ended has left nothing.
        if (!isGone(codeOf(error))) throw error;
      }
      if (left.length > 0) throw new SocketLeakError(left);
    },
  };
}

/** The connections that nobody has accepted yet, and those that are being made: the cookie stays. Closes what it asks. */
function waitingIn(opened: SockDiag): ReadonlySet<bigint> {
  using diag = opened;
  const rows = [...diag.snapshot({ states: ['SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT'] })];
  return new Set(rows.filter(({ inode }) => inode === 0).map(({ cookie }) => cookie));
}

/** `look` itself knows when it is over. */
const FOREVER = { deadlineMs: Number.POSITIVE_INFINITY, everyMs: 5 };

/** The longest that a kernel keeps an ACK back (TCP_DELACK_MAX, include/net/tcp.h). */
const DELAYED_ACK_MS = 200;

/**
 * The sockets that have been seen for `settleMs`. What comes up meanwhile gets as much again, once: where sockets come and go
 * all the time there would be no end.
 */
async function settled(
  pid: number,
  diag: SockDiag,
  isNew: (socket: SocketReport) => boolean,
  settleMs: number,
): Promise<readonly SocketReport[]> {
  let since = new Map<bigint, number>();
  const acknowledgedMs = now() + DELAYED_ACK_MS;
  let endMs = now() + 2 * settleMs;
  let wasClosing = false;
  const look = async () => {
    const nowMs = now();
    // Before the look, which shows what has become of it.
    const closing = nowMs < acknowledgedMs && isClosing(pid, diag);
    if (closing || wasClosing) endMs = nowMs + 2 * settleMs;
    wasClosing = closing;
    const { sockets } = await diagnose({ pids: [pid], settleMs: 0 });
    const left = sockets.filter(isNew);
    since = new Map(left.map(({ cookie }) => [cookie, since.get(cookie) ?? nowMs]));
    const old = left.filter(({ cookie }) => nowMs - (since.get(cookie) ?? nowMs) >= settleMs);
    // By when the look began: what it took must not pass for time in which a socket has stayed.
    const isDone = !closing && (nowMs >= endMs || old.length === left.length);
    return { old, isDone };
  };
  return (await until(look, ({ isDone }) => isDone, FOREVER)).old;
}

/** Whether a FIN of a socket with a descriptor is still on its way: what becomes of it has to be seen. */
function isClosing(pid: number, diag: SockDiag): boolean {
  const closing = diag.snapshot({ states: ['FIN_WAIT1'] }).inode.filter((inode) => inode !== 0);
  return closing.length > 0 && socketsOf(pid).some(({ inode }) => closing.includes(inode));
}

function leakText(socket: SocketReport): string {
  const { state, cause, fd, local, remote, ageMs, source, runtime } = socket;
  const away = remote === null ? '?' : formatEndpoint(remote);
  const which = fd === null ? '' : `fd ${fd}, `;
  const lines = [
    `  ${state}, ${cause}: ${which}${formatEndpoint(local)} <- ${away}, for at least ${ageMs} ms`,
    ...(source?.stack ?? []).map((frame) => `    at ${frame}`),
    ...(source === null && runtime === 'node' && cause !== 'never-accepted'
      ? ['    where it was opened: run with --import closewait/register']
      : []),
  ];
  return lines.join('\n');
}

/** What node:test, Vitest and Jest have, globally or to import. */
export interface Hooks {
  /** Takes what runs before each test. */
  beforeEach(run: () => void): unknown;
  /** Takes what runs after each test, and fails it by rejecting. */
  afterEach(run: () => Promise<void>): unknown;
}

/**
 * Guards every test of a file or suite: `guardEach({ beforeEach, afterEach })` with the hooks of node:test, Vitest or Jest.
 * Tests that run at the same time in one process see each other's sockets: run them one after the other.
 */
export function guardEach(hooks: Hooks, options: GuardOptions = {}): void {
  const { beforeEach, afterEach } = (hooks ?? {}) as Hooks;
  checkFunction('beforeEach', beforeEach);
  checkFunction('afterEach', afterEach);
  const checked = checkedFields('options', options, OPTIONS);
  let current: Guard | undefined;
  beforeEach(() => {
    current = guard(checked);
  });
  afterEach(async () => {
    await current?.check();
  });
}

/** The hooks of AVA's `test`. */
export interface AvaHooks {
  /** Takes what runs before each test. */
  readonly beforeEach: (run: () => void) => void;
  /** What runs after each test. */
  readonly afterEach: {
    /** Takes what runs after each test, also one that failed. */
    readonly always: (run: () => Promise<void>) => void;
  };
}

/** Guards every test of an AVA file, which must be serial: `guardAva(test)`. */
export function guardAva(test: AvaHooks, options?: GuardOptions): void {
  const { beforeEach, afterEach } = (test ?? {}) as Partial<AvaHooks>;
  checkFunction('afterEach.always', afterEach?.always);
  guardEach({ beforeEach, afterEach: (run) => afterEach?.always(run) } as Hooks, options);
}
