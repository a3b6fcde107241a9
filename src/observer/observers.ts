import { BpfIterator } from './bpf-iterator.js';
import { Capture } from './capture.js';
import { DestroyObserver } from './destroy.js';
import type { Availability } from './observer.js';
import { Polling } from './polling.js';
import { CAP_SYS_PTRACE, hasCapability, isInFirst } from './privilege.js';
import { TracepointObserver } from './tracepoint.js';

const tcpInfo: Availability = {
  name: 'TCP_INFO',
  available: true,
  sees: 'the state and counters of one socket',
  blindTo: 'TIME_WAIT, which reads CLOSE; request sockets; everything between two calls',
  costs: 'one system call, about 0.5 us',
  needs: 'a descriptor',
  clock: 'the moment of the call',
};

const sockDiag: Availability = {
  name: 'sock_diag',
  available: true,
  sees: 'every TCP socket of a network namespace: state, queues, timer, inode, uid, cookie',
  blindTo: 'sockets in CLOSE, which are in no table; everything between two requests',
  costs: '0.1 ms for few sockets, 1 us for each of many; about 5 us for one by its addresses',
  needs: 'nothing',
  clock: 'the moment of the call; a list of many is not one moment',
};

/** Whose processes cannot be read; undefined where all can. */
function whoElse(): string | undefined {
  if (!hasCapability(CAP_SYS_PTRACE)) {
    return "only processes of one's own user: others need CAP_SYS_PTRACE";
  }
  return isInFirst('user') ? undefined : 'only processes of this user namespace';
}

function holders(): Availability {
  const reason = whoElse();
  return {
    name: 'process',
    available: true,
    ...(reason !== undefined && { reason }),
    sees: 'which processes hold a socket, what their threads wait in and their event loops watch',
    blindTo: 'sockets no descriptor table names; processes of other pid namespaces',
    costs: 'a readlink for each descriptor of each process, about 2 us',
    needs: "nothing for processes of one's own user; CAP_SYS_PTRACE for others",
    clock: 'none: each line is as old as the moment it was read',
  };
}

/** Every observer, and whether it can run in this process and its network namespace. */
export function observers(): Availability[] {
  return [
    tcpInfo,
    sockDiag,
    BpfIterator.availability(),
    Polling.availability(),
    DestroyObserver.availability(),
    Capture.availability(),
    TracepointObserver.availability(),
    holders(),
  ];
}
