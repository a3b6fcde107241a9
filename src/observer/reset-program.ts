import { AF_INET, AF_INET6 } from '../tcp/address.js';
import { bpfSample } from '../tcp/ring.js';
import { stateNumber } from '../tcp/states.js';
import type { TracepointFormat } from '../tcp/tracepoint.js';
import { Assembler, type Size } from './bpf-assembler.js';
import { BPF_FUNC_probe_read_kernel } from './bpf-helpers.js';
import { findNetns, keepPorts, type ProgramContext, reserve, submit } from './bpf-program.js';
import type { EndTypes, NetnsPath, PacketTypes } from './bpf-types.js';

/** The frame below r10: 8 bytes that everybody uses; the tracepoint's arguments; both ends as sockaddrs. */
const SOCKET = -32;
const PACKET = -24;
const REASON = -16;
const STATE = -40;
const LOCAL = -72;
const REMOTE = -104;
/** Places within a sockaddr_in and a sockaddr_in6. */
const PORT = 2;
const ADDRESS = 4;
const ADDRESS6 = 8;
const SOCKADDR_SIZE = 28;
/** What is in these states is no whole socket (sk_fullsock). */
const NOT_FULL = (['TIME_WAIT', 'NEW_SYN_RECV', 'BOUND_INACTIVE'] as const).map((state) =>
  stateNumber(state),
);

/**
 * The program of `tcp:tcp_send_reset`, for where it can be had by its arguments: writes of the record that the kernel would
 * have written what is decoded of it. Where there is no socket, or one without ends of its own, the packet that is answered
 * tells whom the reset is from and to.
 *
 * Either argument may be missing, and not every verifier knows: all memory is read by a helper, which then reads nothing.
 *
 * r6 is the socket, r7 at last the namespace, r8 the packet, r9 at last the sample.
 */
export function resetProgram(
  format: TracepointFormat,
  context: ProgramContext & {
    readonly path: NetnsPath;
    readonly ends: EndTypes;
    readonly packet: PacketTypes;
  },
): Uint8Array {
  const { path, ends, packet, netns, ports } = context;
  const program = new Assembler();
  /** [r10 + to] = `size` bytes at `from` + offset; zeros where that is no memory. */
  const fetch = (to: number, size: number, from: 'r6' | 'r7' | 'r8' | 'r9', offset: number) =>
    program
      .move('r1', 'r10')
      .add('r1', to)
      .move('r2', size)
      .move('r3', from)
      .add('r3', offset)
      .call(BPF_FUNC_probe_read_kernel);
  for (let at = REMOTE; at < 0; at += 8) program.store(8, 'r10', at, 0);
  program.move('r3', 'r1').move('r1', 'r10').add('r1', SOCKET).move('r2', 24);
  program.call(BPF_FUNC_probe_read_kernel);
  program.load('r6', 8, 'r10', SOCKET).load('r8', 8, 'r10', PACKET);

  fetch(STATE, 1, 'r6', ends.state).load('r1', 4, 'r10', STATE);
  for (const state of [0, ...NOT_FULL]) program.jumpIf32('r1', '==', state, 'packet');
  fetch(LOCAL, 2, 'r6', ends.family).load('r1', 2, 'r10', LOCAL).store(2, 'r10', REMOTE, 'r1');
  fetch(LOCAL + PORT, 2, 'r6', ends.sport);
  fetch(REMOTE + PORT, 2, 'r6', ends.dport).load('r1', 2, 'r10', LOCAL);
  program.jumpIf32('r1', '==', AF_INET6, 'six');
  fetch(LOCAL + ADDRESS, 4, 'r6', ends.saddr);
  fetch(REMOTE + ADDRESS, 4, 'r6', ends.daddr)
    .jump('known')
    .label('six');
  fetch(LOCAL + ADDRESS6, 16, 'r6', ends.saddr6);
  fetch(REMOTE + ADDRESS6, 16, 'r6', ends.daddr6)
    .jump('known')
    .label('packet');

  /** `to` = the address of one of the packet's headers. */
  const header = (to: 'r7' | 'r9', offset: number): void => {
    fetch(-8, 8, 'r8', packet.head).load(to, 8, 'r10', -8).store(8, 'r10', -8, 0);
    fetch(-8, 2, 'r8', offset).load('r1', 2, 'r10', -8).add(to, 'r1');
  };
  const set = (size: Size, at: number, value: number) =>
    program.store(size, 'r10', LOCAL + at, value).store(size, 'r10', REMOTE + at, value);
  header('r7', packet.transport);
  header('r9', packet.network);
  // The reset goes back to where the packet came from.
  fetch(REMOTE + PORT, 2, 'r7', packet.source);
  fetch(LOCAL + PORT, 2, 'r7', packet.destination);
  fetch(-8, 1, 'r9', 0).load('r1', 1, 'r10', -8).shiftRight('r1', 4);
  program.jumpIf32('r1', '==', 6, 'six of packet').jumpIf32('r1', '!=', 4, 'known');
  set(2, 0, AF_INET);
  fetch(REMOTE + ADDRESS, 4, 'r9', packet.from);
  fetch(LOCAL + ADDRESS, 4, 'r9', packet.to)
    .jump('known')
    .label('six of packet');
  set(2, 0, AF_INET6);
  fetch(REMOTE + ADDRESS6, 16, 'r9', packet.from6);
  fetch(LOCAL + ADDRESS6, 16, 'r9', packet.to6).label('known');

  if (ports !== undefined) {
    for (const end of [LOCAL, REMOTE]) {
      keepPorts(program.load('r1', 2, 'r10', end + PORT), ports, true);
    }
    program.jump('out').label('wanted port');
  }
  program.move('r7', 0);
  findNetns(program, path, {
    socket: () => program.load('r3', 8, 'r10', SOCKET),
    packet: () => program.load('r3', 8, 'r10', PACKET),
  });
  if (netns !== undefined) program.jumpIf32('r7', '!=', netns, 'out');
  reserve(program, format, context);
  const place = (name: string): number =>
    bpfSample.record + (format.fields.get(name)?.offset ?? bpfSample.record);
  program.store(8, 'r9', place('skaddr'), 'r6');
  program.load('r1', 4, 'r10', STATE).store(4, 'r9', place('state'), 'r1');
  program.load('r1', 4, 'r10', REASON).store(4, 'r9', place('reason'), 'r1');
  for (const [name, end] of [
    ['saddr', LOCAL],
    ['daddr', REMOTE],
  ] as const) {
    for (let at = 0; at < SOCKADDR_SIZE; at += 4) {
      program.load('r1', 4, 'r10', end + at).store(4, 'r9', place(name) + at, 'r1');
    }
  }
  return submit(program, context, 0);
}
