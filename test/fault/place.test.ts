/** A place that lacks what it takes: no loopback, no /proc. What a user is told, in a line. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { CLI, finished } from '../cli/closewait.js';
import {
  noMountNamespace,
  noNamespace,
  noTimeNamespace,
  noWorld,
  testUnless,
} from '../world/ability.js';

const here = (command: readonly string[]): string[] => [process.execPath, CLI, ...command];

/** How this user gets namespaces of its own. */
const unshare = noNamespace === undefined ? ['unshare'] : ['unshare', '-Ur'];

for (const command of [
  ['run', 'close-wait', '--host-network'],
  ['run', 'normal', 'server-first', '--host-network', '--jobs', '1', '--json'],
  ['compare', 'close-wait', '--host-network'],
]) {
  testUnless(noWorld, `${command.join(' ')}: the loopback is down`, async (t) => {
    t.deepEqual(finished([...unshare, '--net', ...here(command)]), {
      code: 3,
      stdout: '',
      stderr:
        'closewait: the loopback interface is down in this network namespace: `ip link set lo up` (as root)\n',
    });
  });
}

/** Runs a command where nothing is mounted on /proc, in a mount namespace that nobody else sees into. */
const withoutProc = (command: readonly string[]) =>
  finished([
    ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
    ...['umount -l /proc && exec "$@"', 'sh', ...here(command)],
  ]);

const [server, pid] = ['127.0.0.1:1', '1'];

for (const command of [
  ['run', 'close-wait'],
  ['run', 'close-wait', '--host-network'],
  ['compare', 'close-wait'],
  ['bench'],
  ['observers'],
  ['diagnose'],
  ['diagnose', '--pid', pid],
  ['watch', '--once'],
  ['release', '--pid', pid, '--fd', '0', '--how', 'reset', '--yes'],
  ['release', '--destroy', server, server, '--yes'],
]) {
  testUnless(noMountNamespace, `${command.join(' ')}: there is no /proc`, async (t) => {
    t.deepEqual(withoutProc(command), {
      code: 3,
      stdout: '',
      stderr: 'closewait: /proc is not mounted: `mount -t proc proc /proc`\n',
    });
  });
}

testUnless(noMountNamespace, 'states, there is no /proc: sockets without owners', async (t) => {
  const listener = createServer().listen(0, '127.0.0.1');
  t.teardown(() => listener.close());
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const { code, stdout, stderr } = withoutProc(['states', '--state', 'LISTEN']);
  t.regex(stdout, new RegExp(`127\\.0\\.0\\.1:${port} .* LISTEN +- *$`, 'm'));
  t.is(
    stderr,
    'closewait: owners may be missing: no processes can be seen: /proc is not mounted\n',
  );
  t.is(code, 0);
});

testUnless(noWorld, 'run: /proc is of another pid namespace', async (t) => {
  const inside = [...unshare, '--pid', '--fork'];
  const { code, stderr } = finished([...inside, ...here(['run', 'close-wait'])]);
  t.is(
    stderr,
    'closewait: /proc is of another pid namespace: mount it anew (unshare --mount-proc)\n',
  );
  t.is(code, 3);
});

/** Where the clocks of this user's programs are not the kernel's. */
for (const [monotonic, boottime] of [
  ['100000', '100000'],
  ['-2', '0'],
] as const) {
  const clocks = ['--monotonic', monotonic, '--boottime', boottime];
  testUnless(noTimeNamespace, `run: clocks that are ${monotonic} s off`, async (t) => {
    const words = here(['run', 'close-wait', '--json']);
    const { code, stdout, stderr } = finished(['unshare', '--time', ...clocks, '--fork', ...words]);
    const { verdict, checks } = JSON.parse(stdout);
    t.deepEqual({ verdict, stderr }, { verdict: 'reproduced', stderr: '' });
    t.true(checks.length > 20);
    t.is(code, 0);
  });
}

// Up to a minute it is one timer, beyond that two of the same length: tcp_close() and tcp_keepalive_timer().
for (const [seconds, life] of [
  [5, '5.0'],
  [64, '8.0'],
] as const) {
  testUnless(
    noWorld,
    `run: tcp_fin_timeout is ${seconds} s, an orphan has ${life} s to live`,
    async (t) => {
      const timeout = `echo ${seconds} >/proc/sys/net/ipv4/tcp_fin_timeout`;
      const sh = ['sh', '-c', `ip link set lo up && ${timeout} && exec "$@"`, 'sh'];
      const words = here(['run', 'close-wait', '--host-network']);
      const { code, stdout } = finished([...unshare, '--net', ...sh, ...words]);
      t.regex(stdout, new RegExp(`FIN_WAIT2 without an owner has ${life} s to live`));
      t.is(code, 0);
    },
  );
}
