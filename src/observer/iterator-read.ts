import { read } from '../syscall/descriptor.js';
import { SyscallError } from '../syscall/error.js';
import { pageSize } from '../syscall/page-size.js';

/** Bytes of the kernel's own buffer. A read of less may end in the middle of what was written in one piece (bpf_seq_read()). */
export function iteratorBufferSize(): number {
  return 8 * pageSize();
}

/**
 * Reads from a BPF iterator; 0 is its end. Throws SyscallError, but for EAGAIN, which means: read again. After a million objects
 * of which the program said nothing the kernel lets others run (MAX_ITER_OBJECTS in kernel/bpf/bpf_iter.c).
 */
export function readIterator(iterator: number, bytes: Uint8Array): number {
  for (;;) {
    try {
      return read(iterator, bytes);
    } catch (error) {
      if (!(error instanceof SyscallError && error.code === 'EAGAIN')) throw error;
    }
  }
}
