/** What this process may do, found by trying it. */
import { spawnSync } from 'node:child_process';

function why(need: string, file: string, ...args: string[]): string | undefined {
  const { status, error, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (error !== undefined) return `${file} is not installed`;
  return status === 0 ? undefined : `${need}: ${stderr.trim()}`;
}

/** Why no network namespace can be made here; undefined where one can. */
export const noNamespace = why('needs root', 'unshare', '--net', 'true');

/** Why nothing can be mounted or unmounted here for a process of one's own; undefined where it can. */
export const noMountNamespace = why('needs root', 'unshare', '--mount', 'true');

/** Why no clocks can be set for programs of one's own (Linux 5.6); undefined where they can. */
export const noTimeNamespace = why(
  'needs root',
  ...(['unshare', '--time', '--monotonic', '1', '--fork', 'true'] as const),
);

/** Why no plain user can enter namespaces of its own here; undefined where one can. */
export const noUserNamespace = why('needs user namespaces', 'unshare', '-Urn', 'true');

/** Why the command finds no namespace to run in, be it by its own means; undefined where it does. */
export const noWorld = noNamespace && noUserNamespace;

/** Why this process cannot run something as another user, or without a capability; undefined where it can. */
export const noOtherUser = why(
  'needs root',
  ...(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', 'true'] as const),
);

/** Why a tool is not there; undefined where it is. */
export const noTool = (name: string): string | undefined => why(name, name, '--version');
