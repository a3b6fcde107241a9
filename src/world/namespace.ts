import { fstatSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import * as sys from '../syscall/sys.js';
import { checkString, outOfRange } from '../tcp/argument.js';
import { hasIpv6 } from './interfaces.js';

const DISABLE_IPV6 = 'net/ipv6/conf/all/disable_ipv6';
const LONGEST_SETTING = 4096;
// On a loaded machine a segment may be on its way for longer than the usual least retransmission timeout of 200 ms: over a
// link, and over loopback too, when a processor is away before it has taken in what lies in its queue.
const PATIENCE = ['net/ipv4/tcp_rto_min_us', '1000000'] as const;
/** How long the kernel may take to free a namespace, or somebody else here to let one go. */
const FREED_MS = 10_000;

/**
 * A network namespace and the actors in it. It has no name in the file system: it dies with the last thread, process and
 * descriptor of it, whatever becomes of this process, so nothing is ever left to clean up.
 */
export class Namespace implements AsyncDisposable {
  readonly inode: number;
  readonly #netns: number;
  readonly #actors = new Set<sys.Actor>();
  #closed = false;
  /** Whether one was opened here before. */
  static #opened = false;

  private constructor(netns: number) {
    this.#netns = netns;
    this.inode = netns < 0 ? statSync('/proc/self/ns/net').ino : fstatSync(netns).ino;
  }

  /**
   * Makes a namespace with nothing in it but `lo`, which is down. Where there may be no more of them (ENOSPC), and this
   * process has had one, waits up to 10 s for it. Throws SyscallError, EPERM from unshare without the right.
   */
  static async open(): Promise<Namespace> {
    await using maker = await sys.Actor.start({ name: 'namespace' });
    await unshareNet(maker, Namespace.#opened ? FREED_MS : 0);
    Namespace.#opened = true;
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

  /** Does something on an actor that lives as long as that takes, and no longer than the namespace. */
  async during<T>(name: string, act: (actor: sys.Actor) => Promise<T>): Promise<T> {
    await using actor = await this.actor(name);
    try {
      return await act(actor);
    } finally {
      this.#actors.delete(actor);
    }
  }

  /** Reads a setting; `path` is below /proc/sys, in `net`. Throws SyscallError, RangeError for what is no namespace's own. */
  getSysctl(path: string): Promise<string> {
    return this.#withSetting(path, sys.O_RDONLY, async (actor, fd) => {
      const buffer = new Uint8Array(LONGEST_SETTING);
      const length = await actor.read(fd, buffer);
      return Buffer.from(buffer.subarray(0, length)).toString().trimEnd();
    });
  }

  /**
   * Writes a setting. Only those in `net` are a namespace's own; any other is refused with a RangeError, and all of them in
   * the namespace this process was started in. Throws SyscallError.
   */
  async setSysctl(path: string, value: string): Promise<void> {
    checkString('path', path);
    checkString('value', value);
    if (this.#netns < 0) throw new Error(`${path} belongs to the host, and is left alone`);
    await this.#withSetting(path, sys.O_WRONLY, (actor, fd) => actor.write(fd, value));
  }

  #withSetting<T>(
    path: string,
    flags: number,
    act: (actor: sys.Actor, fd: number) => Promise<T>,
  ): Promise<T> {
    if (!/^net(\/[^/]+)+$/.test(path) || path.split('/').includes('..')) {
      throw outOfRange(`not a setting of a network namespace: ${JSON.stringify(path)}`);
    }
    // Which namespace /proc/sys/net shows is decided by the thread that opens it.
    return this.during('sysctl', async (actor) => {
      using fds = new sys.Descriptors();
      return await act(
        actor,
        fds.own(await actor.open(`/proc/sys/${path}`, flags | sys.O_CLOEXEC)),
      );
    });
  }

  /** Lets the namespace speak IPv6, whatever it has inherited. False where the kernel does not speak it. Throws SyscallError. */
  async enableIpv6(): Promise<boolean> {
    if (!hasIpv6()) return false;
    // Read first: in a container /proc/sys may be there to read only.
    if ((await this.getSysctl(DISABLE_IPV6)) !== '0') await this.setSysctl(DISABLE_IPV6, '0');
    return true;
  }

  /**
   * Lets TCP wait longer for an acknowledgment than a loaded machine takes: what is sent again although nothing was lost may draw
   * a reset, which ends a TIME_WAIT. Where that cannot be said it waits 200 ms.
   */
  async bePatient(): Promise<void> {
    try {
      await this.setSysctl(...PATIENCE);
    } catch (error) {
      // There since Linux 6.11, and in some containers to be read only.
      if (!(error instanceof sys.SyscallError)) throw error;
    }
  }

  #start(name: string): Promise<sys.Actor> {
    // The descriptor's number may be somebody else's by now.
    if (this.#closed) throw new Error('the world is closed');
    return sys.Actor.start({ name, ...(this.#netns >= 0 && { netns: this.#netns }) });
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

/** One that was let go counts until the kernel has freed it, which it does in its own time (cleanup_net). */
async function unshareNet(maker: sys.Actor, patienceMs: number): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      return await maker.unshare(sys.CLONE_NEWNET);
    } catch (error) {
      const isFull = error instanceof sys.SyscallError && error.code === 'ENOSPC';
      if (!isFull || performance.now() >= deadline) throw error;
    }
    await delay(10);
  }
}
