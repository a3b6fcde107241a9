// Files of tracefs, without mounting it anywhere.

import { define, nothing } from './call.js';
import { O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY } from './constants.js';
import { close, Descriptors, encodePath, open } from './descriptor.js';
import { openat, readFileAt } from './directory.js';
import { SyscallError } from './error.js';

/** linux/mount.h */
export const FSOPEN_CLOEXEC = 1;
export const FSCONFIG_CMD_CREATE = 6;
export const FSMOUNT_CLOEXEC = 1;

const MOUNTED = '/sys/kernel/tracing';

const fsopen = define<[fsname: string, flags: number], number>({
  name: 'fsopen',
  enter: (invoke, _room, fsname, flags) => invoke(encodePath(fsname), flags),
  site: (fsname) => ({ path: fsname }),
});

const fsconfig = define<[fd: number, cmd: number], void>({ name: 'fsconfig', leave: nothing });

const fsmount = define<[fd: number, flags: number, attrFlags: number], number>({ name: 'fsmount' });

/**
 * The files of tracefs, read only. Where the machine has tracefs mounted at /sys/kernel/tracing, those; elsewhere a mount
 * of its own that is attached to no path, is seen by nobody and goes when this is disposed (fsopen(2), fsmount(2)).
 */
export class Tracefs implements Disposable {
  readonly #root: number;
  #open = true;

  private constructor(root: number) {
    this.#root = root;
  }

  /** Throws SyscallError: EPERM from fsopen without CAP_SYS_ADMIN, ENODEV where the kernel has no tracefs. */
  static open(): Tracefs {
    using fds = new Descriptors();
    const mounted = fds.own(open(MOUNTED, O_PATH | O_DIRECTORY | O_CLOEXEC));
    try {
      close(openat(mounted, 'events', O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      return new Tracefs(fds.release(mounted));
    } catch (error) {
      // ENOENT: an empty directory, waiting for a mount. EACCES: the files are root's.
      if (!(error instanceof SyscallError)) throw error;
    }
    const context = fds.own(fsopen('tracefs', FSOPEN_CLOEXEC));
    fsconfig(context, FSCONFIG_CMD_CREATE);
    return new Tracefs(fsmount(context, FSMOUNT_CLOEXEC, 0));
  }

  /** The text of a file, such as `events/sock/inet_sock_set_state/format`. Throws SyscallError. */
  read(path: string): string {
    return new TextDecoder().decode(readFileAt(this.#root, path));
  }

  /** Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    close(this.#root);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
