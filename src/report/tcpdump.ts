import type { Endpoint } from '../tcp/address.js';
import type { Segment, TcpOption } from '../tcp/segment.js';

/** A segment and when it passed. */
export interface CapturedSegment {
  /** CLOCK_REALTIME. */
  readonly timeNs: bigint;
  readonly segment: Segment;
}

/** What a conversation's sequence numbers are shown relative to: one number for each end. */
interface Conversation {
  readonly first: string;
  readonly firstBase: number;
  readonly secondBase: number;
}

/**
 * Formats segments as `tcpdump -n` prints them, in local time.
 *
 * One formatter sees one capture in order: it remembers each conversation's initial sequence numbers
 * and shows later ones relative to them, as tcpdump does. Like tcpdump it starts that memory at the
 * first segment with an ACK, so a SYN keeps its absolute number, and forgets nothing.
 *
 * What tcpdump adds for the payload of well-known ports (`: HTTP: GET / ...`), for IPv6 extension
 * headers and for options other than `TcpOption` decodes is left out.
 */
export class TcpdumpFormatter {
  readonly #conversations = new Map<string, Conversation>();

  format({ timeNs, segment }: CapturedSegment): string {
    const { version, flags, window, urgent, payloadLength, acknowledgment } = segment;
    const source = formatEnd(segment.source);
    const destination = formatEnd(segment.destination);
    const hasAck = flags.includes('.');
    const base = hasAck ? this.#follow(segment, source, destination) : absolute;
    const sequence = minus(segment.sequence, base.own);
    const parts = [`Flags [${flags}]`];
    if (payloadLength > 0) parts.push(`seq ${sequence}:${(sequence + payloadLength) >>> 0}`);
    else if (/[FSR]/.test(flags)) parts.push(`seq ${sequence}`);
    if (hasAck) parts.push(`ack ${minus(acknowledgment, base.peer)}`);
    parts.push(`win ${window}`);
    if (flags.includes('U')) parts.push(`urg ${urgent}`);
    const options = segment.options.map((option) => formatOption(option, base.sackPeer));
    if (segment.badOptions) {
      // Here tcpdump gives up on the line; it closes the bracket only behind an option.
      const end = options.length > 0 ? ',[bad opt]]' : '[bad opt]';
      parts.push(`options [${options.join(',')}${end}`);
    } else {
      if (options.length > 0) parts.push(`options [${options.join(',')}]`);
      parts.push(`length ${payloadLength}`);
    }
    const protocol = version === 6 ? 'IP6' : 'IP';
    return `${formatTime(timeNs)} ${protocol} ${source} > ${destination}: ${parts.join(', ')}`;
  }

  /** The segment that starts a conversation is shown as it is, save for its SACK blocks. */
  #follow(segment: Segment, source: string, destination: string): Base {
    const key = source < destination ? `${source} ${destination}` : `${destination} ${source}`;
    const known = this.#conversations.get(key);
    if (known === undefined || segment.flags.includes('S')) {
      const secondBase = minus(segment.acknowledgment, 1);
      this.#conversations.set(key, { first: source, firstBase: segment.sequence, secondBase });
      return { own: 0, peer: 0, sackPeer: secondBase };
    }
    const [own, peer] =
      known.first === source
        ? [known.firstBase, known.secondBase]
        : [known.secondBase, known.firstBase];
    return { own, peer, sackPeer: peer };
  }
}

interface Base {
  readonly own: number;
  readonly peer: number;
  readonly sackPeer: number;
}

const absolute: Base = { own: 0, peer: 0, sackPeer: 0 };

/** Sequence numbers are modulo 2^32. */
function minus(sequence: number, base: number): number {
  return (sequence - base) >>> 0;
}

function formatOption(option: TcpOption, sackPeer: number): string {
  switch (option.kind) {
    case 'mss':
    case 'wscale':
      return `${option.kind} ${option.value}`;
    case 'sack':
      return `sack ${option.blocks.length} ${option.blocks
        .map(([left, right]) => `{${minus(left, sackPeer)}:${minus(right, sackPeer)}}`)
        .join('')}`;
    case 'timestamps':
      return `TS val ${option.value} ecr ${option.echoReply}`;
    case 'fastopen':
      return option.cookie.length === 0 ? 'tfo  cookiereq' : `tfo  cookie ${hex(option.cookie)}`;
    case 'unknown':
      return `unknown-${option.number}${option.data.length > 0 ? ` 0x${hex(option.data)}` : ''}`;
    default:
      return option.kind;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function formatEnd({ address, port }: Endpoint): string {
  return `${address}.${port}`;
}

function formatTime(timeNs: bigint): string {
  const time = new Date(Number(timeNs / 1_000_000n));
  const micros = (timeNs / 1000n) % 1_000_000n;
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) =>
    String(part).padStart(2, '0'),
  );
  return `${clock.join(':')}.${String(micros).padStart(6, '0')}`;
}
