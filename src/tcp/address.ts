/** One end of a connection. The address is text: `127.0.0.1`, `::1`, `::ffff:127.0.0.1`. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Linux's own number, sa_family_t in sockaddr and in sock_diag messages. */
export const AF_INET = 2;
export const AF_INET6 = 10;

/** An address family sock_diag is asked for. */
export type Family = typeof AF_INET | typeof AF_INET6;

/**
 * The text of the 4 or 16 address bytes at `offset`.
 *
 * IPv6 is RFC 5952 text as inet_ntop(3) writes it, so that ss, netstat, tcpdump and Node agree with
 * it to the letter: IPv4-mapped (`::ffff:a.b.c.d`) and the old IPv4-compatible addresses end in
 * dotted form. Bytes that are not there read as 0; callers check lengths first.
 */
export function formatAddress(bytes: Uint8Array, offset: number, family: number): string {
  return family === AF_INET6 ? formatIpv6(bytes, offset) : formatIpv4(bytes, offset);
}

/** `127.0.0.1:80`, `[::1]:80`: the way ss and URLs write it. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The 4 or 16 bytes an address text stands for; undefined unless it is one exactly (RFC 4291). */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** An address, and the index of the interface that it is of; 0 where the text does not say. */
export interface ScopedAddress {
  readonly bytes: Uint8Array;
  readonly scope: number;
}

/** The same of an address that may have a scope, as getsockname() tells those of one link: `fe80::1%2`. */
export function parseScopedAddress(text: string): ScopedAddress | undefined {
  const [, address = text, index] = /^([^%]*:[^%]*)%([1-9]\d{0,9})$/.exec(text) ?? [];
  const bytes = parseAddress(address);
  const scope = Number(index ?? 0);
  return bytes === undefined || scope >= 2 ** 32 ? undefined : { bytes, scope };
}

function formatIpv4(bytes: Uint8Array, offset: number): string {
  const octet = (index: number) => bytes[offset + index] ?? 0;
  return `${octet(0)}.${octet(1)}.${octet(2)}.${octet(3)}`;
}

function formatIpv6(bytes: Uint8Array, offset: number): string {
  const groups: number[] = [];
  for (let at = offset; at < offset + 16; at += 2) {
    groups.push(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  }
  const zeros = longestZeroRun(groups);
  if (zeros.start === 0 && (zeros.length === 6 || (zeros.length === 5 && groups[5] === 0xffff))) {
    return `${zeros.length === 6 ? '::' : '::ffff:'}${formatIpv4(bytes, offset + 12)}`;
  }
  const hex = groups.map((group) => group.toString(16));
  if (zeros.length < 2) return hex.join(':');
  return `${hex.slice(0, zeros.start).join(':')}::${hex.slice(zeros.start + zeros.length).join(':')}`;
}

/** The first of the longest runs: RFC 5952, section 4.2.3. */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  }
  return best;
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  // A leading zero is refused: some parsers read it as octal.
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return;
  const octets = parts.map(Number);
  return octets.every((octet) => octet <= 255) ? Uint8Array.from(octets) : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return;
  const [head = '', tail] = halves;
  // Dotted form may only end an address: a head is the end only where no `::` follows it.
  const front = parseGroups(head, tail === undefined);
  const back = parseGroups(tail ?? '', true);
  if (front === undefined || back === undefined) return;
  const missing = 16 - front.length - back.length;
  if (tail === undefined ? missing !== 0 : missing < 2) return;
  return Uint8Array.from([...front, ...new Array<number>(missing).fill(0), ...back]);
}

function parseGroups(text: string, mayEndDotted: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
      continue;
    }
    const dotted = mayEndDotted && index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (dotted === undefined) return;
    bytes.push(...dotted);
  }
  return bytes;
}
