/** Threads: their numbers are no process's, and one that goes on has what its process's first has left. */
import { fstatSync } from 'node:fs';
import { diagnose } from '../../src/diagnose/diagnose.js';
import { guard } from '../../src/diagnose/guard.js';
import { descriptorUseOf } from '../../src/diagnose/limits.js';
import { CannotRelease, findTarget } from '../../src/diagnose/release.js';
import { Watch } from '../../src/diagnose/watch.js';
import { livingThreadOf, numbersIn, processOfThread } from '../../src/observer/proc.js';
import * as sys from '../../src/syscall/sys.js';
import { compiled, Program, scratch } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { connected } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';
import { testUnless } from '../world/ability.js';
import { languages } from './servers.js';

const { pid } = process;
const noCompiler = languages[0]?.missing;
const threads = numbersIn('/proc/self/task').filter((tid) => tid !== pid);

test("a thread's number is refused: no list of processes has it", async (t) => {
  const [tid = 0] = threads;
  t.is(processOfThread(tid), pid);
  t.is(processOfThread(pid), pid);
  const reason = `pid ${tid}: a thread of process ${pid}`;
  const { sockets, sufficient, incomplete } = await diagnose({ pids: [tid] });
  t.deepEqual([sockets.length, sufficient, incomplete.includes(reason)], [0, false, true]);
  await t.throwsAsync(Watch.open({ pids: [tid] }), { instanceOf: RangeError, message: reason });
  t.throws(() => guard({ pid: tid }), { instanceOf: RangeError, message: reason });
  t.throws(() => findTarget(tid, 0), { instanceOf: CannotRelease, message: /is a thread/ });
});

function isOver(holder: number): boolean {
  try {
    findTarget(holder, 7);
    return false;
  } catch (error) {
    return error instanceof CannotRelease && error.message.includes('(CLOSE)');
  }
}

testUnless(noCompiler, 'what the first thread has left when it ended', async (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  // Whose standard input is the connection passes it on under another number: it reads from the other.
  const sh = ['sh', '-c', 'exec "$0" 7<&0 <&1', compiled(scratch(t), 'leaderless')];
  const { pid: leaderless, ...program } = new Program(t, sh, server);
  await until(
    () => livingThreadOf(leaderless) !== leaderless,
    () => JSON.stringify(program),
  );
  const { ino } = fstatSync(server);
  owned.close(server);
  t.like(findTarget(leaderless, 7), { inode: ino, state: 'ESTABLISHED' });
  t.true((descriptorUseOf(leaderless)?.open ?? 0) >= 5);

  sys.setOption(client, 'SO_LINGER', { on: true, seconds: 0 });
  owned.close(client);
  await until(
    () => isOver(leaderless),
    () => 'the RST has not come',
  );
  const { sockets } = await diagnose({ pids: [leaderless], settleMs: 50 });
  t.like(sockets, [{ pid: leaderless, fd: 7, inode: ino, cause: 'ghost', state: 'CLOSE' }]);
  using watch = await Watch.open({ pids: [leaderless] });
  t.true(watch.goesOn);
  await watch.look();
  t.like(await watch.look(), { leaks: 1, groups: [{ pid: leaderless, cause: 'ghost' }] });
});
