// What the rows say about privileges, whoever runs the tests: in a user namespace of its own even root has none over the
// network it is in.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as sys from '../../src/syscall/sys.js';
import { testWith } from '../fixture/privilege.js';

const SCRIPT = fileURLToPath(new URL('./option-refused.js', import.meta.url));
const inUserNamespace = (...command: string[]) =>
  spawnSync('unshare', ['--user', '--map-root-user', ...command], { encoding: 'utf8' });

const userNamespace = {
  held: inUserNamespace('true').status === 0,
  reason: 'no user namespace can be made here',
};

testWith(userNamespace)('who lacks the capability that a row names is refused with EPERM', (t) => {
  const { status, stdout, stderr } = inUserNamespace(process.execPath, SCRIPT);
  t.is(status, 0, stderr);
  const rows = Object.entries(sys.socketOptions as Record<string, sys.SocketOption<unknown>>);
  const needy = rows.filter(([, { needs }]) => needs !== undefined).map(([name]) => name);
  t.true(needy.length > 10);
  t.deepEqual(
    JSON.parse(stdout),
    // socket(7) has no errno for SO_DEBUG; sk_setsockopt() has this one.
    Object.fromEntries(needy.map((name) => [name, name === 'SO_DEBUG' ? 'EACCES' : 'EPERM'])),
  );
});
