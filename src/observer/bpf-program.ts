import { AF_INET6 } from '../tcp/address.js';
import { bpfSample } from '../tcp/ring.js';
import { portPlaces, type TracepointFormat } from '../tcp/tracepoint.js';
import { Assembler, type Register, type Size } from './bpf-assembler.js';
import {
  BPF_FUNC_get_current_pid_tgid,
  BPF_FUNC_get_smp_processor_id,
  BPF_FUNC_ktime_get_ns,
  BPF_FUNC_probe_read_kernel,
  BPF_FUNC_ringbuf_reserve,
  BPF_FUNC_ringbuf_submit,
  BPF_FUNC_skc_to_tcp_sock,
  BPF_RB_NO_WAKEUP,
} from './bpf-helpers.js';
import type { EndTypes, NetnsPath } from './bpf-types.js';

/** Which hits are wanted; all of them where a part is left out. */
export interface HitFilter {
  /** The inode of the socket's network namespace. */
  readonly netns?: number;
  /** Ports, of either end. */
  readonly ports?: readonly number[];
  /** Threads, for system calls. */
  readonly threads?: readonly number[];
}

/** What a program works with besides its tracepoint's format. */
export interface ProgramContext extends HitFilter {
  /** The ring buffer's descriptor. */
  readonly ring: number;
  /** The descriptor of an array of one 8-byte count of what the ring had no room for. */
  readonly lost: number;
  readonly path?: NetnsPath | undefined;
}

const RECORD_START = 8;
const IPPROTO_TCP = 6;

/**
 * The program of one tracepoint: copies its record into the ring, behind what `bpfSample` lists.
 *
 * r6 is the record; what the kernel lets a program see of it begins after the 8 bytes that all records have in common.
 * r7 is the namespace, r9 the sample.
 */
export function tracepointProgram(format: TracepointFormat, context: ProgramContext): Uint8Array {
  const { path, netns, ports, threads } = context;
  const program = new Assembler();
  program.move('r6', 'r1').move('r7', 0);
  if (format.fields.has('skaddr')) {
    if (ports !== undefined) {
      for (const { offset, swapped } of portPlaces(format)) {
        keepPorts(program.load('r1', 2, 'r6', offset), ports, swapped);
      }
      program.jump('out').label('wanted port');
    }
    if (path !== undefined) {
      const [socket, packet] = [format.fields.get('skaddr'), format.fields.get('skbaddr')];
      const load = (offset: number) => () => program.load('r3', 8, 'r6', offset);
      findNetns(program, path, {
        socket: load(socket?.offset ?? RECORD_START),
        ...(packet && { packet: load(packet.offset) }),
      });
    }
    if (netns !== undefined) program.jumpIf32('r7', '!=', netns, 'out');
  } else if (threads !== undefined) {
    keepThreads(program, threads);
  }
  reserve(program, format, context);
  copy(program, 'r9', bpfSample.record, 'r6', RECORD_START, format.size);
  // Not 0: that would hide the hit from everybody else's perf events.
  return submit(program, context, 1);
}

/**
 * The program of a tracepoint whose first argument is a TCP socket, for where it can be had by its arguments: writes of the
 * record that the kernel would have written what is decoded of it, without the kernel's doing so, which is half of what a
 * hit costs.
 *
 * r6 is the socket, r7 the namespace, r8 the socket as a TCP socket, r9 the sample; [r10 - 16] is the context.
 */
export function socketProgram(
  format: TracepointFormat,
  context: ProgramContext & { readonly path: NetnsPath; readonly types: EndTypes },
): Uint8Array {
  const { path, types, netns, ports } = context;
  const program = new Assembler();
  program.store(8, 'r10', -16, 'r1').load('r6', 8, 'r1', 0);
  program.load('r7', 8, 'r6', path.sockNet).load('r7', 4, 'r7', path.netInode);
  if (netns !== undefined) program.jumpIf32('r7', '!=', netns, 'out');
  program.move('r1', 'r6').call(BPF_FUNC_skc_to_tcp_sock).jumpIf('r0', '==', 0, 'out');
  program.move('r8', 'r0');
  if (ports !== undefined) {
    keepPorts(program.load('r1', 2, 'r8', types.sport), ports, true);
    keepPorts(program.load('r1', 2, 'r6', types.dport), ports, true);
    program.jump('out').label('wanted port');
  }
  reserve(program, format, context);
  const put = (name: string, size: Size, value: Register | number): void => {
    const field = format.fields.get(name);
    if (field) program.store(size, 'r9', bpfSample.record + field.offset, value);
  };
  put('skaddr', 8, 'r6');
  put('protocol', 2, IPPROTO_TCP);
  if (format.fields.has('newstate')) {
    program.load('r1', 8, 'r10', -16).load('r2', 8, 'r1', 8).load('r3', 8, 'r1', 16);
    put('oldstate', 4, 'r2');
    put('newstate', 4, 'r3');
  }
  if (format.fields.has('state')) {
    program.load('r1', 1, 'r6', types.state);
    put('state', 4, 'r1');
  }
  program.load('r1', 2, 'r8', types.sport).ntohs('r1');
  put('sport', 2, 'r1');
  program.load('r1', 2, 'r6', types.dport).ntohs('r1');
  put('dport', 2, 'r1');
  program.load('r1', 4, 'r8', types.saddr);
  put('saddr', 4, 'r1');
  program.load('r1', 4, 'r6', types.daddr);
  put('daddr', 4, 'r1');
  program.load('r1', 2, 'r6', types.family);
  put('family', 2, 'r1');
  program.jumpIf32('r1', '!=', AF_INET6, 'done');
  for (const [name, at] of [
    ['saddr_v6', types.saddr6],
    ['daddr_v6', types.daddr6],
  ] as const) {
    const offset = bpfSample.record + (format.fields.get(name)?.offset ?? RECORD_START);
    program.move('r1', 'r9').add('r1', offset).move('r2', 16).move('r3', 'r6').add('r3', at);
    program.call(BPF_FUNC_probe_read_kernel);
  }
  return submit(program.label('done'), context, 0);
}

/** r9 = room for a sample, what comes before the record in place; r7 is the namespace. */
export function reserve(
  program: Assembler,
  format: TracepointFormat,
  { ring }: ProgramContext,
): void {
  const size = bpfSample.record + format.size;
  // Stamped before room is made: waiting for another CPU's turn is not part of when it happened.
  program.call(BPF_FUNC_ktime_get_ns).store(8, 'r10', -8, 'r0');
  program.map('r1', ring).move('r2', size).move('r3', 0).call(BPF_FUNC_ringbuf_reserve);
  program.jumpIf('r0', '==', 0, 'full').move('r9', 'r0');
  program.load('r1', 8, 'r10', -8).store(8, 'r9', bpfSample.tNs, 'r1');
  program.call(BPF_FUNC_get_current_pid_tgid).store(8, 'r9', bpfSample.tid, 'r0');
  program.store(4, 'r9', bpfSample.netns, 'r7');
  program.call(BPF_FUNC_get_smp_processor_id).store(4, 'r9', bpfSample.cpu, 'r0');
  program.store(8, 'r9', bpfSample.record, format.id);
}

/** Hands the sample at r9 over, wakes nobody, and ends; `full` and `out` are here. */
export function submit(program: Assembler, { lost }: ProgramContext, result: number): Uint8Array {
  program.move('r1', 'r9').move('r2', BPF_RB_NO_WAKEUP).call(BPF_FUNC_ringbuf_submit).jump('out');
  program.label('full').mapValue('r1', lost).move('r2', 1).atomicAdd('r1', 0, 'r2');
  return program.label('out').move('r0', result).exit().assemble();
}

/** Goes on if the thread that runs is one of those. */
export function keepThreads(program: Assembler, threads: readonly number[]): void {
  program.call(BPF_FUNC_get_current_pid_tgid);
  for (const thread of threads) program.jumpIf32('r0', '==', thread, 'wanted thread');
  program.jump('out').label('wanted thread');
}

/** Jumps to `wanted port` if the port in r1 is one of those. */
export function keepPorts(program: Assembler, ports: readonly number[], swapped: boolean): void {
  for (const port of ports) {
    const stored = swapped ? ((port & 0xff) << 8) | (port >> 8) : port;
    program.jumpIf32('r1', '==', stored, 'wanted port');
  }
}

/**
 * r7 = the namespace of the socket, or, where there is none, of the device the packet came in by; as it was if neither is
 * there. Each way loads the address of its own into r3.
 */
export function findNetns(
  program: Assembler,
  path: NetnsPath,
  { socket, packet }: { readonly socket: () => void; readonly packet?: () => void },
): void {
  socket();
  program.jumpIf('r3', '==', 0, 'no socket').add('r3', path.sockNet).jump('has net');
  program.label('no socket');
  if (packet === undefined) {
    program.jump('netns done');
  } else {
    packet();
    program.add('r3', path.packetDevice);
    follow(program, 8).add('r3', path.deviceNet);
  }
  program.label('has net');
  follow(program, 8).add('r3', path.netInode);
  follow(program, 4).move('r7', 'r3').label('netns done');
}

/** r3 = `size` bytes at r3, which is kernel memory: 0 where that cannot be read. */
function follow(program: Assembler, size: Size): Assembler {
  program.move('r1', 'r10').add('r1', -8).move('r2', size).call(BPF_FUNC_probe_read_kernel);
  return program.load('r3', size, 'r10', -8);
}

/** Copies [start, end) of `from` to the same places behind `to` + `base`. */
function copy(
  program: Assembler,
  to: Register,
  base: number,
  from: Register,
  start: number,
  end: number,
): void {
  for (let at = start; at < end; ) {
    const size = ([8, 4, 2, 1] as const).find((size) => at + size <= end) ?? 1;
    program.load('r1', size, from, at).store(size, to, base + at, 'r1');
    at += size;
  }
}
