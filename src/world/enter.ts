import * as sys from '../syscall/sys.js';
import { Interfaces } from './interfaces.js';

/** How a command ended that ran inside. */
export interface Inside {
  /** Resolves to the exit code, or 128 + the signal as a shell says it. */
  readonly exitCode: Promise<number>;
  /** Passes a signal on to the command; does nothing when that has ended. */
  signal(number: number): void;
}

/**
 * Starts a program as root of a user and network namespace of its own (user_namespaces(7)), on this process's terminal.
 * That is how a plain user gets a private network. Throws SyscallError where the kernel or its policy forbids it (EPERM,
 * ENOSPC, EUSERS).
 */
export async function enterNamespaces(
  path: string,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Inside> {
  const actor = await sys.Actor.start({ name: 'enter' });
  let child: sys.Spawned;
  try {
    child = await actor.spawn(path, { argv, env, newUser: true, newNet: true });
  } catch (error) {
    await actor.stop();
    throw error;
  }
  let ended = false;
  const wait = async (): Promise<number> => {
    try {
      const { code, status } = await actor.waitid(sys.P_PIDFD, child.pidfd);
      return code === sys.CLD_EXITED ? status : 128 + status;
    } finally {
      ended = true;
      sys.close(child.pidfd);
      await actor.stop();
    }
  };
  const signal = (number: number): void => {
    if (ended) return;
    try {
      sys.pidfd_send_signal(child.pidfd, number);
    } catch (error) {
      // The actor may know of the end before this thread does.
      if (!(error instanceof sys.SyscallError && error.code === 'ESRCH')) throw error;
    }
  };
  return { exitCode: wait(), signal };
}

/** Sets up the loopback of the namespace that this process was put into: nothing is up in it. Throws SyscallError. */
export async function setUpLoopback(): Promise<void> {
  await using actor = await sys.Actor.start({ name: 'enter' });
  using interfaces = await Interfaces.open(actor);
  await interfaces.setUp('lo');
}
