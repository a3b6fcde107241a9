import { readFileSync } from 'node:fs';

/** The paths where network namespaces are mounted, as `ip netns add` does: one may be there that no process is in. */
export function mountedNamespaces(): string[] {
  return mountsIn(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** The same of a text in the form of proc_pid_mountinfo(5): the fourth field is the root, the fifth the place. */
export function mountsIn(mountinfo: string): string[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [, , , root = '', place = ''] = line.split(' ');
    return /^net:\[\d+\]$/.test(root) ? place.replace(/\\([0-7]{3})/g, octal) : [];
  });
}

/** A space, tab, newline or backslash is written by its number. */
function octal(_all: string, digits: string): string {
  return String.fromCharCode(Number.parseInt(digits, 8));
}
