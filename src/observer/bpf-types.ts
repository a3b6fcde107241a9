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
  readonly state: number;
}

/** Where a packet in the kernel's hands keeps whom it is from and to, in this kernel. */
export type PacketTypes = NonNullable<ReturnType<typeof packetTypes>>;

/** Where the registers of a thread that makes a system call keep its number and arguments. */
export interface CallTypes {
  readonly args: readonly number[];
  readonly number: number;
  readonly numberSize: 4 | 8;
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
    state: btf.offsetOf('sock', '__sk_common.skc_state'),
  });
}

/** Undefined where the kernel's types do not tell. */
export function packetTypes(btf: Btf) {
  return whole({
    head: btf.offsetOf('sk_buff', 'head'),
    network: btf.offsetOf('sk_buff', 'network_header'),
    transport: btf.offsetOf('sk_buff', 'transport_header'),
    source: btf.offsetOf('tcphdr', 'source'),
    destination: btf.offsetOf('tcphdr', 'dest'),
    from: btf.offsetOf('iphdr', 'saddr'),
    to: btf.offsetOf('iphdr', 'daddr'),
    from6: btf.offsetOf('ipv6hdr', 'saddr'),
    to6: btf.offsetOf('ipv6hdr', 'daddr'),
  });
}

/** Which registers those are is each processor's convention (syscall(2)). Undefined for one that is not known here. */
export function callTypes(btf: Btf): CallTypes | undefined {
  const register = (name: string) => btf.offsetOf('pt_regs', name);
  const number = register('orig_ax');
  if (number !== undefined) {
    const args = ['di', 'si', 'dx', 'r10', 'r8', 'r9'].map(register);
    return args.every(isNumber) ? { args, number, numberSize: 8 } : undefined;
  }
  // arm64, where the first register already holds the result when a call returns.
  const [first, registers, call] = [register('orig_x0'), register('regs'), register('syscallno')];
  if (first === undefined || registers === undefined || call === undefined) return;
  const others = [1, 2, 3, 4, 5].map((i) => registers + 8 * i);
  return { args: [first, ...others], number: call, numberSize: 4 };
}

const isNumber = (value: number | undefined): value is number => value !== undefined;

/** All of the numbers, or undefined where one is. */
export function whole<T extends Record<string, number | undefined>>(
  numbers: T,
): { [K in keyof T]: number } | undefined {
  const known = Object.values(numbers).every((number) => number !== undefined);
  return known ? (numbers as { [K in keyof T]: number }) : undefined;
}
