/** A packet is seen as it is sent. A busy machine may take it in much later: no source is to blame for that. */
import test from 'ava';
import type { Finding, Sighting } from '../../src/experiment/event.js';
import { findingsOf, type Story, samples } from '../fixture/findings.js';
import { life, lifeTransitions, sample, segment, transition } from '../fixture/sightings.js';

for (const { name, story } of [
  {
    name: 'a reset that a processor was slow to send, and slow to take',
    story: {
      transitions: [
        ...lifeTransitions.slice(0, 4),
        { ...transition(499, 'server', 'ESTABLISHED', 'CLOSE'), kind: 'send-reset' } as Sighting,
        transition(500, 'server', 'ESTABLISHED', 'CLOSE'),
        { ...transition(3e6, 'client', 'ESTABLISHED', 'CLOSE'), kind: 'receive-reset' } as Sighting,
        transition(3e6 + 1, 'client', 'ESTABLISHED', 'CLOSE'),
      ],
      packets: [
        ...life.slice(0, 5),
        segment(250_000, { end: 'server', flags: 'R.', sequence: 5001, acknowledgment: 1006 }),
      ],
    },
  },
  {
    name: 'a FIN that lay in a queue while a sampler looked, and led to a state that did not last',
    story: {
      samples: [
        ...samples.filter(({ tNs }) => tNs < 50_000_000n),
        sample(50_001, 'server', 'LAST_ACK'),
        sample(350_015, 'server', 'CLOSE'),
        sample(350_015, 'client', 'CLOSE'),
      ],
      packets: [
        ...life.slice(0, 8),
        segment(350_010, { end: 'client', flags: '.', sequence: 1007, acknowledgment: 5002 }),
      ],
    },
  },
  {
    name: 'a FIN that nobody has taken when all is over',
    story: {
      samples: samples.filter(({ tNs }) => tNs < 3_006_000n),
      packets: life.slice(0, 6),
    },
  },
] as { name: string; story: Story }[]) {
  test(`sources agree: ${name}`, (t) => {
    t.deepEqual(findingsOf(story), []);
  });
}

test('found: a reset that was taken before it was sent', (t) => {
  const findings = findingsOf({
    transitions: [
      ...lifeTransitions.slice(0, 4),
      { ...transition(600, 'server', 'ESTABLISHED', 'CLOSE'), kind: 'receive-reset' } as Sighting,
      transition(601, 'server', 'ESTABLISHED', 'CLOSE'),
    ],
    packets: [
      ...life.slice(0, 5),
      segment(2000, { end: 'client', flags: 'R.', sequence: 1006, acknowledgment: 5001 }),
    ],
  });
  t.is(findings.length, 1);
  t.like(findings[0], {
    ...{ kind: 'unexplained', end: 'server' },
    values: { tracepoint: 'receive-reset' },
  } as Partial<Finding>);
});
