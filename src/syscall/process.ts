// Time, threads, namespaces and other processes.

import { argumentError, checkDescriptor, checkObject } from './argument.js';
import { define, nothing } from './call.js';
import {
  CLOCK_MONOTONIC,
  CLONE_NEWNET,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  P_PID,
  P_PIDFD,
  POSIX_SPAWN_SETPGROUP,
  WEXITED,
} from './constants.js';
import { encodePath, encodeString, timespec } from './descriptor.js';
import { SyscallError } from './error.js';
import { native } from './native.js';

const nowhere = () => ({});
const NS_PER_SECOND = 1_000_000_000n;

/** `int clock_gettime(clockid_t clockid, struct timespec *tp)`: nanoseconds. */
export const clock_gettime = define<[clock: number], bigint>({
  name: 'clock_gettime',
  room: 16,
  enter: (invoke, room, clock) => invoke(clock, room),
  leave: nanoseconds,
  site: nowhere,
});

/** `int clock_getres(clockid_t clockid, struct timespec *res)`: nanoseconds; of a coarse clock, those of the kernel's tick. */
export const clock_getres = define<[clock: number], bigint>({
  name: 'clock_getres',
  room: 16,
  enter: (invoke, room, clock) => invoke(clock, room),
  leave: nanoseconds,
  site: nowhere,
});

/** A struct timespec. */
function nanoseconds(_result: number, room: Uint8Array): bigint {
  const time = new DataView(room.buffer);
  return time.getBigInt64(0, true) * NS_PER_SECOND + time.getBigInt64(8, true);
}

/** `int clock_nanosleep(CLOCK_MONOTONIC, 0, request, remain)`: blocks for `seconds`; a signal ends it with EINTR. */
export const nanosleep = define<[seconds: number], void>({
  name: 'clock_nanosleep',
  enter: (invoke, _room, seconds) =>
    invoke(CLOCK_MONOTONIC, 0, timespec(seconds), new BigInt64Array(2)),
  leave: nothing,
  site: nowhere,
});

/** `unsigned int sleep(unsigned int seconds)`: blocks; the seconds that were left when a signal ended it, else 0. */
export function sleep(seconds: number): number {
  const remain = new BigInt64Array(2);
  const result = native.clock_nanosleep(CLOCK_MONOTONIC, 0, timespec(seconds), remain);
  if (result === 0) return 0;
  const error = new SyscallError('clock_nanosleep', result);
  if (error.code !== 'EINTR') throw error;
  return Number(remain[0]) + Number(remain[1]) / 1e9;
}

/** `pid_t gettid(void)`: the kernel's id of the calling thread. */
export const gettid = define<[], number>({
  name: 'gettid',
  enter: (invoke) => invoke(),
  site: nowhere,
});

/** `int setns(int fd, int nstype)`: moves the calling thread into the namespace `fd` leads to. */
export const setns = define<[fd: number, nstype: number], void>({
  name: 'setns',
  leave: nothing,
});

/**
 * `int unshare(int flags)`: gives the calling thread namespaces of its own. CLONE_NEWUSER needs a lone thread. An actor refuses
 * CLONE_FILES (EINVAL): its descriptors are everybody's.
 */
export const unshare = define<[flags: number], void>({
  name: 'unshare',
  leave: nothing,
  site: nowhere,
});

/** `int pidfd_open(pid_t pid, unsigned int flags)`: a descriptor for a process, the caller's to close. */
export const pidfd_open = define<[pid: number, flags?: number], number>({
  name: 'pidfd_open',
  enter: (invoke, _room, pid, flags = 0) => invoke(pid, flags),
  site: (pid) => ({ path: `pid ${pid}` }),
});

/**
 * `int pidfd_getfd(int pidfd, int targetfd, unsigned int flags)`: a copy of another process's descriptor, the caller's to
 * close, and soon: while it is open, the other's close() sends no FIN. Needs the same user or CAP_SYS_PTRACE.
 */
export const pidfd_getfd = define<[pidfd: number, targetfd: number, flags?: number], number>({
  name: 'pidfd_getfd',
  enter: (invoke, _room, pidfd, targetfd, flags = 0) => invoke(pidfd, targetfd, flags),
});

/** `int pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned int flags)`: never hits a reused pid. */
export const pidfd_send_signal = define<[pidfd: number, signal: number], void>({
  name: 'pidfd_send_signal',
  leave: nothing,
});

/** How a child ended. */
export interface Exit {
  readonly pid: number;
  /** CLD_EXITED, CLD_KILLED or CLD_DUMPED; 0 if WNOHANG found nothing. */
  readonly code: number;
  /** The exit code, or the signal. */
  readonly status: number;
}

/**
 * `int waitid(idtype_t idtype, id_t id, siginfo_t *infop, int options)`: blocks until a child (P_PID, or P_PIDFD and its
 * pidfd) has ended, and takes its remains away.
 */
export const waitid = define<[idtype: number, id: number, options?: number], Exit>({
  name: 'waitid',
  room: 128,
  enter: (invoke, room, idtype, id, options = WEXITED) => invoke(idtype, id, room.fill(0), options),
  leave: (_result, room) => {
    const view = new DataView(room.buffer);
    return {
      pid: view.getInt32(16, true),
      code: view.getInt32(8, true),
      status: view.getInt32(24, true),
    };
  },
  site: (idtype, id) =>
    idtype === P_PIDFD ? { fd: id } : idtype === P_PID ? { path: `pid ${id}` } : {},
});

/** How to start a program. */
export interface SpawnOptions {
  /** argv, argv[0] included. */
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What becomes the program's 0, 1 and 2; EBADF if one is closed. They stay the caller's. */
  readonly stdio?: readonly [number, number, number];
  /** A user namespace of its own, in which the caller's user and group are 0. */
  readonly newUser?: boolean;
  /** A network namespace of its own. */
  readonly newNet?: boolean;
  /** A pid namespace of its own, in which it is the first process: with it all end that came of it. */
  readonly newPid?: boolean;
  /**
   * A process group of its own: what is typed at the terminal, Ctrl-C for one, is not for it, and to read from there stops it
   * (setpgid(2)).
   */
  readonly newGroup?: boolean;
  /**
   * A blocking end of a socketpair: before it is the program, the process writes its pid there (4 bytes, as it sees it itself)
   * and waits for a byte. Where it reads the end instead, it ends (ECANCELED). Meanwhile the call waits: it is another thread
   * that answers, or what was written before. It stays the caller's.
   */
  readonly latch?: number;
}

/** A started program. */
export interface Spawned {
  readonly pid: number;
  /** The caller's to close. */
  readonly pidfd: number;
}

// SpawnStep in native/os/spawn.h.
const STEPS = [
  ...[
    'clone',
    'socketpair',
    'getppid',
    'read(latch)',
    'write(uid_map)',
    'fcntl',
    'dup2',
    'close_range',
    'execve',
  ],
];

const block = (strings: readonly Uint8Array[]): Uint8Array =>
  strings.length === 0 ? new Uint8Array(1) : Buffer.concat(strings);

function encodeArguments(argv: readonly string[]): Uint8Array {
  if (!Array.isArray(argv)) throw argumentError('spawn: argv', 'an array of strings', argv);
  return block(Array.from(argv, (each, i) => encodeString(`spawn: argv[${i}]`, each)));
}

function encodeEnvironment(env: NonNullable<SpawnOptions['env']>): Uint8Array {
  checkObject('spawn: env', 'an object of strings', env);
  const variables = Object.entries(env).filter(([, value]) => value !== undefined);
  return block(
    variables.map(([name, value]) => {
      const variable = typeof value === 'string' ? `${name}=${value}` : value;
      return encodeString(`spawn: env.${name}`, variable);
    }),
  );
}

function encodeDescriptors(stdio: readonly number[], latch: number | undefined): Int32Array {
  if (!Array.isArray(stdio) || stdio.length !== 3) {
    throw argumentError('spawn: stdio', 'an array of three descriptors', stdio);
  }
  if (latch !== undefined) checkDescriptor('spawn: latch', latch);
  const standard = Array.from(stdio, (fd, i) => {
    checkDescriptor(`spawn: stdio[${i}]`, fd);
    return fd;
  });
  return Int32Array.of(...standard, latch ?? -1);
}

/**
 * clone(2) and execve(2) from the calling thread: the program inherits that thread's namespaces and gets SIGKILL when
 * that thread ends. It is a child of this process: waitid takes its remains away.
 */
export const spawn = define<[path: string, options: SpawnOptions], Spawned>({
  name: 'spawn',
  syscall: (room) => STEPS[new DataView(room.buffer).getInt32(8, true)] ?? 'execve',
  room: 12,
  enter: (invoke, room, path, options) => {
    checkObject('spawn: options', '{argv: string[]}', options);
    const { argv, env = process.env, stdio = [0, 1, 2] } = options;
    const { newUser, newNet, newPid, newGroup, latch } = options;
    return invoke(
      encodePath(path),
      encodeArguments(argv),
      encodeEnvironment(env),
      encodeDescriptors(stdio, latch),
      (newUser ? CLONE_NEWUSER : 0) +
        (newNet ? CLONE_NEWNET : 0) +
        (newPid ? CLONE_NEWPID : 0) +
        (newGroup ? POSIX_SPAWN_SETPGROUP : 0),
      room,
    );
  },
  leave: (pid, room) => ({ pid, pidfd: new DataView(room.buffer).getInt32(4, true) }),
  site: (path) => ({ path }),
});

/** The name of a system call by its number, as this machine's headers have it. */
export function syscallName(number: number): string | undefined {
  if (typeof number !== 'number') throw argumentError('syscallName: number', 'a number', number);
  return native.syscalls[number];
}
