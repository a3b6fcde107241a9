import { existsSync, readlinkSync, statfsSync } from 'node:fs';
import { constants } from 'node:os';
import { enterNamespaces, setUpLoopback } from '../world/enter.js';
import { LoopbackDownError, privilege, World } from '../world/world.js';
import { CannotRun, type Io } from './command.js';
import { messageOf } from './remedy.js';

/** In the environment of the command where it was started again: the network namespace it is in is its own. */
const INSIDE = 'CLOSEWAIT_INSIDE';

/**
 * As a plain user, runs this very command again as root of a namespace of its own; undefined if there is no need to, or if
 * the kernel forbids it.
 */
export async function again({ chatter }: Io): Promise<number | undefined> {
  if (privilege() !== 'plain') return undefined;
  try {
    const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    const env = { ...process.env, [INSIDE]: '1' };
    const inside = await enterNamespaces(process.execPath, argv, env);
    // A terminal sends Ctrl-C to both, others send their signal only to us: the one inside may hear it twice.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => inside.signal(constants.signals[name]));
    }
    return await inside.exitCode;
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    chatter(
      `no namespace for a plain user here (${messageOf(error)}); on the host's loopback instead`,
    );
    return undefined;
  }
}

/** A namespace where this process may make one, else the network it is in. */
export async function bestWorld({ chatter }: Io): Promise<'namespace' | 'host'> {
  if (privilege() === 'plain') return 'host';
  try {
    await (await World.open('namespace')).close();
    return 'namespace';
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    const why = `no network namespace here (${messageOf(error)})`;
    if (process.env[INSIDE] !== undefined && privilege() === 'user-namespace') {
      await setUpLoopback();
      chatter(`${why}; on the loopback of the one made for this command instead`);
    } else {
      await needLoopback(why);
      chatter(`${why}; on the host's loopback instead`);
    }
    return 'host';
  }
}

/** Refuses a network where nothing can be instead. */
async function needLoopback(why: string): Promise<void> {
  try {
    await (await World.open('host')).close();
  } catch (error) {
    if (!(error instanceof LoopbackDownError)) throw error;
    throw new CannotRun(`${why}, and ${error.message}`);
  }
}

/** statfs(2): PROC_SUPER_MAGIC of linux/magic.h. */
const PROC_FILE_SYSTEM = 0x9fa0;

/** Refuses a place without a /proc in which this process is. */
export function needProc(): void {
  if (existsSync('/proc/self')) return;
  throw new CannotRun(
    isProcMounted() ? FOREIGN : '/proc is not mounted: `mount -t proc proc /proc`',
  );
}

/** Refuses also a /proc in which this process has another number: nothing read there would be about it. */
export function needOwnProc(): void {
  needProc();
  if (readlinkSync('/proc/self') !== String(process.pid)) throw new CannotRun(FOREIGN);
}

const FOREIGN = '/proc is of another pid namespace: mount it anew (unshare --mount-proc)';

const isProcMounted = (): boolean =>
  existsSync('/proc') && statfsSync('/proc').type === PROC_FILE_SYSTEM;
