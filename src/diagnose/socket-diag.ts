import { SockDiag } from '../observer/sock-diag.js';
import * as sys from '../syscall/sys.js';
import { netnsOf, netnsPathOf } from './census.js';

/**
 * Opens sock_diag in the network namespace of a process, which a thread enters for one system call.
 *
 * Throws Node's own error if the process cannot be looked into, SyscallError (EPERM, setns) where CAP_SYS_ADMIN is missing.
 */
export async function openSockDiagOf(pid: number): Promise<SockDiag> {
  if (netnsOf(pid) === netnsOf('self')) return SockDiag.open();
  return new SockDiag(await openNetlinkOf(pid));
}

/** The descriptor of such a netlink socket, for who speaks to it alone; the caller closes it. */
export async function openNetlinkOf(pid: number): Promise<number> {
  if (netnsOf(pid) === netnsOf('self')) return sys.socket(...SockDiag.socket);
  const netns = sys.open(netnsPathOf(pid), sys.O_RDONLY | sys.O_CLOEXEC);
  try {
    await using actor = await sys.Actor.start({ name: 'netns', netns });
    return await actor.socket(...SockDiag.socket);
  } finally {
    sys.close(netns);
  }
}
