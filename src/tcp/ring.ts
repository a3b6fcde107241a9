/** One hit of a tracepoint, as the kernel recorded it. */
export interface Sample {
  /** CLOCK_MONOTONIC. */
  readonly tNs: bigint;
  /** The process and thread that ran on the CPU: not the socket's owner where a packet caused the hit. */
  readonly pid: number;
  readonly tid: number;
  readonly cpu: number;
  /** The inode of the socket's network namespace, where a program could read it. */
  readonly netns?: number;
  /** The tracepoint's record, laid out as its `format` file says. Shares the memory of the chunk it came from. */
  readonly record: Uint8Array;
}

/** What a chunk of a ring held. */
export interface Samples {
  readonly samples: readonly Sample[];
  /** Hits the kernel had no room for, as far as the chunk itself tells. */
  readonly lost: number;
  /** Why the rest of the chunk could not be read. */
  readonly malformed?: string;
}

/** Bits of the length of a record in a BPF ring buffer, and what it is rounded up to: linux/bpf.h. */
export const BPF_RINGBUF_BUSY_BIT = 0x8000_0000;
export const BPF_RINGBUF_DISCARD_BIT = 0x4000_0000;
const BPF_RINGBUF_HDR_SIZE = 8;

/** The bytes a record takes in a BPF ring buffer, by the length in its header. */
export function bpfRecordSize(length: number): number {
  const payload = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
  return (payload + BPF_RINGBUF_HDR_SIZE + 7) & ~7;
}

/** Where this library's BPF programs put what they know of a hit; the tracepoint's record comes last. */
export const bpfSample = { tNs: 0, tid: 8, pid: 12, netns: 16, cpu: 20, record: 24 } as const;

/**
 * Decodes consecutive records of a BPF ring buffer, each written by a program that follows `bpfSample`. The reader's
 * CLOCK_MONOTONIC is `aheadNs` ahead of the kernel's.
 */
export function decodeBpfRing(chunk: Uint8Array, aheadNs = 0n): Samples {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
  const samples: Sample[] = [];
  const broken = (at: number, what: string): Samples => ({
    samples,
    lost: 0,
    malformed: `BPF ring record at byte ${at}: ${what}`,
  });
  for (let at = 0, size = 0; at < chunk.length; at += size) {
    if (chunk.length - at < BPF_RINGBUF_HDR_SIZE) return broken(at, 'header cut short');
    const length = view.getUint32(at, true);
    if (length >= BPF_RINGBUF_BUSY_BIT) return broken(at, 'still being written');
    size = bpfRecordSize(length);
    if (size > chunk.length - at) return broken(at, `length ${length} past the end`);
    if ((length & BPF_RINGBUF_DISCARD_BIT) !== 0) continue;
    if (length < bpfSample.record) return broken(at, `length ${length} under ${bpfSample.record}`);
    const start = at + BPF_RINGBUF_HDR_SIZE;
    const netns = view.getUint32(start + bpfSample.netns, true);
    samples.push({
      tNs: view.getBigUint64(start + bpfSample.tNs, true) + aheadNs,
      pid: view.getUint32(start + bpfSample.pid, true),
      tid: view.getUint32(start + bpfSample.tid, true),
      cpu: view.getUint32(start + bpfSample.cpu, true),
      ...(netns !== 0 && { netns }),
      record: chunk.subarray(start + bpfSample.record, start + length),
    });
  }
  return { samples, lost: 0 };
}

/** PERF_RECORD_*: linux/perf_event.h. */
const PERF_RECORD_LOST = 2;
const PERF_RECORD_SAMPLE = 9;
const PERF_HEADER_SIZE = 8;
/** u32 pid, tid; u64 time; u32 cpu, res; u32 size: the order is the kernel's, not that of sample_type's bits. */
const perfSample = { pid: 8, tid: 12, tNs: 16, cpu: 24, size: 32, record: 36 } as const;
/** u64 id, lost. */
const PERF_LOST_SIZE = 24;

/**
 * Decodes consecutive records of a perf ring whose samples have TID, TIME, CPU and RAW, and no other fields
 * (perf_event_open(2)). Records of other types are passed over. `aheadNs` as above.
 */
export function decodePerfRing(chunk: Uint8Array, aheadNs = 0n): Samples {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
  const samples: Sample[] = [];
  let lost = 0;
  const broken = (at: number, what: string): Samples => ({
    samples,
    lost,
    malformed: `perf record at byte ${at}: ${what}`,
  });
  for (let at = 0, size = 0; at < chunk.length; at += size) {
    if (chunk.length - at < PERF_HEADER_SIZE) return broken(at, 'header cut short');
    const type = view.getUint32(at, true);
    size = view.getUint16(at + 6, true);
    if (size < PERF_HEADER_SIZE) return broken(at, `size ${size} under ${PERF_HEADER_SIZE}`);
    if (size > chunk.length - at) return broken(at, `size ${size} past the end`);
    if (type === PERF_RECORD_LOST && size >= PERF_LOST_SIZE) {
      lost += Number(view.getBigUint64(at + 16, true));
    }
    if (type !== PERF_RECORD_SAMPLE) continue;
    const length = size < perfSample.record ? size : view.getUint32(at + perfSample.size, true);
    if (perfSample.record + length > size) return broken(at, `raw size ${length} past its record`);
    const start = at + perfSample.record;
    samples.push({
      tNs: view.getBigUint64(at + perfSample.tNs, true) + aheadNs,
      pid: view.getInt32(at + perfSample.pid, true),
      tid: view.getInt32(at + perfSample.tid, true),
      cpu: view.getUint32(at + perfSample.cpu, true),
      record: chunk.subarray(start, start + length),
    });
  }
  return { samples, lost };
}
