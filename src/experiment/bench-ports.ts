import { readFileSync } from 'node:fs';

/** What bounds how many connections can stay in TIME_WAIT. */
export interface PortBudget {
  /** Client ports: each connection to one listener takes one until its TIME_WAIT is over. */
  readonly ports: number;
  /** tcp_max_tw_buckets: with more than that the kernel leaves TIME_WAIT out. */
  readonly stubs: number;
}

/** Cycles that nobody counts: those that a driver lives first, and those that the observers watch. */
export const WARM_UP = 1000;
export const OBSERVED = 200;
/** The most counted cycles that one driver lives before it gets a new listener, and a new world. */
const PER_SESSION = 8000;
/** The nearer a range is to its end, the longer the kernel searches in it. */
const USABLE = 0.8;

/** The budget of the network this is run in. */
export function readPortBudget(): PortBudget {
  const read = (name: string) => readFileSync(`/proc/sys/net/ipv4/${name}`, 'latin1').trim();
  const [low = 0, high = 0] = read('ip_local_port_range').split(/\s+/).map(Number);
  // Of the host's network, where there may be no such file in a namespace.
  return { ports: high - low + 1, stubs: Number(read('tcp_max_tw_buckets')) };
}

/** How many cycles a driver may live in one session and be counted; less than 1 where the others take all ports. */
export function sessionCycles({ ports }: PortBudget): number {
  return Math.min(PER_SESSION, Math.floor(ports * USABLE) - WARM_UP - OBSERVED);
}

/**
 * Why so many connections in TIME_WAIT cannot be had, and what to do; undefined if they can. A world of its own is renewed
 * before its ports run out; the host's network cannot be.
 */
export function whyNotPorts(budget: PortBudget, stubs: number): string | undefined {
  if (sessionCycles(budget) < 1) {
    const least = Math.ceil((WARM_UP + OBSERVED + 1) / USABLE);
    return `there are ${budget.ports} client ports, and it takes ${least}: widen net.ipv4.ip_local_port_range`;
  }
  const most = Math.floor(budget.stubs * USABLE);
  if (stubs <= most) return undefined;
  return (
    `${stubs} connections would stay in TIME_WAIT for 60 s, and the kernel keeps ${budget.stubs} ` +
    '(net.ipv4.tcp_max_tw_buckets): ask for fewer cycles (-n) or modes (--mode), or run it where it may make a network ' +
    'namespace, as root or in a user namespace'
  );
}
