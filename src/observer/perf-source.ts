import { pageSize } from '../syscall/page-size.js';
import * as perf from '../syscall/perf.js';
import { CLOCK_MONOTONIC, read, SyscallError } from '../syscall/sys.js';
import { decodePerfRing, type Samples } from '../tcp/ring.js';
import { portPlaces, type TracepointFormat } from '../tcp/tracepoint.js';
import type { HitFilter } from './bpf-program.js';
import { monotonicAheadNs } from './clock-map.js';
import { Holdings, onlineCpus, type TraceSource } from './trace-source.js';
import { UnavailableError } from './unavailable-error.js';

const SAMPLE_TYPE =
  perf.PERF_SAMPLE_TID | perf.PERF_SAMPLE_TIME | perf.PERF_SAMPLE_CPU | perf.PERF_SAMPLE_RAW;

/** struct perf_event_mmap_page, in words of 8 bytes. */
const DATA_HEAD = 1024 / 8;
const DATA_TAIL = 1032 / 8;

/** The ring of one CPU's or one thread's events. */
class PerfRing {
  readonly #control: BigUint64Array;
  readonly #data: Uint8Array;
  #tail = 0;

  /** `memory` begins with one page of control. */
  constructor(memory: ArrayBuffer, page: number) {
    this.#control = new BigUint64Array(memory, 0, page / 8);
    this.#data = new Uint8Array(memory, page);
  }

  drain(take: (chunk: Uint8Array) => void): void {
    const head = Number(Atomics.load(this.#control, DATA_HEAD));
    if (head === this.#tail) return;
    const size = this.#data.length;
    const chunk = new Uint8Array(head - this.#tail);
    const start = this.#tail % size;
    const first = Math.min(chunk.length, size - start);
    chunk.set(this.#data.subarray(start, start + first));
    chunk.set(this.#data.subarray(0, chunk.length - first), first);
    Atomics.store(this.#control, DATA_TAIL, BigInt(head));
    this.#tail = head;
    take(chunk);
  }
}

/**
 * Tracepoints by perf events: a ring for each CPU, and one for each thread whose system calls are wanted
 * (perf_event_open(2), kernel/events/ring_buffer.c). A watermark that is never polled for keeps wake-ups away.
 */
export class PerfSource implements TraceSource {
  readonly via = 'perf';
  readonly #aheadNs = monotonicAheadNs();
  readonly #held = new Holdings();
  readonly #events: number[] = [];
  readonly #rings: PerfRing[] = [];
  readonly #filter: HitFilter;
  readonly #ringBytes: number;
  /** PERF_FORMAT_LOST, or 0 before Linux 6.0: then a ring tells of losses when it has room again, and not before. */
  #readFormat = perf.PERF_FORMAT_LOST;
  #toldLost = 0;

  /** `ringBytes` is a power of two and whole pages. Throws SyscallError or UnavailableError, and leaves nothing behind. */
  constructor(formats: readonly TracepointFormat[], filter: HitFilter, ringBytes: number) {
    this.#filter = filter;
    this.#ringBytes = ringBytes;
    if (filter.netns !== undefined) {
      throw new UnavailableError('perf cannot tell network namespaces apart: give ports');
    }
    try {
      const ofSockets = formats.filter(({ fields }) => fields.has('skaddr'));
      const ofCalls = formats.filter(({ fields }) => !fields.has('skaddr'));
      for (const cpu of onlineCpus()) this.#open(ofSockets, -1, cpu);
      for (const thread of filter.threads ?? []) this.#open(ofCalls, thread, -1);
    } catch (error) {
      this.#held[Symbol.dispose]();
      throw error;
    }
  }

  #open(formats: readonly TracepointFormat[], thread: number, cpu: number): void {
    const [leader, ...others] = formats.map((format) => {
      const fd = this.#held.own(this.#event(format, thread, cpu));
      const text = portFilter(format, this.#filter.ports);
      if (text !== undefined) perf.perf_set_filter(fd, text);
      this.#events.push(fd);
      return fd;
    });
    if (leader === undefined) return;
    const page = pageSize();
    const memory = this.#held.map(leader, page + this.#ringBytes, { writable: true });
    this.#rings.push(new PerfRing(memory, page));
    for (const fd of others) perf.perf_set_output(fd, leader);
  }

  #event({ id }: TracepointFormat, thread: number, cpu: number): number {
    const attributes = () =>
      perf.encodeTracepointAttributes({
        id,
        sampleType: SAMPLE_TYPE,
        readFormat: this.#readFormat,
        clock: CLOCK_MONOTONIC,
        watermark: this.#ringBytes / 2,
      });
    try {
      return perf.perf_event_open(attributes(), thread, cpu);
    } catch (error) {
      const unknown = error instanceof SyscallError && error.code === 'EINVAL';
      if (!unknown || this.#readFormat === 0) throw error;
      this.#readFormat = 0;
      return perf.perf_event_open(attributes(), thread, cpu);
    }
  }

  drain(take: (chunk: Uint8Array) => void): boolean {
    for (const ring of this.#rings) ring.drain(take);
    return true;
  }

  decode(chunk: Uint8Array): Samples {
    const samples = decodePerfRing(chunk, this.#aheadNs);
    this.#toldLost += samples.lost;
    return samples;
  }

  lost(): number {
    if (this.#readFormat === 0) return this.#toldLost;
    // struct read_format: value, lost.
    const words = new BigUint64Array(2);
    return this.#events.reduce((sum, fd) => {
      read(fd, new Uint8Array(words.buffer));
      return sum + Number(words[1]);
    }, 0);
  }

  close(): Promise<void> {
    return this.#held.close();
  }

  [Symbol.dispose](): void {
    this.#held[Symbol.dispose]();
  }
}

/** What the kernel can compare, it compares: it has no way to look into an array, which a sockaddr is. */
function portFilter(format: TracepointFormat, ports: HitFilter['ports']): string | undefined {
  const fields = portPlaces(format).flatMap(({ field }) => field ?? []);
  if (ports === undefined || fields.length === 0) return;
  return fields.flatMap((field) => ports.map((port) => `${field} == ${port}`)).join(' || ');
}
