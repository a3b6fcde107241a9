import type { ExecutionContext } from 'ava';
import { holdersOf, socketsOf } from '../../src/observer/process.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';

function socket(t: ExecutionContext): number {
  return ownedBy(t).own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
}

function inodeOf(fd: number): number {
  const found = socketsOf(process.pid).find((each) => each.fd === fd);
  if (found === undefined) throw new Error(`${fd} is no socket`);
  return found.inode;
}

test('descriptors far apart, with gaps: all of them, in order', (t) => {
  const fd = socket(t);
  const inode = inodeOf(fd);
  const copies = [300, 301, 900, 1000, 2000];
  t.teardown(() => copies.forEach(sys.close));
  for (const copy of copies) sys.dup3(fd, copy, sys.O_CLOEXEC);
  const { holders } = holdersOf([inode], { pids: [process.pid] });
  t.deepEqual(
    holders.get(inode)?.map((holder) => holder.fd),
    [fd, ...copies],
  );
  const fds = socketsOf(process.pid).map((each) => each.fd);
  t.deepEqual(
    fds,
    fds.toSorted((a, b) => a - b),
  );
  t.deepEqual(
    fds.filter((each) => each >= 300),
    copies,
  );
});

test('sockets in any order, asked for twice, among others: each has its holders once', (t) => {
  const fds = Array.from({ length: 40 }, () => socket(t));
  const inodes = fds.map(inodeOf);
  // Descriptors whose order is not the order of their inodes.
  const copies = fds.toReversed().map((fd, i) => sys.dup3(fd, 1000 + i, sys.O_CLOEXEC));
  t.teardown(() => copies.forEach(sys.close));
  const some = inodes.filter((_, i) => i % 3 !== 1);
  const asked = [...some.toReversed(), -1, 0, Number.NaN, ...some, 2 ** 40, 1.5];
  const { holders } = holdersOf(asked, { pids: [process.pid] });
  t.is(holders.size, some.length + 5);
  for (const [i, inode] of inodes.entries()) {
    const expected = i % 3 === 1 ? undefined : [fds[i], copies[fds.length - 1 - i]];
    t.deepEqual(
      holders.get(inode)?.map(({ fd }) => fd),
      expected as number[] | undefined,
    );
  }
  for (const other of [-1, 0, Number.NaN, 2 ** 40, 1.5]) t.deepEqual(holders.get(other), []);
});

test('every entry is an array of its own', (t) => {
  const { holders } = holdersOf([4294967294, 4294967295], { pids: [process.pid] });
  const [first, second] = [...holders.values()];
  t.not(first, second);
});
