import * as sys from '../syscall/sys.js';
import { PAYLOAD, type Step, type TeardownMode } from './teardown.js';

const LINGER_ZERO = new Uint8Array(Int32Array.of(1, 0).buffer);
const payload = new Uint8Array(PAYLOAD).fill(0x2e);
const noStamps = new BigInt64Array();
const { SEQUENCE } = sys;

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
  readonly port: number;

  constructor() {
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

  /** Fills in a connection, ready for a mode; both descriptors are the caller's to close. Throws SyscallError. */
  open(pair: Pair, mode: TeardownMode): void {
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
    pair.client = client;
    pair.server = server;
    try {
      if (server < 0) throw new sys.SyscallError('accept4', server);
      for (const step of mode.before) prepare(step, pair[step.end]);
    } catch (error) {
      sys.close(client);
      if (server >= 0) sys.close(server);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#fds[Symbol.dispose]();
  }
}

function prepare({ act }: Step, fd: number): void {
  if (act === 'linger0') sys.setsockopt(fd, sys.SOL_SOCKET, sys.SO_LINGER, LINGER_ZERO);
  else if (act === 'linger2') sys.setsockopt(fd, sys.IPPROTO_TCP, sys.TCP_LINGER2, -1);
  else sys.write(fd, payload);
}
