/** Sockets in network namespaces that the main thread of their process is not in. */
import { fstatSync } from 'node:fs';
import { netnsOf } from '../../src/diagnose/census.js';
import { diagnose } from '../../src/diagnose/diagnose.js';
import { mountsIn } from '../../src/diagnose/mounts.js';
import * as sys from '../../src/syscall/sys.js';
import { Program } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
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
if sys.argv[1] == 'socket': leak()
elif libc.unshare(CLONE_NEWNET) != 0: raise OSError(ctypes.get_errno(), 'unshare')
else: kept.append(os.open('/proc/self/ns/net', os.O_RDONLY))
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

testUnless(missing, 'a namespace that only its sockets keep: found by them', async (t) => {
  const program = new Program(t, ['python3', '-c', NOWHERE, 'socket']);
  await program.shows('stdout', /^back\n/m);
  const { pid } = program;
  for (const where of [{ pids: [pid] }, { all: true }]) {
    const { sockets, namespaces } = await diagnose({ ...where, settleMs: 100 });
    const [found, ...more] = sockets.filter((each) => each.pid === pid);
    t.deepEqual(more, []);
    t.is(found?.cause, 'not-closed');
    t.not(found?.netns, netnsOf(pid));
    t.true(namespaces.includes(found?.netns ?? 0));
  }
  const { incomplete, sufficient } = await diagnose({ settleMs: 100, states: ['CLOSE_WAIT'] });
  t.regex(incomplete.join('\n'), new RegExp(`^1 sockets of pid ${pid} .* not looked at$`, 'm'));
  t.false(sufficient);
});

testUnless(missing, 'a namespace that only a descriptor keeps: looked at as well', async (t) => {
  const program = new Program(t, ['python3', '-c', NOWHERE, 'descriptor']);
  await program.shows('stdout', /^back\n/m);
  const { namespaces } = await diagnose({ pids: [program.pid], settleMs: 100 });
  t.is(namespaces.length, 2);
});

test('the namespace of a socket: its own, by ioctl()', (t) => {
  const owned = ownedBy(t);
  const socket = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  const ask = () => owned.own(sys.ioctl(socket, sys.SIOCGSKNS, new Uint8Array(4)));
  if (noNamespace === undefined) t.is(fstatSync(ask()).ino, netnsOf(process.pid));
  else t.throws(ask, { code: 'EPERM' });
});

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
