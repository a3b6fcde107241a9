import { holdersOf } from '../observer/process.js';
import { snapshot } from '../observer/sock-diag.js';
import { formatJson } from '../report/json.js';
import { formatNetstat } from '../report/netstat.js';
import { stateNumber, type TcpStateName } from '../tcp/states.js';
import { AS_EXPECTED, type Io, Usage } from './command.js';

/** `closewait states` */
export function states(flags: { json?: true; state?: string[] }, { out, chatter }: Io): number {
  const wanted = flags.state?.map((name) => {
    if (stateNumber(name) !== undefined) return name as TcpStateName;
    throw new Usage(`no state "${name}"; spelled as in netstat`);
  });
  const table = snapshot(wanted === undefined ? {} : { states: wanted });
  // Listeners of both families come before the rest; netstat has all of tcp before tcp6 (AF_INET is the lesser number).
  const rows = [...table].sort((one, other) => one.family - other.family);
  const held = rows.map(({ inode }) => inode).filter((inode) => inode !== 0);
  const { holders, incomplete } = holdersOf(held);
  const owned = rows.map((row) => ({ ...row, holders: holders.get(row.inode) ?? [] }));
  for (const reason of table.incomplete) chatter(`sockets may be missing: ${reason}`);
  for (const reason of incomplete) chatter(`owners may be missing: ${reason}`);
  if (flags.json) {
    out(formatJson(owned));
    return AS_EXPECTED;
  }
  const lines = owned.map(({ holders: [owner], ...row }) => ({ ...row, ...(owner && { owner }) }));
  out(formatNetstat(lines));
  return AS_EXPECTED;
}
