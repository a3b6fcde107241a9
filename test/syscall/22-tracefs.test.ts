import { readFileSync } from 'node:fs';
import { SyscallError } from '../../src/syscall/sys.js';
import * as module from '../../src/syscall/tracefs.js';
import { test } from '../fixture/descriptors.js';
import { noCompiler, numbersOf, valuesOf, withCompiler } from '../fixture/headers.js';

const { Tracefs } = module;

/** Why tracefs cannot be read here; undefined where it can. */
const noTracefs = ((): string | undefined => {
  try {
    Tracefs.open().close();
    return;
  } catch (error) {
    return String(error);
  }
})();
const withTracefs = noTracefs === undefined ? test : test.skip;
const note = noTracefs === undefined ? '' : ` (skipped: ${noTracefs})`;

withCompiler(`every number of tracefs.ts is the header's${noCompiler}`, (t) => {
  const ours = numbersOf(module);
  t.is(Object.keys(ours).length, 3);
  t.deepEqual(ours, valuesOf('linux/mount.h', Object.keys(ours)));
});

withTracefs(`a format is read, and nothing is mounted by it${note}`, (t) => {
  // Of its kind: others of the machine mount what they need, and take it away.
  const mounts = () =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(' - tracefs '));
  const before = mounts();
  using tracefs = Tracefs.open();
  const text = tracefs.read('events/sock/inet_sock_set_state/format');
  t.true(text.startsWith('name: inet_sock_set_state\n'));
  t.true(text.endsWith('\n'));
  t.deepEqual(mounts(), before);
});

withTracefs(`a file that is not there is ENOENT, with its path${note}`, (t) => {
  using tracefs = Tracefs.open();
  t.throws(() => tracefs.read('events/none/format'), {
    instanceOf: SyscallError,
    code: 'ENOENT',
    message: /events\/none\/format/,
  });
});

withTracefs(`closing twice is closing once; a closed one reads nothing${note}`, (t) => {
  const tracefs = Tracefs.open();
  tracefs.close();
  tracefs.close();
  t.throws(() => tracefs.read('events/sock/inet_sock_set_state/format'), { code: 'EBADF' });
});
