import { AF_INET, AF_INET6 } from '../tcp/address.js';
import type { Btf } from '../tcp/btf.js';
import { Assembler } from './bpf-assembler.js';
import {
  BPF_FUNC_probe_read_kernel,
  BPF_FUNC_seq_write,
  BPF_FUNC_sock_from_file,
} from './bpf-helpers.js';
import { whole } from './bpf-types.js';

/** include/linux/net.h, a header of the kernel alone. */
const SOCK_STREAM = 1;

/** How many numbers of 32 bits a row is. */
export const ROW_WORDS = 4;
const ROW = -4 * ROW_WORDS;

/** The name of every epoll instance's file, 4 bytes a word: "[eventpoll]" (ep_create() in fs/eventpoll.c). */
const EVENTPOLL = new Uint32Array(new TextEncoder().encode('[eventpoll]\0').buffer);

/** Where a task, a file and a socket keep what a row tells of them, in this kernel. */
export type DescriptorTypes = NonNullable<ReturnType<typeof descriptorTypes>>;

/** Undefined where the kernel's types do not tell. */
export function descriptorTypes(btf: Btf | undefined) {
  if (btf === undefined) return;
  return whole({
    iterator: btf.functionId('bpf_iter_task_file'),
    contextMeta: btf.offsetOf('bpf_iter__task_file', 'meta'),
    contextTask: btf.offsetOf('bpf_iter__task_file', 'task'),
    contextFd: btf.offsetOf('bpf_iter__task_file', 'fd'),
    contextFile: btf.offsetOf('bpf_iter__task_file', 'file'),
    metaSeq: btf.offsetOf('bpf_iter_meta', 'seq'),
    pid: btf.offsetOf('task_struct', 'tgid'),
    tid: btf.offsetOf('task_struct', 'pid'),
    inode: btf.offsetOf('file', 'f_inode'),
    inodeNumber: btf.offsetOf('inode', 'i_ino'),
    entry: btf.offsetOf('file', 'f_path.dentry'),
    entryName: btf.offsetOf('dentry', 'd_name.name'),
    sock: btf.offsetOf('socket', 'sk'),
    family: btf.offsetOf('sock_common', 'skc_family'),
    type: btf.offsetOf('sock', 'sk_type'),
  });
}

/**
 * The program of an iterator over descriptors: writes {pid, tid, fd, inode} of each that leads to a socket of TCP, or of
 * MPTCP, whose subflows have its inode; {pid, tid, fd, 0} of each that leads to an epoll instance.
 *
 * r6 is the context, r7 the file, r8 the task.
 */
export function descriptorProgram(types: DescriptorTypes): Uint8Array {
  const program = new Assembler();
  program.move('r6', 'r1').load('r7', 8, 'r6', types.contextFile).jumpIf('r7', '==', 0, 'out');
  program.load('r8', 8, 'r6', types.contextTask).jumpIf('r8', '==', 0, 'out');
  program.store(4, 'r10', ROW + 12, 0);

  program.move('r1', 'r7').call(BPF_FUNC_sock_from_file).jumpIf('r0', '==', 0, 'no socket');
  program.load('r1', 8, 'r0', types.sock).load('r2', 2, 'r1', types.family);
  program.jumpIf('r2', '==', AF_INET, 'internet').jumpIf('r2', '!=', AF_INET6, 'out');
  program.label('internet').load('r2', 2, 'r1', types.type).jumpIf('r2', '!=', SOCK_STREAM, 'out');
  program.load('r1', 8, 'r7', types.inode).load('r1', 8, 'r1', types.inodeNumber);
  program.store(4, 'r10', ROW + 12, 'r1').jump('wanted');

  // Its row is written over afterwards.
  program.label('no socket').load('r3', 8, 'r7', types.entry).load('r3', 8, 'r3', types.entryName);
  program.move('r1', 'r10').add('r1', ROW).move('r2', EVENTPOLL.byteLength);
  program.call(BPF_FUNC_probe_read_kernel);
  for (const [i, word] of EVENTPOLL.entries()) {
    program.load('r1', 4, 'r10', ROW + 4 * i).jumpIf32('r1', '!=', word, 'out');
  }

  program.label('wanted').load('r1', 4, 'r8', types.pid).store(4, 'r10', ROW, 'r1');
  program.load('r1', 4, 'r8', types.tid).store(4, 'r10', ROW + 4, 'r1');
  program.load('r1', 4, 'r6', types.contextFd).store(4, 'r10', ROW + 8, 'r1');
  program.load('r1', 8, 'r6', types.contextMeta).load('r1', 8, 'r1', types.metaSeq);
  program
    .move('r2', 'r10')
    .add('r2', ROW)
    .move('r3', 4 * ROW_WORDS)
    .call(BPF_FUNC_seq_write);
  return program.label('out').move('r0', 0).exit().assemble();
}
