import { distance, type SegmentBody } from './control-block.js';
import type { TcpOption } from './segment.js';

/** The initial numbers, which the numbers of a line count from; undefined where there was no SYN. */
export interface LineBase {
  readonly sequence: number | undefined;
  readonly acknowledgment: number | undefined;
}

const MOST_TEXT = 32;

/**
 * Formats a segment as a short line: `P. seq 1:6, ack 1, win 65535, "hello"`. The flags and the words are tcpdump's; addresses
 * are left out, and so are options that say nothing of what happens: padding and timestamps.
 */
export function formatSegment(segment: SegmentBody, base: LineBase): string {
  const { flags, sequence, acknowledgment, window, urgent, options, payload } = segment;
  const from = base.sequence === undefined ? sequence : distance(base.sequence, sequence);
  const parts = [payload.length > 0 ? `seq ${from}:${from + payload.length}` : `seq ${from}`];
  if (flags.includes('.')) parts.push(`ack ${distance(base.acknowledgment ?? 0, acknowledgment)}`);
  parts.push(`win ${window}`);
  if (flags.includes('U')) parts.push(`urg ${urgent}`);
  parts.push(...options.flatMap((option) => formatOption(option, base.acknowledgment ?? 0)));
  if (payload.length > 0) parts.push(quote(payload));
  return `${flags.padEnd(2)} ${parts.join(', ')}`;
}

function formatOption(option: TcpOption, sackBase: number): string[] {
  switch (option.kind) {
    case 'nop':
    case 'eol':
    case 'timestamps':
      return [];
    case 'mss':
    case 'wscale':
      return [`${option.kind} ${option.value}`];
    case 'sack':
      return [`sack ${option.blocks.map((block) => formatBlock(block, sackBase)).join('')}`];
    case 'unknown':
      return [`option ${option.number}`];
    default:
      return [option.kind];
  }
}

const formatBlock = (edges: readonly [number, number], base: number): string =>
  `{${edges.map((edge) => distance(base, edge)).join(':')}}`;

/** Quotes data as a JavaScript string, cut where it is long. */
export function quote(payload: Uint8Array): string {
  const text = new TextDecoder().decode(payload.subarray(0, MOST_TEXT));
  return JSON.stringify(text) + (payload.length > MOST_TEXT ? '...' : '');
}
