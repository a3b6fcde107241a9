import { readdirSync, readFileSync, statSync } from 'node:fs';
import { livingThreadOf, unlessGone } from '../observer/proc.js';

/** How many descriptors a process has, and how many it may have. */
export interface DescriptorUse {
  readonly open: number;
  /** The soft RLIMIT_NOFILE: open(2), accept(2) and socket(2) give EMFILE from there on. */
  readonly max: number;
}

/** Reads it; undefined once the process is gone. Throws Node's own error where it may not be read. */
export function descriptorUseOf(pid: number): DescriptorUse | undefined {
  return unlessGone(() => {
    const directory = `/proc/${pid}/task/${livingThreadOf(pid)}/fd`;
    // The directory's size is the number of descriptors since Linux 6.2, and 0 before that.
    const { size } = statSync(directory);
    const open = size > 0 ? size : readdirSync(directory).length;
    return { open, max: maxFrom(readFileSync(`/proc/${pid}/limits`, 'utf8')) };
  });
}

/** The soft limit in a text of /proc/PID/limits; Infinity where there is none. */
export function maxFrom(limits: string): number {
  const text = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  if (text === 'unlimited') return Number.POSITIVE_INFINITY;
  if (text === undefined || !/^\d+$/.test(text)) {
    throw new Error(`no "Max open files" in limits: ${limits.slice(0, 100)}`);
  }
  return Number(text);
}
