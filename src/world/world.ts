import { fstatSync, readFileSync, statSync } from 'node:fs';
import * as sys from '../syscall/sys.js';

/** How much this process may do: see ARCHITECTURE.md, privileges. */
export type Privilege = 'root' | 'user-namespace' | 'plain';

/** What a world is: a network namespace of its own, or the network the process was started in. */
export type WorldKind = 'namespace' | 'host';

/** Tells the privilege of this process: root of the machine, root of a user namespace, or neither. */
export function privilege(): Privilege {
  if (process.geteuid?.() !== 0) return 'plain';
  // The first user namespace maps every user to itself (user_namespaces(7)).
  const [inside, outside, count] = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
  return inside === '0' && outside === '0' && count === '4294967295' ? 'root' : 'user-namespace';
}

const IFREQ_NAME = 16;

/** Sets IFF_UP on an interface of the actor's namespace (netdevice(7)). */
async function bringUp(actor: sys.Actor, name: string): Promise<void> {
  const ifreq = new Uint8Array(40);
  ifreq.set(new TextEncoder().encode(name));
  const fd = await actor.socket(sys.AF_INET, sys.SOCK_DGRAM | sys.SOCK_CLOEXEC);
  try {
    await actor.ioctl(fd, sys.SIOCGIFFLAGS, ifreq);
    const flags = new DataView(ifreq.buffer);
    flags.setInt16(IFREQ_NAME, flags.getInt16(IFREQ_NAME, true) | sys.IFF_UP, true);
    await actor.ioctl(fd, sys.SIOCSIFFLAGS, ifreq);
  } finally {
    await actor.close(fd);
  }
}

/**
 * Where an experiment happens. A world of kind `namespace` is a network namespace with nothing in it but `lo`; it dies
 * with the last thread and process in it, whatever becomes of this one, so nothing is ever left to clean up.
 */
export class World implements AsyncDisposable {
  readonly kind: WorldKind;
  readonly privilege: Privilege;
  readonly #netns: number;
  readonly #actors = new Set<sys.Actor>();
  #closed = false;

  private constructor(kind: WorldKind, netns: number) {
    this.kind = kind;
    this.privilege = privilege();
    this.#netns = netns;
  }

  /**
   * Opens a world. Throws SyscallError, EPERM from unshare, where a namespace is asked for and this process may not make
   * one.
   */
  static async open(kind: WorldKind): Promise<World> {
    if (kind === 'host') return new World('host', -1);
    await using maker = await sys.Actor.start({ name: 'world' });
    await maker.unshare(sys.CLONE_NEWNET);
    await bringUp(maker, 'lo');
    return new World(
      'namespace',
      await maker.open('/proc/thread-self/ns/net', sys.O_RDONLY | sys.O_CLOEXEC),
    );
  }

  /** The inode of this world's network namespace: what tells it from all others (lsns(8), nsfs). */
  get inode(): number {
    return this.#netns < 0 ? statSync('/proc/self/ns/net').ino : fstatSync(this.#netns).ino;
  }

  /**
   * Writes a setting of this world's own network namespace; `path` is below /proc/sys. Refuses in a world of kind `host`:
   * there it would be somebody else's. Throws SyscallError.
   */
  async setSysctl(path: string, value: string): Promise<void> {
    if (this.kind === 'host') throw new Error(`${path} belongs to the host, and is left alone`);
    // Which namespace /proc/sys/net shows is decided by the thread that opens it.
    await using actor = await this.#start('sysctl');
    const fd = await actor.open(`/proc/sys/${path}`, sys.O_WRONLY | sys.O_CLOEXEC);
    try {
      await actor.write(fd, value);
    } finally {
      await actor.close(fd);
    }
  }

  /** Starts an actor in this world; it is stopped with the world at the latest. */
  async actor(name: string): Promise<sys.Actor> {
    const actor = await this.#start(name);
    this.#actors.add(actor);
    return actor;
  }

  #start(name: string): Promise<sys.Actor> {
    // The descriptor's number may be somebody else's by now.
    if (this.#closed) throw new Error('the world is closed');
    return sys.Actor.start({ name, netns: this.#netns });
  }

  /** Stops the actors, newest first, and lets the namespace go. Idempotent. */
  async close(): Promise<void> {
    const first = !this.#closed;
    this.#closed = true;
    for (const actor of [...this.#actors].reverse()) await actor.stop();
    if (this.#netns >= 0 && first) sys.close(this.#netns);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
