import { readlinkSync } from 'node:fs';
import { SockDiag, snapshot } from '../../src/index.js';
import * as sys from '../../src/syscall/sys.js';
import { actorOf, blockedIn, promptly } from '../fixture/actors.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { newNamespace, testWith } from '../fixture/privilege.js';
import { families, tcp } from '../fixture/sockets.js';

const asRoot = testWith(newNamespace);

const OWN = '/proc/thread-self/ns/net';
const FLAGS = sys.O_RDONLY | sys.O_CLOEXEC;
const namespaceOf = (fd: number) => readlinkSync(`/proc/self/fd/${fd}`);

/** Brings loopback up where the actor is: struct ifreq {char name[16]; short flags}. */
async function loopbackUp(actor: sys.Actor, owned: sys.Descriptors): Promise<void> {
  const fd = owned.own(await actor.socket(sys.AF_INET, sys.SOCK_DGRAM));
  const ifreq = Buffer.alloc(40);
  ifreq.write('lo');
  ifreq.writeInt16LE(sys.IFF_UP | sys.IFF_RUNNING, 16);
  await actor.ioctl(fd, sys.SIOCSIFFLAGS, ifreq);
}

asRoot(`unshare() moves the actor's thread and no other`, async (t) => {
  const owned = ownedBy(t);
  const [moved, stayed] = [await actorOf(t), await actorOf(t)];
  const home = readlinkSync(OWN);
  await moved.unshare(sys.CLONE_NEWNET);
  const there = owned.own(await moved.open(OWN, FLAGS));
  t.not(namespaceOf(there), home);
  t.is(namespaceOf(owned.own(await stayed.open(OWN, FLAGS))), home);
  t.is(readlinkSync(OWN), home);
});

test(`unshare(CLONE_FILES) is refused: an actor's descriptors are everybody's`, async (t) => {
  const actor = await actorOf(t);
  // linux/sched.h
  const CLONE_FILES = 0x400;
  await t.throwsAsync(actor.unshare(CLONE_FILES), { code: 'EINVAL' });
  await t.throwsAsync(actor.unshare(CLONE_FILES | sys.CLONE_NEWNET), { code: 'EINVAL' });
});

asRoot(`an actor starts in the namespace of a descriptor`, async (t) => {
  const owned = ownedBy(t);
  const first = await actorOf(t);
  await first.unshare(sys.CLONE_NEWNET);
  const netns = owned.own(await first.open(OWN, FLAGS));
  const second = await actorOf(t, { netns });
  const same = owned.own(await second.open(OWN, FLAGS));
  t.is(namespaceOf(same), namespaceOf(netns));
  // The descriptor stays the caller's, and keeps the namespace when both are gone.
  await first.stop();
  await second.stop();
  const third = await actorOf(t, { netns });
  t.is(namespaceOf(owned.own(await third.open(OWN, FLAGS))), namespaceOf(netns));
});

asRoot(`a conversation in there; nobody outside sees it`, async (t) => {
  const owned = ownedBy(t);
  const server = await actorOf(t);
  await server.unshare(sys.CLONE_NEWNET);
  await loopbackUp(server, owned);
  const netns = owned.own(await server.open(OWN, FLAGS));
  const client = await actorOf(t, { netns });
  for (const { domain, loopback } of families) {
    const listener = owned.own(await server.socket(domain, sys.SOCK_STREAM));
    await server.bind(listener, { address: loopback, port: 0 });
    await server.listen(listener, 1);
    const address = await server.getsockname(listener);
    const fd = owned.own(await client.socket(domain, sys.SOCK_STREAM));
    await Promise.all([client.connect(fd, address)]);
    const accepted = await server.accept(listener);
    owned.own(accepted.fd);

    const cookie = sys.getOption(fd, 'SO_COOKIE');
    t.false([...snapshot()].some((row) => row.cookie === cookie));
    using inside = new SockDiag(await server.socket(...SockDiag.socket));
    const row = [...inside.snapshot()].find((each) => each.cookie === cookie);
    t.is(row?.state, 'ESTABLISHED');
    t.is(row?.remote.port, address.port);

    const outside = tcp(owned, domain === sys.AF_INET ? families[0] : families[1]);
    t.not(sys.getOption(outside, 'SO_NETNS_COOKIE'), sys.getOption(fd, 'SO_NETNS_COOKIE'));
  }
});

asRoot(`the same port, inside and outside`, async (t) => {
  const owned = ownedBy(t);
  const actor = await actorOf(t);
  await actor.unshare(sys.CLONE_NEWNET);
  await loopbackUp(actor, owned);
  const outside = tcp(owned);
  sys.bind(outside, { address: '127.0.0.1', port: 0 });
  const inside = owned.own(await actor.socket(sys.AF_INET, sys.SOCK_STREAM));
  await actor.bind(inside, sys.getsockname(outside));
  t.deepEqual(sys.getsockname(inside), sys.getsockname(outside));
});

asRoot(`a program that an actor spawns inherits its namespace`, async (t) => {
  const owned = ownedBy(t);
  const actor = await actorOf(t);
  await actor.unshare(sys.CLONE_NEWNET);
  const netns = owned.own(await actor.open(OWN, FLAGS));
  const [from, to] = sys.pipe2(sys.O_CLOEXEC).map((fd) => owned.own(fd)) as [number, number];
  const { pidfd } = await actor.spawn('/bin/readlink', {
    argv: ['readlink', '/proc/self/ns/net'],
    stdio: [from, to, to],
  });
  owned.own(pidfd);
  owned.close(to);
  t.is(sys.waitid(sys.P_PIDFD, pidfd).status, 0);
  const buffer = Buffer.alloc(64);
  t.is(buffer.toString('utf8', 0, sys.read(from, buffer)), `${namespaceOf(netns)}\n`);
});

asRoot(`a blocked call in a namespace can be aborted like any other`, async (t) => {
  const owned = ownedBy(t);
  const actor = await actorOf(t);
  const tid = await actor.gettid();
  await actor.unshare(sys.CLONE_NEWNET);
  const fd = owned.own(await actor.socket(sys.AF_INET, sys.SOCK_STREAM));
  await actor.listen(fd, 1);
  const abort = new AbortController();
  const accepting = actor.accept(fd, { signal: abort.signal });
  await blockedIn(tid, 'accept');
  abort.abort();
  await t.throwsAsync(promptly(accepting), { name: 'AbortError' });
});

test('Actor.start() in what is no namespace: setns says why, and no thread is left', async (t) => {
  const owned = ownedBy(t);
  t.like(await t.throwsAsync(sys.Actor.start({ netns: 100_000 })), {
    name: 'SyscallError',
    syscall: 'setns',
    code: 'EBADF',
  });
  t.like(await t.throwsAsync(sys.Actor.start({ netns: tcp(owned) })), {
    syscall: 'setns',
    code: 'EINVAL',
  });
  const uts = owned.own(sys.open('/proc/self/ns/uts', FLAGS));
  t.like(await t.throwsAsync(sys.Actor.start({ netns: uts })), {
    syscall: 'setns',
    code: 'EINVAL',
  });
});

if (!newNamespace.held) {
  test('a plain user is told so: unshare() and setns() are EPERM', async (t) => {
    const owned = ownedBy(t);
    const actor = await actorOf(t);
    await t.throwsAsync(actor.unshare(sys.CLONE_NEWNET), { code: 'EPERM' });
    const own = owned.own(sys.open(OWN, FLAGS));
    t.like(await t.throwsAsync(sys.Actor.start({ netns: own })), {
      syscall: 'setns',
      code: 'EPERM',
    });
  });
}
