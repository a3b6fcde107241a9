import { statSync } from 'node:fs';
import { codeOf, isGone } from '../observer/proc.js';
import type { SocketDescriptor } from '../observer/process.js';
import { type Census, netnsOf } from './census.js';
import { findGhosts, openNetnsOf } from './ghost.js';
import { Listeners } from './listeners.js';
import { Namespace, type Suspect } from './namespace.js';

/** The descriptors of one process whose sockets were ghosts when first looked at. */
interface Haunted {
  readonly pid: number;
  /** The thread that has them. */
  readonly tid: number;
  readonly netns: number;
  readonly descriptors: readonly SocketDescriptor[];
}

/** To ask for one socket takes as long as that many of a dump. */
const DEARER = 4;

/** A socket in a namespace that is not looked at. */
interface Hidden {
  readonly pid: number;
  readonly tid: number;
  readonly socket: SocketDescriptor;
}

/** What looks at the suspects of one or more network namespaces, as often as asked. */
export class Eyes implements Disposable {
  readonly #namespaces = new Map<number, Namespace>();
  /** The inode numbers of the sockets that sock_diag has listed: they are no ghosts. */
  readonly #listed: Uint32Array[] = [];
  /** How many suspects the last dump of a namespace has shown. */
  readonly #shown = new Map<Namespace, number>();
  readonly #incomplete = new Set<string>();
  readonly #haunted: Haunted[] = [];
  /** A socket of each namespace that is not looked at, by the namespace's inode number. */
  readonly #hidden = new Map<number, Hidden>();
  readonly #strayed = new Set<string>();

  /** Why something may be missing from what was seen so far. */
  get incomplete(): string[] {
    return [...this.#incomplete, ...this.#strayed];
  }

  /** Inode numbers of the namespaces looked at. */
  get namespaces(): number[] {
    return [...this.#namespaces.keys()];
  }

  /** How many sockets sock_diag has listed so far, in all looks. */
  get listed(): number {
    return this.#listed.reduce((sum, { length }) => sum + length, 0);
  }

  /** Looks at the caller's own namespace from now on. */
  openOwn(): void {
    const own = Namespace.own();
    this.#namespaces.set(own.inode, own);
  }

  /**
   * Looks at the namespace that a path leads to from now on. Throws Node's own error or SyscallError, where the path is gone
   * or a privilege is missing.
   */
  async openAt(path: string): Promise<void> {
    const inode = statSync(path).ino;
    if (this.#namespaces.has(inode)) return;
    this.#add(inode === netnsOf('self') ? Namespace.own() : await Namespace.at(path));
  }

  /**
   * Looks from now on also at the namespaces at these paths, by inode number, and at those of sockets that seekGhosts() has met
   * outside of what is looked at. Returns whether there is one more.
   */
  async openHidden(namespaces: ReadonlyMap<number, string>): Promise<boolean> {
    const before = this.#namespaces.size;
    for (const [inode, path] of namespaces) {
      if (this.#namespaces.has(inode)) continue;
      await this.#attempt(inode, () => this.openAt(path));
    }
    for (const [inode, { pid, tid, socket }] of this.#hidden) {
      if (this.#namespaces.has(inode)) continue;
      await this.#attempt(inode, async () => {
        const netns = openNetnsOf(pid, tid, socket);
        if (netns !== undefined) this.#add(await Namespace.of(netns));
      });
    }
    this.#hidden.clear();
    return this.#namespaces.size > before;
  }

  async #attempt(inode: number, open: () => Promise<void>): Promise<void> {
    try {
      await open();
    } catch (error) {
      const code = codeOf(error);
      if (code === '' || !(error instanceof Error)) throw error;
      // The process, or its descriptor, went meanwhile.
      if (isGone(code) || code === 'EBADF') return;
      this.#incomplete.add(`the network namespace ${inode}: ${error.message}`);
    }
  }

  #add(namespace: Namespace): void {
    // A thread may have moved on between the look at its namespace and the opening of it.
    if (this.#namespaces.has(namespace.inode)) namespace[Symbol.dispose]();
    else this.#namespaces.set(namespace.inode, namespace);
  }

  /** Lists the listeners. */
  list(): Listeners {
    const all = [...this.#namespaces.values()].flatMap((namespace) => {
      const { inodes, listeners, incomplete } = namespace.list();
      this.#listed.push(inodes);
      for (const reason of incomplete) this.#incomplete.add(`sockets may be missing: ${reason}`);
      return listeners;
    });
    return new Listeners(all);
  }

  /**
   * Looks for ghosts among the descriptors of the processes in these namespaces, only in `pids` if given: those whose
   * sockets neither list() nor look() has seen. They are part of every look from now on. With them comes what is no ghost
   * and was passed over.
   */
  seekGhosts(census: Census, pids?: ReadonlySet<number>): Suspect[] {
    const ghosts: Suspect[] = [];
    this.#haunted.length = 0;
    this.#strayed.clear();
    const asked = new Set<number>();
    for (const [pid, sockets] of census.unlisted(this.#listed)) {
      if (pids !== undefined && !pids.has(pid)) continue;
      const unasked = sockets.filter(({ inode }) => !asked.has(inode));
      if (unasked.length === 0) continue;
      const netns = netnsIfThere(pid);
      if (netns === undefined || !this.#namespaces.has(netns)) continue;
      const tid = census.threadOf(pid);
      const { suspects, strays, incomplete } = findGhosts({ pid, tid, netns }, unasked);
      let [elsewhere, unknown] = [0, 0];
      for (const { fd, inode, netns: home, tuple } of strays) {
        const namespace = this.#namespaces.get(home ?? netns);
        if (home !== undefined && namespace === undefined) {
          this.#hidden.set(home, { pid, tid, socket: { fd, inode } });
          if (tuple !== undefined) elsewhere++;
        }
        const suspect = tuple && namespace?.find(tuple, inode);
        if (suspect !== undefined) ghosts.push(suspect);
        else if (tuple !== undefined && home === undefined) unknown++;
      }
      const of = `sockets of pid ${pid}`;
      if (elsewhere > 0) {
        this.#strayed.add(`${elsewhere} ${of} are in a network namespace that was not looked at`);
      }
      if (unknown > 0) {
        this.#strayed.add(
          `${unknown} ${of} were closed meanwhile, or are in a network namespace that was not looked at`,
        );
      }
      for (const reason of incomplete) this.#incomplete.add(reason);
      const found = new Set(suspects.map(({ inode }) => inode));
      const descriptors = unasked.filter(({ inode }) => found.has(inode));
      if (descriptors.length > 0) this.#haunted.push({ pid, tid, netns, descriptors });
      for (const { inode } of unasked) asked.add(inode);
      ghosts.push(...suspects);
    }
    return ghosts;
  }

  /** The suspects of this moment; at least those named, as far as they are still there, if any are. */
  look(named?: readonly Suspect[]): Suspect[] {
    let all: Suspect[] = [];
    for (const namespace of this.#namespaces.values()) {
      // Ghosts are in no dump.
      const there = named?.filter((s) => s.netns === namespace.inode && s.state !== 'CLOSE');
      const shown = this.#shown.get(namespace) ?? 0;
      if (there !== undefined && (there.length === 0 || there.length * DEARER < shown)) {
        for (const suspect of there) {
          const now = namespace.lookAt(suspect);
          if (now !== undefined) all.push(now);
        }
        continue;
      }
      const { suspects, inodes, incomplete } = namespace.look();
      this.#listed.push(inodes);
      this.#shown.set(namespace, inodes.length);
      all = all.concat(suspects);
      for (const reason of incomplete) this.#incomplete.add(`sockets may be missing: ${reason}`);
    }
    for (const { descriptors, ...where } of this.#haunted) {
      all.push(...findGhosts(where, descriptors).suspects);
    }
    return all;
  }

  [Symbol.dispose](): void {
    for (const namespace of this.#namespaces.values()) namespace[Symbol.dispose]();
    this.#namespaces.clear();
  }
}

function netnsIfThere(pid: number): number | undefined {
  try {
    return netnsOf(pid);
  } catch (error) {
    const code = codeOf(error);
    if (isGone(code) || code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
}
