import { SyscallError } from './error.js';
import { native } from './native.js';

/**
 * `void *mmap(NULL, length, prot, MAP_SHARED, fd, offset)`: memory shared with the kernel, such as the ring of a capture
 * or a tracepoint. The memory goes when this is disposed, or collected; no view can reach it after that.
 *
 * The kernel writes to it at any time: what is read twice may differ.
 */
export class Mapping implements Disposable {
  readonly #buffer: ArrayBuffer;
  /** All of it; empty once disposed. */
  readonly bytes: Uint8Array;

  /** Throws SyscallError. `fd` stays the caller's, and may be closed: the mapping holds on by itself. */
  constructor(fd: number, length: number, { offset = 0, writable = false } = {}) {
    const buffer = native.mmap(fd, length, offset, writable);
    if (typeof buffer === 'number') throw new SyscallError('mmap', buffer, { fd });
    this.#buffer = buffer;
    this.bytes = new Uint8Array(buffer);
  }

  /** Unmaps the memory. Idempotent. */
  unmap(): void {
    native.munmap(this.#buffer);
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}
