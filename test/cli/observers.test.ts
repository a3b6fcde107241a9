import { test } from '../fixture/descriptors.js';
import { noNamespace, noOtherUser, testUnless } from '../world/ability.js';
import { CLI, closewait, finished } from './closewait.js';

test('observers: each under the same headings, and why one cannot; as JSON, the same', (t) => {
  const { code, stdout, stderr } = closewait('observers');
  t.is(code, 0);
  t.is(stderr, '');
  const rows = JSON.parse(closewait('observers', '--json').stdout) as Record<string, unknown>[];
  t.deepEqual(
    rows.map(({ name }) => name),
    [
      ...['TCP_INFO', 'sock_diag', 'BPF iterator', 'polling', 'sock_diag destroy', 'capture'],
      ...['tracepoint', 'process'],
    ],
  );
  for (const { name, available, reason, sees, blindTo, costs, needs, clock, via } of rows) {
    if (via !== undefined) t.true(stdout.includes(`${name}: available by ${via}`));
    if (available !== true) t.regex(String(reason), /./, `${name} says why not`);
    for (const text of [name, sees, blindTo, costs, needs, clock]) {
      t.true(stdout.includes(String(text)), `${text}`);
    }
  }
});

const ownUser = "only processes of one's own user: others need CAP_SYS_PTRACE";

for (const [who, reason, missing, ...command] of [
  ['root that may not trace', ownUser, noOtherUser, 'setpriv', '--bounding-set', '-sys_ptrace'],
  [
    'root of a namespace',
    'only processes of this user namespace',
    noNamespace ?? noOtherUser,
    ...['unshare', '--user', '--map-root-user'],
  ],
] as const) {
  testUnless(missing, `observers: ${who} does not see all processes`, async (t) => {
    const { stdout } = finished([...command, process.execPath, CLI, 'observers', '--json']);
    const rows = JSON.parse(stdout) as Record<string, unknown>[];
    t.is(rows.find(({ name }) => name === 'process')?.['reason'], reason);
  });
}
