/**
 * Calls everything that `closewait/syscall` exports, and everything an actor can do, with arguments that make no sense; a program of
 * its own, since what it looks for would take a test runner down with it.
 *
 * usage: node junk.js SEED RUNS LOG. LOG holds the call that was under way when the process died.
 */
import { openSync, readdirSync, writeSync } from 'node:fs';
import fc from 'fast-check';
import * as sys from '../../src/syscall/sys.js';
import { type Argument, isClear, type Kind, kinds, open } from './junk-argument.js';

const [seed = 0, runs = 100] = process.argv.slice(2, 4).map(Number);
const log = openSync(process.argv[4] ?? '/dev/null', 'w');

/** What each function takes. One that is missing here fails the run. */
const parameters: Record<string, readonly Kind[]> = {
  accept: ['fd', 'any'],
  accept4: ['fd', 'any'],
  attachFilter: ['fd', 'any', 'any'],
  attachedFilter: ['fd'],
  bind: ['fd', 'any'],
  clock_getres: ['any'],
  clock_gettime: ['any'],
  close: ['fd'],
  connect: ['fd', 'any'],
  decodeAddress: ['any', 'any'],
  decodeDirents: ['any'],
  dup: ['fd'],
  dup3: ['fd', 'newfd', 'any'],
  encodeAddress: ['any'],
  epoll_create1: ['any'],
  epoll_ctl: ['fd', 'any', 'fd', 'any', 'any'],
  epoll_wait: ['fd', 'any', 'ms'],
  errnoName: ['any'],
  errnoText: ['any'],
  eventfd: ['any', 'any'],
  fcntl: ['fd', 'any', 'any'],
  getOption: ['fd', 'option', 'any'],
  getdents64: ['fd', 'any'],
  getpeername: ['fd'],
  getsockname: ['fd'],
  getsockopt: ['fd', 'any', 'any', 'any'],
  gettid: ['any'],
  inet_ntop: ['any', 'any'],
  inet_pton: ['any', 'any'],
  ioctl: ['fd', 'any', 'any'],
  listen: ['fd', 'any'],
  lseek: ['fd', 'any', 'any'],
  nanosleep: ['seconds'],
  open: ['any', 'any', 'any'],
  openat: ['fd', 'any', 'any', 'any'],
  pidfd_getfd: ['fd', 'fd', 'any'],
  pidfd_open: ['any', 'any'],
  pidfd_send_signal: ['pidfd', 'any'],
  pipe2: ['any'],
  poll: ['any', 'ms'],
  read: ['fd', 'any'],
  readlinkat: ['fd', 'any', 'any'],
  getxattr: ['any', 'any', 'any'],
  readv: ['fd', 'any'],
  recv: ['fd', 'any', 'any'],
  recvmsg: ['fd', 'any', 'any'],
  send: ['fd', 'any', 'any'],
  sendmsg: ['fd', 'any', 'any'],
  sendto: ['fd', 'any', 'any', 'any'],
  sequence: ['any', 'any', 'any', 'any'],
  setOption: ['fd', 'option', 'any'],
  setns: ['fd', 'flags'],
  setsockopt: ['fd', 'any', 'any', 'any'],
  shutdown: ['fd', 'any'],
  sleep: ['seconds'],
  socket: ['any', 'any', 'any'],
  socketpair: ['any', 'any', 'any'],
  spawn: ['any', 'any'],
  syscallName: ['any'],
  unshare: ['flags'],
  waitid: ['any', 'any', 'any'],
  write: ['fd', 'any'],
  writev: ['fd', 'any'],
  'Actor.start': ['any'],
  'Descriptors.own': ['fd'],
};
const classes = ['AbortError', 'Descriptors', 'SyscallError'];

/** An option's value is many things, and not each of their refusals has a code; nor do bytes that make no entry. */
const withoutCode = ['decodeDirents', 'getOption', 'setOption'];

/** What is not a function of `sys`, as one. */
const others: Record<string, (...args: never[]) => unknown> = {
  'Actor.start': async (options: sys.ActorOptions) => (await sys.Actor.start(options)).stop(),
  'Descriptors.own': (fd: number) => {
    using owned = new sys.Descriptors();
    owned.own(fd);
  },
};

/** The arguments of a function, some of the last left out. */
const argumentsOf = (name: string): fc.Arbitrary<Argument[]> =>
  fc
    .tuple(fc.tuple(...(parameters[name] ?? []).map((kind) => kinds[kind])), fc.nat({ max: 9 }))
    .map(([all, cut]) => (cut < all.length ? all.slice(0, cut) : all));

function allowed(error: unknown, name: string): boolean {
  const refused = error instanceof TypeError || error instanceof RangeError;
  return (refused && withoutCode.includes(name)) || isClear(error);
}

// ioctl is given junk, but nothing that would set an interface, whatever its number.
const harmful = (name: string, [, request]: unknown[]): boolean =>
  name === 'ioctl' &&
  typeof request === 'number' &&
  request >= 0x8900 &&
  request < 0x8a00 &&
  request !== sys.SIOCATMARK;

let baseline = new Set<string>();

function closeAll(): void {
  for (const fd of readdirSync('/proc/self/fd')) {
    if (baseline.has(fd)) continue;
    try {
      sys.close(Number(fd));
    } catch {
      // The listing's own.
    }
  }
}

const note = (what: string): number => writeSync(log, what.padEnd(400).slice(0, 400), 0);

type Loose = Record<string, (...args: unknown[]) => unknown>;

async function check(
  name: string,
  run: (...args: unknown[]) => unknown,
  numRuns = runs,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(argumentsOf(name), async (list) => {
      note(`${name}(${list.map((each) => fc.stringify(each)).join(', ')})`);
      const world = open();
      try {
        const args = list.map((each) => each.create(world));
        if (harmful(name, args)) return;
        await run(...args);
      } catch (error) {
        if (!allowed(error, name)) throw error;
      } finally {
        closeAll();
      }
    }),
    { seed, numRuns },
  );
}

const actor = await sys.Actor.start();
await actor.gettid();
baseline = new Set(readdirSync('/proc/self/fd'));

const exported = Object.entries(sys).filter(([, value]) => typeof value === 'function');
for (const [name, fn] of exported) {
  if (classes.includes(name)) continue;
  if (parameters[name] === undefined) throw new Error(`${name} has no row in junk.ts`);
  // What comes back may be a promise of the arguments' own: it is not waited for.
  await check(name, (...args) => void (fn as Loose[string])(...args));
  const asked = (actor as unknown as Loose)[name];
  if (asked !== undefined)
    await check(name, (...args) => asked.apply(actor, args) as Promise<unknown>);
}
// One value in a thousand would meet the one option it breaks: each gets its own, if fewer, since there are many.
for (const option of Object.keys(sys.socketOptions) as sys.SocketOptionName[]) {
  const set = (fd: unknown, _: unknown, value: unknown) =>
    sys.setOption(fd as number, option, value as never);
  await check('setOption', set, Math.ceil(runs / 2));
}
for (const [name, fn] of Object.entries(others)) {
  if (parameters[name] === undefined) throw new Error(`${name} has no row in junk.ts`);
  await check(name, fn as Loose[string]);
}
await actor.stop();
note('');
process.stdout.write(`${exported.length - classes.length} functions, seed ${seed}\n`);
