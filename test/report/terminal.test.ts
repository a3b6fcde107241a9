/** The layout of the report, from a run of the real kernel that was kept; test/experiment holds what a run says. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import type { Run, RunRecord } from '../../src/experiment/record.js';
import { formatJson } from '../../src/report/json.js';
import { formatLosses, formatRun, formatVerdict, type Paint } from '../../src/report/terminal.js';
import { closeWait } from '../../src/scenario/close-wait.js';
import { decodeFrame } from '../../src/tcp/segment.js';

// The report prints local time.
process.env['TZ'] = 'UTC';

const FIXTURES = new URL('../../../test/fixture/', import.meta.url);

interface Kept {
  readonly record: RunRecord;
  readonly frames: readonly { realtimeNs: string; tNs: number; bytes: string }[];
}

const kept = (): Kept =>
  JSON.parse(readFileSync(new URL('close-wait-run.json', FIXTURES), 'utf8')) as Kept;

/** The run that was kept, with another record where one is given. */
function runOf(changes: Partial<RunRecord> = {}): Run {
  const { record, frames } = kept();
  return {
    record: { ...record, ...changes },
    frames: frames.map(({ realtimeNs, tNs, bytes: hex }) => {
      const bytes = Buffer.from(hex, 'hex');
      const { segment } = decodeFrame(bytes, { linkType: 'ethernet' });
      if (segment === undefined) throw new Error('not a TCP segment');
      return {
        ...{ tap: 'lo', realtimeNs: BigInt(realtimeNs), tNs, bytes, segment },
        wireLength: bytes.length,
      };
    }),
  };
}

const plain: Paint = (_style, text) => text;
const marked: Paint = (style, text) => `<${style}>${text}</${style}>`;

test('a clock that was set while packets came is said', (t) => {
  const { record } = kept();
  const observers = record.observers.map((each) =>
    each.name === 'capture' ? { ...each, clockSetMs: [5000, -0.25] } : each,
  );
  const said =
    /^<yellow>the clock was set meanwhile, by (.*): what capture saw may be .*<\/yellow>$/m;
  const text = formatRun(runOf({ observers }), closeWait, marked);
  t.is(said.exec(text)?.[1], '5.000 s, -0.000 s');
  t.notRegex(formatRun(runOf(), closeWait, marked), /the clock was set/);
});

test('what was missed, and what was not kept, is said', (t) => {
  const { record } = kept();
  const observers = record.observers.map((each) => ({
    ...each,
    lost: each.name === 'capture' ? 7 : 0,
  }));
  const what = 'the timeline kept none of its first 9 events';
  const findings = [{ kind: 'lost', what, sources: [], values: { lost: 9 } }] as const;
  t.is(
    formatLosses(runOf({ observers, findings }), marked),
    `<yellow>capture missed 7, at most: what it alone says proves nothing</yellow>\n<yellow>${what}</yellow>\n`,
  );
  t.true(formatRun(runOf({ findings }), closeWait, plain).includes(`\n${what}\n`));
  t.is(formatLosses(runOf(), marked), '');
});

test('the whole report, as it was read and found right', (t) => {
  // Made by this very call; read line by line beside the article before it was kept.
  const golden = readFileSync(new URL('close-wait-run.txt', FIXTURES), 'utf8');
  t.is(formatRun(runOf(), closeWait, plain), golden);
});

test('paint is all that colours change', (t) => {
  const text = formatRun(runOf(), closeWait, marked);
  t.is(text.replace(/<\/?(bold|dim|green|red|yellow)>/g, ''), formatRun(runOf(), closeWait, plain));
  t.regex(text, /<bold>close-wait: .*<\/bold>/);
  t.regex(text, /<green>reproduced<\/green> close-wait/);
});

test('a packet is shown once, in the moment it came in', (t) => {
  const lines = formatRun(runOf(), closeWait, plain)
    .split('\n')
    .filter((line) => line.includes('Flags ['));
  t.is(lines.length, kept().frames.length);
});

test('what was not seen is named, with the reason', (t) => {
  const observers = [{ name: 'capture', available: false, reason: 'needs CAP_NET_RAW' }];
  const text = formatRun({ ...runOf({ observers }), frames: [] }, closeWait, plain);
  t.regex(text, /^not seen: capture: needs CAP_NET_RAW$/m);
  t.notRegex(text, /Flags \[/);
  t.regex(
    text,
    /^- Not compared, as no packet that shows it was seen; capture needs CAP_NET_RAW: the bytes of "test", when the FIN was acknowledged, how long LAST_ACK lasted\.$/m,
  );
  const beside = /^- Not compared.*seen: how long LAST_ACK lasted\.$/m;
  const run = runOf();
  t.notRegex(formatRun(run, closeWait, plain), beside);
  t.regex(formatRun({ ...run, frames: run.frames.slice(0, -1) }, closeWait, plain), beside);
});

test('a failed check has both values, and the verdict the first of them', (t) => {
  const failed = {
    what: 'client is in FIN_WAIT2',
    expected: 'FIN_WAIT2',
    observed: 'CLOSE',
    source: 'sock_diag',
    ok: false,
  } as const;
  const changes = {
    ok: false,
    verdict: 'not-reproduced',
    reason: 'the first thing that went wrong',
    checks: [failed],
  } as const;
  const text = formatRun(runOf(changes), closeWait, plain);
  t.regex(
    text,
    /^NOT OK client is in FIN_WAIT2: expected "FIN_WAIT2", observed "CLOSE" \(sock_diag\)$/m,
  );
  t.true(
    text.endsWith(
      'not-reproduced close-wait (program, 0 of 1 checks): the first thing that went wrong\n',
    ),
  );
  t.regex(formatVerdict(runOf(changes), marked), /^<red>not-reproduced<\/red>/);
});

test('a skipped run is one line without checks', (t) => {
  const changes = { verdict: 'skipped', reason: 'why', checks: [] } as const;
  t.is(formatVerdict(runOf(changes), marked), '<yellow>skipped</yellow> close-wait (program): why');
});

test('a run that broke off before its first moment is a report all the same', (t) => {
  const { record } = kept();
  const empty = { client: { path: [] }, server: { path: [] } };
  const run: Run = {
    record: {
      ...record,
      ...{ ok: false, verdict: 'not-reproduced', reason: 'it broke off', ends: empty },
      ...{ checks: [], events: [], moments: [], transcripts: {} },
    },
    frames: [],
  };
  t.regex(
    formatRun(run, closeWait, plain),
    /\nnot-reproduced close-wait \(program\): it broke off\n$/,
  );
});

test('JSON: one document and a newline; 64-bit numbers as decimal strings', (t) => {
  t.is(formatJson({ a: 1, b: 2n ** 60n }), '{\n  "a": 1,\n  "b": "1152921504606846976"\n}\n');
  const { record } = kept();
  t.deepEqual(JSON.parse(formatJson(record)), record);
});
