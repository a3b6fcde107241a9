import type * as sys from '../syscall/sys.js';
import type { Privilege } from './privilege.js';

/** The addresses of a host, by IP version. */
export interface Addresses {
  readonly 4: string;
  /** Undefined where the kernel has no IPv6. */
  readonly 6: string | undefined;
}

/** A machine as far as TCP can tell: addresses, settings, and threads and programs that live there. */
export interface Host {
  /** The inode of its network namespace: what tells it from all others (lsns(8), nsfs). */
  readonly inode: number;
  /** Nobody else's on this machine while the host lives, so that an address names its world. */
  readonly addresses: Addresses;
  /** Starts an actor there. Programs that it spawns live there too. It is stopped with the host at the latest. */
  actor(name: string): Promise<sys.Actor>;
  /** Writes a setting of the host's own network; `path` is below /proc/sys, in `net`. Throws SyscallError. */
  setSysctl(path: string, value: string): Promise<void>;
}

/** Where an experiment happens: the hosts that play its two ends. One host may play both. */
export interface Place extends AsyncDisposable {
  readonly privilege: Privilege;
  readonly client: Host;
  readonly server: Host;
}
