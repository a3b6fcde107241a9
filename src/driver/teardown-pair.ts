import * as sys from '../syscall/sys.js';
import { PAYLOAD, type Step, type TeardownMode } from './teardown.js';

const noStamps = new BigInt64Array();
const { SEQUENCE } = sys;

/** What is done to a connection beforehand, as steps of a sequence whose descriptors are not filled in. */
export function encodeBefore({ before }: TeardownMode): number[][] {
  return before.map(({ act }) => {
    if (act === 'linger0') return [SEQUENCE.setsockopt, -1, sys.SOL_SOCKET, sys.SO_LINGER];
    if (act === 'linger2') return [SEQUENCE.setsockopt, -1, sys.IPPROTO_TCP, sys.TCP_LINGER2];
    return [SEQUENCE.write, -1, PAYLOAD, 0];
  });
}

/** The bytes they take: the option's value first. Whoever reads these back finds them as they were. */
export function bytesBefore({ before }: TeardownMode): Uint8Array {
  const bytes = new Uint8Array(2 * PAYLOAD);
  // struct linger {on, 0 s}; or an int of -1.
  const never = before.some(({ act }) => act === 'linger2');
  new Int32Array(bytes.buffer).set(never ? [-1, 0] : [1, 0]);
  return bytes;
}

/** Both descriptors of a connection. */
export interface Pair {
  client: number;
  server: number;
}

/** A listener on loopback, and connections to it whose both ends this thread holds. */
export class PairMaker implements Disposable {
  readonly #fds = new sys.Descriptors();
  readonly #address: Uint8Array;
  readonly #connecting: Int32Array;
  readonly #accepting: Int32Array;
  readonly #results = new Int32Array(2);
  readonly #mode: TeardownMode;
  readonly #before: Int32Array;
  readonly #bytes: Uint8Array;
  readonly port: number;

  constructor(mode: TeardownMode) {
    this.#mode = mode;
    this.#before = Int32Array.from(encodeBefore(mode).flat());
    this.#bytes = bytesBefore(mode);
    const listener = this.#fds.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
    try {
      sys.bind(listener, { address: '127.0.0.1', port: 0 });
      sys.listen(listener, sys.SOMAXCONN);
      const address = sys.getsockname(listener);
      this.port = address.port;
      this.#address = sys.encodeAddress(address);
    } catch (error) {
      this.#fds[Symbol.dispose]();
      throw error;
    }
    // Few crossings: what a connection is set up with should leave the caches to what is timed.
    this.#connecting = Int32Array.from([
      ...[SEQUENCE.socket, sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC, 0],
      ...[SEQUENCE.connect, -1, this.#address.length, 0],
    ]);
    this.#accepting = Int32Array.of(SEQUENCE.accept, listener, sys.SOCK_CLOEXEC, 0);
  }

  /** Fills in a connection, ready for the mode; both descriptors are the caller's to close. Throws SyscallError. */
  open(pair: Pair): void {
    this.connect(pair);
    const { before } = this.#mode;
    for (let i = 0; i < before.length; i++) {
      const { end } = before[i] as Step;
      this.#before[i * sys.STEP_LENGTH + 1] = end === 'client' ? pair.client : pair.server;
    }
    if (before.length === 0) return;
    sys.sequence(this.#before, this.#bytes, this.#results, noStamps);
    const [result = 0] = this.#results;
    if (result >= 0) return;
    sys.close(pair.client);
    sys.close(pair.server);
    throw new sys.SyscallError(before[0]?.act === 'write' ? 'write' : 'setsockopt', result);
  }

  /** The same, before anything the mode needs was done to it. */
  connect(pair: Pair): void {
    sys.sequence(this.#connecting, this.#address, this.#results, noStamps);
    const [client = -1, connected = -1] = this.#results;
    if (client < 0) throw new sys.SyscallError('socket', client);
    if (connected < 0) {
      sys.close(client);
      throw new sys.SyscallError('connect', connected, { address: '127.0.0.1', port: this.port });
    }
    // By itself: without a connection it would block for ever.
    sys.sequence(this.#accepting, this.#address, this.#results, noStamps);
    const [server = -1] = this.#results;
    if (server < 0) {
      sys.close(client);
      throw new sys.SyscallError('accept4', server);
    }
    pair.client = client;
    pair.server = server;
  }

  [Symbol.dispose](): void {
    this.#fds[Symbol.dispose]();
  }
}
