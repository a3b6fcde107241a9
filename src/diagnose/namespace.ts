import { inodeOf } from '../observer/proc.js';
import { type FourTuple, SockDiag } from '../observer/sock-diag.js';
import { O_CLOEXEC, O_RDONLY } from '../syscall/constants.js';
import { close, open } from '../syscall/descriptor.js';
import type { Endpoint } from '../tcp/address.js';
import type { TimerName } from '../tcp/socket-table.js';
import { type InfoExtract, type SocketExtract, SocketView } from '../tcp/socket-view.js';
import { stateNumber, type TcpState, type TcpStateName, tcpStates } from '../tcp/states.js';
import { netnsOf } from './census.js';
import { type Listener, listenerOf } from './listeners.js';

/** A socket in a state that may be a leak: as sock_diag shows it, or, for a ghost, as a copy of its descriptor does. */
export interface Suspect {
  /** Inode number of the network namespace. */
  readonly netns: number;
  readonly state: TcpState;
  readonly local: Endpoint;
  readonly remote?: Endpoint;
  readonly recvQ: number;
  readonly sendQ: number;
  readonly inode: number;
  readonly uid?: number;
  readonly timer: TimerName;
  readonly timerMs: number;
  readonly retransmits: number;
  /** Index of the interface that it is bound to; 0 or absent where it is bound to none. */
  readonly interface?: number;
  /** SO_COOKIE: no two sockets of a running kernel have the same. */
  readonly cookie: bigint;
  readonly info?: InfoExtract | undefined;
  /** The same as in `info`, where that takes longer to ask. */
  readonly lastAckRecvMs?: number | undefined;
}

/** One that sock_diag shows. */
class Shown extends SocketView implements Suspect {
  constructor(
    extract: SocketExtract,
    row: number,
    readonly netns: number,
  ) {
    super(extract, row);
  }
}

/** One namespace at one moment. */
export interface Look {
  readonly suspects: readonly Suspect[];
  /** The inode numbers of all sockets in such a state. */
  readonly inodes: Uint32Array;
  readonly incomplete: readonly string[];
}

/** The states in which a socket may stay although its connection is over or half over. CLOSE is in no answer. */
export const suspiciousStates = [
  'CLOSE_WAIT',
  'FIN_WAIT1',
  'FIN_WAIT2',
  'CLOSING',
  'LAST_ACK',
] as const satisfies readonly TcpStateName[];

const otherStates = tcpStates.filter(
  (state) => !(suspiciousStates as readonly string[]).includes(state),
);
const LISTEN = stateNumber('LISTEN');

/** A network namespace that is looked at through a sock_diag socket of its own. */
export class Namespace implements Disposable {
  readonly inode: number;
  readonly #diag: SockDiag;

  private constructor(inode: number, diag: SockDiag) {
    this.inode = inode;
    this.#diag = diag;
  }

  /** Opens the caller's own namespace. */
  static own(): Namespace {
    return new Namespace(netnsOf('self'), SockDiag.open());
  }

  /**
   * Opens the namespace that a path leads to, which a thread enters for one system call. Throws SyscallError: ENOENT or
   * EACCES (open), EPERM (setns) where CAP_SYS_ADMIN is missing.
   */
  static async at(path: string): Promise<Namespace> {
    return Namespace.of(open(path, O_RDONLY | O_CLOEXEC));
  }

  /** The same of a descriptor of a namespace, which is closed. */
  static async of(netns: number): Promise<Namespace> {
    try {
      const { Actor } = await import('../syscall/actor.js');
      await using actor = await Actor.start({ name: 'netns', netns });
      const fd = await actor.socket(...SockDiag.socket);
      return new Namespace(inodeOf(netns), new SockDiag(fd));
    } finally {
      close(netns);
    }
  }

  /** The sockets in a suspicious state, with TCP_INFO. */
  look(): Look {
    const extract = this.#diag.extract({ states: suspiciousStates, info: true });
    const suspects: Suspect[] = [];
    for (let row = 0; row < extract.length; row++) {
      const suspect = new Shown(extract, row, this.inode);
      // What remains of FIN_WAIT2 after close(): a stub with a timer, and nobody's.
      if (suspect.inode !== 0 || suspect.state !== 'FIN_WAIT2') suspects.push(suspect);
    }
    return { suspects, inodes: extract.inodes(), incomplete: extract.incomplete };
  }

  /** The inode numbers of the sockets in all other states that sock_diag shows, and the listeners among them. */
  list(): { inodes: Uint32Array; listeners: Listener[]; incomplete: readonly string[] } {
    const table = this.#diag.snapshot({ states: otherStates });
    const listeners: Listener[] = [];
    const { state } = table;
    for (let index = 0; index < state.length; index++) {
      const row = state[index] === LISTEN ? table.at(index) : undefined;
      if (row !== undefined) listeners.push(listenerOf(this.inode, row));
    }
    return { inodes: table.inode, listeners, incomplete: table.incomplete };
  }

  /** One suspect of an earlier look, as it is now; undefined where it has gone or is in no such state any more. */
  lookAt({ local, remote, cookie, interface: device = 0 }: Suspect): Suspect | undefined {
    if (remote === undefined) return undefined;
    const row = this.#diag.find({ local, remote }, { info: true, cookie, interface: device });
    const isSuspicious = (suspiciousStates as readonly TcpState[]).includes(row?.state ?? 'CLOSE');
    return row && isSuspicious ? { ...row, netns: this.inode } : undefined;
  }

  /** A suspect by its addresses, if it is the one of that inode number: a dump may pass over a socket whose neighbour goes. */
  find(tuple: FourTuple, inode: number): Suspect | undefined {
    const row = this.#diag.find(tuple, { info: true });
    return row?.inode === inode ? { ...row, netns: this.inode } : undefined;
  }

  [Symbol.dispose](): void {
    this.#diag.close();
  }
}
