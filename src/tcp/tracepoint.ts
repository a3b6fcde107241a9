import { AF_INET, AF_INET6, type Endpoint, formatAddress } from './address.js';
import { stateName, type TcpState } from './states.js';

/** A field of a tracepoint's record; offset and size in bytes. */
export interface TracepointField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
  /** How many elements, for an array. */
  readonly array?: number;
}

/** A tracepoint's record as this kernel lays it out. */
export interface TracepointFormat {
  readonly name: string;
  /** The first two bytes of its records. */
  readonly id: number;
  /** Bytes up to the end of the last field. */
  readonly size: number;
  readonly fields: ReadonlyMap<string, TracepointField>;
  /** The names that `print fmt` gives to a field's numbers. */
  readonly symbols: ReadonlyMap<string, ReadonlyMap<number, string>>;
}

/** PERF_MAX_TRACE_SIZE: no record is longer. */
const LONGEST_RECORD = 8192;

/** Parses a tracepoint's `format` file; undefined for text that is none. */
export function parseFormat(text: string): TracepointFormat | undefined {
  const name = /^name: (\S+)$/m.exec(text)?.[1];
  const id = Number(/^ID: (\d{1,5})$/m.exec(text)?.[1]);
  if (name === undefined || !(id <= 0xffff)) return;
  const fields = new Map<string, TracepointField>();
  let size = 0;
  const lines = text.matchAll(
    /^\tfield:[^;\n]*?(\w+)(?:\[(\w*)\])?;\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:([01]);)?/gm,
  );
  for (const [, field = '', array, at, bytes, signed] of lines) {
    const offset = Number(at);
    const end = offset + Number(bytes);
    if (end > LONGEST_RECORD) return;
    size = Math.max(size, end);
    const elements = array === undefined ? {} : { array: Number.parseInt(array, 10) || 0 };
    fields.set(field, {
      name: field,
      offset,
      size: end - offset,
      signed: signed === '1',
      ...elements,
    });
  }
  return fields.size === 0 ? undefined : { name, id, size, fields, symbols: parseSymbols(text) };
}

function parseSymbols(text: string): Map<string, Map<number, string>> {
  const symbols = new Map<string, Map<number, string>>();
  const calls = text.matchAll(/__print_symbolic\(REC->(\w+),\s*((?:\{[^{}]*\}(?:,\s*)?)+)\)/g);
  for (const [, field = '', rows = ''] of calls) {
    // A value the kernel left as an enumerator's name stays unknown: its number is not in the file.
    const names = [...rows.matchAll(/\{\s*(-?\d+|0x[\da-f]+)\s*,\s*"([^"]*)"\s*\}/gi)];
    symbols.set(field, new Map(names.map(([, value, name = '']) => [Number(value), name])));
  }
  return symbols;
}

/** Where the ports of a record are. */
export interface PortPlace {
  readonly offset: number;
  /** In network order, as in a sockaddr. */
  readonly swapped: boolean;
  /** The name the kernel's filters know it by. */
  readonly field?: string;
}

/** The local and the remote port's places; none in a record without ports. */
export function portPlaces({ fields }: TracepointFormat): PortPlace[] {
  const [sport, dport] = [fields.get('sport'), fields.get('dport')];
  if (sport?.size === 2 && dport?.size === 2) {
    return [sport, dport].map(({ name, offset }) => ({ offset, swapped: false, field: name }));
  }
  const [saddr, daddr] = [fields.get('saddr'), fields.get('daddr')];
  if (saddr?.size !== SOCKADDR_SIZE || daddr?.size !== SOCKADDR_SIZE) return [];
  return [saddr, daddr].map(({ offset }) => ({ offset: offset + 2, swapped: true }));
}

interface Ends {
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

interface SocketRecord extends Ends {
  /** The kernel's address of the socket: tells sockets apart while they live; 0 where there is none. */
  readonly socket: bigint;
}

/** `sock:inet_sock_set_state`. */
export interface StateRecord extends SocketRecord {
  readonly kind: 'state';
  readonly oldState: TcpState;
  readonly newState: TcpState;
}

/** `tcp:tcp_send_reset`: a RST that goes from `local` to `remote`. */
export interface SendResetRecord extends SocketRecord {
  readonly kind: 'send-reset';
  /** As the kernel names it (`TCP_ABORT_ON_DATA`); undefined before Linux 6.10, which does not tell. */
  readonly reason: string | undefined;
  /** The socket's state; undefined without a socket. */
  readonly state: TcpState | undefined;
}

/** `tcp:tcp_receive_reset`: a RST that came from `remote`. */
export interface ReceiveResetRecord extends SocketRecord {
  readonly kind: 'receive-reset';
}

/** `tcp:tcp_retransmit_skb`. */
export interface RetransmitRecord extends SocketRecord {
  readonly kind: 'retransmit';
  readonly state: TcpState | undefined;
}

/** `raw_syscalls:sys_enter`. */
export interface EnterRecord {
  readonly kind: 'enter';
  readonly number: number;
  /** The six argument registers, whether the call uses them or not. */
  readonly args: readonly bigint[];
}

/** `raw_syscalls:sys_exit`. */
export interface ExitRecord {
  readonly kind: 'exit';
  readonly number: number;
  /** The kernel's result, or -errno. */
  readonly result: number;
}

/** What a tracepoint told, by its `kind`. */
export type TraceRecord =
  | StateRecord
  | SendResetRecord
  | ReceiveResetRecord
  | RetransmitRecord
  | EnterRecord
  | ExitRecord;

/** Reads records of one tracepoint. Undefined: not of TCP, or shorter than what it must tell. */
export type RecordDecoder = (record: Uint8Array) => TraceRecord | undefined;

const IPPROTO_TCP = 6;
/** struct sockaddr_in6; an IPv4 one takes its first 16 bytes. */
const SOCKADDR_SIZE = 28;

/** Makes the decoder of a tracepoint's records; undefined for one this library has no use for. */
export function decoderOf(format: TracepointFormat): RecordDecoder | undefined {
  return decoders[format.name]?.(format);
}

const decoders: Readonly<Record<string, (format: TracepointFormat) => RecordDecoder>> = {
  inet_sock_set_state(format) {
    const skaddr = pointer(format, 'skaddr');
    const [oldstate, newstate, protocol] = readers(format, 'oldstate', 'newstate', 'protocol');
    const ends = endsReader(format);
    return (record) => {
      const [socket, from, to] = [skaddr(record), oldstate(record), newstate(record)];
      // SCTP and MPTCP go through here as well, with states of their own.
      if ((protocol(record) ?? IPPROTO_TCP) !== IPPROTO_TCP) return;
      const where = ends(record);
      if (socket === undefined || from === undefined || to === undefined || !where) return;
      return {
        kind: 'state',
        socket,
        ...where,
        oldState: stateName(from),
        newState: stateName(to),
      };
    };
  },
  tcp_send_reset(format) {
    const skaddr = pointer(format, 'skaddr');
    const [state, reason] = readers(format, 'state', 'reason');
    const ends = endsReader(format);
    const names = format.symbols.get('reason');
    return (record) => {
      const [socket, where, number] = [skaddr(record), ends(record), reason(record)];
      if (socket === undefined || !where) return;
      return {
        kind: 'send-reset',
        socket,
        ...where,
        reason: number === undefined ? undefined : (names?.get(number) ?? `${number}`),
        state: named(state(record)),
      };
    };
  },
  tcp_receive_reset(format) {
    const skaddr = pointer(format, 'skaddr');
    const ends = endsReader(format);
    return (record) => {
      const [socket, where] = [skaddr(record), ends(record)];
      if (socket === undefined || !where) return;
      return { kind: 'receive-reset', socket, ...where };
    };
  },
  tcp_retransmit_skb(format) {
    const skaddr = pointer(format, 'skaddr');
    const state = integer(format, 'state');
    const ends = endsReader(format);
    return (record) => {
      const [socket, where] = [skaddr(record), ends(record)];
      if (socket === undefined || !where) return;
      return { kind: 'retransmit', socket, ...where, state: named(state(record)) };
    };
  },
  sys_enter(format) {
    const id = integer(format, 'id');
    const args = format.fields.get('args');
    return (record) => {
      const number = id(record);
      if (number === undefined || !args?.array || args.offset + args.size > record.length) return;
      if (args.size !== 8 * args.array) return;
      const values = Array.from({ length: args.array }, (_, i) =>
        readBig(record, args.offset + 8 * i),
      );
      return { kind: 'enter', number, args: values };
    };
  },
  sys_exit(format) {
    const [id, ret] = readers(format, 'id', 'ret');
    return (record) => {
      const [number, result] = [id(record), ret(record)];
      if (number === undefined || result === undefined) return;
      return { kind: 'exit', number, result };
    };
  },
};

/** A field's value; undefined where the format or the record has none. */
type Reader = (record: Uint8Array) => number | undefined;

function integer(format: TracepointFormat, name: string): Reader {
  const field = format.fields.get(name);
  if (field === undefined || ![1, 2, 4, 8].includes(field.size)) return () => undefined;
  const { offset, size, signed } = field;
  return (record) =>
    offset + size > record.length ? undefined : read(record, offset, size, signed);
}

function readers<const N extends readonly string[]>(
  format: TracepointFormat,
  ...names: N
): { readonly [K in keyof N]: Reader } {
  return names.map((name) => integer(format, name)) as { [K in keyof N]: Reader };
}

/** A pointer is more than a number can hold. */
function pointer(
  format: TracepointFormat,
  name: string,
): (record: Uint8Array) => bigint | undefined {
  const field = format.fields.get(name);
  if (field?.size !== 8) return () => undefined;
  const { offset } = field;
  return (record) => (offset + 8 > record.length ? undefined : readBig(record, offset));
}

/** Records are in host byte order, read as little-endian (x64, arm64). */
function read(record: Uint8Array, offset: number, size: number, signed: boolean): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (record[offset + i] ?? 0);
  if (!signed || (record[offset + size - 1] ?? 0) < 128) return value;
  return size < 8 ? value - 2 ** (8 * size) : Number(BigInt.asIntN(64, readBig(record, offset)));
}

function readBig(record: Uint8Array, offset: number): bigint {
  const half = (at: number) => BigInt(read(record, at, 4, false));
  return (half(offset + 4) << 32n) | half(offset);
}

/** State 0 is what the kernel writes where there is no socket. */
function named(state: number | undefined): TcpState | undefined {
  return state === undefined || state === 0 ? undefined : stateName(state);
}

/** Both ends, from whichever of the kernel's two ways to write them this tracepoint uses. */
function endsReader(format: TracepointFormat): (record: Uint8Array) => Ends | undefined {
  const [saddr, daddr] = [format.fields.get('saddr'), format.fields.get('daddr')];
  if (!saddr || !daddr) return () => undefined;
  if (saddr.size === SOCKADDR_SIZE && daddr.size === SOCKADDR_SIZE) {
    return (record) => {
      const local = sockaddr(record, saddr.offset);
      const remote = sockaddr(record, daddr.offset);
      return local && remote && { local, remote };
    };
  }
  const [sport, dport, family] = readers(format, 'sport', 'dport', 'family');
  const [saddr6, daddr6] = [format.fields.get('saddr_v6'), format.fields.get('daddr_v6')];
  return (record) => {
    if (record.length < format.size) return;
    const [from, to] = [sport(record), dport(record)];
    const six = family(record) === AF_INET6;
    const [source, destination] = six ? [saddr6, daddr6] : [saddr, daddr];
    if (from === undefined || to === undefined || !source || !destination) return;
    const end = ({ offset }: TracepointField, port: number): Endpoint => ({
      address: formatAddress(record, offset, six ? AF_INET6 : AF_INET),
      port,
    });
    return { local: end(source, from), remote: end(destination, to) };
  };
}

/** struct sockaddr_in: family, port, address; struct sockaddr_in6: family, port, flow, address. */
function sockaddr(record: Uint8Array, at: number): Endpoint | undefined {
  if (at + SOCKADDR_SIZE > record.length) return;
  const family = read(record, at, 2, false);
  if (family !== AF_INET && family !== AF_INET6) return;
  const port = ((record[at + 2] ?? 0) << 8) | (record[at + 3] ?? 0);
  return { address: formatAddress(record, at + (family === AF_INET6 ? 8 : 4), family), port };
}
