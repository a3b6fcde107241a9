import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Sighting } from '../../src/experiment/event.js';
import { Timeline } from '../../src/experiment/timeline.js';
import { frameComments } from '../../src/report/comments.js';
import { encodePcapng } from '../../src/report/pcapng.js';
import { closeWaitRun, noCapture } from '../fixture/run-on-timeline.js';
import {
  life,
  lifeCalls,
  lifeTransitions,
  sample,
  server,
  transition,
} from '../fixture/sightings.js';

/** Flags as tshark prints them. */
function hexOf(flags: string): string {
  const bits = [...flags].reduce((sum, flag) => sum | (1 << 'FSRP.UEW'.indexOf(flag)), 0);
  return `0x${bits.toString(16).padStart(4, '0')}`;
}

function commentsOf(sightings: readonly Sighting[]): (string | undefined)[] {
  using timeline = new Timeline({ originNs: 0n });
  timeline.serverListens(server);
  timeline.threadActs(1, 'client');
  timeline.threadActs(2, 'server');
  const feed = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
  for (const sighting of sightings) feed.push(sighting);
  timeline.close();
  const frames = sightings.flatMap(({ kind, tNs }) =>
    kind === 'segment' ? [{ tNs: Number(tNs) }] : [],
  );
  return frameComments(frames, timeline.events).map(({ comment }) => comment);
}

for (const { name, sightings, expected } of [
  {
    name: 'each frame has what it did to both ends, and the call that sent it',
    sightings: [...lifeCalls, ...lifeTransitions, ...life, sample(50_020, 'client', 'TIME_WAIT')],
    expected: [
      'client CLOSE -> SYN_SENT (tracepoint); in connect() by client',
      'client SYN_SENT -> ESTABLISHED (tracepoint); server LISTEN -> SYN_RECV (tracepoint); in connect() by client',
      'client ESTABLISHED; server SYN_RECV -> ESTABLISHED (tracepoint); in connect() by client',
      'client ESTABLISHED; server ESTABLISHED; in write() by client',
      'client ESTABLISHED; server ESTABLISHED; in write() by client',
      'client ESTABLISHED -> FIN_WAIT1 (tracepoint); server ESTABLISHED -> CLOSE_WAIT (tracepoint); in close() by client',
      'client FIN_WAIT1 -> FIN_WAIT2 (tracepoint); server CLOSE_WAIT',
      'client FIN_WAIT2 -> TIME_WAIT (tracepoint); server CLOSE_WAIT -> LAST_ACK (tracepoint); in close() by server',
      'client TIME_WAIT; server LAST_ACK -> CLOSE (tracepoint); in close() by server',
    ],
  },
  {
    name: 'a state that nobody saw is in brackets',
    sightings: life.slice(0, 2),
    expected: ['client [SYN_SENT]', 'client [SYN_SENT] -> [ESTABLISHED]; server [SYN_RECV]'],
  },
  {
    name: 'a change without a segment shows from the next frame on',
    sightings: [...life.slice(0, 3), transition(150, 'client', 'ESTABLISHED', 'CLOSE'), life[3]],
    expected: [
      'client [SYN_SENT]',
      'client [SYN_SENT] -> [ESTABLISHED]; server [SYN_RECV]',
      'client [ESTABLISHED]; server [SYN_RECV] -> [ESTABLISHED]',
      'client CLOSE; server [ESTABLISHED]',
    ],
  },
  {
    name: 'where the capture has no beginning, the states before stand alone',
    sightings: [transition(1, 'server', 'ESTABLISHED', 'CLOSE_WAIT'), ...life.slice(3, 5)],
    expected: ['server CLOSE_WAIT', 'server CLOSE_WAIT'],
  },
] as { name: string; sightings: Sighting[]; expected: string[] }[]) {
  test(name, (t) => {
    t.deepEqual(commentsOf(sightings), expected);
  });
}

test('a frame that is not on the timeline has no comment; two of one time have each its own', (t) => {
  using timeline = new Timeline({ originNs: 0n });
  timeline.serverListens(server);
  const feed = timeline.open({ name: 'capture', latenessNs: 0, delivers: 'in-order' });
  for (const each of life.slice(0, 2)) feed.push({ ...each, tNs: 1000n });
  timeline.close();
  const frames = [1000, 500, 1000, 1000].map((tNs) => ({ tNs }));
  t.deepEqual(
    frameComments(frames, timeline.events).map(({ comment }) => comment),
    [
      'client [SYN_SENT]',
      undefined,
      'client [SYN_SENT] -> [ESTABLISHED]; server [SYN_RECV]',
      undefined,
    ],
  );
});

const missing = ['tshark', 'capinfos'].filter(
  (program) => spawnSync(program, ['--version']).error !== undefined,
);
const reason = noCapture ?? (missing.length > 0 ? `needs ${missing.join(' and ')}` : undefined);
const onRun = reason === undefined ? test : test.skip;
onRun(`tshark and capinfos read a real run${reason ? ` (${reason})` : ''}`, async (t) => {
  const { run, events } = await closeWaitRun();
  t.is(run.record.reason, undefined);
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'run.pcapng');
  const frames = frameComments(run.frames, events).map(({ realtimeNs, ...frame }) => ({
    ...frame,
    timeNs: realtimeNs,
  }));
  const statistics = { timeNs: frames.at(-1)?.timeNs ?? 0n, received: frames.length, dropped: 3 };
  const lo = { name: 'lo', linkType: 'ethernet', comment: 'all of a run', statistics } as const;
  writeFileSync(file, encodePcapng(frames, { interfaces: [lo] }));

  const read = (program: string, ...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    t.is(status, 0, stderr);
    return stdout;
  };
  const fields = ['frame.comment', 'tcp.srcport', 'tcp.len', 'tcp.flags'];
  const rows = read(
    ...(['tshark', '-r', file, '-T', 'fields'] as const),
    ...fields.flatMap((field) => ['-e', field]),
  )
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
  t.deepEqual(
    rows,
    frames.map(({ comment, segment }) => [
      comment ?? '',
      String(segment.source.port),
      String(segment.payloadLength),
      hexOf(segment.flags),
    ]),
  );
  const comments = rows.map(([comment]) => comment ?? '');
  t.true(comments.every((comment) => comment !== ''));
  const fin = comments.find((comment) => comment.includes('FIN_WAIT1')) ?? '';
  t.regex(fin, /client ESTABLISHED -> \[?FIN_WAIT1\]?.*; server ESTABLISHED -> CLOSE_WAIT/);
  t.is(read('tshark', '-r', file, '-Y', '_ws.malformed || _ws.expert.group == "Malformed"'), '');
  t.is(read('tshark', '-r', file, '-Y', '!tcp'), '');
  t.regex(
    read('capinfos', '-M', '-c', file),
    new RegExp(`Number of packets:\\s+${frames.length}\\b`),
  );
});

test('the interface has its comment first, and its counts behind the frames', (t) => {
  const lo = { name: 'lo', linkType: 'raw' } as const;
  const bare = Buffer.from(encodePcapng([], { interfaces: [lo] }));
  const statistics = { timeNs: (1n << 32n) + 2n, received: 258, dropped: 1 };
  const full = Buffer.from(
    encodePcapng([], { interfaces: [{ ...lo, comment: 'why', statistics }] }),
  );
  const section = 28;
  const comment = '0100030077687900';
  t.is(full.subarray(section + 16, section + 24).toString('hex'), comment);
  t.is(
    full.subarray(bare.length + comment.length / 2).toString('hex'),
    '0500000034000000' +
      '00000000' +
      '01000000' +
      '02000000' +
      '040008000201000000000000' +
      '050008000100000000000000' +
      '00000000' +
      '34000000',
  );
});
