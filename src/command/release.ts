import { createInterface } from 'node:readline/promises';
import {
  CannotRelease,
  destroyConnection,
  findConnection,
  findTarget,
  holdersOf,
  type Released,
  type ReleaseTarget,
  releaseTarget,
} from '../diagnose/release.js';
import { formatJson } from '../report/json.js';
import { formatPlan, formatReleased, type ReleaseAction } from '../report/release.js';
import { type Endpoint, parseScopedAddress } from '../tcp/address.js';
import type { SocketRow } from '../tcp/socket-table.js';
import { AS_EXPECTED, CannotRun, EXPECTATION_FAILED, type Io, Usage } from './command.js';
import { needProc } from './place.js';

/** The words of its command line. */
export interface ReleaseFlags {
  readonly pid?: string;
  readonly fd?: string;
  readonly how?: string;
  readonly destroy?: readonly string[];
  readonly yes?: true;
  readonly json?: true;
}

/** How long the peer may take to acknowledge. */
const DEADLINE_MS = 5000;

/** `closewait release` */
export async function release(flags: ReleaseFlags, io: Io): Promise<number> {
  const { pid, fd, how, destroy } = flags;
  try {
    if (destroy !== undefined) {
      if (fd !== undefined || how !== undefined) {
        throw new Usage('a descriptor (--fd, --how) or an address (--destroy): not both');
      }
      return await releaseByAddress(
        destroy,
        pid === undefined ? undefined : number('pid', pid),
        flags,
        io,
      );
    }
    if (pid === undefined || fd === undefined || how === undefined) {
      throw new Usage('say which: --pid, --fd and --how, or --destroy LOCAL REMOTE');
    }
    if (how !== 'shutdown' && how !== 'reset') throw new Usage(`--how shutdown or reset: ${how}`);
    needProc();
    const target = findTarget(number('pid', pid), number('fd', fd));
    if (!(await isWanted(how, target, flags, io))) return EXPECTATION_FAILED;
    return told(how, target, await releaseTarget(target, how, DEADLINE_MS), flags, io);
  } catch (error) {
    if (error instanceof CannotRelease) throw new CannotRun(error.message);
    throw error;
  }
}

async function releaseByAddress(
  [here = '', there = '', ...more]: readonly string[],
  pid: number | undefined,
  flags: ReleaseFlags,
  io: Io,
): Promise<number> {
  if (there === '' || more.length > 0) throw new Usage('--destroy takes two: LOCAL REMOTE');
  needProc();
  const row = await findConnection({ local: endpointOf(here), remote: endpointOf(there) }, pid);
  const { inode, state } = row;
  const [local, remote] = [onItsLink(row, 'local'), onItsLink(row, 'remote')];
  const holders = holdersOf(inode);
  if (pid !== undefined && !holders.some((each) => each.pid === pid)) {
    throw new CannotRelease(`pid ${pid} does not hold it`);
  }
  const target = { inode, state, local, remote, holders };
  if (!(await isWanted('destroy', target, flags, io))) return EXPECTATION_FAILED;
  return told('destroy', target, await destroyConnection(row, DEADLINE_MS, pid), flags, io);
}

/** An end as getsockname() tells it: a link-local address says nothing without its link, and sock_diag has that beside it. */
function onItsLink(row: SocketRow, end: 'local' | 'remote'): Endpoint {
  const { address, port } = row[end];
  if (row.interface === 0 || !/^fe[89ab]/.test(address)) return row[end];
  return { address: `${address}%${row.interface}`, port };
}

type Target = Omit<ReleaseTarget, 'pid' | 'fd'>;

/** Says what is to be done, and asks, unless it was told not to. */
async function isWanted(
  action: ReleaseAction,
  target: Target,
  { yes }: ReleaseFlags,
  { chatter }: Io,
): Promise<boolean> {
  chatter(formatPlan(action, target));
  if (yes) return true;
  if (!process.stdin.isTTY) throw new Usage('nobody can be asked here: --yes does it unasked');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question('Do it? [y/N] ');
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}

function told(
  action: ReleaseAction,
  target: Target,
  result: Released,
  { json }: ReleaseFlags,
  { out }: Io,
): number {
  out(json ? formatJson({ action, target, result }) : formatReleased(result));
  return result.helped ? AS_EXPECTED : EXPECTATION_FAILED;
}

function number(what: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value >= 2 ** 31 || (what === 'pid' && value === 0)) {
    throw new Usage(`not a ${what}: ${text}`);
  }
  return value;
}

/** `127.0.0.1:80`, `[::1]:80`, `[fe80::1%2]:80` */
function endpointOf(text: string): Endpoint {
  const [, v6, v4, port = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = v6 ?? v4 ?? '';
  if (parseScopedAddress(address) === undefined || Number(port) > 65535) {
    throw new Usage(
      `not an address and port, such as 127.0.0.1:80, [::1]:80 or [fe80::1%2]:80: ${text}`,
    );
  }
  return { address, port: Number(port) };
}
