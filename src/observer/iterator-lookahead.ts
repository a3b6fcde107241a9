import type { Assembler } from './bpf-assembler.js';
import { BPF_FUNC_probe_read_kernel } from './bpf-helpers.js';
import type { SocketTypes, TableTypes } from './iterator-types.js';

/** How many buckets of the hash table are looked at together: their heads have to fit on the stack. */
const BLOCK = 32;
const BLOCK_SHIFT = 5;
const POINTER = 8;
/** Lines of the CPU's cache; on a machine with longer ones some are asked for twice. */
const CACHE_LINE = 64;

/** What looking ahead works with. */
export interface LookAhead {
  readonly table: TableTypes;
  /** The descriptor of an array of one 8-byte number, in which the program remembers the block it was last in. */
  readonly memory: number;
}

/**
 * Has the caches fetch what will be asked of the sockets in the next block of the hash table. Ends at `looked`.
 *
 * Each of many sockets is a dozen cache lines in memory. The kernel takes a reference and the lock of one after the other,
 * and either waits for its line: an atomic operation lets nothing overtake it. Plain loads do not wait for each other, so a
 * block's worth of them takes hardly longer than one. Their results are not used: a socket may be gone by then, or be a stub
 * that is shorter, and a load that faults reads 0.
 *
 * r7 is the socket, one of the table; `room` is where on the stack the heads end; r9 is used up.
 */
export function lookAhead(
  program: Assembler,
  types: SocketTypes,
  { table, memory }: LookAhead,
  room: number,
): void {
  const heads = room - BLOCK * POINTER;
  program.load('r2', 8, 'r7', table.net).load('r2', 8, 'r2', table.info);
  program.load('r3', 4, 'r2', table.mask).load('r9', 4, 'r7', table.hash).and('r9', 'r3');
  program.shiftRight('r9', BLOCK_SHIFT).add('r9', 1);
  program.mapValue('r1', memory).load('r4', 8, 'r1', 0).jumpIf('r4', '==', 'r9', 'looked');
  program.store(8, 'r1', 0, 'r9');

  // Behind the last block comes the first, which does no harm.
  program.shiftLeft('r9', BLOCK_SHIFT).and('r9', 'r3').multiply('r9', POINTER);
  program.move('r3', 'r2').add('r3', table.buckets);
  program.move('r1', 'r10').add('r1', heads).move('r2', POINTER).call(BPF_FUNC_probe_read_kernel);
  program.load('r3', 8, 'r10', heads).add('r3', 'r9');
  program
    .move('r1', 'r10')
    .add('r1', heads)
    .move('r2', BLOCK * POINTER);
  program.call(BPF_FUNC_probe_read_kernel);

  const places = onePerLine(types, table);
  for (let bucket = 0; bucket < BLOCK; bucket++) {
    const empty = `bucket ${bucket} is empty`;
    // An odd address is the end of a list: linux/list_nulls.h.
    program.load('r1', 8, 'r10', heads + bucket * POINTER).jumpIf('r1', '&', 1, empty);
    program.subtract('r1', table.node).move('r2', table.socket).callKernel(table.cast);
    for (const place of places) program.load('r1', 1, 'r0', place);
    program.label(empty);
  }
  program.label('looked');
}

/** A place in each line of a socket that the iterator or the program will touch. */
function onePerLine(types: SocketTypes, table: TableTypes): number[] {
  const touched = [
    ...[types.family, types.cookie, table.references, table.lock, table.deferred, table.owner],
    ...[types.shutdown, types.inode ?? types.shutdown, types.keepaliveExpires, types.pending],
    ...[types.copied, types.written, types.receiveNext, types.unacknowledged],
  ];
  return [...new Map(touched.map((at) => [Math.floor(at / CACHE_LINE), at])).values()];
}
