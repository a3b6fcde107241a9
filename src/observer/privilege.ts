import { readFileSync, statSync } from 'node:fs';

/** linux/capability.h */
export const [CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF] = [19n, 21n, 38n, 39n] as const;

/** PROC_USER_INIT_INO, PROC_PID_INIT_INO in linux/proc_ns.h: where privileges and process numbers are the kernel's own. */
const FIRST = { user: 0xeffffffd, pid: 0xeffffffc } as const;

/** Whether this process is in the first namespace of a kind. */
export function isInFirst(kind: keyof typeof FIRST): boolean {
  // Of a kernel without CONFIG_USER_NS or CONFIG_PID_NS: no such file, and no namespace but the first.
  const namespace = statSync(`/proc/self/ns/${kind}`, { throwIfNoEntry: false });
  return namespace === undefined || namespace.ino === FIRST[kind];
}

/** Whether this process has a capability in force, in its own user namespace. */
export function hasCapability(capability: bigint): boolean {
  const status = readFileSync('/proc/self/status', 'latin1');
  const [, digits = '0'] = /^CapEff:\s*([\da-f]+)/m.exec(status) ?? [];
  return ((BigInt(`0x${digits}`) >> capability) & 1n) === 1n;
}
