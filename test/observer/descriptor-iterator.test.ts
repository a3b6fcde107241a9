import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DescriptorIterator } from '../../src/observer/descriptor-iterator.js';
import { iteratorBufferSize } from '../../src/observer/iterator-read.js';
import { socketsOf } from '../../src/observer/process.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';

const MODULE = fileURLToPath(new URL('../../src/observer/descriptor-iterator.js', import.meta.url));
const iterator = DescriptorIterator.openIfAllowed();
const iterating = iterator === undefined ? test.skip : test;
const note = iterator === undefined ? ' (skipped: needs CAP_BPF and CAP_PERFMON)' : '';

/** What it tells of this process's own table, by descriptor. */
function ownRows(): Map<number, number> {
  const own = new Map<number, number>();
  for (const rows of iterator?.rows() ?? []) {
    for (let at = 0; at < rows.length; at += 4) {
      const [pid, tid, fd, inode] = rows.subarray(at, at + 4);
      if (pid === process.pid && tid === process.pid) own.set(fd as number, inode as number);
    }
  }
  return own;
}

const sockets: readonly (readonly [string, number, number, boolean])[] = [
  ['TCP over IPv4', sys.AF_INET, sys.SOCK_STREAM, true],
  ['TCP over IPv6', sys.AF_INET6, sys.SOCK_STREAM, true],
  ['UDP', sys.AF_INET, sys.SOCK_DGRAM, false],
  ['a Unix socket', sys.AF_UNIX, sys.SOCK_STREAM, false],
];

for (const [name, domain, type, isTold] of sockets) {
  iterating(`${name} is ${isTold ? 'told of' : 'left out'}${note}`, (t) => {
    const owned = ownedBy(t);
    const fd = owned.own(sys.socket(domain, type));
    const copy = owned.own(sys.dup(fd));
    const inode = socketsOf(process.pid).find((each) => each.fd === fd)?.inode;
    t.true((inode ?? 0) > 0);
    const rows = ownRows();
    t.is(rows.get(fd), isTold ? inode : undefined);
    t.is(rows.get(copy), isTold ? inode : undefined);
  });
}

iterating(
  `an epoll instance has inode 0; other anonymous files and pipes are left out${note}`,
  (t) => {
    const owned = ownedBy(t);
    const epfd = owned.own(sys.epoll_create1());
    const [reader, writer] = sys.pipe2();
    owned.own(reader);
    owned.own(writer);
    const pidfd = owned.own(sys.pidfd_open(process.pid));
    const rows = ownRows();
    t.is(rows.get(epfd), 0);
    for (const fd of [reader, writer, pidfd]) t.false(rows.has(fd));
  },
);

const ROW_BYTES = 16;
const READ_BYTES = iteratorBufferSize();

iterating(`more rows than one read takes: each once, in order${note}`, (t) => {
  const owned = ownedBy(t);
  const fds = Array.from({ length: READ_BYTES / ROW_BYTES }, () =>
    owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM)),
  );
  const told = [...ownRows()].filter(([, inode]) => inode > 0);
  const inodes = new Map(socketsOf(process.pid).map(({ fd, inode }) => [fd, inode]));
  for (const fd of fds) t.true(inodes.has(fd));
  t.deepEqual(
    told.filter(([fd]) => fds.includes(fd)),
    fds.toSorted((a, b) => a - b).map((fd) => [fd, inodes.get(fd)]),
  );
  // The kernel's buffer is not filled to its last byte (seq_write()): so none of it was held back.
  const reads = [...(iterator?.rows() ?? [])].map(({ byteLength }) => byteLength);
  t.is(Math.max(...reads), READ_BYTES - ROW_BYTES);
});

iterating(
  `what is closed is gone, and a walk that nobody takes to its end leaves nothing${note}`,
  (t) => {
    const fd = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
    t.true(ownRows().has(fd));
    sys.close(fd);
    t.false(ownRows().has(fd));
    for (const _ of iterator?.rows() ?? []) break;
  },
);

/** Hides the files of this process's namespaces: a kernel that was built without some has none of those. */
const WITHOUT_NAMESPACES = 'mount -t tmpfs none /proc/$$/ns && exec "$@"';

iterating(`a namespace that the kernel does not know is the first${note}`, (t) => {
  const program = `
    import { DescriptorIterator } from ${JSON.stringify(MODULE)};
    const [rows] = DescriptorIterator.openIfAllowed().rows();
    console.log(rows.length > 0);`;
  const node = [process.execPath, '--input-type=module', '-e', program];
  const { stdout, stderr } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', WITHOUT_NAMESPACES, 'sh', ...node],
    { encoding: 'utf8' },
  );
  t.is(stdout, 'true\n', stderr);
});

test('where it is not allowed there is none, and readlink is left', (t) => {
  if (process.getuid?.() !== 0) {
    t.is(iterator, undefined);
    return;
  }
  const program = `
    import { DescriptorIterator } from ${JSON.stringify(MODULE)};
    try { DescriptorIterator.open(); } catch ({ message }) { console.log(message); }
    console.log(DescriptorIterator.openIfAllowed());`;
  const bounding = ['--bounding-set', '-all', '--inh-caps', '-all'];
  const { stdout, stderr } = spawnSync(
    'setpriv',
    [...bounding, process.execPath, '--input-type=module', '-e', program],
    { encoding: 'utf8' },
  );
  t.is(stdout, 'needs CAP_BPF and CAP_PERFMON\nundefined\n', stderr);
});
