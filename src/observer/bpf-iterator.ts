import { readlinkSync } from 'node:fs';
import { checkDescriptor } from '../syscall/argument.js';
import * as bpf from '../syscall/bpf.js';
import * as sys from '../syscall/sys.js';
import { type Checks, checkBoolean, checkedFields, invalidValue } from '../tcp/argument.js';
import { SocketTable } from '../tcp/socket-table.js';
import { stateMask } from '../tcp/states.js';
import { LICENSE } from './bpf-helpers.js';
import { readBtf } from './bpf-types.js';
import { iteratorProgram } from './iterator-program.js';
import { iteratorBufferSize, readIterator } from './iterator-read.js';
import { type SocketTypes, socketTypes, type TableTypes, tableTypes } from './iterator-types.js';
import type { Availability } from './observer.js';
import { unlessGone } from './proc.js';
import {
  connectionStates,
  familyNumber,
  SNAPSHOT_OPTIONS,
  type SnapshotOptions,
} from './sock-diag.js';
import { UnavailableError } from './unavailable-error.js';

/** Which sockets to list, and how. */
export interface IteratorOptions extends Omit<SnapshotOptions, 'info'> {
  /** False: sockets are fetched from memory one after the other; to measure what looking ahead gains. */
  readonly lookAhead?: boolean;
}

const { info: _, ...LIST_OPTIONS } = SNAPSHOT_OPTIONS;
const OPTIONS: Checks<IteratorOptions> = { ...LIST_OPTIONS, lookAhead: checkBoolean };

const FACTS = {
  name: 'BPF iterator',
  sees: 'every TCP socket of a network namespace: state, queues, timer, inode, uid, cookie',
  blindTo: 'sockets in CLOSE, which are in no table; everything between two requests; TCP_INFO',
  costs: '50 ms to load; 3 ms for few sockets; half of what sock_diag takes for 100,000',
  needs: 'CAP_BPF and CAP_PERFMON; the types of the kernel (CONFIG_DEBUG_INFO_BTF)',
  clock: 'the moment of the call; a list of many is not one moment',
} as const;

/**
 * The TCP sockets of a network namespace, told by a BPF program that the kernel runs for each: for those who ask often, with
 * very many sockets.
 *
 * Sees: what sock_diag sees, without TCP_INFO. Blind to: the same. A socket that comes, goes or moves meanwhile may be told
 *   of twice or not at all before Linux 6.16.
 * Costs: loading the program once; then the walk through all buckets of the kernel's table, and half a microsecond a
 *   socket (`npm run bench -- observers`). Each socket is locked while it is told of. Linux before 6.18.45 (or 6.12.104,
 *   6.6.152, 6.1.183) may take a connection request that is just being made for a live one and free it too early
 *   (CVE-2026-74714): not there, where connections arrive.
 * Needs: CAP_BPF and CAP_PERFMON; CONFIG_DEBUG_INFO_BTF. Without the privileges there is sock_diag, which needs none.
 * Clock: the moment of the call; a list of many is not one moment.
 * Source: bpf_iter_tcp in net/ipv4/tcp_ipv4.c; kernel/bpf/bpf_iter.c.
 */
export class BpfIterator implements Disposable {
  /** What `bpf_iter_create` takes; an actor in another namespace can make that call. */
  readonly link: number;
  readonly #owned: sys.Descriptors;

  private constructor(owned: sys.Descriptors, link: number) {
    this.#owned = owned;
    this.link = link;
  }

  /**
   * Loads the program. Throws SyscallError or UnavailableError, TypeError or RangeError for options that are none, and leaves
   * nothing behind.
   */
  static open(options: IteratorOptions = {}): BpfIterator {
    const { states, family, lookAhead = true } = checkedFields('options', options, OPTIONS);
    const context = {
      states: stateMask(states ?? connectionStates),
      family: family === undefined ? undefined : familyNumber(family),
      // The resolution of the coarse clocks is the kernel's tick.
      tickNs: Number(sys.clock_getres(sys.CLOCK_MONOTONIC_COARSE)),
    };
    const { socket, table } = readTypes();
    const owned = new sys.Descriptors();
    try {
      const ahead = lookAhead && table ? { table, memory: owned.own(memoryOfOne()) } : undefined;
      const program = bpf.bpf_prog_load({
        type: bpf.BPF_PROG_TYPE_TRACING,
        attachType: bpf.BPF_TRACE_ITER,
        attachBtfId: socket.iterator,
        instructions: iteratorProgram(socket, { ...context, ahead }),
        license: LICENSE,
      });
      owned.own(program);
      return new BpfIterator(owned, owned.own(bpf.bpf_link_create(program, bpf.BPF_TRACE_ITER)));
    } catch (error) {
      owned[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether it can be had here. */
  static availability(): Availability {
    try {
      BpfIterator.open()[Symbol.dispose]();
      return { ...FACTS, available: true };
    } catch (error) {
      const refused = error instanceof sys.SyscallError && error.code === 'EPERM';
      const message = error instanceof Error ? error.message : String(error);
      const reason = refused ? 'needs CAP_BPF and CAP_PERFMON' : message;
      return { ...FACTS, available: false, reason };
    }
  }

  /**
   * All sockets of the caller's network namespace; or of the one in which somebody made `iterator`, by
   * `bpf_iter_create(link)`, which is taken over and closed. Throws SyscallError, TypeError for another descriptor.
   */
  snapshot(iterator?: number): SocketTable {
    if (iterator !== undefined) checkIterator(iterator);
    const fd = iterator ?? bpf.bpf_iter_create(this.link);
    try {
      return new SocketTable(chunksOf(fd), { dumps: 0 });
    } finally {
      sys.close(fd);
    }
  }

  /** Unloads the program. Idempotent. */
  close(): void {
    this.#owned[Symbol.dispose]();
  }

  /** Detaches and closes the program; a second time does nothing. */
  [Symbol.dispose](): void {
    this.close();
  }
}

const ITERATOR = 'anon_inode:bpf_iter';

/** Refuses another file: one that does not block would be read for ever, since an iterator that says EAGAIN has more. */
function checkIterator(fd: number): void {
  checkDescriptor('iterator', fd);
  const link = unlessGone(() => readlinkSync(`/proc/self/fd/${fd}`));
  // One that is closed is the kernel's to refuse.
  if (link === undefined || link === ITERATOR) return;
  throw invalidValue(`iterator must be a BPF iterator, received ${link}`);
}

/** Many reads fill one piece of memory, not zeroed: what they do not fill is never looked at. */
const READS = 32;

/** What the program wrote, in pieces of whole messages. */
function* chunksOf(iterator: number): Generator<Uint8Array> {
  const least = iteratorBufferSize();
  let block = new Uint8Array(0);
  for (;;) {
    if (block.length < least) block = Buffer.allocUnsafeSlow(READS * least);
    const length = readIterator(iterator, block);
    if (length === 0) return;
    yield block.subarray(0, length);
    block = block.subarray(length);
  }
}

const memoryOfOne = (): number =>
  bpf.bpf_map_create({ type: bpf.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 8, entries: 1 });

let known: { readonly socket: SocketTypes; readonly table: TableTypes | undefined } | undefined;

/** Read once: a running kernel's types do not change. */
function readTypes(): NonNullable<typeof known> {
  if (known !== undefined) return known;
  const btf = readBtf();
  const socket = btf && socketTypes(btf);
  if (btf === undefined || socket === undefined) {
    throw new UnavailableError('the kernel does not tell its types (CONFIG_DEBUG_INFO_BTF)');
  }
  known = { socket, table: tableTypes(btf) };
  return known;
}
