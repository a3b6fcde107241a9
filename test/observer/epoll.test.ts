import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { epollInterestOf, parseEpollInterest } from '../../src/observer/epoll.js';
import { socketsOf } from '../../src/observer/process.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { connected } from '../fixture/sockets.js';

const inodeOf = (fd: number): number | undefined =>
  socketsOf(process.pid).find((socket) => socket.fd === fd)?.inode;

/** What the kernel adds to every entry. */
const ALWAYS = sys.EPOLLERR | sys.EPOLLHUP;

test('what an epoll instance of this process watches, and for what', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const epfd = owned.own(sys.epoll_create1());
  const mine = () => epollInterestOf(process.pid).filter((entry) => entry.epfd === epfd);
  t.deepEqual(mine(), []);

  sys.epoll_ctl(epfd, sys.EPOLL_CTL_ADD, client, sys.EPOLLIN | sys.EPOLLET);
  sys.epoll_ctl(epfd, sys.EPOLL_CTL_ADD, server, sys.EPOLLOUT, 2 ** 32 - 1);
  const edge = (sys.EPOLLIN | ALWAYS | sys.EPOLLET) >>> 0;
  t.deepEqual(
    mine().toSorted((a, b) => a.fd - b.fd),
    [
      { epfd, fd: client, events: edge, inode: inodeOf(client) },
      { epfd, fd: server, events: sys.EPOLLOUT | ALWAYS, inode: inodeOf(server) },
    ].toSorted((a, b) => a.fd - b.fd) as ReturnType<typeof mine>,
  );

  sys.epoll_ctl(epfd, sys.EPOLL_CTL_DEL, client);
  t.deepEqual(
    mine().map(({ fd }) => fd),
    [server],
  );
});

test('a copy of an instance has the same entries; a one-shot that has fired waits for nothing', (t) => {
  const owned = ownedBy(t);
  const { client } = connected(owned);
  const epfd = owned.own(sys.epoll_create1());
  const copy = owned.own(sys.dup(epfd));
  sys.epoll_ctl(epfd, sys.EPOLL_CTL_ADD, client, sys.EPOLLOUT | sys.EPOLLONESHOT);
  const mine = () => epollInterestOf(process.pid).filter((entry) => entry.fd === client);
  t.deepEqual(
    mine().map((entry) => [entry.epfd, entry.events]),
    [epfd, copy].map((fd) => [fd, sys.EPOLLOUT | ALWAYS | sys.EPOLLONESHOT]),
  );
  t.is(sys.epoll_wait(epfd, 1, 0).length, 1);
  t.deepEqual(
    mine().map(({ events }) => events),
    [sys.EPOLLONESHOT, sys.EPOLLONESHOT],
  );
});

test('an entry outlives its number while a copy is open: the inode says whose it is', (t) => {
  const owned = ownedBy(t);
  const { client } = connected(owned);
  const inode = inodeOf(client);
  const first = sys.dup(client);
  const epfd = owned.own(sys.epoll_create1());
  sys.epoll_ctl(epfd, sys.EPOLL_CTL_ADD, first, sys.EPOLLIN);
  sys.close(first);
  const [entry] = epollInterestOf(process.pid).filter((each) => each.epfd === epfd);
  t.deepEqual([entry?.fd, entry?.inode], [first, inode as number]);
  t.is(inodeOf(first), undefined);
});

const SERVER = `
  const server = require('node:net').createServer((socket) => socket.write('x'));
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
  process.stdin.resume();
  process.stdin.on('end', () => process.exit());`;

test('the event loop of another process watches its listener and its connection', async (t) => {
  const owned = ownedBy(t);
  const child = spawn(process.execPath, ['-e', SERVER], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  t.teardown(async () => {
    child.stdin.end();
    await ended;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value: port } = await lines.next();
  const client = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  sys.connect(client, { address: '127.0.0.1', port: Number(port) });
  // It writes once it has accepted; it reads, which is to watch, from then on.
  t.is(sys.recv(client, new Uint8Array(1)), 1);

  const pid = child.pid as number;
  const sockets = new Map(socketsOf(pid).map(({ fd, inode }) => [fd, inode]));
  const watched = epollInterestOf(pid).filter(({ fd }) => sockets.has(fd));
  t.true(watched.length >= 1);
  for (const { fd, inode, events } of watched) {
    t.is(inode, sockets.get(fd));
    t.true((events & sys.EPOLLIN) !== 0);
  }
});

test('a process without an event loop, none at all, and what is no process', async (t) => {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(child, 'close');
  await once(child, 'spawn');
  const pid = child.pid as number;
  t.deepEqual(epollInterestOf(pid), []);
  child.stdin.end();
  await ended;
  t.throws(() => epollInterestOf(pid), { instanceOf: sys.SyscallError, code: 'ENOENT' });
  for (const wrong of [0, -1, 1.5, Number.NaN]) {
    t.throws(() => epollInterestOf(wrong), {
      instanceOf: RangeError,
      message: /^not a process id/,
    });
  }
  t.throws(() => epollInterestOf('1' as never), { instanceOf: TypeError });
});

test('read while instances come and go', async (t) => {
  const script = `
    const {openSync} = require('node:fs');
    const sys = await import(process.argv[1]);
    console.log('ready');
    let ended = false;
    process.stdin.resume().on('end', () => { ended = true; });
    while (!ended) {
      for (let i = 0; i < 50; i++) {
        const epfd = sys.epoll_create1();
        sys.epoll_ctl(epfd, sys.EPOLL_CTL_ADD, 1, sys.EPOLLIN);
        sys.close(epfd);
      }
      await new Promise(setImmediate);
    }`;
  const sysPath = fileURLToPath(new URL('../../src/syscall/sys.js', import.meta.url));
  const program = `(async () => {${script}})()`;
  const child = spawn(process.execPath, ['-e', program, sysPath], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  await once(child.stdout, 'data');
  for (let i = 0; i < 300; i++) {
    t.true(epollInterestOf(child.pid as number).every(({ fd }) => fd >= 0));
  }
  child.stdin.end();
  const [code] = await ended;
  t.is(code, 0);
});

const HEADER = 'pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t1038\n';
const ENTRY = 'tfd:       13 events:       19 data:                d  pos:0 ino:40e sdev:10\n';

const table: { name: string; text: string; expected: ReturnType<typeof parseEpollInterest> }[] = [
  { name: 'no entry', text: HEADER, expected: [] },
  { name: 'nothing', text: '', expected: [] },
  {
    name: 'entries',
    text: `${HEADER}${ENTRY}${ENTRY.replace('13', ' 7').replace('40e', 'ffffffff')}`,
    expected: [
      { epfd: 3, fd: 13, events: 0x19, inode: 0x40e },
      { epfd: 3, fd: 7, events: 0x19, inode: 0xffffffff },
    ],
  },
  {
    name: 'all of 32 bits, edge-triggered',
    text: `${HEADER}${ENTRY.replace('      19', '8000201d')}`,
    expected: [{ epfd: 3, fd: 13, events: 0x8000201d, inode: 0x40e }],
  },
  {
    name: 'a descriptor as wide as its column and wider',
    text: `${ENTRY.replace('      13', '12345678')}${ENTRY.replace('      13', '1000000000')}`,
    expected: [12345678, 1000000000].map((fd) => ({ epfd: 3, fd, events: 0x19, inode: 0x40e })),
  },
  {
    name: 'before Linux 4.13: no inode',
    text: 'tfd:        5 events:       1d data:                5\n',
    expected: [{ epfd: 3, fd: 5, events: 0x1d }],
  },
  {
    name: 'fields that are not known yet',
    text: `${ENTRY.trimEnd()} more:1\n`,
    expected: [{ epfd: 3, fd: 13, events: 0x19, inode: 0x40e }],
  },
  { name: 'an entry cut short', text: ENTRY.slice(0, 20), expected: [] },
  {
    name: 'an entry cut in its inode has none that could be wrong',
    text: ENTRY.slice(0, ENTRY.indexOf('ino:')),
    expected: [{ epfd: 3, fd: 13, events: 0x19 }],
  },
  { name: 'an entry of another kind', text: 'inotify wd:1 ino:2 sdev:3\n', expected: [] },
];

for (const { name, text, expected } of table) {
  test(`fdinfo of an eventpoll: ${name}`, (t) =>
    t.deepEqual(parseEpollInterest(3, text), expected));
}

test('fdinfo of an eventpoll: what the kernel would print is read back', (t) => {
  const entry = fc.record({
    epfd: fc.constant(3),
    fd: fc.nat(),
    events: fc.nat({ max: 2 ** 32 - 1 }),
    inode: fc.nat({ max: 2 ** 53 - 1 }),
  });
  const line = (each: { fd: number; events: number; inode: number }): string => {
    const fd = String(each.fd).padStart(8);
    const events = each.events.toString(16).padStart(8);
    // The format of ep_show_fdinfo() in fs/eventpoll.c.
    return `tfd: ${fd} events: ${events} data: ${'0'.padStart(16)}  pos:0 ino:${each.inode.toString(16)} sdev:9\n`;
  };
  fc.assert(
    fc.property(fc.array(entry), (list) => {
      t.deepEqual(parseEpollInterest(3, HEADER + list.map(line).join('')), list);
    }),
  );
});
