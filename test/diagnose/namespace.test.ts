/** Sockets in network namespaces that the main thread of their process is not in. */
import { diagnose } from '../../src/diagnose/diagnose.js';
import { mountsIn } from '../../src/diagnose/mounts.js';
import { Program } from '../driver/programs.js';
import { test } from '../fixture/descriptors.js';
import { noNamespace, noTool, testUnless } from '../world/ability.js';

const LEAK = `
import ctypes, os, socket, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
kept = []
def leak():
    if libc.unshare(CLONE_NEWNET) != 0: raise OSError(ctypes.get_errno(), 'unshare')
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    listener = socket.create_server(('127.0.0.1', 0))
    client = socket.create_connection(listener.getsockname())
    connection, _ = listener.accept()
    client.close()
    connection.recv(1)
    kept.append(connection)
    print('done', flush=True)
def stay():
    leak()
    sys.stdin.read()
`;

const IN_A_THREAD = `${LEAK}
threading.Thread(target=stay).start()
`;

const NOWHERE = `${LEAK}
home = os.open('/proc/self/ns/net', os.O_RDONLY)
leak()
if libc.setns(home, CLONE_NEWNET) != 0: raise OSError(ctypes.get_errno(), 'setns')
print('back', flush=True)
sys.stdin.read()
`;

const missing = noNamespace ?? noTool('python3');

testUnless(missing, 'a thread in a namespace of its own: found by its process', async (t) => {
  const program = new Program(t, ['python3', '-c', IN_A_THREAD]);
  await program.shows('stdout', /^done\n/m);
  const { sockets, namespaces } = await diagnose({ pids: [program.pid], settleMs: 100 });
  t.like(sockets, [{ pid: program.pid, cause: 'not-closed', runtime: 'python' }]);
  t.is(namespaces.length, 2);
  const all = await diagnose({ all: true, settleMs: 100 });
  t.true(all.sockets.some(({ pid }) => pid === program.pid));
});

testUnless(
  missing,
  'a namespace that no thread is in any more: what is missed is said',
  async (t) => {
    const program = new Program(t, ['python3', '-c', NOWHERE]);
    await program.shows('stdout', /^back\n/m);
    const { sockets, incomplete } = await diagnose({ pids: [program.pid], settleMs: 100 });
    t.deepEqual(sockets, []);
    const says = `^1 sockets of pid ${program.pid} .* in a network namespace that no thread is in$`;
    t.regex(incomplete.join('\n'), new RegExp(says, 'm'));
  },
);

for (const [name, mountinfo, paths] of [
  ['nothing', '', []],
  ['another file system', '22 1 0:20 / /proc rw shared:1 - proc proc rw\n', []],
  ['a namespace', '80 30 0:4 net:[4026532208] /run/netns/a rw - nsfs nsfs rw\n', ['/run/netns/a']],
  ['of another kind', '80 30 0:4 mnt:[4026532208] /run/a rw - nsfs nsfs rw\n', []],
  ['a space in its name', '8 3 0:4 net:[1] /run/a\\040b rw - nsfs nsfs rw\n', ['/run/a b']],
  ['cut short', '80 30 0:4 net:[40265', []],
] as const) {
  test(`mounted namespaces: ${name}`, (t) => {
    t.deepEqual(mountsIn(mountinfo), [...paths]);
  });
}
