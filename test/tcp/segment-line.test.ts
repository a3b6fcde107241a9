import test from 'ava';
import type { SegmentBody } from '../../src/tcp/control-block.js';
import { formatSegment, type LineBase } from '../../src/tcp/segment-line.js';

const bare: SegmentBody = {
  flags: '.',
  sequence: 1001,
  acknowledgment: 5001,
  window: 64,
  urgent: 0,
  options: [],
  payload: new Uint8Array(),
};
const base: LineBase = { sequence: 1000, acknowledgment: 5000 };
const text = (data: string) => new TextEncoder().encode(data);

for (const { expected, ...made } of [
  { expected: '.  seq 1, ack 1, win 64' },
  { flags: 'R', expected: 'R  seq 1, win 64' },
  { flags: 'none', expected: 'none seq 1, win 64' },
  { flags: 'P.', payload: text('a"\n'), expected: 'P. seq 1:4, ack 1, win 64, "a\\"\\n"' },
  {
    flags: 'P.',
    payload: text('x'.repeat(33)),
    expected: `P. seq 1:34, ack 1, win 64, "${'x'.repeat(32)}"...`,
  },
  { flags: '.U', urgent: 7, expected: '.U seq 1, ack 1, win 64, urg 7' },
  { sequence: 999, expected: '.  seq -1, ack 1, win 64' },
  {
    base: { sequence: 0xffff_ffff, acknowledgment: 0xffff_fffe },
    sequence: 1,
    acknowledgment: 0,
    expected: '.  seq 2, ack 2, win 64',
  },
  {
    base: { sequence: undefined, acknowledgment: undefined },
    expected: '.  seq 1001, ack 5001, win 64',
  },
  {
    flags: 'S',
    sequence: 1000,
    options: [
      { kind: 'mss', value: 1460 },
      { kind: 'sackOK' },
      { kind: 'timestamps', value: 1, echoReply: 0 },
      { kind: 'nop' },
      { kind: 'wscale', value: 7 },
      { kind: 'eol' },
    ],
    expected: 'S  seq 0, win 64, mss 1460, sackOK, wscale 7',
  },
  {
    options: [
      {
        kind: 'sack',
        blocks: [
          [5006, 5007],
          [5010, 5020],
        ],
      },
      { kind: 'fastopen', cookie: new Uint8Array() },
      { kind: 'unknown', number: 254, data: new Uint8Array() },
    ],
    expected: '.  seq 1, ack 1, win 64, sack {6:7}{10:20}, fastopen, option 254',
  },
] as (Partial<SegmentBody> & { base?: LineBase; expected: string })[]) {
  test(expected, (t) => {
    const { base: own = base, ...changed } = made;
    t.is(formatSegment({ ...bare, ...changed }, own), expected);
  });
}
