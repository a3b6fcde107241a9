import * as bpf from '../syscall/bpf.js';
import { pageSize } from '../syscall/page-size.js';
import { encodeTracepointAttributes, perf_event_open, perf_set_bpf } from '../syscall/perf.js';
import type { Btf } from '../tcp/btf.js';
import { BPF_RINGBUF_BUSY_BIT, bpfRecordSize, decodeBpfRing, type Samples } from '../tcp/ring.js';
import type { TracepointFormat } from '../tcp/tracepoint.js';
import { LICENSE } from './bpf-helpers.js';
import {
  type HitFilter,
  type ProgramContext,
  socketProgram,
  tracepointProgram,
} from './bpf-program.js';
import {
  type CallTypes,
  callTypes,
  type EndTypes,
  endTypes,
  type NetnsPath,
  netnsPath,
  type PacketTypes,
  packetTypes,
  readBtf,
} from './bpf-types.js';
import { callProgram } from './call-program.js';
import { monotonicAheadNs } from './clock-map.js';
import { resetProgram } from './reset-program.js';
import { Holdings, onlineCpus, type TraceSource } from './trace-source.js';
import { UnavailableError } from './unavailable-error.js';

/**
 * Tracepoints by a BPF program each, into one ring buffer that all CPUs write to in turn (bpf(2),
 * kernel/bpf/ringbuf.c). Nobody is woken: who reads it does so when it suits.
 *
 * A program gets the tracepoint's own arguments where this kernel's types tell what they are, else, through a perf event, the
 * record.
 */
export class BpfSource implements TraceSource {
  readonly via = 'bpf';
  readonly #aheadNs = monotonicAheadNs();
  readonly #held = new Holdings();
  readonly #programs: readonly number[];
  readonly #size: number;
  /** Positions count bytes since the start; modulo the size they are offsets into the data. */
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  /** Mapped twice in a row by the kernel, so that no record is ever cut in two. */
  readonly #data: Uint8Array;
  readonly #lengths: Uint32Array;
  readonly #unstored: BigUint64Array;

  /** `ringBytes` is a power of two and whole pages. Throws SyscallError or UnavailableError, and leaves nothing behind. */
  constructor(formats: readonly TracepointFormat[], filter: HitFilter, ringBytes: number) {
    try {
      const kernel = readTypes();
      if (filter.netns !== undefined && kernel?.path === undefined) {
        throw new UnavailableError('the kernel does not tell its types (CONFIG_DEBUG_INFO_BTF)');
      }
      const ring = this.#held.own(
        bpf.bpf_map_create({ type: bpf.BPF_MAP_TYPE_RINGBUF, entries: ringBytes }),
      );
      const lost = this.#held.own(
        bpf.bpf_map_create({
          type: bpf.BPF_MAP_TYPE_ARRAY,
          keySize: 4,
          valueSize: 8,
          entries: 1,
          flags: bpf.BPF_F_MMAPABLE,
        }),
      );
      const page = pageSize();
      const words = (
        fd: number,
        length: number,
        options?: { writable?: boolean; offset?: number },
      ) => new BigUint64Array(this.#held.map(fd, length, options));
      this.#size = ringBytes;
      this.#consumer = words(ring, page, { writable: true });
      this.#producer = words(ring, page + 2 * ringBytes, { offset: page });
      this.#data = new Uint8Array(this.#producer.buffer, page);
      this.#lengths = new Uint32Array(this.#producer.buffer, page);
      this.#unstored = words(lost, page);

      const context = { ...filter, ring, lost, path: kernel?.path };
      this.#programs = formats.map((format) => {
        const instructions = kernel && programByType(format, kernel, context);
        return instructions !== undefined
          ? this.#attachByType(kernel?.tracepoints.get(format.name) ?? 0, instructions)
          : this.#attachByEvent(format.id, tracepointProgram(format, context));
      });
    } catch (error) {
      this.#held[Symbol.dispose]();
      throw error;
    }
  }

  /** Runs a program with the tracepoint's own arguments. */
  #attachByType(tracepoint: number, instructions: Uint8Array): number {
    const program = this.#held.own(
      bpf.bpf_prog_load({
        type: bpf.BPF_PROG_TYPE_TRACING,
        attachType: bpf.BPF_TRACE_RAW_TP,
        attachBtfId: tracepoint,
        instructions,
        license: LICENSE,
      }),
    );
    this.#held.own(bpf.bpf_raw_tracepoint_open(program));
    return program;
  }

  /** Runs a program with the tracepoint's record. */
  #attachByEvent(id: number, instructions: Uint8Array): number {
    const type = bpf.BPF_PROG_TYPE_TRACEPOINT;
    const program = this.#held.own(bpf.bpf_prog_load({ type, instructions, license: LICENSE }));
    const [cpu = 0] = onlineCpus();
    // One event on one CPU is the program's hold on the tracepoint; it then runs on all of them.
    const attributes = encodeTracepointAttributes({ id, disabled: true });
    perf_set_bpf(this.#held.own(perf_event_open(attributes, -1, cpu)), program);
    return program;
  }

  drain(take: (chunk: Uint8Array) => void): boolean {
    const from = Number(Atomics.load(this.#consumer, 0));
    const to = Number(Atomics.load(this.#producer, 0));
    let position = from;
    while (position < to) {
      const length = Atomics.load(this.#lengths, (position % this.#size) / 4);
      if (length >= BPF_RINGBUF_BUSY_BIT) break;
      position += bpfRecordSize(length);
    }
    if (position > to) throw new Error(`BPF ring: a record ends at ${position}, past ${to}`);
    if (position > from) {
      const start = from % this.#size;
      take(this.#data.slice(start, start + position - from));
      Atomics.store(this.#consumer, 0, BigInt(position));
    }
    return position === to;
  }

  decode(chunk: Uint8Array): Samples {
    return decodeBpfRing(chunk, this.#aheadNs);
  }

  lost(): number {
    // A program does not run within itself on one CPU, nor, by a perf event, within any other: an interrupt may hit meanwhile.
    const missed = this.#programs.map((program) => bpf.bpf_recursion_misses(program));
    return missed.reduce((sum, n) => sum + n, Number(Atomics.load(this.#unstored, 0)));
  }

  close(): Promise<void> {
    return this.#held.close();
  }

  [Symbol.dispose](): void {
    this.#held[Symbol.dispose]();
  }
}

interface KernelTypes {
  readonly path: NetnsPath | undefined;
  readonly ends: EndTypes | undefined;
  readonly packet: PacketTypes | undefined;
  readonly call: CallTypes | undefined;
  /** The tracepoints whose arguments are those that are known here, by name. */
  readonly tracepoints: ReadonlyMap<string, number>;
}

let known: KernelTypes | undefined;

/** Read once: a running kernel's types do not change. */
function readTypes(): KernelTypes | undefined {
  if (known !== undefined) return known;
  const btf = readBtf();
  known = btf && {
    path: netnsPath(btf),
    ends: endTypes(btf),
    packet: packetTypes(btf),
    call: callTypes(btf),
    tracepoints: byArguments(btf),
  };
  return known;
}

/** What the programs take for granted of a tracepoint's arguments; there may be more. The first is not the tracepoint's. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  inet_sock_set_state: ['', 'sock', 'int', 'int'],
  tcp_receive_reset: ['', 'sock'],
  tcp_retransmit_skb: ['', 'sock'],
  tcp_send_reset: ['', 'sock', 'sk_buff', 'sk_rst_reason'],
  sys_enter: ['', 'pt_regs', 'long int'],
  sys_exit: ['', 'pt_regs', 'long int'],
};

function byArguments(btf: Btf): Map<string, number> {
  return new Map(
    Object.entries(ARGUMENTS).flatMap(([name, expected]) => {
      const typedef = `btf_trace_${name}`;
      const [id, found] = [btf.typedefId(typedef), btf.parametersOf(typedef)];
      const fits = expected.every((type, i) => found?.[i] === type);
      return id !== undefined && fits ? [[name, id] as const] : [];
    }),
  );
}

/** A program that takes a tracepoint's arguments; undefined where this kernel's types do not tell enough for one. */
function programByType(
  format: TracepointFormat,
  { path, ends, packet, call, tracepoints }: KernelTypes,
  context: ProgramContext,
): Uint8Array | undefined {
  const { name, fields } = format;
  if (!tracepoints.has(name)) return;
  if (!fields.has('skaddr')) return call && callProgram(format, { ...context, types: call });
  if (!path || !ends) return;
  if (name !== 'tcp_send_reset') return socketProgram(format, { ...context, path, types: ends });
  // Before Linux 6.10 a record told less.
  const whole = ['state', 'reason', 'saddr', 'daddr'].every((field) => fields.has(field));
  return packet && whole ? resetProgram(format, { ...context, path, ends, packet }) : undefined;
}
