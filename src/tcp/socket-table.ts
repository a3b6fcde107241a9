import { type Endpoint, formatAddress } from './address.js';
import {
  inetDiagMsg as field,
  INET_DIAG_INFO,
  INET_DIAG_MSG_SIZE,
  INET_DIAG_SHUTDOWN,
  INET_DIAG_SKMEMINFO,
  SOCK_DIAG_BY_FAMILY,
  TCPDIAG_GETSOCK,
} from './inet-diag.js';
import { decodeTcpInfo, type TcpInfo } from './info.js';
import {
  findAttribute,
  NetlinkCursor,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
  NLMSGHDR_SIZE,
} from './netlink.js';
import { stateName, type TcpState } from './states.js';

/** The timer a socket waits on; `on` is retransmission, loss probe or reordering (ss(8)). */
export type TimerName = (typeof timerNames)[number] | `UNKNOWN(${number})`;
export const timerNames = ['off', 'on', 'keepalive', 'timewait', 'persist'] as const;

/** The name of an `idiag_timer` number. */
export function timerName(number: number): TimerName {
  return timerNames[number] ?? `UNKNOWN(${number})`;
}

/** Buffer memory in bytes, SK_MEMINFO_* of linux/sock_diag.h; `drops` counts. */
export interface SocketMemory {
  readonly rmemAlloc: number;
  readonly rcvbuf: number;
  readonly wmemAlloc: number;
  readonly sndbuf: number;
  readonly fwdAlloc: number;
  readonly wmemQueued: number;
  readonly optmem: number;
  readonly backlog: number;
  readonly drops: number;
}

/** One socket. */
export interface SocketRow {
  readonly state: TcpState;
  /** AF_INET (2) or AF_INET6 (10). */
  readonly family: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /**
   * Bytes received and not yet read, an unread FIN counting as one; for LISTEN, connections that
   * wait for accept().
   */
  readonly recvQ: number;
  /** Bytes written and not yet acknowledged; for LISTEN, the backlog accept() may fall behind by. */
  readonly sendQ: number;
  /** 0 for a socket without a descriptor: not yet accepted, orphaned, or TIME_WAIT. */
  readonly inode: number;
  /** Of the owner; 0 for what has none: a request, an orphan that is a stub (FIN_WAIT2, TIME_WAIT). */
  readonly uid: number;
  readonly timer: TimerName;
  /** Until the timer expires. */
  readonly timerMs: number;
  /** Of the segment the timer waits for; with `persist` and `keepalive`, unanswered probes. */
  readonly retransmits: number;
  /** Tells this socket from a later one with the same endpoints (SO_COOKIE). */
  readonly cookie: bigint;
  /** Interface index the socket is bound to, or 0. */
  readonly interface: number;
  /** RCV_SHUTDOWN (1) and SEND_SHUTDOWN (2) bits; absent for a request and a stub. */
  readonly shutdown?: number;
  /** Present where the request asked for it and the socket has it. A view of the table's bytes. */
  readonly info?: TcpInfo;
  readonly memory?: SocketMemory;
}

/** How the chunks came to be. */
export interface SocketTableOptions {
  /** How many dumps the chunks answer, each of which ends in its own NLMSG_DONE. Default 1. */
  readonly dumps?: number;
  /** Reasons the receiver already has to call the table incomplete. */
  readonly incomplete?: readonly string[];
}

/**
 * All sockets of one or more sock_diag dumps: columns for the many, rows for the few.
 *
 * The constructor only notes where each message starts; it takes chunks one by one until the last
 * dump has ended, so that they may be received as it goes. A column is made on first use, as a typed
 * array the table then keeps; a row and its texts are made each time it is asked for. The received
 * chunks belong to the table from then on and must not be written to again.
 */
export class SocketTable implements Iterable<SocketRow> {
  /** Why the table may miss sockets; empty when it does not. */
  readonly incomplete: readonly string[];
  readonly length: number;
  readonly #chunks: Uint8Array[] = [];
  /** Where in its chunk each row's `struct inet_diag_msg` starts. */
  readonly #offsets: number[] = [];
  /** `#firstRows[c]` is the first row of chunk c; one more entry ends the list. */
  readonly #firstRows: number[] = [];
  readonly #columns = new Map<string, Uint8Array | Uint16Array | Uint32Array | BigUint64Array>();

  constructor(chunks: Iterable<Uint8Array>, options: SocketTableOptions = {}) {
    const dumps = options.dumps ?? 1;
    const reasons = new Set(options.incomplete);
    let done = 0;
    for (const received of chunks) {
      const chunk = aligned(received);
      this.#chunks.push(chunk);
      this.#firstRows.push(this.#offsets.length);
      done += readChunk(chunk, this.#offsets, reasons);
      if (dumps > 0 && done >= dumps) break;
    }
    this.#firstRows.push(this.#offsets.length);
    if (done < dumps) reasons.add(`${dumps - done} of ${dumps} dumps did not end`);
    this.length = this.#offsets.length;
    this.incomplete = [...reasons];
  }

  /** Whether every dump ran to its end, undisturbed. */
  get complete(): boolean {
    return this.incomplete.length === 0;
  }

  /** State numbers: see stateName(). */
  get state(): Uint8Array {
    return this.#bytes(field.state);
  }

  /** AF_INET (2) or AF_INET6 (10). */
  get family(): Uint8Array {
    return this.#bytes(field.family);
  }

  /** Timer numbers: see timerName(). */
  get timer(): Uint8Array {
    return this.#bytes(field.timer);
  }

  get retransmits(): Uint8Array {
    return this.#bytes(field.retransmits);
  }

  get localPort(): Uint16Array {
    return this.#ports(field.sourcePort);
  }

  get remotePort(): Uint16Array {
    return this.#ports(field.destinationPort);
  }

  get recvQ(): Uint32Array {
    return this.#words(field.rqueue);
  }

  get sendQ(): Uint32Array {
    return this.#words(field.wqueue);
  }

  get inode(): Uint32Array {
    return this.#words(field.inode);
  }

  get uid(): Uint32Array {
    return this.#words(field.uid);
  }

  get timerMs(): Uint32Array {
    return this.#words(field.expires);
  }

  get interface(): Uint32Array {
    return this.#words(field.interface);
  }

  get cookie(): BigUint64Array {
    return this.#column('cookie', () => {
      const column = new BigUint64Array(this.length);
      const halves = new Uint32Array(column.buffer);
      this.#copyWords(field.cookie, halves, 0, 2);
      this.#copyWords(field.cookie + 4, halves, 1, 2);
      return column;
    });
  }

  /** The row at an index, counted from the end where it is negative; undefined past the ends. */
  at(index: number): SocketRow | undefined {
    const row = index < 0 ? this.length + index : index;
    if (!Number.isInteger(row) || row < 0 || row >= this.length) return;
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (at(this.#firstRows, middle) <= row) low = middle;
      else high = middle - 1;
    }
    const chunk = this.#chunks[low];
    return chunk === undefined ? undefined : decodeRow(chunk, at(this.#offsets, row));
  }

  /** The rows as objects, each made when it is reached. */
  *[Symbol.iterator](): IterableIterator<SocketRow> {
    for (const [index, chunk] of this.#chunks.entries()) {
      const end = at(this.#firstRows, index + 1);
      for (let row = at(this.#firstRows, index); row < end; row++) {
        yield decodeRow(chunk, at(this.#offsets, row));
      }
    }
  }

  #bytes(offset: number): Uint8Array {
    return this.#column(`u8@${offset}`, () => {
      const column = new Uint8Array(this.length);
      const offsets = this.#offsets;
      this.#eachChunk((chunk, first, end) => {
        for (let row = first; row < end; row++) {
          column[row] = chunk[(offsets[row] ?? 0) + offset] ?? 0;
        }
      });
      return column;
    });
  }

  #ports(offset: number): Uint16Array {
    return this.#column(`u16@${offset}`, () => {
      const column = new Uint16Array(this.length);
      const offsets = this.#offsets;
      this.#eachChunk((chunk, first, end) => {
        for (let row = first; row < end; row++) {
          column[row] = port(chunk, (offsets[row] ?? 0) + offset);
        }
      });
      return column;
    });
  }

  #words(offset: number): Uint32Array {
    return this.#column(`u32@${offset}`, () => {
      const column = new Uint32Array(this.length);
      this.#copyWords(offset, column, 0, 1);
      return column;
    });
  }

  #copyWords(offset: number, column: Uint32Array, start: number, stride: number): void {
    const offsets = this.#offsets;
    this.#eachChunk((chunk, first, end) => {
      const words = wordsOf(chunk);
      for (let row = first; row < end; row++) {
        column[start + row * stride] = words[((offsets[row] ?? 0) + offset) >> 2] ?? 0;
      }
    });
  }

  #eachChunk(visit: (chunk: Uint8Array, first: number, end: number) => void): void {
    for (const [index, chunk] of this.#chunks.entries()) {
      visit(chunk, at(this.#firstRows, index), at(this.#firstRows, index + 1));
    }
  }

  #column<Column extends Uint8Array | Uint16Array | Uint32Array | BigUint64Array>(
    key: string,
    make: () => Column,
  ): Column {
    const made = this.#columns.get(key) as Column | undefined;
    if (made !== undefined) return made;
    const column = make();
    this.#columns.set(key, column);
    return column;
  }
}

/**
 * Adds where each `struct inet_diag_msg` of a chunk starts, and why sockets may be missing; returns how many dumps end in it.
 */
export function readChunk(chunk: Uint8Array, starts: number[], reasons: Set<string>): number {
  let done = 0;
  const cursor = new NetlinkCursor(chunk);
  while (cursor.next()) {
    if ((cursor.flags & NLM_F_DUMP_INTR) !== 0) reasons.add('dump interrupted by changes');
    if (cursor.type === SOCK_DIAG_BY_FAMILY || cursor.type === TCPDIAG_GETSOCK) {
      if (cursor.end - cursor.offset >= INET_DIAG_MSG_SIZE) starts.push(cursor.offset);
      else reasons.add('socket message cut short');
      continue;
    }
    if (cursor.type === NLMSG_DONE) done++;
    const reason = controlMessage(cursor);
    if (reason !== undefined) reasons.add(reason);
  }
  if (cursor.malformed !== undefined) reasons.add(cursor.malformed);
  return done;
}

/** What a message that is no socket says against the table; undefined where it says nothing. */
function controlMessage(cursor: NetlinkCursor): string | undefined {
  switch (cursor.type) {
    case NLMSG_NOOP:
      return;
    case NLMSG_DONE:
      return cursor.errno() === 0 ? undefined : `dump failed: errno ${cursor.errno()}`;
    case NLMSG_ERROR:
      return cursor.errno() === 0 ? undefined : `request refused: errno ${cursor.errno()}`;
    case NLMSG_OVERRUN:
      return 'messages lost: receive buffer overrun';
    default:
      return `unknown message type ${cursor.type}`;
  }
}

function decodeRow(chunk: Uint8Array, message: number): SocketRow {
  const words = wordsOf(chunk);
  const word = (offset: number) => at(words, (message + offset) >> 2);
  const family = at(chunk, message + field.family);
  // The netlink header stands right before the message and was checked when it was indexed.
  const end = message - NLMSGHDR_SIZE + at(words, (message - NLMSGHDR_SIZE) >> 2);
  const attribute = (type: number) => findAttribute(chunk, message + INET_DIAG_MSG_SIZE, end, type);
  const shutdown = attribute(INET_DIAG_SHUTDOWN)?.[0];
  const info = attribute(INET_DIAG_INFO);
  const memory = attribute(INET_DIAG_SKMEMINFO);
  return {
    state: stateName(at(chunk, message + field.state)),
    family,
    local: {
      address: formatAddress(chunk, message + field.source, family),
      port: port(chunk, message + field.sourcePort),
    },
    remote: {
      address: formatAddress(chunk, message + field.destination, family),
      port: port(chunk, message + field.destinationPort),
    },
    recvQ: word(field.rqueue),
    sendQ: word(field.wqueue),
    inode: word(field.inode),
    uid: word(field.uid),
    timer: timerName(at(chunk, message + field.timer)),
    timerMs: word(field.expires),
    retransmits: at(chunk, message + field.retransmits),
    cookie: BigInt(word(field.cookie)) | (BigInt(word(field.cookie + 4)) << 32n),
    interface: word(field.interface),
    ...(shutdown !== undefined && { shutdown }),
    ...(info !== undefined && info.length > 0 && { info: decodeTcpInfo(info) }),
    ...(memory !== undefined && memory.length >= 36 && { memory: decodeMemory(memory) }),
  };
}

function decodeMemory(bytes: Uint8Array): SocketMemory {
  const words = wordsOf(bytes);
  return {
    rmemAlloc: at(words, 0),
    rcvbuf: at(words, 1),
    wmemAlloc: at(words, 2),
    sndbuf: at(words, 3),
    fwdAlloc: at(words, 4),
    wmemQueued: at(words, 5),
    optmem: at(words, 6),
    backlog: at(words, 7),
    drops: at(words, 8),
  };
}

/** Messages and attributes start on 4-byte boundaries of the chunk, so the chunk has to as well. */
function aligned(chunk: Uint8Array): Uint8Array {
  return chunk.byteOffset % 4 === 0 ? chunk : new Uint8Array(chunk);
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}

/** An element the constructor's length checks have proved to be there. */
function at(array: Uint8Array | Uint32Array | readonly number[], index: number): number {
  return array[index] ?? 0;
}

function port(chunk: Uint8Array, offset: number): number {
  return ((chunk[offset] ?? 0) << 8) | (chunk[offset + 1] ?? 0);
}
