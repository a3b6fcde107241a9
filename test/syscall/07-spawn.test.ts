/** What becomes of a process between clone(2) and execve(2), and of a program with who started it. */
import { readFileSync } from 'node:fs';
import * as sys from '../../src/syscall/sys.js';
import { whyNoTrace } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { runScript } from '../fixture/script.js';
import { connected, drain } from '../fixture/sockets.js';

/** Waits for the end of a program. */
function ended(owned: sys.Descriptors, { pid, pidfd }: sys.Spawned): sys.Spawned {
  sys.waitid(sys.P_PIDFD, owned.own(pidfd));
  return { pid, pidfd };
}

const SOCKETS = [sys.AF_UNIX, sys.SOCK_STREAM | sys.SOCK_CLOEXEC] as const;

/** Reads what a process writes at its latch. */
function pidTold(fd: number): number {
  const told = new Uint8Array(4);
  const length = sys.read(fd, told);
  if (length !== 4) throw new Error(`${length} bytes at the latch`);
  return new Int32Array(told.buffer)[0] ?? 0;
}

test('spawn(): at a latch the process tells its pid, and becomes the program when it is let on', (t) => {
  const owned = ownedBy(t);
  const [ours, latch] = sys.socketpair(...SOCKETS).map((fd) => owned.own(fd)) as [number, number];
  sys.write(ours, 'g');
  const [from, to] = sys.pipe2(sys.O_CLOEXEC).map((fd) => owned.own(fd)) as [number, number];
  const argv = ['sh', '-c', 'echo $$; ls -l /dev/fd/'];
  const { pid } = ended(owned, sys.spawn('/bin/sh', { argv, stdio: [to, to, to], latch }));
  owned.close(to);
  const text = drain(from).toString();
  t.is(pidTold(ours), pid);
  t.is(text.split('\n')[0], `${pid}`);
  t.notRegex(text, /socket:/, 'the latch is not passed on');
});

test('spawn(): at a latch that is shut it ends, and none is left', (t) => {
  const owned = ownedBy(t);
  const [ours, latch] = sys.socketpair(...SOCKETS).map((fd) => owned.own(fd)) as [number, number];
  sys.shutdown(ours, sys.SHUT_WR);
  const error = t.throws(() => sys.spawn('/bin/true', { argv: ['true'], latch })) as Error;
  t.like(error, { code: 'ECANCELED', syscall: 'read(latch)', path: '/bin/true' });
  t.throws(() => sys.waitid(sys.P_ALL, 0, sys.WEXITED | sys.WNOHANG), { code: 'ECHILD' });
});

test('spawn(): a wait at a latch ends with its signal, and none is left', async (t) => {
  const owned = ownedBy(t);
  const [ours, latch] = sys.socketpair(...SOCKETS).map((fd) => owned.own(fd)) as [number, number];
  await using actor = await sys.Actor.start({ name: 'spawner' });
  const tired = new AbortController();
  const options = { argv: ['true'], latch };
  const child = actor.spawn('/bin/true', options, { signal: tired.signal });
  const pid = pidTold(ours);
  tired.abort();
  await t.throwsAsync(child, { name: 'AbortError' });
  t.throws(() => sys.waitid(sys.P_PID, pid), { code: 'ECHILD' });
});

test('spawn(): at a latch a process keeps no connection open, and nobody else from going on', async (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const [ours, latch] = sys.socketpair(...SOCKETS).map((fd) => owned.own(fd)) as [number, number];
  await using waiting = await sys.Actor.start({ name: 'waiting' });
  const child = waiting.spawn('/bin/true', { argv: ['true'], latch });
  pidTold(ours);
  // It stands there, and was made with a copy of everything.
  owned.close(client);
  t.is(sys.read(server, new Uint8Array(1)), 0, 'the FIN has come');
  ended(owned, sys.spawn('/bin/true', { argv: ['true'] }));
  sys.write(ours, 'g');
  ended(owned, await child);
});

/** The number of a process's group, and its state: proc_pid_stat(5). */
const groupOf = (pid: number): number =>
  Number(/^.*\) \S \d+ (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1]);

test('spawn() with newGroup: what is typed at the terminal is not for it', (t) => {
  const owned = ownedBy(t);
  for (const newGroup of [false, true]) {
    const { pid, pidfd } = sys.spawn('/bin/sleep', { argv: ['sleep', '60'], newGroup });
    owned.own(pidfd);
    t.is(groupOf(pid), newGroup ? pid : groupOf(process.pid));
    sys.pidfd_send_signal(pidfd, sys.SIGKILL);
    sys.waitid(sys.P_PIDFD, pidfd);
  }
});

const isRoot = process.getuid?.() === 0;
const noTrace = isRoot ? whyNoTrace() : 'needs root';

const traced = noTrace === undefined ? test : test.skip;
const note = noTrace === undefined ? '' : ` (skipped: ${noTrace})`;

for (const newPid of [false, true]) {
  const title = `spawn() with${newPid ? '' : 'out'} newPid: who started it has died before it could wish to die with that`;
  traced(`${title}${note}`, (t) => {
    // Between clone(2) and prctl(2) there is a second for it.
    const slow = ['-e', 'trace=prctl', '-e', 'inject=prctl:delay_enter=1000000:when=1'];
    const { signal, stdout } = runScript(
      `
      const actor = await sys.Actor.start();
      const argv = ['sh', '-c', 'sleep 1; echo survived'];
      actor.spawn('/bin/sh', { argv, newPid: ${newPid} }).catch(() => {});
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), 200);`,
      [],
      ['strace', '-f', '-o', '/dev/null', ...slow, '--'],
    );
    t.is(signal, 'SIGKILL');
    t.is(stdout, '');
  });
}
