import test from 'ava';
import { isSampleOf } from '../../src/experiment/path.js';

const words = (text: string): string[] => text.split(' ').filter(Boolean);
const PATH = 'SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2';

for (const { seen, path, is, why } of [
  { seen: PATH, path: PATH, is: true, why: 'all of it' },
  { seen: 'FIN_WAIT1 FIN_WAIT2', path: PATH, is: true, why: 'the first look came late' },
  { seen: 'ESTABLISHED FIN_WAIT2', path: PATH, is: true, why: 'no look fell between' },
  { seen: 'FIN_WAIT2', path: PATH, is: true, why: 'one look' },
  { seen: '', path: PATH, is: false, why: 'no look' },
  { seen: 'ESTABLISHED FIN_WAIT1', path: PATH, is: false, why: 'it never came to its last state' },
  { seen: `${PATH} TIME_WAIT`, path: PATH, is: false, why: 'it went on' },
  { seen: 'FIN_WAIT1 ESTABLISHED FIN_WAIT2', path: PATH, is: false, why: 'in another order' },
  { seen: 'ESTABLISHED CLOSE_WAIT FIN_WAIT2', path: PATH, is: false, why: 'a state besides' },
  { seen: 'CLOSE', path: 'SYN_SENT CLOSE SYN_SENT CLOSE', is: true, why: 'the second attempt' },
]) {
  test(`${seen || 'nothing'} is ${is ? '' : 'not '}a sample of ${path}: ${why}`, (t) => {
    t.is(isSampleOf(words(seen), words(path)), is);
  });
}
