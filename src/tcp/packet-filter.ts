import { AF_INET, AF_INET6, type Family, parseAddress } from './address.js';
import {
  type Checks,
  checkInteger,
  checkString,
  integer,
  invalidValue,
  listOf,
  outOfRange,
} from './argument.js';

/** Which packets of an Ethernet interface to let through; what is left out lets all through. */
export interface PacketFilter {
  /** From or to one of these: `127.0.0.1`, `::1`; an IPv4-mapped address is the IPv4 one. */
  readonly addresses?: readonly string[];
  /** From or to one of these TCP or UDP ports. */
  readonly ports?: readonly number[];
  /** An IP protocol: 6 is TCP. */
  readonly protocol?: number;
}

/** What a filter must be; whether a text is an address, the encoder says. */
export const PACKET_FILTER: Checks<PacketFilter> = {
  addresses: listOf(checkString),
  ports: listOf(integer(0, 0xffff)),
  protocol: integer(0, 0xff),
};

/** A jump to a label, or an instruction whose jumps, if it has any, count from the next one. */
type Line =
  | { readonly label: string }
  | { readonly goto: string }
  | { readonly code: number; readonly k: number; readonly jt?: number; readonly jf?: number };

// linux/bpf_common.h: class | size | mode, class | operation | source.
const LD_B = 0x30;
const LD_H = 0x28;
const LD_W = 0x20;
const LD_H_INDEXED = 0x48;
const LDX_IPV4_HEADER = 0xb1;
const JEQ = 0x15;
const JSET = 0x45;
const JA = 0x05;
const RET = 0x06;

const ETHERNET = 14;
const ETHERTYPE = { [AF_INET]: 0x0800, [AF_INET6]: 0x86dd } as const;
const TCP = 6;
const UDP = 17;
/** Hop-by-Hop, Routing, Fragment, AH, Destination Options, Mobility: what may stand before the port numbers. */
const EXTENSION_HEADERS = [0, 43, 44, 51, 60, 135];
const FRAGMENT_OFFSET = 0x1fff;
/** BPF_MAXINSNS. */
const MOST_INSTRUCTIONS = 4096;

/**
 * Encodes a filter as a classic BPF program, an array of `struct sock_filter`, for SO_ATTACH_FILTER. What passes is cut
 * to `snaplen` bytes.
 *
 * A program has no loops, so ports behind IPv6 extension headers and in later fragments cannot be told: those packets
 * pass. Throws a TypeError for what is no address, a RangeError for a number out of range or a list too long for one
 * program (some 600 IPv4 addresses or ports).
 */
export function encodePacketFilter(filter: PacketFilter, snaplen = 0x7fff_ffff): Uint8Array {
  const { ports, protocol } = filter;
  for (const port of ports ?? []) checkInteger('port', port, 0, 0xffff);
  if (protocol !== undefined) checkInteger('protocol', protocol, 0, 0xff);
  // A packet cut to nothing does not pass.
  checkInteger('snaplen', snaplen, 1, 0x7fff_ffff);
  const addresses = filter.addresses?.map(wireAddress);
  const lines: Line[] = [];
  if (addresses !== undefined || ports !== undefined || protocol !== undefined) {
    lines.push({ code: LD_H, k: 12 });
    lines.push(...gotoIf(ETHERTYPE[AF_INET], 'ipv4'), ...gotoIf(ETHERTYPE[AF_INET6], 'ipv6'));
    lines.push({ goto: 'reject' });
    for (const family of [AF_INET, AF_INET6] as const) {
      const own = addresses?.filter(({ length }) => length === (family === AF_INET ? 4 : 16));
      lines.push(...familyLines(family, own, ports, protocol));
    }
  }
  lines.push({ label: 'accept' }, { code: RET, k: snaplen });
  lines.push({ label: 'reject' }, { code: RET, k: 0 });
  return assemble(lines);
}

function familyLines(
  family: Family,
  addresses: readonly Uint8Array[] | undefined,
  ports: readonly number[] | undefined,
  protocol: number | undefined,
): Line[] {
  const name = family === AF_INET ? 'ipv4' : 'ipv6';
  const [source, protocolAt] = family === AF_INET ? [12, 9] : [8, 6];
  const lines: Line[] = [{ label: name }];
  if (addresses !== undefined) {
    for (const at of [source, source + (family === AF_INET ? 4 : 16)]) {
      for (const [i, address] of addresses.entries()) {
        lines.push(...gotoIfAddress(ETHERNET + at, address, `${name}-known`, `${name}-${at}-${i}`));
      }
    }
    lines.push({ goto: 'reject' }, { label: `${name}-known` });
  }
  const protocols = protocol === undefined ? ports && [TCP, UDP] : [protocol];
  if (protocols === undefined) return [...lines, { goto: 'accept' }];

  lines.push({ code: LD_B, k: ETHERNET + protocolAt });
  for (const number of protocols) lines.push(...gotoIf(number, `${name}-protocol`));
  if (family === AF_INET6) for (const n of EXTENSION_HEADERS) lines.push(...gotoIf(n, 'accept'));
  lines.push({ goto: 'reject' }, { label: `${name}-protocol` });
  if (ports === undefined) return [...lines, { goto: 'accept' }];

  if (family === AF_INET) {
    lines.push({ code: LD_H, k: ETHERNET + 6 });
    lines.push({ code: JSET, k: FRAGMENT_OFFSET, jt: 0, jf: 1 }, { goto: 'accept' });
    lines.push({ code: LDX_IPV4_HEADER, k: ETHERNET });
  }
  for (const at of [0, 2]) {
    lines.push(
      family === AF_INET
        ? { code: LD_H_INDEXED, k: ETHERNET + at }
        : { code: LD_H, k: ETHERNET + 40 + at },
    );
    for (const port of ports) lines.push(...gotoIf(port, 'accept'));
  }
  return [...lines, { goto: 'reject' }];
}

// A conditional jump reaches 255 instructions, an unconditional one all of them.
function gotoIf(k: number, label: string): Line[] {
  return [{ code: JEQ, k, jt: 0, jf: 1 }, { goto: label }];
}

function gotoIfAddress(at: number, address: Uint8Array, found: string, differs: string): Line[] {
  const words = new DataView(address.buffer, address.byteOffset, address.length);
  const lines: Line[] = [];
  for (let i = 0; i < address.length; i += 4) {
    lines.push({ code: LD_W, k: at + i });
    lines.push({ code: JEQ, k: words.getUint32(i), jt: 1, jf: 0 }, { goto: differs });
  }
  return [...lines, { goto: found }, { label: differs }];
}

function assemble(lines: readonly Line[]): Uint8Array {
  const positions = new Map<string, number>();
  let length = 0;
  for (const line of lines) {
    if ('label' in line) positions.set(line.label, length);
    else length++;
  }
  if (length > MOST_INSTRUCTIONS) {
    throw outOfRange(`the filter takes ${length} instructions, BPF has ${MOST_INSTRUCTIONS}`);
  }
  const program = new DataView(new ArrayBuffer(length * 8));
  let position = 0;
  for (const line of lines) {
    if ('label' in line) continue;
    const start = position++ * 8;
    const [code, k] =
      'goto' in line ? [JA, (positions.get(line.goto) ?? 0) - position] : [line.code, line.k];
    program.setUint16(start, code, true);
    if ('code' in line) {
      program.setUint8(start + 2, line.jt ?? 0);
      program.setUint8(start + 3, line.jf ?? 0);
    }
    program.setUint32(start + 4, k, true);
  }
  return new Uint8Array(program.buffer);
}

function wireAddress(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw invalidValue(`not an IP address: ${text}`);
  const mapped =
    bytes.length === 16 && bytes.slice(0, 12).every((b, i) => b === (i < 10 ? 0 : 255));
  return mapped ? bytes.slice(12) : bytes;
}
