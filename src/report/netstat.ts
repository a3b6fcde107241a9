import { AF_INET6, type Endpoint } from '../tcp/address.js';
import type { TcpState } from '../tcp/states.js';
import { printable } from './printable.js';

/** One socket, as `SocketTable` rows have it, and who owns it. */
export interface NetstatRow {
  /** AF_INET (2) or AF_INET6 (10). */
  readonly family: number;
  readonly recvQ: number;
  readonly sendQ: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly state: TcpState;
  /** Absent where nobody does, or nobody that can be seen. */
  readonly owner?: NetstatOwner;
}

export interface NetstatOwner {
  readonly pid: number;
  /** The last path part of the process's argv[0]. */
  readonly program: string;
}

const utf8 = new TextEncoder();

const TITLE = 'Active Internet connections (servers and established)';
const HEADER =
  'Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name    ';

/**
 * Formats sockets as `netstat -antp` prints them (net-tools 2.10), title and header first.
 *
 * Rows stay in the order given. netstat reads /proc/net/tcp, which shows no backlog: Send-Q of a
 * LISTEN socket is 0 here too. An address and port over 22 characters lose the address's end, and
 * an owner over 19 bytes its own, as there.
 */
export function formatNetstat(rows: Iterable<NetstatRow>): string {
  const lines = [TITLE, HEADER];
  for (const row of rows) lines.push(formatRow(row));
  return `${lines.join('\n')}\n`;
}

function formatRow({ family, recvQ, sendQ, local, remote, state, owner }: NetstatRow): string {
  return [
    (family === AF_INET6 ? 'tcp6' : 'tcp').padEnd(5),
    String(recvQ).padStart(6),
    String(state === 'LISTEN' ? 0 : sendQ).padStart(6),
    formatEnd(local).padEnd(23),
    formatEnd(remote).padEnd(23),
    state.padEnd(11),
    padded(owner === undefined ? '-' : programColumn(owner), 20),
  ].join(' ');
}

function formatEnd({ address, port }: Endpoint): string {
  const host = address.replace(/^::ffff:(?=\d+\.)/, '');
  const service = port === 0 ? '*' : String(port);
  return `${host.slice(0, 22 - service.length)}:${service}`;
}

/**
 * Writes a process as netstat's PID/Program name column does: cut to 19 bytes, without trailing padding.
 *
 * A character the cut goes through is left out whole, and control characters are question marks; netstat prints its first
 * bytes, and those.
 */
export function programColumn({ pid, program }: NetstatOwner): string {
  const cut = utf8.encode(`${pid}/${printable(program)}`).subarray(0, 19);
  return new TextDecoder().decode(cut, { stream: true });
}

/** As printf(3) pads: by bytes. */
function padded(text: string, bytes: number): string {
  return text + ' '.repeat(bytes - utf8.encode(text).length);
}
