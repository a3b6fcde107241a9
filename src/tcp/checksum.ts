import { parseAddress } from './address.js';
import {
  type DecodeFrameOptions,
  ETHERNET_HEADER,
  IPPROTO_TCP,
  locateTcp,
  type NotSegment,
  TCP_HEADER,
} from './segment.js';

/**
 * The Internet checksum of some bytes, to be put where they have a zero; 0 if they hold their checksum already (RFC 1071).
 * Several parts count as one, so each but the last has to be of even length.
 */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const bytes of parts) {
    for (let at = 0; at < bytes.length; at += 2) {
      sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    }
  }
  // A double adds 64 KiB words exactly; what has been carried out of 16 bits comes back in at the other end.
  while (sum > 0xffff) sum = Math.floor(sum / 0x10000) + (sum % 0x10000);
  return sum ^ 0xffff;
}

/**
 * The pseudo-header that TCP's checksum covers besides header and data: both addresses, the protocol, the length of the
 * segment. RFC 9293, section 3.1; for IPv6 RFC 8200, section 8.1, which sums up to the same from the same few fields.
 */
export function pseudoHeader(
  source: Uint8Array,
  destination: Uint8Array,
  length: number,
): Uint8Array {
  const bytes = new Uint8Array(2 * source.length + 8);
  bytes.set(source);
  bytes.set(destination, source.length);
  const view = new DataView(bytes.buffer, 2 * source.length);
  view.setUint32(0, length);
  view.setUint32(4, IPPROTO_TCP);
  return bytes;
}

/**
 * Whether the checksums of a frame are right, IPv4's and TCP's, or why they cannot be told. Never throws.
 *
 * A frame captured where it was sent is `incorrect` if the checksum was left to the network card (transmit offload).
 */
export function verifyChecksum(
  bytes: Uint8Array,
  options: DecodeFrameOptions,
): 'correct' | 'incorrect' | NotSegment {
  const packet = locateTcp(bytes, options);
  if (typeof packet === 'string') return packet;
  const { version, start, end } = packet;
  if (start + TCP_HEADER > end) return 'malformed';
  if (end > bytes.length) return 'truncated';
  if (version === 4) {
    const header = bytes.subarray(options.linkType === 'ethernet' ? ETHERNET_HEADER : 0, start);
    if (internetChecksum(header) !== 0) return 'incorrect';
  }
  const [source, destination] = [packet.source, packet.destination].map(
    (address) => parseAddress(address) ?? new Uint8Array(),
  ) as [Uint8Array, Uint8Array];
  const sum = internetChecksum(
    pseudoHeader(source, destination, end - start),
    bytes.subarray(start, end),
  );
  return sum === 0 ? 'correct' : 'incorrect';
}
