import { AF_INET, type Endpoint, formatAddress } from './address.js';
import { inetDiagMsg as field, INET_DIAG_INFO, INET_DIAG_MSG_SIZE } from './inet-diag.js';
import { type TcpInfo, type TcpInfoFields, tcpInfoFields } from './info.js';
import { attributeOffset, NLMSGHDR_SIZE } from './netlink.js';
import { readChunk, type SocketRow, type TimerName, timerName } from './socket-table.js';
import { stateName, type TcpState } from './states.js';

/** What a view has of TCP_INFO. */
const kept = [
  'lastAckRecvMs',
  'totalRetrans',
  'bytesReceived',
  'bytesSent',
  'bytesRetrans',
  'lastDataSentMs',
  'lastDataRecvMs',
] as const satisfies readonly (keyof TcpInfoFields)[];

/** Those numbers; undefined where the kernel did not return one. */
export type InfoExtract = Pick<TcpInfo, (typeof kept)[number]>;

/** Each of them takes two words of a row, and one more says how many bytes of TCP_INFO there were. */
const offsets = kept.map((name) => tcpInfoFields.find((each) => each.name === name)?.offset ?? 0);
const HEAD_WORDS = INET_DIAG_MSG_SIZE / 4;
const ROW_WORDS = HEAD_WORDS + 1 + 2 * kept.length;
const FIRST_ROWS = 256;

/**
 * The sockets of a dump by what is asked of very many of them: the head of each message and some numbers of TCP_INFO.
 *
 * They are copied out of each chunk as it comes, while it is in the CPU's cache: the chunks may share their memory. What is
 * left is a fourth of the dump.
 */
export class SocketExtract {
  /** Why sockets may be missing; empty when none is. */
  readonly incomplete: readonly string[];
  readonly length: number;
  readonly texts = new AddressTexts();
  #words = new Uint32Array(FIRST_ROWS * ROW_WORDS);
  #bytes = new Uint8Array(this.#words.buffer);

  /** Takes chunks until the dump has ended. */
  constructor(chunks: Iterable<Uint8Array>) {
    const reasons = new Set<string>();
    const starts: number[] = [];
    let length = 0;
    let done = 0;
    for (const chunk of chunks) {
      starts.length = 0;
      done += readChunk(chunk, starts, reasons);
      while ((length + starts.length) * ROW_WORDS > this.#words.length) this.#grow();
      copyRows(chunk, starts, this.#words, length * ROW_WORDS);
      length += starts.length;
      if (done > 0) break;
    }
    if (done === 0) reasons.add('the dump did not end');
    this.length = length;
    this.incomplete = [...reasons];
  }

  get words(): Uint32Array {
    return this.#words;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** A column of the inode numbers, made anew each time. */
  inodes(): Uint32Array {
    const column = new Uint32Array(this.length);
    const words = this.#words;
    const first = field.inode >> 2;
    for (let row = 0; row < column.length; row++) {
      column[row] = words[row * ROW_WORDS + first] as number;
    }
    return column;
  }

  #grow(): void {
    const words = this.#words;
    this.#words = new Uint32Array(2 * words.length);
    this.#words.set(words);
    this.#bytes = new Uint8Array(this.#words.buffer);
  }
}

/** Copies the sockets that start there to the rows from `to` on. */
function copyRows(
  chunk: Uint8Array,
  starts: readonly number[],
  rows: Uint32Array,
  to: number,
): void {
  const words = new Uint32Array(chunk.buffer, chunk.byteOffset, chunk.length >> 2);
  let at = to;
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i] as number;
    const first = start >> 2;
    for (let word = 0; word < HEAD_WORDS; word++) rows[at + word] = words[first + word] as number;
    at += HEAD_WORDS;
    // The netlink header stands right before the message; readChunk() has checked its length.
    const end = start - NLMSGHDR_SIZE + (words[(start - NLMSGHDR_SIZE) >> 2] as number);
    const info = attributeOffset(chunk, start + INET_DIAG_MSG_SIZE, end, INET_DIAG_INFO);
    const size = info < 0 ? 0 : ((words[(info - 4) >> 2] as number) & 0xffff) - 4;
    rows[at++] = size;
    for (let number = 0; number < offsets.length; number++) {
      const place = (info + (offsets[number] as number)) >> 2;
      rows[at++] = size === 0 ? 0 : (words[place] as number);
      rows[at++] = size === 0 ? 0 : (words[place + 1] as number);
    }
  }
}

/** Texts of addresses, IPv4 ones made once each: thousands of sockets share a few. */
class AddressTexts {
  readonly #texts = new Map<number, string>();

  at({ bytes, words }: SocketExtract, offset: number, family: number): string {
    if (family !== AF_INET) return formatAddress(bytes, offset, family);
    const word = words[offset >> 2] ?? 0;
    const known = this.#texts.get(word);
    if (known !== undefined) return known;
    const text = formatAddress(bytes, offset, family);
    this.#texts.set(word, text);
    return text;
  }
}

/**
 * A socket of an extract, most fields decoded when they are read: a row of a SocketTable costs as much as thirty of its
 * numbers, which is felt where few fields of many sockets are looked at.
 */
export class SocketView implements Omit<SocketRow, 'shutdown' | 'memory' | 'info'> {
  readonly state: TcpState;
  readonly inode: number;
  readonly #extract: SocketExtract;
  /** Where its row begins, in bytes. */
  readonly #start: number;

  constructor(extract: SocketExtract, row: number) {
    this.#extract = extract;
    this.#start = row * ROW_WORDS * 4;
    // What everybody asks.
    this.state = stateName(this.#byte(field.state));
    this.inode = this.#word(field.inode);
  }

  get family(): number {
    return this.#byte(field.family);
  }

  get local(): Endpoint {
    return { address: this.#address(field.source), port: this.#port(field.sourcePort) };
  }

  get remote(): Endpoint {
    return { address: this.#address(field.destination), port: this.#port(field.destinationPort) };
  }

  get recvQ(): number {
    return this.#word(field.rqueue);
  }

  get sendQ(): number {
    return this.#word(field.wqueue);
  }

  get uid(): number {
    return this.#word(field.uid);
  }

  get timer(): TimerName {
    return timerName(this.#byte(field.timer));
  }

  get timerMs(): number {
    return this.#word(field.expires);
  }

  get retransmits(): number {
    return this.#byte(field.retransmits);
  }

  get interface(): number {
    return this.#word(field.interface);
  }

  get cookie(): bigint {
    return BigInt(this.#word(field.cookie)) | (BigInt(this.#word(field.cookie + 4)) << 32n);
  }

  /** Undefined where the request did not ask for it. */
  get info(): InfoExtract | undefined {
    if (this.#word(INET_DIAG_MSG_SIZE) === 0) return undefined;
    const { lastAckRecvMs } = this;
    return {
      lastAckRecvMs,
      totalRetrans: this.#told(1, 4),
      bytesReceived: this.#told(2, 8),
      bytesSent: this.#told(3, 8),
      bytesRetrans: this.#told(4, 8),
      lastDataSentMs: this.#told(5, 4),
      lastDataRecvMs: this.#told(6, 4),
    };
  }

  /** `info?.lastAckRecvMs`, for those who ask nothing else. */
  get lastAckRecvMs(): number | undefined {
    return this.#told(0, 4);
  }

  /** A number of TCP_INFO by its place in `kept`; 64 bits are exact up to 2^53. */
  #told(number: number, size: 4 | 8): number | undefined {
    if (this.#word(INET_DIAG_MSG_SIZE) < (offsets[number] as number) + size) return undefined;
    const at = INET_DIAG_MSG_SIZE + 4 + 8 * number;
    const low = this.#word(at);
    return size === 4 ? low : low + this.#word(at + 4) * 2 ** 32;
  }

  #byte(offset: number): number {
    return this.#extract.bytes[this.#start + offset] as number;
  }

  #word(offset: number): number {
    return this.#extract.words[(this.#start + offset) >> 2] as number;
  }

  #port(offset: number): number {
    return (this.#byte(offset) << 8) | this.#byte(offset + 1);
  }

  #address(offset: number): string {
    const extract = this.#extract;
    return extract.texts.at(extract, this.#start + offset, this.#byte(field.family));
  }
}
