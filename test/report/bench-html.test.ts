import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import type { BenchRecord } from '../../src/experiment/bench-record.js';
import { formatBenchHtml } from '../../src/report/bench-html.js';
import { benchRecord, driverBench } from '../fixture/bench-record.js';

/** As much of playwright-core as is used: its own types want those of a browser, for the whole project. */
interface Page {
  on(event: 'console' | 'pageerror' | 'request', listener: (it: BrowserEvent) => void): void;
  goto(url: string): Promise<unknown>;
  evaluate(expression: string): Promise<unknown>;
}
interface BrowserEvent {
  text?(): string;
  url?(): string;
  readonly message?: string;
}
interface Playwright {
  readonly chromium: {
    launch(options: { executablePath: string; args: string[] }): Promise<{
      newPage(options: { colorScheme: 'light' | 'dark' }): Promise<Page>;
      close(): Promise<void>;
    }>;
  };
}
const { chromium } = createRequire(import.meta.url)('playwright-core') as Playwright;

const BROWSER = '/usr/bin/chromium';
const seen = existsSync(BROWSER) ? test : test.skip;
const why = existsSync(BROWSER) ? '' : ' (chromium is not installed)';

const record: BenchRecord = {
  ...benchRecord([
    driverBench('c'),
    driverBench('raw-composite', { p50Us: 7 }),
    driverBench('libuv', { bars: [] }),
  ]),
  doubts: ['a doubt with <b>brackets</b> & "quotes"'],
};

test('nothing on the page is fetched', (t) => {
  const page = formatBenchHtml(record);
  t.notRegex(page, /https?:|<script|<link(?! rel="icon" href="data:,")|@import|url\(/);
  t.regex(page, /a doubt with &#60;b&#62;brackets/);
  t.regex(page, /a CPU &#60;of&#62; some &#34;make&#34;/);
});

test('a benchmark of which nothing was measured is a page, too', (t) => {
  t.regex(formatBenchHtml({ ...record, modes: [] }), /<\/html>\n$/);
  const none = driverBench('c', { bars: [], states: {}, ratioToC: Number.NaN });
  t.notRegex(formatBenchHtml(benchRecord([none])), /NaN|Infinity|undefined/);
});

/** Contrast of two colours as rgb(...): WCAG 2, 1.4.3. */
function contrast(a: string, b: string): number {
  const luminance = (colour: string): number => {
    const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? [])
      .slice(0, 3)
      .map((text) => {
        const part = Number(text) / 255;
        return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

for (const colorScheme of ['light', 'dark'] as const) {
  seen(`${colorScheme}: Chromium draws the bars of the data, without an error${why}`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'bench.html');
    writeFileSync(file, formatBenchHtml(record));
    const browser = await chromium.launch({
      executablePath: BROWSER,
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    });
    try {
      const page = await browser.newPage({ colorScheme });
      const complaints: (string | undefined)[] = [];
      const requests: (string | undefined)[] = [];
      page.on('console', (message) => complaints.push(message.text?.()));
      page.on('pageerror', ({ message }) => complaints.push(message));
      page.on('request', (request) => requests.push(request.url?.()));
      const { href } = pathToFileURL(file);
      await page.goto(href);
      t.deepEqual(complaints, []);
      t.deepEqual(
        requests.filter((url) => !url?.startsWith('data:')),
        [href],
      );
      const ask = async <T>(expression: string): Promise<T> =>
        (await page.evaluate(expression)) as T;
      const all = (selector: string): string => `[...document.querySelectorAll('${selector}')]`;

      for (const { driver, bars, p999Us, states } of record.modes[0]?.drivers ?? []) {
        const own = `[data-mode="client-first"][data-driver="${driver}"]`;
        const drawn = bars.filter(([fromUs]) => fromUs <= p999Us * 1.05);
        const heights = await ask<number[]>(
          `${all(`rect.bar${own}`)}.map((bar) => bar.getBoundingClientRect().height)`,
        );
        t.is(heights.length, drawn.length, driver);
        const counts = drawn.map(([, count]) => count);
        const highest = heights.indexOf(Math.max(...heights));
        t.is(highest, counts.indexOf(Math.max(...counts)), 'the highest bar is the fullest');
        t.true(heights.every((height) => height > 0));
        const parts = await ask<number>(`${all(`rect.state${own}`)}.length`);
        t.is(parts, Object.keys(states ?? {}).length);
      }
      const [ground = '', ...inks] = await ask<string[]>(
        `[getComputedStyle(document.body).backgroundColor,
          ...['h1', 'p', 'th', 'td', 'li'].map((each) => getComputedStyle(document.querySelector(each)).color),
          ...['.tick', 'svg text'].map((each) => getComputedStyle(document.querySelector(each)).fill)]`,
      );
      t.is(inks.length, 7);
      for (const ink of inks) t.true(contrast(ink, ground) >= 4.5, `${ink} on ${ground}`);
      const fills = await ask<string[]>(`${all('rect')}.map((bar) => getComputedStyle(bar).fill)`);
      for (const fill of new Set(fills))
        t.true(contrast(fill, ground) >= 3, `${fill} on ${ground}`);
      const [wide = 0, window = 0] = await ask<number[]>(
        '[document.documentElement.scrollWidth, innerWidth]',
      );
      t.true(wide <= window, 'nothing is cut off at the side');
    } finally {
      await browser.close();
    }
  });
}
