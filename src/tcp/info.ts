import { outOfRange } from './argument.js';
import { stateName, type TcpState } from './states.js';

/**
 * Every field of `struct tcp_info` (include/uapi/linux/tcp.h), in the kernel's order.
 *
 * `offset` and `size` are bytes; a bit field also has its `shift` and `width` inside that byte. The
 * names carry the unit where there is one; `unit` says it for all. This table is the only place that
 * knows the layout, and the tests hold it against the system header.
 */
export const tcpInfoFields = [
  { name: 'state', c: 'tcpi_state', offset: 0, size: 1, unit: 'TcpState' },
  { name: 'caState', c: 'tcpi_ca_state', offset: 1, size: 1, unit: 'CaState' },
  { name: 'retransmits', c: 'tcpi_retransmits', offset: 2, size: 1, unit: 'timeouts' },
  { name: 'probes', c: 'tcpi_probes', offset: 3, size: 1, unit: 'probes' },
  { name: 'backoff', c: 'tcpi_backoff', offset: 4, size: 1, unit: 'exponent' },
  { name: 'options', c: 'tcpi_options', offset: 5, size: 1, unit: 'TCPI_OPT_ bits' },
  { name: 'sndWscale', c: 'tcpi_snd_wscale', offset: 6, size: 1, shift: 0, width: 4, unit: 'bits' },
  { name: 'rcvWscale', c: 'tcpi_rcv_wscale', offset: 6, size: 1, shift: 4, width: 4, unit: 'bits' },
  {
    name: 'deliveryRateAppLimited',
    c: 'tcpi_delivery_rate_app_limited',
    offset: 7,
    size: 1,
    shift: 0,
    width: 1,
    unit: 'boolean',
  },
  {
    name: 'fastopenClientFail',
    c: 'tcpi_fastopen_client_fail',
    offset: 7,
    size: 1,
    shift: 1,
    width: 2,
    unit: 'FastopenClientFail',
  },
  { name: 'rtoUs', c: 'tcpi_rto', offset: 8, size: 4, unit: 'us' },
  { name: 'atoUs', c: 'tcpi_ato', offset: 12, size: 4, unit: 'us' },
  { name: 'sndMssBytes', c: 'tcpi_snd_mss', offset: 16, size: 4, unit: 'bytes' },
  { name: 'rcvMssBytes', c: 'tcpi_rcv_mss', offset: 20, size: 4, unit: 'bytes' },
  { name: 'unacked', c: 'tcpi_unacked', offset: 24, size: 4, unit: 'segments' },
  { name: 'sacked', c: 'tcpi_sacked', offset: 28, size: 4, unit: 'segments' },
  { name: 'lost', c: 'tcpi_lost', offset: 32, size: 4, unit: 'segments' },
  { name: 'retrans', c: 'tcpi_retrans', offset: 36, size: 4, unit: 'segments' },
  { name: 'fackets', c: 'tcpi_fackets', offset: 40, size: 4, unit: 'segments' },
  { name: 'lastDataSentMs', c: 'tcpi_last_data_sent', offset: 44, size: 4, unit: 'ms' },
  { name: 'lastAckSentMs', c: 'tcpi_last_ack_sent', offset: 48, size: 4, unit: 'ms' },
  { name: 'lastDataRecvMs', c: 'tcpi_last_data_recv', offset: 52, size: 4, unit: 'ms' },
  { name: 'lastAckRecvMs', c: 'tcpi_last_ack_recv', offset: 56, size: 4, unit: 'ms' },
  { name: 'pmtuBytes', c: 'tcpi_pmtu', offset: 60, size: 4, unit: 'bytes' },
  { name: 'rcvSsthreshBytes', c: 'tcpi_rcv_ssthresh', offset: 64, size: 4, unit: 'bytes' },
  { name: 'rttUs', c: 'tcpi_rtt', offset: 68, size: 4, unit: 'us' },
  { name: 'rttvarUs', c: 'tcpi_rttvar', offset: 72, size: 4, unit: 'us' },
  { name: 'sndSsthresh', c: 'tcpi_snd_ssthresh', offset: 76, size: 4, unit: 'segments' },
  { name: 'sndCwnd', c: 'tcpi_snd_cwnd', offset: 80, size: 4, unit: 'segments' },
  { name: 'advmssBytes', c: 'tcpi_advmss', offset: 84, size: 4, unit: 'bytes' },
  { name: 'reordering', c: 'tcpi_reordering', offset: 88, size: 4, unit: 'segments' },
  { name: 'rcvRttUs', c: 'tcpi_rcv_rtt', offset: 92, size: 4, unit: 'us' },
  { name: 'rcvSpaceBytes', c: 'tcpi_rcv_space', offset: 96, size: 4, unit: 'bytes' },
  { name: 'totalRetrans', c: 'tcpi_total_retrans', offset: 100, size: 4, unit: 'segments' },
  { name: 'pacingRateBytesPerSec', c: 'tcpi_pacing_rate', offset: 104, size: 8, unit: 'bytes/s' },
  {
    name: 'maxPacingRateBytesPerSec',
    c: 'tcpi_max_pacing_rate',
    offset: 112,
    size: 8,
    unit: 'bytes/s',
  },
  { name: 'bytesAcked', c: 'tcpi_bytes_acked', offset: 120, size: 8, unit: 'bytes' },
  { name: 'bytesReceived', c: 'tcpi_bytes_received', offset: 128, size: 8, unit: 'bytes' },
  { name: 'segsOut', c: 'tcpi_segs_out', offset: 136, size: 4, unit: 'segments' },
  { name: 'segsIn', c: 'tcpi_segs_in', offset: 140, size: 4, unit: 'segments' },
  { name: 'notsentBytes', c: 'tcpi_notsent_bytes', offset: 144, size: 4, unit: 'bytes' },
  { name: 'minRttUs', c: 'tcpi_min_rtt', offset: 148, size: 4, unit: 'us' },
  { name: 'dataSegsIn', c: 'tcpi_data_segs_in', offset: 152, size: 4, unit: 'segments' },
  { name: 'dataSegsOut', c: 'tcpi_data_segs_out', offset: 156, size: 4, unit: 'segments' },
  {
    name: 'deliveryRateBytesPerSec',
    c: 'tcpi_delivery_rate',
    offset: 160,
    size: 8,
    unit: 'bytes/s',
  },
  { name: 'busyTimeUs', c: 'tcpi_busy_time', offset: 168, size: 8, unit: 'us' },
  { name: 'rwndLimitedUs', c: 'tcpi_rwnd_limited', offset: 176, size: 8, unit: 'us' },
  { name: 'sndbufLimitedUs', c: 'tcpi_sndbuf_limited', offset: 184, size: 8, unit: 'us' },
  { name: 'delivered', c: 'tcpi_delivered', offset: 192, size: 4, unit: 'segments' },
  { name: 'deliveredCe', c: 'tcpi_delivered_ce', offset: 196, size: 4, unit: 'segments' },
  { name: 'bytesSent', c: 'tcpi_bytes_sent', offset: 200, size: 8, unit: 'bytes' },
  { name: 'bytesRetrans', c: 'tcpi_bytes_retrans', offset: 208, size: 8, unit: 'bytes' },
  { name: 'dsackDups', c: 'tcpi_dsack_dups', offset: 216, size: 4, unit: 'segments' },
  { name: 'reordSeen', c: 'tcpi_reord_seen', offset: 220, size: 4, unit: 'events' },
  { name: 'rcvOoopack', c: 'tcpi_rcv_ooopack', offset: 224, size: 4, unit: 'segments' },
  { name: 'sndWndBytes', c: 'tcpi_snd_wnd', offset: 228, size: 4, unit: 'bytes' },
  { name: 'rcvWndBytes', c: 'tcpi_rcv_wnd', offset: 232, size: 4, unit: 'bytes' },
  { name: 'rehash', c: 'tcpi_rehash', offset: 236, size: 4, unit: 'events' },
  { name: 'totalRto', c: 'tcpi_total_rto', offset: 240, size: 2, unit: 'timeouts' },
  {
    name: 'totalRtoRecoveries',
    c: 'tcpi_total_rto_recoveries',
    offset: 242,
    size: 2,
    unit: 'recoveries',
  },
  { name: 'totalRtoTimeMs', c: 'tcpi_total_rto_time', offset: 244, size: 4, unit: 'ms' },
  { name: 'receivedCe', c: 'tcpi_received_ce', offset: 248, size: 4, unit: 'segments' },
  { name: 'deliveredE1Bytes', c: 'tcpi_delivered_e1_bytes', offset: 252, size: 4, unit: 'bytes' },
  { name: 'deliveredE0Bytes', c: 'tcpi_delivered_e0_bytes', offset: 256, size: 4, unit: 'bytes' },
  { name: 'deliveredCeBytes', c: 'tcpi_delivered_ce_bytes', offset: 260, size: 4, unit: 'bytes' },
  { name: 'receivedE1Bytes', c: 'tcpi_received_e1_bytes', offset: 264, size: 4, unit: 'bytes' },
  { name: 'receivedE0Bytes', c: 'tcpi_received_e0_bytes', offset: 268, size: 4, unit: 'bytes' },
  { name: 'receivedCeBytes', c: 'tcpi_received_ce_bytes', offset: 272, size: 4, unit: 'bytes' },
  // Linux 6.18 has two __u16 here, later kernels four bit fields of the same total size, and the
  // bytes do not tell which: they stay raw.
  { name: 'accecn', c: null, offset: 276, size: 4, unit: 'raw bits' },
] as const;

type FieldName = (typeof tcpInfoFields)[number]['name'];

/** The congestion machine's state, enum tcp_ca_state without its `TCP_CA_`. */
export type CaState = (typeof caStates)[number] | `UNKNOWN(${number})`;
const caStates = ['Open', 'Disorder', 'CWR', 'Recovery', 'Loss'] as const;

/** Why a Fast Open client fell back, enum tcp_fastopen_client_fail. */
export type FastopenClientFail = (typeof fastopenClientFails)[number];
const fastopenClientFails = [
  'TFO_STATUS_UNSPEC',
  'TFO_COOKIE_UNAVAILABLE',
  'TFO_DATA_NOT_ACKED',
  'TFO_SYN_RETRANSMITTED',
] as const;

interface Decoded {
  state: TcpState;
  caState: CaState;
  deliveryRateAppLimited: boolean;
  fastopenClientFail: FastopenClientFail;
}

/** The decoded fields; one the kernel did not return is undefined, never 0. The state it always returns. */
export type TcpInfoFields = {
  readonly [Name in FieldName]:
    | (Name extends keyof Decoded ? Decoded[Name] : number)
    | (Name extends 'state' ? never : undefined);
};

/**
 * A view of `struct tcp_info`: each field is decoded when it is read.
 *
 * The bytes stay the caller's. Refill them with the next getsockopt(2) and the same view shows the
 * new values; take `toObject()` first where the old ones must last, and where fields are to be listed:
 * they are getters, which Object.keys() and a spread do not see. Fields beyond the length of the
 * bytes are undefined, so pass exactly what the kernel wrote.
 *
 * 64-bit fields are plain numbers: exact up to 2^53, which a byte counter reaches after months at
 * 1 GB/s, and JSON takes them. A pacing rate with no limit (`~0`) reads 2 ** 64.
 *
 * For a LISTEN socket `unacked` is the accept queue's length and `sacked` its limit. `lastAckSentMs`
 * and `fackets` have a place but Linux no longer fills them.
 */
export interface TcpInfo extends TcpInfoFields {
  /** Copies all fields into one plain object. */
  toObject(): TcpInfoFields;
  /** What JSON.stringify writes: the fields. */
  toJSON(): TcpInfoFields;
}

/**
 * Views the bytes of a `struct tcp_info` as TCP_INFO or INET_DIAG_INFO returned them.
 *
 * The host must be little-endian, as x64 and arm64 are. A view over bytes that start off a 4-byte
 * boundary works and is slower. Throws a RangeError for no bytes at all, which show no state.
 */
export function decodeTcpInfo(bytes: Uint8Array): TcpInfo {
  const { buffer, byteOffset, length } = bytes;
  if (length === 0) throw outOfRange('struct tcp_info must have a state, received no bytes');
  const words = byteOffset % 4 === 0 ? new Uint32Array(buffer, byteOffset, length >> 2) : undefined;
  return new View(bytes, words, 0) as View & TcpInfoFields;
}

/** How many bytes the fields above take. */
export const TCP_INFO_SIZE = Math.max(...tcpInfoFields.map(({ offset, size }) => offset + size));

/**
 * The same in the middle of more bytes, of which at least TCP_INFO_SIZE from `start` on, a multiple
 * of 4, are the kernel's; `words` are the same bytes. Making typed arrays for each answer takes as
 * long as the system call.
 */
export function decodeTcpInfoAt(bytes: Uint8Array, words: Uint32Array, start: number): TcpInfo {
  return new View(bytes, words, start) as View & TcpInfoFields;
}

/** The names of the TCPI_OPT_ bits set in the `options` field, without that prefix. */
export function tcpInfoOptions(options: number): string[] {
  return optionNames.filter((_, bit) => (options & (1 << bit)) !== 0);
}

const optionNames = [
  'TIMESTAMPS',
  'SACK',
  'WSCALE',
  'ECN',
  'ECN_SEEN',
  'SYN_DATA',
  'USEC_TS',
  'TFO_CHILD',
];

const at = Object.fromEntries(tcpInfoFields.map(({ name, offset }) => [name, offset])) as Record<
  FieldName,
  number
>;

/**
 * What decodeTcpInfo returns. A typed-array read past the end gives undefined: that is how a field
 * the kernel did not return shows.
 */
class View {
  readonly #bytes: Uint8Array;
  readonly #aligned: Uint32Array | undefined;
  readonly #start: number;

  constructor(bytes: Uint8Array, words: Uint32Array | undefined, start: number) {
    this.#bytes = bytes;
    this.#aligned = words;
    this.#start = start;
  }

  get #words(): Uint32Array {
    return (
      this.#aligned ??
      new Uint32Array(new Uint8Array(this.#bytes).buffer, 0, this.#bytes.length >> 2)
    );
  }

  get state(): TcpState {
    return stateName(this.#bytes[this.#start + at.state] as number);
  }

  get caState(): CaState | undefined {
    const number = this.#bytes[this.#start + at.caState];
    return number === undefined ? undefined : (caStates[number] ?? `UNKNOWN(${number})`);
  }

  get sndWscale(): number | undefined {
    const byte = this.#bytes[this.#start + at.sndWscale];
    return byte === undefined ? undefined : byte & 0xf;
  }

  get rcvWscale(): number | undefined {
    const byte = this.#bytes[this.#start + at.rcvWscale];
    return byte === undefined ? undefined : byte >> 4;
  }

  get deliveryRateAppLimited(): boolean | undefined {
    const byte = this.#bytes[this.#start + at.deliveryRateAppLimited];
    return byte === undefined ? undefined : (byte & 1) !== 0;
  }

  get fastopenClientFail(): FastopenClientFail | undefined {
    const byte = this.#bytes[this.#start + at.fastopenClientFail];
    return byte === undefined ? undefined : fastopenClientFails[(byte >> 1) & 3];
  }

  // One object literal whose offsets the optimizer folds to constants: about 0.1 us, where a loop
  // over the table or over the getters takes 5 to 10 times that.
  toObject(): TcpInfoFields {
    const b = this.#bytes;
    const w = this.#words;
    const i = this.#start;
    const j = i >> 2;
    return {
      state: this.state,
      caState: this.caState,
      retransmits: b[i + at.retransmits],
      probes: b[i + at.probes],
      backoff: b[i + at.backoff],
      options: b[i + at.options],
      sndWscale: this.sndWscale,
      rcvWscale: this.rcvWscale,
      deliveryRateAppLimited: this.deliveryRateAppLimited,
      fastopenClientFail: this.fastopenClientFail,
      rtoUs: w[j + (at.rtoUs >> 2)],
      atoUs: w[j + (at.atoUs >> 2)],
      sndMssBytes: w[j + (at.sndMssBytes >> 2)],
      rcvMssBytes: w[j + (at.rcvMssBytes >> 2)],
      unacked: w[j + (at.unacked >> 2)],
      sacked: w[j + (at.sacked >> 2)],
      lost: w[j + (at.lost >> 2)],
      retrans: w[j + (at.retrans >> 2)],
      fackets: w[j + (at.fackets >> 2)],
      lastDataSentMs: w[j + (at.lastDataSentMs >> 2)],
      lastAckSentMs: w[j + (at.lastAckSentMs >> 2)],
      lastDataRecvMs: w[j + (at.lastDataRecvMs >> 2)],
      lastAckRecvMs: w[j + (at.lastAckRecvMs >> 2)],
      pmtuBytes: w[j + (at.pmtuBytes >> 2)],
      rcvSsthreshBytes: w[j + (at.rcvSsthreshBytes >> 2)],
      rttUs: w[j + (at.rttUs >> 2)],
      rttvarUs: w[j + (at.rttvarUs >> 2)],
      sndSsthresh: w[j + (at.sndSsthresh >> 2)],
      sndCwnd: w[j + (at.sndCwnd >> 2)],
      advmssBytes: w[j + (at.advmssBytes >> 2)],
      reordering: w[j + (at.reordering >> 2)],
      rcvRttUs: w[j + (at.rcvRttUs >> 2)],
      rcvSpaceBytes: w[j + (at.rcvSpaceBytes >> 2)],
      totalRetrans: w[j + (at.totalRetrans >> 2)],
      pacingRateBytesPerSec: u64(w, j + (at.pacingRateBytesPerSec >> 2)),
      maxPacingRateBytesPerSec: u64(w, j + (at.maxPacingRateBytesPerSec >> 2)),
      bytesAcked: u64(w, j + (at.bytesAcked >> 2)),
      bytesReceived: u64(w, j + (at.bytesReceived >> 2)),
      segsOut: w[j + (at.segsOut >> 2)],
      segsIn: w[j + (at.segsIn >> 2)],
      notsentBytes: w[j + (at.notsentBytes >> 2)],
      minRttUs: w[j + (at.minRttUs >> 2)],
      dataSegsIn: w[j + (at.dataSegsIn >> 2)],
      dataSegsOut: w[j + (at.dataSegsOut >> 2)],
      deliveryRateBytesPerSec: u64(w, j + (at.deliveryRateBytesPerSec >> 2)),
      busyTimeUs: u64(w, j + (at.busyTimeUs >> 2)),
      rwndLimitedUs: u64(w, j + (at.rwndLimitedUs >> 2)),
      sndbufLimitedUs: u64(w, j + (at.sndbufLimitedUs >> 2)),
      delivered: w[j + (at.delivered >> 2)],
      deliveredCe: w[j + (at.deliveredCe >> 2)],
      bytesSent: u64(w, j + (at.bytesSent >> 2)),
      bytesRetrans: u64(w, j + (at.bytesRetrans >> 2)),
      dsackDups: w[j + (at.dsackDups >> 2)],
      reordSeen: w[j + (at.reordSeen >> 2)],
      rcvOoopack: w[j + (at.rcvOoopack >> 2)],
      sndWndBytes: w[j + (at.sndWndBytes >> 2)],
      rcvWndBytes: w[j + (at.rcvWndBytes >> 2)],
      rehash: w[j + (at.rehash >> 2)],
      totalRto: u16(b, i + at.totalRto),
      totalRtoRecoveries: u16(b, i + at.totalRtoRecoveries),
      totalRtoTimeMs: w[j + (at.totalRtoTimeMs >> 2)],
      receivedCe: w[j + (at.receivedCe >> 2)],
      deliveredE1Bytes: w[j + (at.deliveredE1Bytes >> 2)],
      deliveredE0Bytes: w[j + (at.deliveredE0Bytes >> 2)],
      deliveredCeBytes: w[j + (at.deliveredCeBytes >> 2)],
      receivedE1Bytes: w[j + (at.receivedE1Bytes >> 2)],
      receivedE0Bytes: w[j + (at.receivedE0Bytes >> 2)],
      receivedCeBytes: w[j + (at.receivedCeBytes >> 2)],
      accecn: w[j + (at.accecn >> 2)],
    };
  }

  toJSON(): TcpInfoFields {
    return this.toObject();
  }

  /** What console.log shows: the fields, not an empty object. */
  [Symbol.for('nodejs.util.inspect.custom')](): TcpInfoFields {
    return this.toObject();
  }

  static {
    for (const { name, offset, size } of tcpInfoFields) {
      if (name in View.prototype) continue;
      const get = {
        1(this: View) {
          return this.#bytes[this.#start + offset];
        },
        2(this: View) {
          return u16(this.#bytes, this.#start + offset);
        },
        4(this: View) {
          return this.#words[(this.#start + offset) >> 2];
        },
        8(this: View) {
          return u64(this.#words, (this.#start + offset) >> 2);
        },
      }[size];
      Object.defineProperty(View.prototype, name, { get, enumerable: true });
    }
  }
}

function u16(bytes: Uint8Array, offset: number): number | undefined {
  const low = bytes[offset];
  const high = bytes[offset + 1];
  return low === undefined || high === undefined ? undefined : low | (high << 8);
}

function u64(words: Uint32Array, index: number): number | undefined {
  const low = words[index];
  const high = words[index + 1];
  if (low === undefined || high === undefined) return undefined;
  // A sum would be a double, and a property of doubles takes an allocation for each.
  return high === 0 ? low : low + high * 2 ** 32;
}
