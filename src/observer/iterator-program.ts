import { AF_INET6 } from '../tcp/address.js';
import {
  INET_DIAG_MSG_SIZE,
  INET_DIAG_SHUTDOWN,
  inetDiagMsg,
  SOCK_DIAG_BY_FAMILY,
} from '../tcp/inet-diag.js';
import { NLMSGHDR_SIZE } from '../tcp/netlink.js';
import { stateNumber } from '../tcp/states.js';
import { Assembler, type Register, type Size } from './bpf-assembler.js';
import {
  BPF_FUNC_get_socket_cookie,
  BPF_FUNC_jiffies64,
  BPF_FUNC_probe_read_kernel,
  BPF_FUNC_seq_write,
  BPF_FUNC_skc_to_tcp_request_sock,
  BPF_FUNC_skc_to_tcp_sock,
  BPF_FUNC_skc_to_tcp_timewait_sock,
} from './bpf-helpers.js';
import { type LookAhead, lookAhead } from './iterator-lookahead.js';
import type { SocketTypes } from './iterator-types.js';

/** What a socket's timer runs for: net/inet_connection_sock.h, a header of the kernel alone. */
const icskTime = { retransmission: 1, zeroWindowProbe: 3, lossProbe: 5, reordering: 6 } as const;
/** `idiag_timer`: sock_diag(7). */
const timers = { on: 1, keepalive: 2, timewait: 3, persist: 4 } as const;

const LISTEN = stateNumber('LISTEN');
const TIME_WAIT = stateNumber('TIME_WAIT');
const SYN_RECV = stateNumber('SYN_RECV');
const NEW_SYN_RECV = stateNumber('NEW_SYN_RECV');

const NS_PER_MS = 1_000_000;

/** The message of a stub, and that of a socket, with an attribute of one byte; both end on whole words. */
const SHORT = NLMSGHDR_SIZE + INET_DIAG_MSG_SIZE;
const LONG = SHORT + 8;
const ATTRIBUTE = 5 | (INET_DIAG_SHUTDOWN << 16);
/** Where on the stack the message is. */
const MESSAGE = -LONG;

/** Which sockets the program tells of, and how. */
export interface IteratorContext {
  /** `stateMask(...)` */
  readonly states: number;
  /** AF_INET or AF_INET6; left out, both. */
  readonly family?: number | undefined;
  /** How long a tick of the kernel's timers is. */
  readonly tickNs: number;
  readonly ahead?: LookAhead | undefined;
}

/**
 * The program of a TCP iterator: writes of each socket the message that sock_diag would send, so that what decodes one
 * decodes the other (net/ipv4/inet_diag.c, net/ipv4/tcp_diag.c).
 *
 * r6 is the context, r7 the socket as a sock_common, r8 as what it really is, r9 its state.
 */
export function iteratorProgram(types: SocketTypes, context: IteratorContext): Uint8Array {
  const { states, family, tickNs, ahead } = context;
  const program = new Assembler();
  const message = new MessageWriter(program, types, tickNs);
  program.move('r6', 'r1').load('r7', 8, 'r6', types.contextSocket).jumpIf('r7', '==', 0, 'out');
  if (ahead !== undefined) {
    // Listeners have a table of their own, and are few.
    program.load('r1', 1, 'r7', types.state).jumpIf('r1', '==', LISTEN, 'looked');
    lookAhead(program, types, ahead, MESSAGE);
  }
  if (family !== undefined) {
    program.load('r1', 2, 'r7', types.family).jumpIf('r1', '!=', family, 'out');
  }
  program.load('r9', 1, 'r7', types.state);
  program.jumpIf('r9', '==', TIME_WAIT, 'stub').jumpIf('r9', '==', NEW_SYN_RECV, 'request');

  keepStates(program, states, 'wanted');
  castTo(program, BPF_FUNC_skc_to_tcp_sock);
  message.start(LONG);
  message.addSocket();
  message.end(LONG);

  // The table has one state for all stubs: an orphan in FIN_WAIT2 is one, too.
  castTo(program.label('stub'), BPF_FUNC_skc_to_tcp_timewait_sock);
  program.load('r9', 1, 'r8', types.waitState);
  keepStates(program, states, 'wanted stub');
  message.start(SHORT);
  message.addTimer(timers.timewait, undefined, types.waitExpires);
  message.end(SHORT);

  program.label('request').move('r9', SYN_RECV);
  if ((states & (1 << NEW_SYN_RECV)) === 0) keepStates(program, states, 'wanted request');
  castTo(program, BPF_FUNC_skc_to_tcp_request_sock);
  message.start(SHORT);
  message.addTimer(timers.on, types.requestRetransmits, types.requestExpires);
  message.end(SHORT);

  return program.label('out').move('r0', 0).exit().assemble();
}

/** Goes on, at `label`, with a state that is wanted. */
function keepStates(program: Assembler, states: number, label: string): void {
  program.move('r1', 1).shiftLeft('r1', 'r9').jumpIf('r1', '&', states, label);
  program.jump('out').label(label);
}

/** r8 = r7, as what `helper` makes of it. */
function castTo(program: Assembler, helper: number): void {
  program.move('r1', 'r7').call(helper).jumpIf('r0', '==', 0, 'out').move('r8', 'r0');
}

type Field = keyof typeof inetDiagMsg;
const placeOf = (field: Field): number => MESSAGE + NLMSGHDR_SIZE + inetDiagMsg[field];

/** Puts messages together, at `MESSAGE`; one that it has started it ends before the next. */
class MessageWriter {
  readonly #program: Assembler;
  readonly #types: SocketTypes;
  readonly #tickNs: number;
  #labels = 0;

  constructor(program: Assembler, types: SocketTypes, tickNs: number) {
    this.#program = program;
    this.#types = types;
    this.#tickNs = tickNs;
  }

  /** What sockets, stubs and requests have in common. */
  start(length: number): void {
    const program = this.#program;
    const types = this.#types;
    for (let at = 0; at < LONG; at += 8) program.store(8, 'r10', MESSAGE + at, 0);
    program.store(4, 'r10', MESSAGE, length).store(2, 'r10', MESSAGE + 4, SOCK_DIAG_BY_FAMILY);
    this.#put('state', 1, 'r9');
    this.#copy('interface', 4, 'r7', types.interface);
    program.load('r1', 2, 'r7', types.port).ntohs('r1');
    this.#put('sourcePort', 2, 'r1');
    this.#copy('destinationPort', 2, 'r7', types.remotePort);

    const [six, addressed, known] = [this.#label(), this.#label(), this.#label()];
    program.load('r1', 2, 'r7', types.family);
    this.#put('family', 1, 'r1');
    program.jumpIf('r1', '==', AF_INET6, six);
    this.#copy('source', 4, 'r7', types.address);
    this.#copy('destination', 4, 'r7', types.remoteAddress);
    program.jump(addressed).label(six);
    for (const half of [0, 8]) {
      this.#copy('source', 8, 'r7', types.address6, half);
      this.#copy('destination', 8, 'r7', types.remoteAddress6, half);
    }
    program.label(addressed);

    // A socket gets its cookie when somebody first asks for it.
    program.load('r0', 8, 'r7', types.cookie).jumpIf('r0', '!=', 0, known);
    program.move('r1', 'r7').call(BPF_FUNC_get_socket_cookie).label(known);
    this.#put('cookie', 4, 'r0');
    program.shiftRight('r0', 32).store(4, 'r10', placeOf('cookie') + 4, 'r0');
  }

  /** What only a whole socket has. */
  addSocket(): void {
    const types = this.#types;
    this.#program.store(4, 'r10', MESSAGE + SHORT, ATTRIBUTE);
    this.#program.load('r1', 1, 'r8', types.shutdown).store(1, 'r10', MESSAGE + SHORT + 4, 'r1');
    this.#copy('uid', 4, 'r6', types.contextUid);
    this.#addInode();
    this.#addQueues();

    const [probing, resending, end] = [this.#label(), this.#label(), this.#label()];
    const { retransmission, zeroWindowProbe, lossProbe, reordering } = icskTime;
    this.#program.load('r1', 1, 'r8', types.pending).jumpIf('r1', '==', zeroWindowProbe, probing);
    for (const what of [retransmission, lossProbe, reordering]) {
      this.#program.jumpIf('r1', '==', what, resending);
    }
    this.#program.load('r1', 8, 'r8', types.keepalivePending).jumpIf('r1', '==', 0, end);
    this.addTimer(timers.keepalive, types.probes, types.keepaliveExpires);
    this.#program.jump(end).label(resending);
    this.addTimer(timers.on, types.retransmits, types.retransmitExpires);
    this.#program.jump(end).label(probing);
    this.addTimer(timers.persist, types.probes, types.retransmitExpires);
    this.#program.label(end);
  }

  #addInode(): void {
    const { file, fileInode, inode } = this.#types;
    if (inode !== undefined) {
      this.#program.load('r1', 8, 'r8', inode);
      this.#put('inode', 4, 'r1');
      return;
    }
    const orphan = this.#label();
    this.#program.load('r3', 8, 'r8', file).jumpIf('r3', '==', 0, orphan).add('r3', fileInode);
    this.#program.move('r1', 'r10').add('r1', placeOf('inode')).move('r2', 4);
    this.#program.call(BPF_FUNC_probe_read_kernel).label(orphan);
  }

  #addQueues(): void {
    const program = this.#program;
    const types = this.#types;
    const [listening, end] = [this.#label(), this.#label()];
    program.jumpIf('r9', '==', LISTEN, listening);
    program.load('r1', 4, 'r8', types.written).load('r2', 4, 'r8', types.unacknowledged);
    program.subtract('r1', 'r2');
    this.#put('wqueue', 4, 'r1');
    program.load('r1', 4, 'r8', types.receiveNext).load('r2', 4, 'r8', types.copied);
    // Reading past a FIN takes the reader one further than what was received.
    program.subtract('r1', 'r2').jumpIf32('r1', 's<', 0, end);
    this.#put('rqueue', 4, 'r1');
    program.jump(end).label(listening);
    this.#copy('rqueue', 4, 'r8', types.ackBacklog);
    this.#copy('wqueue', 4, 'r8', types.maxAckBacklog);
    program.label(end);
  }

  /** `retransmits` and `expires` are places in r8. */
  addTimer(timer: number, retransmits: number | undefined, expires: number): void {
    const passed = this.#label();
    this.#put('timer', 1, timer);
    if (retransmits !== undefined) this.#copy('retransmits', 1, 'r8', retransmits);
    this.#program.call(BPF_FUNC_jiffies64).load('r1', 8, 'r8', expires);
    this.#program.subtract('r1', 'r0').jumpIf('r1', 's<', 0, passed);
    this.#program.multiply('r1', this.#tickNs).divide('r1', NS_PER_MS);
    this.#put('expires', 4, 'r1');
    this.#program.label(passed);
  }

  /** Hands the message over, and ends the program. */
  end(length: number): void {
    const { contextMeta, metaSeq } = this.#types;
    this.#program.load('r1', 8, 'r6', contextMeta).load('r1', 8, 'r1', metaSeq);
    this.#program.move('r2', 'r10').add('r2', MESSAGE).move('r3', length);
    this.#program.call(BPF_FUNC_seq_write).jump('out');
  }

  #put(field: Field, size: Size, value: Register | number): void {
    this.#program.store(size, 'r10', placeOf(field), value);
  }

  #copy(field: Field, size: Size, from: Register, place: number, part = 0): void {
    this.#program.load('r1', size, from, place + part);
    this.#program.store(size, 'r10', placeOf(field) + part, 'r1');
  }

  #label(): string {
    return `message ${++this.#labels}`;
  }
}
