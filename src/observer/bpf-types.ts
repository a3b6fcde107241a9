import { readFileSync } from 'node:fs';
import { Btf } from '../tcp/btf.js';

const VMLINUX = '/sys/kernel/btf/vmlinux';

/** The running kernel's types; undefined where it does not tell them (CONFIG_DEBUG_INFO_BTF). */
export function readBtf(): Btf | undefined {
  try {
    return Btf.parse(readFileSync(VMLINUX));
  } catch {
    return;
  }
}

/** Where a socket's, a packet's and a device's way to the inode of its network namespace lies, in this kernel. */
export interface NetnsPath {
  readonly sockNet: number;
  readonly packetDevice: number;
  readonly deviceNet: number;
  readonly netInode: number;
}

/** Where a TCP socket keeps its two ends, in this kernel. */
export interface EndTypes {
  readonly family: number;
  readonly dport: number;
  readonly daddr: number;
  readonly daddr6: number;
  readonly saddr6: number;
  readonly sport: number;
  readonly saddr: number;
}

/** Undefined where the kernel's types do not tell. */
export function netnsPath(btf: Btf): NetnsPath | undefined {
  return whole({
    sockNet: btf.offsetOf('sock', '__sk_common.skc_net.net'),
    packetDevice: btf.offsetOf('sk_buff', 'dev'),
    deviceNet: btf.offsetOf('net_device', 'nd_net.net'),
    netInode: btf.offsetOf('net', 'ns.inum'),
  });
}

/** Undefined where the kernel's types do not tell, as without IPv6. */
export function endTypes(btf: Btf): EndTypes | undefined {
  return whole({
    family: btf.offsetOf('sock', '__sk_common.skc_family'),
    dport: btf.offsetOf('sock', '__sk_common.skc_dport'),
    daddr: btf.offsetOf('sock', '__sk_common.skc_daddr'),
    daddr6: btf.offsetOf('sock', '__sk_common.skc_v6_daddr'),
    saddr6: btf.offsetOf('sock', '__sk_common.skc_v6_rcv_saddr'),
    sport: btf.offsetOf('tcp_sock', 'inet_conn.icsk_inet.inet_sport'),
    saddr: btf.offsetOf('tcp_sock', 'inet_conn.icsk_inet.inet_saddr'),
  });
}

/** All of the numbers, or undefined where one is. */
export function whole<T extends Record<string, number | undefined>>(
  numbers: T,
): { [K in keyof T]: number } | undefined {
  const known = Object.values(numbers).every((number) => number !== undefined);
  return known ? (numbers as { [K in keyof T]: number }) : undefined;
}
