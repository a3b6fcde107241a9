import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type bindings from 'bindings';

/** A result of the kernel, or -errno. */
type Result = number;
/** Bytes the kernel reads or writes. */
type Bytes = ArrayBufferView;

/** The calls of the addon: each is one entry into the kernel, on the caller's thread. */
export interface NativeCalls {
  socket(domain: number, type: number, protocol: number): Result;
  socketpair(domain: number, type: number, protocol: number, sv: Bytes): Result;
  bind(fd: number, address: Bytes): Result;
  listen(fd: number, backlog: number): Result;
  accept(fd: number, address: Bytes): Result;
  accept4(fd: number, address: Bytes, flags: number): Result;
  connect(fd: number, address: Bytes): Result;
  read(fd: number, buffer: Bytes): Result;
  write(fd: number, data: Bytes): Result;
  readv(fd: number, buffers: Bytes[]): Result;
  writev(fd: number, data: Bytes[]): Result;
  recv(fd: number, buffer: Bytes, flags: number): Result;
  send(fd: number, data: Bytes, flags: number): Result;
  sendto(fd: number, data: Bytes, flags: number, address: Bytes): Result;
  /** `lengths` receives {control length, name length, flags}. */
  recvmsg(
    fd: number,
    buffers: Bytes[],
    control: Bytes | null,
    name: Bytes | null,
    lengths: Bytes,
    flags: number,
  ): Result;
  sendmsg(
    fd: number,
    data: Bytes[],
    control: Bytes | null,
    name: Bytes | null,
    flags: number,
  ): Result;
  shutdown(fd: number, how: number): Result;
  close(fd: number): Result;
  dup(fd: number): Result;
  dup3(fd: number, newfd: number, flags: number): Result;
  /** Returns the length of the address. */
  getsockname(fd: number, address: Bytes): Result;
  getpeername(fd: number, address: Bytes): Result;
  /** Returns the length of the value. */
  getsockopt(fd: number, level: number, name: number, value: Bytes): Result;
  setsockopt(fd: number, level: number, name: number, value: Bytes): Result;
  /** setsockopt of a struct sock_fprog; `program` is its array of struct sock_filter. */
  setfilter(fd: number, level: number, name: number, program: Bytes): Result;
  /** `fds` is an array of struct pollfd. */
  poll?(fds: Bytes, timeoutMs: number): Result;
  ppoll(fds: Bytes, timeout: BigInt64Array): Result;
  fcntl(fd: number, command: number, argument: number): Result;
  ioctl(fd: number, request: number, argument: Bytes): Result;
  epoll_create1(flags: number): Result;
  epoll_ctl(epfd: number, op: number, fd: number, events: number, data: number): Result;
  /** `events` is an array of struct epoll_event. */
  epoll_wait(epfd: number, events: Bytes, timeoutMs: number): Result;
  eventfd(initval: number, flags: number): Result;
  pipe2(pipefd: Bytes, flags: number): Result;
  /** `path` ends in NUL. */
  open(path: Bytes, flags: number, mode: number): Result;
  clock_gettime(clock: number, time: Bytes): Result;
  clock_getres(clock: number, resolution: Bytes): Result;
  clock_nanosleep(
    clock: number,
    flags: number,
    request: BigInt64Array,
    remain: BigInt64Array,
  ): Result;
  gettid(): Result;
  setns(fd: number, nstype: number): Result;
  unshare(flags: number): Result;
  pidfd_open(pid: number, flags: number): Result;
  pidfd_getfd(pidfd: number, targetfd: number, flags: number): Result;
  pidfd_send_signal(pidfd: number, signal: number): Result;
  /** `info` is a siginfo_t. */
  waitid(idtype: number, id: number, info: Bytes, options: number): Result;
  /** `path` ends in NUL. */
  openat(dirfd: number, path: Bytes, flags: number, mode: number): Result;
  lseek(fd: number, offset: number, whence: number): Result;
  /** `dirp` receives records of struct linux_dirent64. */
  getdents64(fd: number, dirp: Bytes): Result;
  /** `path` ends in NUL. */
  readlinkat(dirfd: number, path: Bytes, buf: Bytes): Result;
  /** `path` and `name` end in NUL. */
  getxattr(path: Bytes, name: Bytes, value: Bytes): Result;
  /** `fsname` ends in NUL. */
  fsopen(fsname: Bytes, flags: number): Result;
  /** Commands without key and value. */
  fsconfig(fd: number, cmd: number): Result;
  fsmount(fd: number, flags: number, attrFlags: number): Result;
  /** See native/os/perf.h; `attr` is a struct perf_event_attr. */
  perf_event_open(attr: Bytes, pid: number, cpu: number, groupFd: number, flags: number): Result;
  perf_set_bpf(fd: number, progFd: number): Result;
  perf_set_output(fd: number, outputFd: number): Result;
  /** `filter` ends in NUL. */
  perf_set_filter(fd: number, filter: Bytes): Result;
  /** See native/os/bpf.h for these. */
  bpf_map_create(
    mapType: number,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    mapFlags: number,
  ): Result;
  /** `insns` is an array of struct bpf_insn; `license` ends in NUL. */
  bpf_prog_load(
    progType: number,
    expectedAttachType: number,
    attachBtfId: number,
    insns: Bytes,
    license: Bytes,
    log: Bytes,
  ): Result;
  bpf_info(fd: number, info: Bytes): Result;
  bpf_raw_tracepoint_open(progFd: number): Result;
  bpf_link_create(progFd: number, targetFd: number, attachType: number): Result;
  bpf_iter_create(linkFd: number): Result;
  /** 1, or 0 if `text` (NUL-terminated) is not an address of `family`. */
  inet_pton(family: number, text: Bytes, address: Bytes): Result;
  /** The length of the text. */
  inet_ntop(family: number, address: Bytes, text: Bytes): Result;
  /** See native/os/sequence.h. */
  sequence(steps: Int32Array, bytes: Bytes, results: Int32Array, stamps: BigInt64Array): Result;
  /** See native/os/spawn.h. `child` receives {pid, pidfd, step that failed}. */
  spawn(
    path: Bytes,
    argv: Bytes,
    envp: Bytes,
    stdio: Int32Array,
    flags: number,
    child: Bytes,
  ): Result;
}

export type CallName = keyof NativeCalls;

/** A native thread that makes calls for this one. See native/glue/actor.h. */
export interface NativeActor {
  /** What `submit` knows it by. */
  readonly handle: number;
  start(name: string, netns: number): Result;
  cancel(id: number): boolean;
  stop(): boolean;
}

export interface Native extends NativeCalls {
  /** Names in the order that `submit` counts them. */
  readonly calls: readonly CallName[];
  readonly constants: Readonly<Record<string, number>>;
  readonly errnos: Readonly<Record<string, readonly [number: number, text: string]>>;
  readonly syscalls: Readonly<Record<number, string>>;
  readonly sizes: Readonly<Record<string, number>>;
  /** See native/glue/calls.h. */
  readonly gates: Readonly<Partial<Record<CallName, () => void>>>;
  usePage(page: ArrayBuffer): void;
  /** See native/glue/mapping.h. */
  mmap(fd: number, length: number, offset: number, writable: boolean): ArrayBuffer | Result;
  munmap(buffer: ArrayBuffer): boolean;
  submit(actor: number, id: number, call: number, ...args: unknown[]): boolean;
  readonly Actor: new (done: (id: number, result: number) => void) => NativeActor;
}

const otherSources = (name: string): Error =>
  new Error(`it has no ${name}: it is of other sources`);

class AddonError extends Error {
  override readonly name = 'AddonError';
  constructor(
    readonly code: 'ERR_UNSUPPORTED_PLATFORM' | 'ERR_ADDON_MISSING',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

const tables = { calls: [], constants: {}, errnos: {}, syscalls: {}, sizes: {}, gates: {} };

/** Stands where the addon should: importing works anywhere, and the first use says why it cannot. */
function absent(error: AddonError): Native {
  return new Proxy(tables as unknown as Native, {
    get(target, name) {
      if (name in target) return Reflect.get(target, name);
      // A function, and a class: whichever way it is used, it is the use that fails.
      return function unavailable(): never {
        throw error;
      };
    },
  });
}

/** What an addon of something else altogether does not have, or one of other sources, as after a pull. */
function lacking(addon: Native): string | undefined {
  const parts = ['calls', 'constants', 'errnos', 'sizes', 'syscalls', 'usePage', 'submit', 'Actor'];
  return [...parts, 'gates'].find((name) => !(name in addon));
}

const BUILD =
  'build it with `npm run build:native` in a checkout, or with `npm explore closewait -- npm run build:native` where it is installed (needs a C++20 compiler, make and Python)';

/** One line of why, and what to do: `bindings` lists every place it has looked in. */
function loadFailure(cause: unknown): string {
  const { message, code } = cause as NodeJS.ErrnoException;
  const [line = ''] = message.split('\n');
  if (line.startsWith('Could not locate')) return `there is no closewait.node: ${BUILD}`;
  const isForbidden = code === 'ERR_DLOPEN_DISABLED';
  const remedy = isForbidden
    ? 'that is --no-addons, or --permission without --allow-addons'
    : BUILD;
  return `closewait.node could not be loaded (${line}): ${remedy}`;
}

const cannotLoad = (cause: unknown): AddonError =>
  new AddonError('ERR_ADDON_MISSING', loadFailure(cause), { cause });

function load(): Native {
  const { platform, arch } = process;
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
    return absent(
      new AddonError(
        'ERR_UNSUPPORTED_PLATFORM',
        `closewait makes Linux system calls on x64 and arm64; this is ${platform} on ${arch}`,
      ),
    );
  }
  const require = createRequire(import.meta.url);
  try {
    const load = require('bindings') as typeof bindings;
    const addon = load({
      bindings: 'closewait',
      // Told, not guessed: bindings would read it off a stack trace.
      module_root: fileURLToPath(new URL('../../..', import.meta.url)),
      // What was built here fits best; what came with the package is for glibc.
      try: [
        ['module_root', 'build', 'Release', 'bindings'],
        ['module_root', 'prebuilds', `${platform}-${arch}`, 'bindings'],
      ],
    }) as Native;
    const name = lacking(addon);
    if (name !== undefined) throw otherSources(name);
    return addon;
  } catch (cause) {
    return absent(cannotLoad(cause));
  }
}

/** The addon. Only files of this folder may import it. */
export const native: Native = load();

/** For what an addon of other sources does not have: throws. */
export function noSuchCall(name: string): never {
  throw cannotLoad(otherSources(name));
}
