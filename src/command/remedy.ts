import { CAP_SYS_ADMIN, hasCapability } from '../observer/privilege.js';

const memory = 'the kernel has no memory to spare for it: free some, or try again';
const namespaces = 'see sysctl user.max_net_namespaces and user.max_user_namespaces';

/** What a call takes that came with a version of Linux. */
const since = (version: string, what: string): string =>
  `${what} takes Linux ${version}, or a seccomp profile that knows the call`;

const programs = since('5.11', 'starting programs');

/** Whoever may make a namespace, and is refused, is refused by something else than the kernel's own rule. */
const unshare = (): string =>
  hasCapability(CAP_SYS_ADMIN)
    ? 'this process has CAP_SYS_ADMIN: a seccomp filter or a security module forbids it'
    : 'that takes CAP_SYS_ADMIN: in a container --cap-add SYS_ADMIN';

type Remedy = string | (() => string);

/** What to do about an errno that speaks of the machine and not of what was asked; where it depends on the call, by that. */
const remedies: Readonly<Record<string, Remedy | Readonly<Record<string, Remedy>>>> = {
  EMFILE: 'this process may have no more descriptors: raise `ulimit -n`',
  ENFILE: 'all processes together may have no more: raise sysctl fs.file-max',
  ENOBUFS: memory,
  ENOMEM: memory,
  ENOSPC: { unshare: namespaces, clone: namespaces },
  ENOSYS: {
    close_range: programs,
    pidfd_getfd: since('5.6', "copying another process's descriptor"),
    pidfd_open: since('5.3', 'keeping hold of a process'),
    pidfd_send_signal: since('5.1', 'signalling a program'),
  },
  EBUSY: { sigaction: 'another addon of this process has taken every real-time signal' },
  EINVAL: { close_range: programs },
  EUSERS: { unshare: namespaces, clone: namespaces },
  EPERM: {
    unshare,
    clone:
      'root may, or see sysctl kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns',
  },
};

/** The message of an error, and what to do about it, where there is something. */
export function messageOf(error: Error): string {
  const { code = '', syscall = '', message } = error as NodeJS.ErrnoException;
  const known = remedies[code];
  const remedy = typeof known === 'object' ? known[syscall] : known;
  if (remedy === undefined) return message;
  return `${message}; ${typeof remedy === 'function' ? remedy() : remedy}`;
}
