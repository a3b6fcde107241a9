import { spawnSync } from 'node:child_process';
import test from 'ava';
import { fitted, widthOf } from '../../src/report/width.js';

const texts = [
  '',
  'CLOSE_WAIT',
  '서버가 닫지 않았다',
  '서버'.normalize('NFD'),
  'ｆｕｌｌ　width、漢字かなカナ',
  'é e\u0301 ñ Ω ж',
  '⏰ 🚀',
  '𠀀',
];

test('as many columns as the C library says', (t) => {
  for (const text of texts) {
    const { stdout } = spawnSync('wc', ['-L'], {
      ...{ input: text, encoding: 'utf8' },
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    t.is(widthOf(text), Number(stdout), text);
  }
});

test('a text that is made to fit takes just the columns it may', (t) => {
  for (const text of texts) {
    for (let width = 1; width < 24; width++) t.is(widthOf(fitted(text, width)), width, text);
  }
  t.is(fitted('닫지', 4), '닫지');
  t.is(fitted('닫지', 3), '닫~');
  t.is(fitted('닫지', 2), '~ ');
});
