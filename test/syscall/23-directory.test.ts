import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import { DirentCursor, readFileAt } from '../../src/syscall/directory.js';
import { eachDescriptorLink } from '../../src/syscall/links.js';
import { native } from '../../src/syscall/native.js';
import { LENGTH, pageInUse, RESULT, SCRATCH, VALUE } from '../../src/syscall/page.js';
import * as sys from '../../src/syscall/sys.js';
import { descriptors, ownedBy, test } from '../fixture/descriptors.js';

const DIRECTORY = sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC;

/** A directory that goes when the test ends, with a descriptor of it. */
function temporary(t: ExecutionContext): { path: string; fd: number } {
  const path = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return { path, fd: ownedBy(t).own(sys.open(path, DIRECTORY)) };
}

/** A whole listing, taken `capacity` bytes at a time. */
function listing(fd: number, capacity: number): sys.Dirent[] {
  const buffer = new Uint8Array(capacity);
  const entries: sys.Dirent[] = [];
  for (;;) {
    const length = sys.getdents64(fd, buffer);
    if (length === 0) return entries;
    entries.push(...sys.decodeDirents(buffer.subarray(0, length)));
  }
}

test('openat(): below a descriptor, below the working directory, and by itself', (t) => {
  const { path, fd } = temporary(t);
  const owned = ownedBy(t);
  const flags = sys.O_CREAT | sys.O_EXCL | sys.O_WRONLY | sys.O_CLOEXEC;
  sys.write(owned.own(sys.openat(fd, 'file', flags, 0o600)), 'text');
  t.deepEqual(readFileAt(fd, 'file'), Buffer.from('text'));
  owned.own(sys.openat(-1, join(path, 'file'), sys.O_RDONLY));
  owned.own(sys.openat(sys.AT_FDCWD, '.', DIRECTORY));
  const below = t.throws(() => sys.openat(fd, 'none', sys.O_RDONLY)) as sys.SyscallError;
  t.is(below.message, `openat ENOENT: no such file or directory (none, fd ${fd})`);
  const here = t.throws(() => sys.openat(sys.AT_FDCWD, 'none', sys.O_RDONLY)) as sys.SyscallError;
  t.is(here.message, 'openat ENOENT: no such file or directory (none)');
});

test('getdents64(): every name once, with its kind and inode, over many calls', (t) => {
  const { path, fd } = temporary(t);
  writeFileSync(join(path, 'file'), '');
  mkdirSync(join(path, 'folder'));
  symlinkSync('nowhere', join(path, 'link'));
  writeFileSync(join(path, '한글'), '');
  const names = ['.', '..', 'file', 'folder', 'link', '한글'];
  for (const capacity of [32, 64, 4096]) {
    sys.lseek(fd, 0, sys.SEEK_SET);
    const entries = listing(fd, capacity);
    t.deepEqual(entries.map(({ name }) => name).sort(), names);
    const types = new Map(entries.map(({ name, type }) => [name, type]));
    t.is(types.get('file'), sys.DT_REG);
    t.is(types.get('folder'), sys.DT_DIR);
    t.is(types.get('link'), sys.DT_LNK);
    t.true(entries.every(({ ino }) => ino > 0n));
  }
});

test("the places of a process's fd directory are its descriptors, behind . and ..", (t) => {
  const fd = ownedBy(t).own(sys.open('/proc/self/fd', DIRECTORY));
  const [, , ...all] = listing(fd, 4096);
  // Where an entry says the listing goes on, the next one is.
  t.deepEqual(
    all.slice(0, -1).map(({ off }) => off),
    all.slice(1).map(({ name }) => BigInt(name) + 2n),
  );
  for (const [i, { name }] of all.entries()) {
    sys.lseek(fd, Number(name) + 2, sys.SEEK_SET);
    t.deepEqual(listing(fd, 4096), all.slice(i));
  }
});

test('readlinkat(): the bytes of a link, cut where the buffer ends', (t) => {
  const { path, fd } = temporary(t);
  symlinkSync('a/target', join(path, 'link'));
  const buffer = new Uint8Array(64);
  t.is(sys.readlinkat(fd, 'link', buffer), 8);
  t.is(Buffer.from(buffer.subarray(0, 9)).toString(), 'a/target\0');
  t.is(sys.readlinkat(fd, 'link', buffer.subarray(0, 3)), 3);
});

const protocols = [
  ['TCP', sys.AF_INET, sys.SOCK_STREAM],
  ['TCPv6', sys.AF_INET6, sys.SOCK_STREAM],
  ['UDP', sys.AF_INET, sys.SOCK_DGRAM],
  ['NETLINK', sys.AF_NETLINK, sys.SOCK_RAW],
] as const;
for (const [name, domain, type] of protocols) {
  test(`getxattr(): a socket's protocol is ${name}`, (t) => {
    const path = `/proc/self/fd/${ownedBy(t).own(sys.socket(domain, type))}`;
    const value = new Uint8Array(32);
    t.is(sys.getxattr(path, 'system.sockprotoname', value), name.length + 1);
    t.is(Buffer.from(value).toString('latin1'), name.padEnd(32, '\0'));
    t.is(sys.getxattr(path, 'system.sockprotoname', new Uint8Array()), name.length + 1);
  });
}

test('lseek(): from the start, from here, from the end, and past 32 bits', (t) => {
  const { path, fd } = temporary(t);
  writeFileSync(join(path, 'file'), '0123456789');
  const file = ownedBy(t).own(sys.openat(fd, 'file', sys.O_RDONLY));
  t.is(sys.lseek(file, 3, sys.SEEK_SET), 3);
  t.is(sys.lseek(file, 4, sys.SEEK_CUR), 7);
  t.is(sys.lseek(file, -1, sys.SEEK_END), 9);
  t.is(sys.lseek(file, 2 ** 40, sys.SEEK_SET), 2 ** 40);
});

test('on an actor: a listing and a link', async (t) => {
  const { path, fd } = temporary(t);
  symlinkSync('target', join(path, 'link'));
  await using actor = await sys.Actor.start();
  const buffer = new Uint8Array(1024);
  const length = await actor.getdents64(fd, buffer);
  const names = sys.decodeDirents(buffer.subarray(0, length)).map(({ name }) => name);
  t.deepEqual(names.sort(), ['.', '..', 'link']);
  const link = new Uint8Array(16);
  t.is(await actor.readlinkat(fd, 'link', link), 6);
  t.deepEqual(
    link,
    Uint8Array.from({ length: 16 }, (_, i) => 'target'.charCodeAt(i) || 0),
  );
  t.is(await actor.lseek(fd, 0, sys.SEEK_SET), 0);
  await actor.close(await actor.openat(fd, '.', DIRECTORY));
});

test('readFileAt(): a file of no size, one of many reads, and an empty one', (t) => {
  const { path, fd } = temporary(t);
  const large = Buffer.alloc(100_000, 'x');
  writeFileSync(join(path, 'large'), large);
  writeFileSync(join(path, 'empty'), '');
  t.true(large.equals(readFileAt(fd, 'large')));
  t.is(readFileAt(fd, 'empty').length, 0);
  t.is(Buffer.from(readFileAt(sys.AT_FDCWD, '/proc/self/comm')).toString().at(-1), '\n');
  t.throws(() => readFileAt(fd, 'none'), { code: 'ENOENT' });
  t.throws(() => readFileAt(fd, '.'), { code: 'EISDIR' });
});

/** A record; what is left out is as the kernel would have it. */
function record({ name = 'x', ino = 1n, off = 2n, type = sys.DT_REG, length = -1 }): Uint8Array {
  const text = Buffer.from(name);
  const bytes = Buffer.alloc((19 + text.length + 1 + 7) & ~7, 0xee);
  bytes.writeBigUInt64LE(ino, 0);
  bytes.writeBigInt64LE(off, 8);
  bytes.writeUInt16LE(length < 0 ? bytes.length : length, 16);
  bytes.writeUInt8(type, 18);
  text.copy(bytes, 19);
  bytes[19 + text.length] = 0;
  return bytes;
}
const entry = { ino: 1n, off: 2n, type: sys.DT_REG, name: 'x' };
const whole = record({});

const table: { name: string; bytes: Uint8Array; expected: sys.Dirent[] | RegExp }[] = [
  { name: 'nothing', bytes: new Uint8Array(), expected: [] },
  { name: 'one record, its padding not cleared', bytes: whole, expected: [entry] },
  {
    name: 'several',
    bytes: Buffer.concat([record({ name: '.', type: sys.DT_DIR }), record({ name: 'abcdefgh' })]),
    expected: [
      { ...entry, name: '.', type: sys.DT_DIR },
      { ...entry, name: 'abcdefgh' },
    ],
  },
  { name: 'an unknown type', bytes: record({ type: 200 }), expected: [{ ...entry, type: 200 }] },
  {
    name: 'the largest numbers',
    bytes: record({ ino: 2n ** 64n - 1n, off: 2n ** 63n - 1n }),
    expected: [{ ...entry, ino: 2n ** 64n - 1n, off: 2n ** 63n - 1n }],
  },
  {
    name: 'a negative place, as ext4 has them',
    bytes: record({ off: -5n }),
    expected: [{ ...entry, off: -5n }],
  },
  {
    name: 'a name of 255 bytes',
    bytes: record({ name: 'n'.repeat(255) }),
    expected: [{ ...entry, name: 'n'.repeat(255) }],
  },
  { name: 'an empty name', bytes: record({ name: '' }), expected: [{ ...entry, name: '' }] },
  { name: 'a header cut short', bytes: whole.subarray(0, 18), expected: /at 0: 18 bytes left/ },
  { name: 'a name cut short', bytes: whole.subarray(0, 20), expected: /at 0: 20 bytes left/ },
  {
    name: 'a second record cut short',
    bytes: Buffer.concat([whole, whole]).subarray(0, -1),
    expected: /at 24: 23 bytes left/,
  },
  { name: 'a length of 0', bytes: record({ length: 0 }), expected: /at 0/ },
  { name: 'a length of the header', bytes: record({ length: 19 }), expected: /at 0/ },
  { name: 'a length beyond the end', bytes: record({ length: 25 }), expected: /at 0/ },
  { name: 'the largest length', bytes: record({ length: 65535 }), expected: /at 0/ },
  {
    name: 'a name without an end',
    bytes: Buffer.from(whole).fill(0x61, 19),
    expected: /at 0: 24 bytes left/,
  },
];

for (const { name, bytes, expected } of table) {
  test(`struct linux_dirent64: ${name}`, (t) => {
    if (!(expected instanceof RegExp)) t.deepEqual(sys.decodeDirents(bytes), expected);
    else t.throws(() => sys.decodeDirents(bytes), { instanceOf: RangeError, message: expected });
    // Where the bytes lie makes no difference.
    const behind = Buffer.concat([Buffer.alloc(3), bytes]).subarray(3);
    if (!(expected instanceof RegExp)) t.deepEqual(sys.decodeDirents(behind), expected);
  });
}

test('struct linux_dirent64: what is encoded is decoded', (t) => {
  const entries = fc.record({
    name: fc.string({ unit: 'grapheme', maxLength: 60 }).filter((name) => !name.includes('\0')),
    ino: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    off: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    type: fc.integer({ min: 0, max: 255 }),
  });
  fc.assert(
    fc.property(fc.array(entries, { maxLength: 20 }), (list) => {
      t.deepEqual(sys.decodeDirents(Buffer.concat(list.map(record))), list);
    }),
  );
});

test('struct linux_dirent64: any bytes are records or a RangeError, and none is looked for outside', (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .tuple(fc.uint8Array({ maxLength: 200 }), fc.nat(40), fc.nat(18))
      .map(([junk, length, at]) => Uint8Array.of(...record({ length, name: 'y' }), ...junk, at)),
  );
  const fits = (junk: Uint8Array): boolean => {
    try {
      const cursor = new DirentCursor(junk);
      while (cursor.next()) if (!junk.subarray(cursor.name).includes(0)) return false;
      return sys.decodeDirents(junk).every(({ name }) => !name.includes('\0'));
    } catch (error) {
      return error instanceof RangeError;
    }
  };
  t.notThrows(() => fc.assert(fc.property(bytes, fits)));
});

/** The links of this process's descriptors as the gate reads them. */
function links(t: ExecutionContext, count: number): string[] {
  const table = ownedBy(t).own(sys.open('/proc/self/fd', DIRECTORY));
  const seen: string[] = [];
  eachDescriptorLink(table, count, (fd, { bytes, start, length }) => {
    seen.push(`fd ${fd} ${Buffer.from(bytes.subarray(start, start + length)).toString()}`);
  });
  return seen.filter((line) => !line.startsWith(`fd ${table} `));
}

test("every descriptor's link, however many of them are tried before the rest is listed", (t) => {
  const owned = ownedBy(t);
  const first = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  // A gap, and numbers of more digits than one page of the listing begins with.
  for (const fd of [500, 999, 1000, 2047]) owned.own(sys.dup3(first, fd));
  const open = descriptors().filter((line) => !line.includes('/fd'));
  const numbers = open.map((line) => Number(line.split(' ')[1]));
  const sorted = open.toSorted((a, b) => Number(a.split(' ')[1]) - Number(b.split(' ')[1]));
  t.true(numbers.includes(2047));
  for (const count of [0, 1, numbers.length, 500, 501, 2047, 2048, 5000]) {
    const seen = links(t, count).filter((line) => !line.includes('/fd'));
    t.deepEqual(seen, sorted, `${count} tried`);
  }
});

test('a link longer than its room is cut; many do not fit one listing', (t) => {
  const { path } = temporary(t);
  const long = join(path, 'n'.repeat(200));
  writeFileSync(long, '');
  const owned = ownedBy(t);
  const file = owned.own(sys.open(long, sys.O_RDONLY));
  for (let i = 0; i < 1000; i++) owned.own(sys.dup(file));
  for (const count of [0, 1100]) {
    const seen = links(t, count);
    const cut = seen.filter((line) => line.endsWith(` ${long.slice(0, 64)}`));
    t.is(cut.length, 1001);
  }
  t.is(readdirSync('/proc/self/fd').length - 1, links(t, 0).length);
});

test('what is no descriptor, and what is no directory', (t) => {
  const nothing = () => t.fail();
  t.throws(() => eachDescriptorLink(1.5, 0, nothing), { instanceOf: RangeError });
  t.throws(() => eachDescriptorLink(-1, 0, nothing), { message: /^getdents64 EBADF/ });
  t.throws(() => eachDescriptorLink(-1, 1, nothing), { message: /^readlinkat EBADF/ });
  const fd = ownedBy(t).own(sys.eventfd(0));
  t.throws(() => eachDescriptorLink(fd, 1, nothing), {
    code: 'ENOTDIR',
    message: /^readlinkat ENOTDIR: .*\(0, fd \d+\)$/,
  });
});

const END = 65536;

/** What the gate of readlinkat answers when the page says this. */
function throughGate(path: number, buffer: number, length: number): number {
  const { words } = pageInUse();
  words[VALUE] = sys.AT_FDCWD;
  words[VALUE + 1] = path;
  words[VALUE + 2] = buffer;
  words[LENGTH] = length;
  native.gates.readlinkat?.();
  return (words[RESULT] as number) | 0;
}

const outside: [what: string, path: number, buffer: number, length: number][] = [
  ['a path in the header', 0, SCRATCH, 8],
  ['a path behind the page', END, SCRATCH, 8],
  ['a path far behind the page', 2 ** 32 - 1, SCRATCH, 8],
  ['a path that does not end on the page', END - 4, SCRATCH, 8],
  ['a buffer in the header', END - 16, 4, 8],
  ['a buffer behind the page', END - 16, END, 8],
  ['a buffer that ends behind the page', END - 16, END - 7, 8],
  ['a buffer of more than the page', END - 16, SCRATCH, END],
  ['a buffer of 4 GiB', END - 16, SCRATCH, 2 ** 32 - 1],
];
for (const [what, path, buffer, length] of outside) {
  test(`a gate refuses ${what}: EFAULT`, (t) => {
    const { bytes } = pageInUse();
    bytes.fill(0x78, END - 4);
    bytes.set(Buffer.from('none\0'), END - 16);
    t.is(throughGate(path, buffer, length), -sys.EFAULT);
    t.is(throughGate(END - 16, SCRATCH, 8), -sys.ENOENT);
    // A string may end with the page's last byte.
    bytes[END - 1] = 0;
    t.is(throughGate(END - 4, SCRATCH, 8), -sys.ENOENT);
  });
}
