import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Census, startTicksOf } from '../../src/diagnose/census.js';
import { DescriptorIterator } from '../../src/observer/descriptor-iterator.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { leaderless } from './servers.js';

const inodeOf = (census: Census, fd: number): number =>
  census
    .unlisted([])
    .get(process.pid)
    ?.find((each) => each.fd === fd)?.inode ?? 0;

const LEADERLESS = fileURLToPath(new URL('../../../test/fixture/leaderless.c', import.meta.url));
const compiles = spawnSync('cc', ['--version']).error === undefined;

const iterator = DescriptorIterator.openIfAllowed();

for (const [how, asking, take] of [
  ['by readlink', test, () => new Census()],
  ['by a BPF program', iterator ? test : test.skip, () => new Census(iterator)],
] as const) {
  asking(
    `a socket held twice: both descriptors, in order; asked for one by one, it is one socket, ${how}`,
    (t) => {
      const owned = ownedBy(t);
      const fd = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
      const copy = owned.own(sys.dup(fd));
      const census = take();
      const inode = inodeOf(census, fd);
      t.true(inode > 0);
      t.deepEqual(census.holdersOf(inode), [
        { pid: process.pid, fd },
        { pid: process.pid, fd: copy },
      ]);
      t.is(inodeOf(census, copy), 0);
      t.true([...census.pids].includes(process.pid));
    },
  );

  asking(
    `more sockets than there is room for at first: each is found, and none of those listed is left, ${how}`,
    (t) => {
      const owned = ownedBy(t);
      const fds = Array.from({ length: 1500 }, () =>
        owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM)),
      );
      const census = take();
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
    },
  );

  asking(`nobody holds what does not exist, ${how}`, (t) => {
    const census = take();
    for (const inode of [0, 2 ** 32 - 1, -1]) t.deepEqual(census.holdersOf(inode), []);
  });

  asking(`epoll instances are seen by the way, ${how}`, (t) => {
    const owned = ownedBy(t);
    owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
    const epfd = owned.own(sys.epoll_create1());
    const known = take().epollOf(process.pid);
    t.true(known?.epfds.includes(epfd));
    t.is(known?.task, '');
  });

  (compiles ? asking : test.skip)(
    `the descriptors of a process whose first thread has ended, ${how}${compiles ? '' : ' (skipped: no C compiler)'}`,
    async (t) => {
      const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
      t.teardown(() => rmSync(directory, { recursive: true }));
      const program = join(directory, 'leaderless');
      t.is(spawnSync('cc', ['-pthread', '-o', program, LEADERLESS]).status, 0);
      const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
      t.teardown(() => child.kill());
      await once(child.stdout, 'data');
      const pid = child.pid as number;
      await leaderless(pid);
      const census = take();
      // It has opened its listener last.
      const listener = census.unlisted([]).get(pid)?.at(-1);
      t.deepEqual(census.holdersOf(listener?.inode ?? 0), [{ pid, fd: listener?.fd ?? 0 }]);
      t.regex(census.epollOf(pid)?.task ?? '', /^task\/\d+\/$/);
    },
  );
}

test('a holder that has let go since is none: its number may lead to another socket by now', (t) => {
  const owned = ownedBy(t);
  const fd = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  const copy = owned.own(sys.dup(fd));
  const census = new Census();
  const inode = inodeOf(census, fd);
  const holds = () => census.holdersOf(inode).map((each) => census.stillHolds(each, inode));
  t.deepEqual(holds(), [true, true]);
  owned.close(copy);
  t.deepEqual(holds(), [true, false]);
  t.is(owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM)), copy);
  t.deepEqual(holds(), [true, false]);
  t.false(census.stillHolds({ pid: 2 ** 22 + 1, fd }, inode));
});

test('when a process began: init first, and never where there is none', (t) => {
  const own = startTicksOf('self') ?? 0;
  t.is(startTicksOf(process.pid), own);
  t.true((startTicksOf(1) ?? own) <= own && own > 0);
  t.is(startTicksOf(2 ** 22 + 1), undefined);
});
