import { readFileSync } from 'node:fs';

/** How much this process may do: see ARCHITECTURE.md, privileges. */
export type Privilege = 'root' | 'user-namespace' | 'plain';

/** Tells the privilege of this process: root of the machine, root of a user namespace, or neither. */
export function privilege(): Privilege {
  if (process.geteuid?.() !== 0) return 'plain';
  // The first user namespace maps every user to itself (user_namespaces(7)).
  const [inside, outside, count] = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
  return inside === '0' && outside === '0' && count === '4294967295' ? 'root' : 'user-namespace';
}
