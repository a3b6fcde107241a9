import test from 'ava';
import type { Sighting, TimelineEvent } from '../../src/experiment/event.js';
import { Timeline } from '../../src/experiment/timeline.js';
import { formatLadder } from '../../src/report/ladder.js';
import { closeWait } from '../../src/scenario/close-wait.js';
import { closeWaitRun, noCapture } from '../fixture/run-on-timeline.js';
import {
  crossing,
  enter,
  exit,
  life,
  lifeCalls,
  lifeTransitions,
  sample,
  segment,
  server,
  transition,
} from '../fixture/sightings.js';

const paint = (_style: string, text: string): string => text;

function eventsOf(...sightings: Sighting[]): TimelineEvent[] {
  using timeline = new Timeline({ originNs: 0n });
  timeline.serverListens(server);
  timeline.threadActs(1, 'client');
  timeline.threadActs(2, 'server');
  const feed = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
  for (const sighting of sightings) feed.push(sighting);
  timeline.close();
  return timeline.events;
}

/** The ladder without its heading. */
const ladder = (sightings: readonly Sighting[], width = 80): string[] =>
  formatLadder(eventsOf(...sightings), { width, paint })
    .trimEnd()
    .split('\n')
    .slice(1);

test('what leaves for a link and arrives nowhere ends on the way', (t) => {
  const fin = { end: 'client', flags: 'F.', sequence: 1001, acknowledgment: 5001 } as const;
  const ack = { end: 'server', flags: '.', sequence: 5001, acknowledgment: 1002 } as const;
  const lines = ladder([
    ...life.slice(0, 3),
    ...crossing(200, undefined, fin),
    ...crossing(300, 310, fin),
    ...crossing(320, undefined, ack),
  ]);
  t.deepEqual(
    lines.slice(3).map((line) => line.slice(11)),
    [
      '             | -- F. seq 1 ack 1 --x                  |',
      '             | -- F. seq 1 ack 1 -------------------->| [CLOSE_WAIT]',
      '             |                   x-- . seq 1 ack 2 -- |',
    ],
  );
});

test('a whole connection in 80 columns', (t) => {
  const events = eventsOf(
    ...[...lifeCalls, ...lifeTransitions, ...life],
    sample(50_020, 'client', 'TIME_WAIT'),
    { kind: 'moment', tNs: 60_000_000n, name: 'cured' },
  );
  t.is(
    formatLadder(events, { width: 80, paint }),
    `      step client                                                  server
      0 ns              |                                        | accept4()
  +80.0 us connect()    |                                        |
  +10.0 us SYN_SENT     | -- S seq 0 --------------------------->|
  +10.0 us ESTABLISHED  | <-------------------- S. seq 0 ack 1 --| SYN_RECV
  +10.0 us              | -- . seq 1 ack 1 --------------------->| ESTABLISHED
  +10.0 us = 0          |                                        |
  +10.0 us              |                                        | = 5
  +10.0 us              |                                        | read()
  +40.0 us write()      |                                        |
  +10.0 us              | -- P. seq 1:6 ack 1 len 5 ------------>|
  +10.0 us              | <--------------------- . seq 1 ack 6 --|
   +5.0 us = 5          |                                        |
   +5.0 us              |                                        | = 5
  +2.77 ms close()      |                                        |
  +10.0 us FIN_WAIT1    | -- F. seq 6 ack 1 -------------------->| CLOSE_WAIT
  +10.0 us = 0          |                                        |
 +39.99 ms FIN_WAIT2    | <--------------------- . seq 1 ack 7 --|
  +6.99 ms              |                                        | close()
  +10.0 us TIME_WAIT    | <-------------------- F. seq 1 ack 7 --| LAST_ACK
  +10.0 us              | -- . seq 7 ack 2 --------------------->| CLOSE
  +10.0 us              |                                        | = 0
  +9.98 ms              | cured                                  |
`,
  );
});

for (const { name, sightings, width, expected } of [
  {
    name: 'what segments imply and nobody saw is in brackets',
    sightings: life.slice(0, 3),
    expected: [
      '      0 ns [SYN_SENT]   | -- S seq 0 --------------------------->|',
      '  +10.0 us [ESTABLISHED]| <-------------------- S. seq 0 ack 1 --| [SYN_RECV]',
      '  +10.0 us              | -- . seq 1 ack 1 --------------------->| [ESTABLISHED]',
    ],
  },
  {
    name: 'a state seen long after its segment has a line of its own',
    sightings: [...life.slice(0, 2), sample(7000, 'client', 'ESTABLISHED')],
    expected: [
      '      0 ns [SYN_SENT]   | -- S seq 0 --------------------------->|',
      '  +10.0 us              | <-------------------- S. seq 0 ack 1 --| [SYN_RECV]',
      '  +6.89 ms ESTABLISHED  |                                        |',
    ],
  },
  {
    name: 'a state is shown once, whoever sees it again',
    sightings: [
      transition(10, 'client', 'ESTABLISHED', 'FIN_WAIT1'),
      sample(11, 'client', 'FIN_WAIT1'),
      transition(20, 'client', 'FIN_WAIT1', 'FIN_WAIT2'),
      sample(21, 'client', 'FIN_WAIT1', 10),
      sample(31, 'client', 'FIN_WAIT2', 10),
    ],
    expected: [
      '      0 ns FIN_WAIT1    |                                        |',
      '  +10.0 us FIN_WAIT2    |                                        |',
    ],
  },
  {
    name: 'a call inside which nothing happened takes one line; a thread of nobody none',
    sightings: [
      enter(10, 1, 'read', 3n),
      exit(20, 1, 'read', -11),
      enter(30, 9, 'futex'),
      exit(31, 9, 'futex'),
      enter(40, 2, 'clock_nanosleep'),
    ],
    expected: [
      '      0 ns read() = -11 |                                        |',
      '  +30.0 us              |                                        | clock_nanosl~',
    ],
  },
  {
    name: 'a call that has nothing to do with sockets is left out, one that something came of is not',
    sightings: [
      enter(1, 1, 'mmap'),
      exit(2, 1, 'mmap'),
      enter(3, 1, 'write', 9n),
      exit(4, 1, 'write', 8),
      enter(90, 1, 'write', 3n),
      life[0] as Sighting,
    ],
    expected: [
      '      0 ns write()      |                                        |',
      '  +10.0 us [SYN_SENT]   | -- S seq 0 --------------------------->|',
    ],
  },
  {
    name: 'a state an end is known to be in is not implied anew',
    sightings: [
      ...life.slice(0, 3),
      sample(150, 'client', 'CLOSE', 5),
      segment(9000, { end: 'client', flags: 'R', sequence: 1001 }),
    ],
    expected: [
      '      0 ns [SYN_SENT]   | -- S seq 0 --------------------------->|',
      '  +10.0 us [ESTABLISHED]| <-------------------- S. seq 0 ack 1 --| [SYN_RECV]',
      '  +10.0 us              | -- . seq 1 ack 1 --------------------->| [ESTABLISHED]',
      '  +30.0 us CLOSE        |                                        |',
      '  +8.85 ms              | -- R seq 1 --------------------------->| [CLOSE]',
    ],
  },
  {
    name: 'resets, segments sent again and the listener',
    sightings: [
      {
        ...transition(1, 'server', 'CLOSE', 'LISTEN'),
        remote: { address: '0.0.0.0', port: 0 },
      } as Sighting,
      segment(2, { end: 'client', flags: 'S' }),
      { ...transition(3, 'client', 'CLOSE', 'CLOSE'), kind: 'retransmit' } as Sighting,
      {
        ...transition(4, 'server', 'CLOSE', 'CLOSE'),
        ...{ kind: 'send-reset', reason: 'NO_SOCKET' },
      } as Sighting,
      segment(5, { end: 'server', flags: 'R.', acknowledgment: 1 }),
      { ...transition(6, 'client', 'CLOSE', 'CLOSE'), kind: 'receive-reset' } as Sighting,
    ],
    expected: [
      '      0 ns              |                                        | (LISTEN)',
      '   +1.0 us [SYN_SENT]   | -- S seq 0 --------------------------->|',
      '   +1.0 us              | * client sends again                   |',
      '   +1.0 us              | * server sends a reset: NO_SOCKET      |',
      '   +1.0 us [CLOSE]      | <-------------------- R. seq 0 ack 1 --|',
      '   +1.0 us              | * client takes a reset                 |',
    ],
  },
  {
    name: 'wide: arguments, windows and sources',
    sightings: [enter(0, 1, 'connect', 3n), ...lifeTransitions.slice(0, 1), ...life.slice(0, 1)],
    width: 120,
    expected: [
      '      0 ns connect(3)                |                                                      |',
      ' +100.0 us SYN_SENT (tracepoint)     | -- S seq 0 win 64 ---------------------------------->|',
    ],
  },
  {
    name: 'narrow: what does not fit is left out',
    sightings: [
      segment(1, { end: 'client', flags: 'P.', sequence: 4_000_000_000, payloadLength: 1448 }),
      segment(2, { end: 'client', flags: 'P.', sequence: 1, payloadLength: 65_483 }),
    ],
    width: 20,
    expected: [
      '      0 ns              | -- P. len 1448 --->|',
      '   +1.0 us              | -- P. len 65483 -->|',
    ],
  },
] as { name: string; sightings: Sighting[]; width?: number; expected: string[] }[]) {
  test(name, (t) => {
    t.deepEqual(ladder(sightings, width), expected);
  });
}

test('steps are in the largest unit that is no fraction', (t) => {
  const at = [0n, 999n, 1000n, 1_000_000n, 150_000_000n, 2_000_000_000n, 200_000_000_000n];
  let tNs = 0n;
  const moments = at.map((step): Sighting => {
    tNs += step;
    return { kind: 'moment', tNs, name: 'm' };
  });
  t.deepEqual(
    ladder(moments).map((line) => line.slice(0, 10).trim()),
    ['0 ns', '+999 ns', '+1.0 us', '+1.00 ms', '+150.0 ms', '+2.00 s', '+200 s'],
  );
});

test('colour is in addition: without it the text is the same', (t) => {
  const events = eventsOf(...lifeCalls, ...lifeTransitions, ...life);
  const styled = formatLadder(events, {
    width: 80,
    paint: (style, text) => `<${style}>${text}</${style}>`,
  });
  t.regex(styled, /<bold>.*client.*<\/bold>/);
  t.is(
    styled.replaceAll(/<\/?(bold|dim|green|red|yellow)>/g, ''),
    formatLadder(events, { width: 80, paint }),
  );
});

test('a segment that the receiver discarded ends in a cross, and leads nowhere', (t) => {
  const events = eventsOf(...life).map((event) =>
    event.kind === 'segment' && event.flags.includes('F')
      ? { ...event, discarded: true as const }
      : event,
  );
  const lines = formatLadder(events, { width: 80, paint }).split('\n');
  const fins = lines.filter((line) => line.includes(' F. '));
  t.regex(fins[0] ?? '', /\[FIN_WAIT1\] +\| -- F\. seq 6 .* -+x\|\s*$/);
  t.regex(fins[1] ?? '', /\| x-+ F\. seq 1 .* --\|/);
  t.false(lines.some((line) => /CLOSE_WAIT|TIME_WAIT/.test(line)));
});

test('names in scripts of two columns keep the lanes; control characters do nothing', (t) => {
  const names = [
    '서버가 소켓을 닫지 않았다, 그래서 CLOSE_WAIT 상태로 남는다',
    '서버'.normalize('NFD'),
    'a\x1b[2J\nb',
  ];
  const lines = ladder(names.map((name, i) => ({ kind: 'moment', tNs: BigInt(i) * 1000n, name })));
  t.deepEqual(
    lines.map((line) => line.slice(11)),
    [
      '             | 서버가 소켓을 닫지 않았다, 그래서 CLOS~|',
      `             | ${names[1]}                                   |`,
      '             | a?[2J?b                                |',
    ],
  );
});

test('no events make a heading', (t) => {
  t.regex(formatLadder([], { width: 80, paint }), /^ +step client +server\n$/);
});

const onRun = noCapture === undefined ? test : test.skip;
onRun(`a real run fits its width${noCapture ? ` (${noCapture})` : ''}`, async (t) => {
  const { run, events } = await closeWaitRun();
  t.is(run.record.reason, undefined);
  // A busy machine's kernel may have sent one again.
  const flags = run.frames.map(({ segment }) => segment.flags);
  t.true(flags.length >= (closeWait.segments ?? []).length);
  for (const width of [60, 80, 132]) {
    const lines = formatLadder(events, { width, paint }).trimEnd().split('\n');
    for (const line of lines) t.true(line.length <= width, `${line.length}: ${line}`);
    const arrows = lines.flatMap((line) => /\| (?:--|<-).*? ([SFRP.]+) /.exec(line)?.[1] ?? []);
    t.deepEqual(arrows, flags);
    const shown = lines.join('\n');
    for (const state of ['FIN_WAIT2', 'CLOSE_WAIT', 'TIME_WAIT', 'LAST_ACK']) {
      t.true(shown.includes(state), state);
    }
    for (const { name } of run.record.moments) t.true(shown.includes(`| ${name} `), name);
  }
});
