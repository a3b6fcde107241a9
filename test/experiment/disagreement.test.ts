import test from 'ava';
import type { Finding, Sighting } from '../../src/experiment/event.js';
import { Timeline } from '../../src/experiment/timeline.js';
import { findingsOf, type Story, samples, UNTIL } from '../fixture/findings.js';
import {
  crossing,
  life,
  lifeTransitions,
  sample,
  segment,
  server,
  transition,
} from '../fixture/sightings.js';

const without = (all: readonly Sighting[], ...leftOut: number[]): Sighting[] =>
  all.filter((_, index) => !leftOut.includes(index));

const FIN_OF_CLIENT = 5;
const ACK_OF_FIN = 6;
const FIN_OF_SERVER = 7;

for (const { name, story } of [
  { name: 'all three', story: { transitions: lifeTransitions, samples, packets: life } },
  { name: 'transitions and packets', story: { transitions: lifeTransitions, packets: life } },
  { name: 'samples and packets', story: { samples, packets: life } },
  { name: 'samples alone', story: { samples } },
  {
    name: 'a poll some microseconds behind a transition',
    story: {
      transitions: lifeTransitions,
      samples: [...samples.slice(0, 4), sample(3005, 'client', 'ESTABLISHED', 5)],
    },
  },
  {
    name: 'a state that fell between two looks',
    story: { samples: [...samples.slice(0, 4), sample(50012, 'client', 'TIME_WAIT', 49_000)] },
  },
  {
    name: 'a request that is forgotten, and no transition',
    story: {
      transitions: [],
      samples: [sample(112, 'server', 'SYN_RECV'), sample(500, 'server', 'CLOSE')],
    },
  },
  {
    name: 'a request from the port of a connection that has ended',
    story: {
      transitions: lifeTransitions,
      samples: [...samples, sample(90_000, 'server', 'SYN_RECV')],
    },
  },
  {
    name: 'a reset that was lost on a link',
    story: {
      transitions: [
        ...lifeTransitions.slice(0, 4),
        transition(500, 'client', 'ESTABLISHED', 'CLOSE'),
        { ...transition(501, 'client', 'ESTABLISHED', 'CLOSE'), kind: 'send-reset' } as Sighting,
      ],
      packets: [
        ...life.slice(0, 5),
        ...crossing(501, undefined, {
          ...{ end: 'client', flags: 'R.', sequence: 1006, acknowledgment: 5001 },
        }),
      ],
    },
  },
  {
    name: 'a FIN that was held on a link',
    story: {
      transitions: [
        ...lifeTransitions.slice(0, 5),
        transition(30_001, 'server', 'ESTABLISHED', 'CLOSE_WAIT'),
      ],
      packets: [
        ...life.slice(0, 5),
        ...crossing(3000, 30_000, {
          ...{ end: 'client', flags: 'F.', sequence: 1006, acknowledgment: 5001 },
        }),
      ],
    },
  },
  {
    name: 'a reset with its packet',
    story: {
      transitions: [
        ...lifeTransitions.slice(0, 4),
        transition(500, 'server', 'ESTABLISHED', 'CLOSE'),
        transition(501, 'client', 'ESTABLISHED', 'CLOSE'),
        { ...transition(499, 'server', 'ESTABLISHED', 'CLOSE'), kind: 'send-reset' } as Sighting,
        { ...transition(502, 'client', 'ESTABLISHED', 'CLOSE'), kind: 'receive-reset' } as Sighting,
      ],
      packets: [
        ...life.slice(0, 5),
        segment(500, { end: 'server', flags: 'R.', sequence: 5001, acknowledgment: 1006 }),
      ],
    },
  },
  {
    name: 'data after close: who sends the reset takes it for its own',
    story: {
      transitions: [
        ...lifeTransitions.slice(0, 4),
        transition(500, 'server', 'ESTABLISHED', 'CLOSE'),
        transition(501, 'client', 'ESTABLISHED', 'CLOSE'),
        { ...transition(499, 'server', 'ESTABLISHED', 'CLOSE'), kind: 'receive-reset' } as Sighting,
      ],
      packets: [
        ...life.slice(0, 5),
        segment(500, { end: 'server', flags: 'R.', sequence: 5001, acknowledgment: 1006 }),
      ],
    },
  },
  {
    name: 'a connection that was over before the sampler knew of it',
    story: { samples: [], packets: life },
  },
] as { name: string; story: Story }[]) {
  test(`sources agree: ${name}`, (t) => {
    t.deepEqual(findingsOf(story), []);
  });
}

for (const { name, story, expected } of [
  {
    name: 'a state no transition led to',
    story: { transitions: lifeTransitions, samples: [sample(20_000, 'server', 'CLOSING')] },
    expected: [
      {
        ...{ kind: 'contradiction', tNs: 2e7, end: 'server', sources: ['polling', 'tracepoint'] },
        values: { polling: 'CLOSING', tracepoint: ['CLOSE_WAIT'] },
      },
    ],
  },
  {
    name: 'a state that had long been left, reported once',
    story: {
      transitions: lifeTransitions,
      samples: [sample(20_000, 'client', 'ESTABLISHED'), sample(21_000, 'client', 'ESTABLISHED')],
    },
    expected: [
      {
        ...{ kind: 'contradiction', tNs: 2e7, end: 'client', sources: ['polling', 'tracepoint'] },
        values: { polling: 'ESTABLISHED', tracepoint: ['FIN_WAIT1'] },
      },
    ],
  },
  {
    name: 'a state, and no transition at all',
    story: { transitions: [], samples: [sample(20, 'client', 'ESTABLISHED')] },
    expected: [
      {
        ...{ kind: 'contradiction', tNs: 20_000, end: 'client' },
        values: { polling: 'ESTABLISHED', tracepoint: ['CLOSE'] },
      },
    ],
  },
  {
    name: 'a transition that is missing',
    story: { transitions: without(lifeTransitions, 8) },
    expected: [
      {
        ...{ kind: 'gap', end: 'server', sources: ['tracepoint'] },
        values: { tracepoint: ['CLOSE_WAIT', 'LAST_ACK', 'CLOSE'] },
      },
    ],
  },
  {
    name: 'the first transition, which is missing',
    story: { transitions: without(lifeTransitions, 0) },
    expected: [
      {
        ...{ kind: 'gap', end: 'client', sources: ['tracepoint'] },
        values: { tracepoint: ['CLOSE', 'SYN_SENT', 'ESTABLISHED'] },
      },
    ],
  },
  {
    name: 'CLOSE_WAIT without a FIN',
    story: {
      transitions: lifeTransitions.slice(0, 6),
      packets: without(life, FIN_OF_CLIENT, ACK_OF_FIN, FIN_OF_SERVER, 8),
    },
    expected: [
      {
        ...{ kind: 'unexplained', end: 'server', sources: ['tracepoint', 'capture'] },
        values: {
          tracepoint: 'ESTABLISHED -> CLOSE_WAIT',
          capture: ['client S', 'server S.', 'client .', 'client P.', 'server .'],
        },
      },
    ],
  },
  {
    name: 'TIME_WAIT without a FIN',
    story: { samples, packets: without(life, FIN_OF_SERVER, 8) },
    expected: [
      {
        ...{ kind: 'unexplained', end: 'client', sources: ['polling', 'capture'] },
        values: {
          polling: 'TIME_WAIT',
          capture: [
            ...['client S', 'server S.', 'client .', 'client P.', 'server .', 'client F.'],
            'server .',
          ],
        },
      },
    ],
  },
  {
    name: 'a state before the segment that leads to it',
    story: {
      transitions: [
        ...lifeTransitions.slice(0, 4),
        transition(500, 'server', 'ESTABLISHED', 'CLOSE_WAIT'),
        ...lifeTransitions.slice(8),
      ],
      packets: life,
    },
    expected: [
      { kind: 'unexplained', end: 'server' },
      ...['FIN_WAIT1', 'FIN_WAIT2'].map((state) => ({
        ...{ kind: 'unseen', end: 'client', sources: ['capture', 'tracepoint'] },
        values: {
          capture: state === 'FIN_WAIT1' ? 'FIN_WAIT1, F. sent' : 'FIN_WAIT2, . received',
          tracepoint: ['SYN_SENT', 'ESTABLISHED'],
        },
      })),
    ],
  },
  {
    name: 'a reset without its packet',
    story: {
      transitions: [
        { ...transition(60_000, 'client', 'CLOSE', 'CLOSE'), kind: 'send-reset' } as Sighting,
      ],
      packets: life.slice(0, 1),
    },
    expected: [
      { kind: 'unexplained', end: 'client', values: { tracepoint: 'send-reset' } },
      { kind: 'unseen', end: 'client' },
    ],
  },
  {
    name: 'a reset that was taken and lost',
    story: {
      transitions: [
        ...lifeTransitions.slice(0, 4),
        { ...transition(600, 'server', 'ESTABLISHED', 'CLOSE'), kind: 'receive-reset' } as Sighting,
      ],
      packets: [
        ...life.slice(0, 5),
        ...crossing(599, undefined, {
          ...{ end: 'client', flags: 'R.', sequence: 1006, acknowledgment: 5001 },
        }),
      ],
    },
    expected: [
      {
        ...{ kind: 'unexplained', end: 'server' },
        values: { tracepoint: 'receive-reset' },
      },
    ],
  },
  {
    name: 'CLOSE_WAIT by the packets, and polling that looked and saw none',
    story: { samples: samples.filter(({ tNs }) => tNs !== 3_006_000n), packets: life },
    expected: [
      {
        ...{ kind: 'unseen', tNs: 3e6, end: 'server', sources: ['capture', 'polling'] },
        values: {
          capture: 'CLOSE_WAIT, F. received',
          polling: ['SYN_RECV', 'ESTABLISHED', 'CLOSE'],
        },
      },
      // It lasted a few microseconds, and the tolerance is a hundred times that.
    ],
  },
] as { name: string; story: Story; expected: Partial<Finding>[] }[]) {
  test(`found: ${name}`, (t) => {
    const findings = findingsOf(story);
    t.is(findings.length, expected.length, JSON.stringify(findings, null, 1));
    for (const [index, row] of expected.entries()) t.like(findings[index], row);
  });
}

for (const { name, turns, found } of [
  { name: 'a FIN that arrived', turns: [], found: 1 },
  { name: 'a FIN that a filter threw away', turns: [{ tUs: 2_000, on: true }], found: 0 },
  {
    name: 'a FIN behind one that a filter threw away',
    turns: [
      { tUs: 2_000, on: true },
      { tUs: 2_500, on: false },
    ],
    found: 1,
  },
]) {
  test(`${name}, and a server that knows of none: ${found} finding`, (t) => {
    let nowNs = 0n;
    using timeline = new Timeline({ originNs: 0n, now: () => nowNs });
    timeline.serverListens(server);
    for (const { tUs, on } of turns) {
      nowNs = BigInt(tUs * 1000);
      timeline.discards('server', on);
    }
    const states = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
    const packets = timeline.open({ name: 'capture', latenessNs: 600, delivers: 'in-order' });
    for (const each of lifeTransitions.slice(0, FIN_OF_CLIENT)) states.push(each);
    for (const each of life.slice(0, FIN_OF_CLIENT + 1)) packets.push(each);
    for (const feed of [states, packets]) feed.advance(UNTIL);
    timeline.close();
    const unseen = timeline.findings.filter(({ kind }) => kind === 'unseen');
    t.is(unseen.length, found);
    const [fin] = timeline.events.filter((event) => event.kind === 'segment').slice(-1);
    t.is(fin?.discarded, found === 0 ? true : undefined);
  });
}

test('an end without a socket has no states to be seen', (t) => {
  const found = (ends?: readonly ('client' | 'server')[]): unknown[] => {
    using timeline = new Timeline({ originNs: 0n, ...(ends && { ends }) });
    timeline.serverListens(server);
    const packets = timeline.open({ name: 'capture', latenessNs: 0, delivers: 'in-order' });
    const states = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
    for (const each of life) packets.push(each);
    for (const each of lifeTransitions) {
      if ('local' in each && each.local.port === server.port) states.push(each);
    }
    packets.advance(UNTIL);
    states.advance(UNTIL);
    return timeline.findings.map(({ kind, end }) => `${kind} ${end}`);
  };
  t.deepEqual(found(['server']), []);
  t.true(found().length > 0);
  t.deepEqual(new Set(found()), new Set(['unseen client']));
});

test('found: what a source has lost', (t) => {
  using timeline = new Timeline();
  const feed = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
  feed.lose(3);
  t.like(timeline.findings, [{ kind: 'lost', sources: ['tracepoint'], values: { lost: 3 } }]);
});

test('nothing is found where a source has not been heard of', (t) => {
  using timeline = new Timeline({ originNs: 0n });
  timeline.serverListens(server);
  const packets = timeline.open({ name: 'capture', latenessNs: 0, delivers: 'in-order' });
  const states = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
  for (const each of life) packets.push(each);
  states.push(transition(1, 'server', 'CLOSE', 'CLOSE_WAIT'));
  states.close();
  packets.close();
  t.is(timeline.events.length, life.length + 1);
  t.deepEqual(
    timeline.findings.map(({ kind }) => kind),
    ['unexplained'],
    'the capture was heard of up to its last packet, the tracepoint never',
  );
});
