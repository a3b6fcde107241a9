// perf_event_open(2) for tracepoints.

import { define, nothing } from './call.js';
import { encodePath } from './descriptor.js';

/** linux/perf_event.h */
export const PERF_TYPE_TRACEPOINT = 2;
export const PERF_SAMPLE_TID = 1 << 1;
export const PERF_SAMPLE_TIME = 1 << 2;
export const PERF_SAMPLE_CPU = 1 << 7;
export const PERF_SAMPLE_RAW = 1 << 10;
export const PERF_FORMAT_LOST = 1 << 4;
export const PERF_FLAG_FD_CLOEXEC = 1 << 3;

/** Bits of the flags that follow read_format in struct perf_event_attr. */
const DISABLED = 1n << 0n;
const WATERMARK = 1n << 14n;
const USE_CLOCKID = 1n << 25n;
/** PERF_ATTR_SIZE_VER5: up to and including sample_max_stack; Linux 4.8. */
const ATTR_SIZE = 112;

/** What a tracepoint's event writes into its ring. */
export interface TracepointAttributes {
  /** The tracepoint's ID, of its `format` file. */
  readonly id: number;
  /** PERF_SAMPLE_*. */
  readonly sampleType?: number;
  /** Never counts nor samples by itself; a BPF program set on it runs all the same. */
  readonly disabled?: boolean;
  /** PERF_FORMAT_*: what read(2) of the descriptor tells. */
  readonly readFormat?: number;
  /** The clock of PERF_SAMPLE_TIME. Left out: perf's own. */
  readonly clock?: number;
  /** Wakes a poller when so many bytes are waiting, and not at every sample. */
  readonly watermark?: number;
}

/** `struct perf_event_attr` of an event that samples every hit of a tracepoint. */
export function encodeTracepointAttributes(wanted: TracepointAttributes): Uint8Array {
  const { id, sampleType = 0, readFormat = 0, disabled = false, clock, watermark } = wanted;
  const attr = new DataView(new ArrayBuffer(ATTR_SIZE));
  attr.setUint32(0, PERF_TYPE_TRACEPOINT, true);
  attr.setUint32(4, ATTR_SIZE, true);
  attr.setBigUint64(8, BigInt(id), true);
  attr.setBigUint64(16, 1n, true); // sample_period: every one
  attr.setBigUint64(24, BigInt(sampleType), true);
  attr.setBigUint64(32, BigInt(readFormat), true);
  const flags =
    (disabled ? DISABLED : 0n) |
    (watermark === undefined ? 0n : WATERMARK) |
    (clock === undefined ? 0n : USE_CLOCKID);
  attr.setBigUint64(40, flags, true);
  attr.setUint32(48, watermark ?? 0, true);
  attr.setInt32(92, clock ?? 0, true);
  return new Uint8Array(attr.buffer);
}

/**
 * `int perf_event_open(struct perf_event_attr *attr, pid_t pid, int cpu, -1, PERF_FLAG_FD_CLOEXEC)`: a descriptor, the
 * caller's to close. `pid` -1 is every process, `cpu` -1 every CPU; not both.
 */
export const perf_event_open = define<[attr: Uint8Array, pid: number, cpu: number], number>({
  name: 'perf_event_open',
  enter: (invoke, _room, attr, pid, cpu) => invoke(attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC),
  site: (_attr, pid) => (pid < 0 ? {} : { path: `thread ${pid}` }),
});

/** `ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog_fd)`: runs the program at every hit, on every CPU, while `fd` is open. */
export const perf_set_bpf = define<[fd: number, progFd: number], void>({
  name: 'perf_set_bpf',
  syscall: 'ioctl',
  leave: nothing,
});

/** `ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, output_fd)`: writes into the ring of another event of the same CPU or thread. */
export const perf_set_output = define<[fd: number, outputFd: number], void>({
  name: 'perf_set_output',
  syscall: 'ioctl',
  leave: nothing,
});

/** `ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter)`: keeps the hits for which `filter`, as in `sport == 80`, is true. */
export const perf_set_filter = define<[fd: number, filter: string], void>({
  name: 'perf_set_filter',
  syscall: 'ioctl',
  enter: (invoke, _room, fd, filter) => invoke(fd, encodePath(filter)),
  leave: nothing,
});
