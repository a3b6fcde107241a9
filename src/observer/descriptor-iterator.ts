import * as bpf from '../syscall/bpf.js';
import { close, Descriptors } from '../syscall/descriptor.js';
import { SyscallError } from '../syscall/error.js';
import { LICENSE } from './bpf-helpers.js';
import { readBtf } from './bpf-types.js';
import { descriptorProgram, descriptorTypes } from './descriptor-program.js';
import { iteratorBufferSize, readIterator } from './iterator-read.js';
import { CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, hasCapability, isInFirst } from './privilege.js';
import { UnavailableError } from './unavailable-error.js';

/**
 * The descriptors of all processes that lead to a TCP socket or an epoll instance, told by a BPF program that the kernel runs
 * for each descriptor: for those who look at very many.
 *
 * Sees: what readlink of /proc/PID/fd shows, for every process. Blind to: descriptor tables in no task (SCM_RIGHTS, io_uring).
 * Costs: 25 ms to load, then 0.7 us a descriptor, where a readlink takes 3 us. The kernel holds each file while the program
 *   runs on it, for less than a microsecond: a close() at that very moment takes effect when it lets go.
 * Needs: CAP_BPF and CAP_PERFMON; CONFIG_DEBUG_INFO_BTF; Linux 5.11; the first user
 *   and pid namespaces, of which its numbers are.
 * Clock: none. A walk is no snapshot: each row is as old as the moment it was read.
 * Source: kernel/bpf/task_iter.c.
 */
export class DescriptorIterator implements Disposable {
  readonly #owned: Descriptors;
  readonly #link: number;

  private constructor(owned: Descriptors, link: number) {
    this.#owned = owned;
    this.#link = link;
  }

  /** Loads the program. Throws SyscallError or UnavailableError, and leaves nothing behind. */
  static open(): DescriptorIterator {
    checkPrivilege();
    const types = descriptorTypes(readBtf());
    if (types === undefined) {
      throw new UnavailableError('the kernel does not tell its types (CONFIG_DEBUG_INFO_BTF)');
    }
    const owned = new Descriptors();
    try {
      const program = bpf.bpf_prog_load({
        ...{ type: bpf.BPF_PROG_TYPE_TRACING, attachType: bpf.BPF_TRACE_ITER },
        attachBtfId: types.iterator,
        instructions: descriptorProgram(types),
        license: LICENSE,
      });
      owned.own(program);
      const link = owned.own(bpf.bpf_link_create(program, bpf.BPF_TRACE_ITER));
      return new DescriptorIterator(owned, link);
    } catch (error) {
      owned[Symbol.dispose]();
      throw error;
    }
  }

  /** The same, or undefined where it cannot be had: readlink sees what it sees. */
  static openIfAllowed(): DescriptorIterator | undefined {
    try {
      return DescriptorIterator.open();
    } catch (error) {
      if (error instanceof SyscallError || error instanceof UnavailableError) return undefined;
      throw error;
    }
  }

  /** Walks through all tables: rows of ROW_WORDS numbers, {pid, tid, fd, inode}; see descriptorProgram(). */
  *rows(): Generator<Uint32Array> {
    const iterator = bpf.bpf_iter_create(this.#link);
    try {
      const buffer = new Uint32Array(iteratorBufferSize() / 4);
      const bytes = new Uint8Array(buffer.buffer);
      for (;;) {
        const length = readIterator(iterator, bytes);
        if (length === 0) return;
        yield buffer.subarray(0, length / 4);
      }
    } finally {
      close(iterator);
    }
  }

  /** Unloads the program. Idempotent. */
  close(): void {
    this.#owned[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Throws where a program would be refused: to read the kernel's types first would be for nothing. */
function checkPrivilege(): void {
  for (const kind of ['user', 'pid'] as const) {
    if (!isInFirst(kind)) throw new UnavailableError(`needs the first ${kind} namespace`);
  }
  const may = hasCapability(CAP_BPF) && hasCapability(CAP_PERFMON);
  if (!may && !hasCapability(CAP_SYS_ADMIN)) {
    throw new UnavailableError('needs CAP_BPF and CAP_PERFMON');
  }
}
