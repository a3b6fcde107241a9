/** A place that lacks what it takes: no loopback. What a user is told, in a line. */
import { CLI, finished } from '../cli/closewait.js';
import { noNamespace, testUnless } from '../world/ability.js';

const here = (command: readonly string[]): string[] => [process.execPath, CLI, ...command];

for (const command of [
  ['run', 'close-wait', '--host-network'],
  ['run', 'normal', 'server-first', '--host-network', '--jobs', '1', '--json'],
  ['compare', 'close-wait', '--host-network'],
]) {
  testUnless(noNamespace, `${command.join(' ')}: the loopback is down`, async (t) => {
    t.deepEqual(finished(['unshare', '--net', ...here(command)]), {
      code: 3,
      stdout: '',
      stderr:
        'closewait: the loopback interface is down in this network namespace: `ip link set lo up` (as root)\n',
    });
  });
}
