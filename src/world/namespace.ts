import { existsSync, fstatSync, statSync } from 'node:fs';
import * as sys from '../syscall/sys.js';

/**
 * A network namespace and the actors in it. It has no name in the file system: it dies with the last thread, process and
 * descriptor of it, whatever becomes of this process, so nothing is ever left to clean up.
 */
export class Namespace implements AsyncDisposable {
  readonly inode: number;
  readonly #netns: number;
  readonly #actors = new Set<sys.Actor>();
  #closed = false;

  private constructor(netns: number) {
    this.#netns = netns;
    this.inode = netns < 0 ? statSync('/proc/self/ns/net').ino : fstatSync(netns).ino;
  }

  /** Makes a namespace with nothing in it but `lo`, which is down. Throws SyscallError, EPERM from unshare without the right. */
  static async open(): Promise<Namespace> {
    await using maker = await sys.Actor.start({ name: 'namespace' });
    await maker.unshare(sys.CLONE_NEWNET);
    return new Namespace(
      await maker.open('/proc/thread-self/ns/net', sys.O_RDONLY | sys.O_CLOEXEC),
    );
  }

  /** The namespace this process was started in; it is not ours, and is left as it is. */
  static current(): Namespace {
    return new Namespace(-1);
  }

  /** A descriptor of the namespace, as setns(2) and rtnetlink take it; it stays this object's. */
  get netns(): number {
    if (this.#netns < 0) throw new Error('the namespace of this process is not ours to give away');
    return this.#netns;
  }

  /** Starts an actor inside; it is stopped with the namespace at the latest. */
  async actor(name: string): Promise<sys.Actor> {
    const actor = await this.#start(name);
    this.#actors.add(actor);
    return actor;
  }

  /** Does something on an actor that lives as long as that takes. */
  async during<T>(name: string, act: (actor: sys.Actor) => Promise<T>): Promise<T> {
    await using actor = await this.#start(name);
    return await act(actor);
  }

  /**
   * Writes a setting. Only those in `net` are a namespace's own; any other is refused with a RangeError, and all of them in
   * the namespace this process was started in. Throws SyscallError.
   */
  async setSysctl(path: string, value: string): Promise<void> {
    if (this.#netns < 0) throw new Error(`${path} belongs to the host, and is left alone`);
    if (!/^net(\/[^/]+)+$/.test(path) || path.split('/').includes('..')) {
      throw new RangeError(`not a setting of a network namespace: ${JSON.stringify(path)}`);
    }
    // Which namespace /proc/sys/net shows is decided by the thread that opens it.
    await this.during('sysctl', async (actor) => {
      using fds = new sys.Descriptors();
      const fd = fds.own(await actor.open(`/proc/sys/${path}`, sys.O_WRONLY | sys.O_CLOEXEC));
      await actor.write(fd, value);
    });
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

/** Whether this kernel speaks IPv6 (`ipv6.disable=1` and kernels built without it do not). */
export const hasIpv6 = (): boolean => existsSync('/proc/net/if_inet6');
