import { readFileSync } from 'node:fs';
import { Mapping } from '../syscall/mapping.js';
import { Actor, Descriptors } from '../syscall/sys.js';
import type { Samples } from '../tcp/ring.js';

/** A way for tracepoints' records to get from the kernel to here. */
export interface TraceSource extends Disposable {
  readonly via: 'bpf' | 'perf';
  /**
   * Hands on copies of what the rings hold and makes room for more. False: a CPU was still writing, and some of what
   * had been produced before this call is to come.
   */
  drain(take: (chunk: Uint8Array) => void): boolean;
  /** Decodes a chunk. */
  decode(chunk: Uint8Array): Samples;
  /** Hits that left no record, since the start. */
  lost(): number;
  /** Lets go of everything without keeping the event loop waiting; disposing does it here and now. */
  close(): Promise<void>;
}

/** The descriptors and mappings of a source. */
export class Holdings implements Disposable {
  readonly #fds: number[] = [];
  readonly #owned = new Descriptors();
  readonly #mappings: Mapping[] = [];

  /** Takes a descriptor over and returns it. */
  own(fd: number): number {
    this.#fds.push(fd);
    return this.#owned.own(fd);
  }

  /** Maps memory of a descriptor. */
  map(fd: number, length: number, options?: { writable?: boolean; offset?: number }): ArrayBuffer {
    const mapping = new Mapping(fd, length, options);
    this.#mappings.push(mapping);
    return mapping.bytes.buffer as ArrayBuffer;
  }

  /**
   * Lets go of all of it, on a thread of its own: the kernel waits some 50 ms, for every CPU to have left a perf event's tracepoint,
   * before a close returns.
   */
  async close(): Promise<void> {
    try {
      await using closer = await Actor.start({ name: 'closer' });
      for (const fd of this.#fds.splice(0).reverse()) await closer.close(this.#owned.release(fd));
    } finally {
      this[Symbol.dispose]();
    }
  }

  /** The same, here and now. */
  [Symbol.dispose](): void {
    for (const mapping of this.#mappings.splice(0)) mapping.unmap();
    this.#owned[Symbol.dispose]();
    this.#fds.length = 0;
  }
}

/** The numbers of the CPUs that are on. */
export function onlineCpus(): number[] {
  const list = readFileSync('/sys/devices/system/cpu/online', 'latin1').trim();
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
