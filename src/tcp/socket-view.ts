import { AF_INET, type Endpoint, formatAddress } from './address.js';
import { inetDiagMsg as field, INET_DIAG_INFO, INET_DIAG_MSG_SIZE } from './inet-diag.js';
import { decodeTcpInfo, decodeTcpInfoAt, TCP_INFO_SIZE, type TcpInfo } from './info.js';
import { attributeOffset, NLMSGHDR_SIZE } from './netlink.js';
import { type SocketRow, type SocketTable, type TimerName, timerName } from './socket-table.js';
import { stateName, type TcpState } from './states.js';

/** Some messages of a table, as what reads them needs them. */
export class Messages {
  readonly words: Uint32Array;

  /** `bytes` begin on a boundary of 4. */
  constructor(
    readonly bytes: Uint8Array,
    readonly texts: AddressTexts,
  ) {
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  }
}

/** Texts of addresses, IPv4 ones made once each: thousands of sockets share a few. */
export class AddressTexts {
  readonly #texts = new Map<number, string>();

  at({ bytes, words }: Messages, offset: number, family: number): string {
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
 * A socket of a table, each field decoded when it is read: a row costs as much as thirty of its numbers, which is felt where
 * few fields of many sockets are looked at. Its bytes are the table's.
 */
export class SocketView implements Omit<SocketRow, 'interface' | 'shutdown' | 'memory' | 'info'> {
  readonly #messages: Messages;
  /** Where its `struct inet_diag_msg` begins. */
  readonly #start: number;
  /** Where its TCP_INFO begins: 0 until it is looked for, -1 where there is none. */
  #info = 0;

  constructor(messages: Messages, start: number) {
    this.#messages = messages;
    this.#start = start;
  }

  get state(): TcpState {
    return stateName(this.#byte(field.state));
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

  get inode(): number {
    return this.#word(field.inode);
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

  get cookie(): bigint {
    return BigInt(this.#word(field.cookie)) | (BigInt(this.#word(field.cookie + 4)) << 32n);
  }

  /** Undefined where the request did not ask for it. */
  get info(): TcpInfo | undefined {
    const { bytes, words } = this.#messages;
    if (this.#info === 0) this.#info = this.#attribute(INET_DIAG_INFO);
    const start = this.#info;
    if (start < 0) return undefined;
    const length = (words[(start - 4) >> 2] as number) & 0xffff;
    return length - 4 < TCP_INFO_SIZE
      ? decodeTcpInfo(bytes.subarray(start, start + length - 4))
      : decodeTcpInfoAt(bytes, words, start);
  }

  #attribute(type: number): number {
    const { bytes, words } = this.#messages;
    const start = this.#start;
    // The netlink header stands right before the message; the table has checked its length.
    const end = start - NLMSGHDR_SIZE + (words[(start - NLMSGHDR_SIZE) >> 2] as number);
    return attributeOffset(bytes, start + INET_DIAG_MSG_SIZE, end, type);
  }

  #byte(offset: number): number {
    return this.#messages.bytes[this.#start + offset] as number;
  }

  #word(offset: number): number {
    return this.#messages.words[(this.#start + offset) >> 2] as number;
  }

  #port(offset: number): number {
    return (this.#byte(offset) << 8) | this.#byte(offset + 1);
  }

  #address(offset: number): string {
    const messages = this.#messages;
    return messages.texts.at(messages, this.#start + offset, this.#byte(field.family));
  }
}

/** A view of each socket of a table, made by `make` of what its constructor takes. */
export function viewsOf<View>(
  table: SocketTable,
  make: (messages: Messages, start: number) => View,
): View[] {
  const views: View[] = [];
  const texts = new AddressTexts();
  table.eachChunk((chunk, starts) => {
    const messages = new Messages(chunk, texts);
    for (const start of starts) views.push(make(messages, start));
  });
  return views;
}
