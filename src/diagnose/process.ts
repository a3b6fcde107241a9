import { codeOf, isGone } from '../observer/proc.js';
import { type Thread, threadsOf } from '../observer/process.js';
import { commOf } from './census.js';
import { type Runtime, runtimeOf } from './runtime.js';

/** What is known of a process that holds a suspicious socket. */
export interface ProcessReport {
  readonly pid: number;
  readonly comm: string;
  /** Absent where its executable may not be looked at. */
  readonly runtime?: Runtime;
  readonly threads: readonly ThreadReport[];
  /** The stacks of its threads, where they were asked for. */
  readonly stacks?: StackReport;
}

/** What one thread is doing. */
export interface ThreadReport {
  readonly tid: number;
  readonly comm: string;
  readonly state: string;
  /** The system call it is blocked in. */
  readonly call?: string;
  /** The descriptor that call is about. */
  readonly fd?: number;
  /** The kernel function it sleeps in. */
  readonly wchan?: string;
  /** Why `call` is missing. */
  readonly reason?: string;
}

/** What a runtime's own tool said. */
export interface StackReport {
  readonly command: string;
  readonly text?: string;
  /** Why there is no text. */
  readonly reason?: string;
}

/** The calls that block and whose first argument is a descriptor. */
const ofDescriptor = new Set([
  ...['accept', 'accept4', 'connect', 'close', 'shutdown', 'ioctl'],
  ...['read', 'readv', 'recvfrom', 'recvmsg', 'recvmmsg', 'splice'],
  ...['write', 'writev', 'sendto', 'sendmsg', 'sendmmsg', 'sendfile'],
  ...['epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'io_uring_enter'],
]);

/** Reads what a process is and what its threads wait in; undefined once it is gone. */
export function describe(pid: number): ProcessReport | undefined {
  try {
    const threads = threadsOf(pid).map(threadReport);
    const runtime = runtimeIfAllowed(pid);
    const comm = commOf(pid);
    return comm === undefined ? undefined : { pid, comm, ...(runtime && { runtime }), threads };
  } catch (error) {
    if (isGone(codeOf(error))) return undefined;
    throw error;
  }
}

function runtimeIfAllowed(pid: number): Runtime | undefined {
  try {
    return runtimeOf(pid);
  } catch (error) {
    const code = codeOf(error);
    // Of a process whose first thread has ended the kernel shows no executable, while others of its threads go on.
    if (isGone(code) || code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
}

function threadReport({ tid, comm, state, syscall, wchan, reason }: Thread): ThreadReport {
  const call = syscall && (syscall.name ?? `system call ${syscall.number}`);
  const [first] = syscall?.args ?? [];
  // The register is 64 bits wide, the argument an int.
  const fd =
    call !== undefined && first !== undefined && ofDescriptor.has(call)
      ? Number(BigInt.asIntN(32, first))
      : undefined;
  return {
    tid,
    comm,
    state,
    ...(call !== undefined && { call }),
    ...(fd !== undefined && { fd }),
    ...(wchan !== undefined && { wchan }),
    ...(reason !== undefined && { reason }),
  };
}
