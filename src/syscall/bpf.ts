// bpf(2): maps, programs, and what the kernel tells of them.

import { define } from './call.js';
import { encodePath } from './descriptor.js';
import { SyscallError } from './error.js';

/** linux/bpf.h */
export const BPF_MAP_TYPE_ARRAY = 2;
export const BPF_MAP_TYPE_RINGBUF = 27;
export const BPF_F_MMAPABLE = 1 << 10;
export const BPF_PROG_TYPE_TRACEPOINT = 5;
export const BPF_PROG_TYPE_TRACING = 26;
export const BPF_TRACE_RAW_TP = 23;
export const BPF_TRACE_ITER = 28;

const nowhere = () => ({});

/** What a map is made of; sizes in bytes, and a ring buffer's `entries` are bytes, too. */
export interface MapOptions {
  readonly type: number;
  readonly keySize?: number;
  readonly valueSize?: number;
  readonly entries: number;
  readonly flags?: number;
}

/** `bpf(BPF_MAP_CREATE)`: a descriptor, the caller's to close; the map goes when nobody holds it any more. */
export const bpf_map_create = define<[options: MapOptions], number>({
  name: 'bpf_map_create',
  syscall: 'bpf',
  enter: (invoke, _room, { type, keySize = 0, valueSize = 0, entries, flags = 0 }) =>
    invoke(type, keySize, valueSize, entries, flags),
  site: nowhere,
});

/** What a program is loaded with. */
export interface ProgramOptions {
  readonly type: number;
  /** An array of struct bpf_insn. */
  readonly instructions: Uint8Array;
  /** Helpers that read kernel memory are for programs whose license is compatible with the GPL. */
  readonly license: string;
  readonly attachType?: number;
  /** The BTF id of what the program is for, where its type asks for one. */
  readonly attachBtfId?: number;
}

/** A program the kernel did not load, with the verifier's words. */
export class ProgramError extends SyscallError {
  constructor(
    errno: number,
    /** One line for each instruction it looked at, the reason last; empty where it did not get that far. */
    readonly log: string,
  ) {
    super('bpf', errno, {});
    const words = log
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('processed '));
    if (words.at(-1)) this.message += `: ${words.at(-1)}`;
  }
}

const tryToLoad = define<[options: ProgramOptions, log: Uint8Array], number>({
  name: 'bpf_prog_load',
  syscall: 'bpf',
  enter: (invoke, _room, { type, attachType = 0, attachBtfId = 0, instructions, license }, log) =>
    invoke(type, attachType, attachBtfId, instructions, encodePath(license), log),
  site: nowhere,
});

const ATTEMPTS = 5;

/** The verifier gives up where a signal has come for the thread (kernel/bpf/verifier.c); after the call it has been taken. */
function load(options: ProgramOptions, log: Uint8Array): number {
  for (let attempt = 1; ; attempt++) {
    try {
      return tryToLoad(options, log);
    } catch (error) {
      const again = error instanceof SyscallError && error.code === 'EAGAIN';
      if (!again || attempt === ATTEMPTS) throw error;
    }
  }
}

const LOG_SIZE = 1 << 20;

/** `bpf(BPF_PROG_LOAD)`: a descriptor, the caller's to close. Throws ProgramError. */
export function bpf_prog_load(options: ProgramOptions): number {
  try {
    return load(options, new Uint8Array());
  } catch (error) {
    if (!(error instanceof SyscallError) || error.code === 'EPERM') throw error;
  }
  // Again, to hear why: a log is only worth its room for a program that is refused.
  const log = new Uint8Array(LOG_SIZE);
  try {
    return load(options, log);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const end = log.indexOf(0);
    throw new ProgramError(error.errno, new TextDecoder().decode(log.subarray(0, end)));
  }
}

const PROG_INFO_SIZE = 232;
/** Where struct bpf_prog_info has that count. */
export const recursionMissesOffset = 208;

/**
 * `bpf(BPF_OBJ_GET_INFO_BY_FD)`: how often a program was not run because another one was running on that CPU;
 * 0 before Linux 5.12, which does not say.
 */
export const bpf_recursion_misses = define<[fd: number], number>({
  name: 'bpf_info',
  syscall: 'bpf',
  room: PROG_INFO_SIZE,
  enter: (invoke, room, fd) => invoke(fd, room),
  leave: (_result, room) =>
    Number(new DataView(room.buffer).getBigUint64(recursionMissesOffset, true)),
});

/**
 * `bpf(BPF_RAW_TRACEPOINT_OPEN)`: runs a program of BPF_TRACE_RAW_TP at every hit of the tracepoint it was loaded for,
 * while the descriptor is open, which is the caller's to close.
 */
export const bpf_raw_tracepoint_open = define<[progFd: number], number>({
  name: 'bpf_raw_tracepoint_open',
  syscall: 'bpf',
});

/** `bpf(BPF_LINK_CREATE)`: attaches a program that was loaded for what it attaches to; a descriptor, the caller's to close. */
export const bpf_link_create = define<[progFd: number, attachType: number], number>({
  name: 'bpf_link_create',
  syscall: 'bpf',
  enter: (invoke, _room, progFd, attachType) => invoke(progFd, 0, attachType),
});

/**
 * `bpf(BPF_ITER_CREATE)`: a descriptor, the caller's to close, that reads as what the link's program writes of each object.
 * Of sockets, it has those of the network namespace of the thread that makes this call.
 */
export const bpf_iter_create = define<[linkFd: number], number>({
  name: 'bpf_iter_create',
  syscall: 'bpf',
});
