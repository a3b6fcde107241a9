import { test } from '../fixture/descriptors.js';
import { closewait } from './closewait.js';

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
