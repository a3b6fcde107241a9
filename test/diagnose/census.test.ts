import { Census } from '../../src/diagnose/census.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';

const inodeOf = (census: Census, fd: number): number =>
  census
    .unlisted([])
    .get(process.pid)
    ?.find((each) => each.fd === fd)?.inode ?? 0;

test('a socket held twice: both descriptors, in order; asked for one by one, it is one socket', (t) => {
  const owned = ownedBy(t);
  const fd = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  const copy = owned.own(sys.dup(fd));
  const census = new Census();
  const inode = inodeOf(census, fd);
  t.true(inode > 0);
  t.deepEqual(census.holdersOf(inode), [
    { pid: process.pid, fd },
    { pid: process.pid, fd: copy },
  ]);
  t.is(inodeOf(census, copy), 0);
  t.true([...census.pids].includes(process.pid));
});

test('more sockets than there is room for at first: each is found, and none of those listed is left', (t) => {
  const owned = ownedBy(t);
  const fds = Array.from({ length: 1500 }, () =>
    owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM)),
  );
  const census = new Census();
  const own = census.unlisted([]).get(process.pid) ?? [];
  const inodes = new Map(own.map(({ fd, inode }) => [fd, inode]));
  for (const fd of fds) {
    t.deepEqual(census.holdersOf(inodes.get(fd) ?? 0), [{ pid: process.pid, fd }]);
  }
  const [last = -1] = fds.slice(-1);
  const listed = Uint32Array.from(own.flatMap(({ fd, inode }) => (fd === last ? [] : inode)));
  t.deepEqual(census.unlisted([new Uint32Array(), listed]).get(process.pid), [
    { fd: last, inode: inodes.get(last) ?? 0 },
  ]);
});

test('nobody holds what does not exist', (t) => {
  const census = new Census();
  for (const inode of [0, 2 ** 32 - 1, -1]) t.deepEqual(census.holdersOf(inode), []);
});

test('epoll instances are seen by the way', (t) => {
  const owned = ownedBy(t);
  owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  const epfd = owned.own(sys.epoll_create1());
  const known = new Census().epollOf(process.pid);
  t.true(known?.epfds.includes(epfd));
  t.is(known?.task, '');
});
