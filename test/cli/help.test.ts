/** `closewait help`, and help for the article's two programs, whose command lines are their own. */
import test from 'ava';
import { closewait } from './closewait.js';

for (const name of ['server', 'client']) {
  for (const args of [
    [name, '--help'],
    [name, '-h'],
    ['help', name],
  ]) {
    test(`closewait ${args.join(' ')}`, (t) => {
      const { code, stdout, stderr } = closewait(...args);
      t.is(code, 0);
      t.true(stdout.startsWith(`Usage: closewait ${name} <`));
      t.is(stderr, '');
    });
  }
}

for (const [args, usage] of [
  [['help'], 'Usage: closewait [options] [command]'],
  [['help', 'help'], 'Usage: closewait [options] [command]'],
  [['help', 'run'], 'Usage: closewait run '],
] as const) {
  test(`closewait ${args.join(' ')}`, (t) => {
    const { code, stdout, stderr } = closewait(...args);
    t.is(code, 0);
    t.true(stdout.startsWith(usage), stdout);
    t.is(stderr, '');
  });
}
