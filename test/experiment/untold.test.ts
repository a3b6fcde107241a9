import test from 'ava';
import { untold } from '../../src/experiment/disagreement.js';
import { Timeline } from '../../src/experiment/timeline.js';
import { sample, server, transition } from '../fixture/sightings.js';

const UNTIL = 10n ** 12n;

test('a state that no hit told of is told from one that was told of at another time', (t) => {
  using timeline = new Timeline({ originNs: 0n });
  timeline.serverListens(server);
  const hits = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
  const looks = timeline.open({ name: 'polling', latenessNs: 10_000, states: 'samples' });
  hits.push(transition(10, 'client', 'CLOSE', 'SYN_SENT'));
  hits.push(transition(20, 'client', 'SYN_SENT', 'ESTABLISHED'));
  hits.push(transition(5_000, 'client', 'ESTABLISHED', 'FIN_WAIT1'));
  looks.push(sample(9_000, 'client', 'ESTABLISHED'));
  looks.push(sample(12_000, 'client', 'CLOSE'));
  for (const feed of [hits, looks]) feed.advance(UNTIL);
  timeline.close();
  const contradictions = timeline.findings.filter(({ kind }) => kind === 'contradiction');
  t.is(contradictions.length, 2);
  t.deepEqual(
    untold(timeline.findings, timeline.events).map(({ values }) => values['polling']),
    ['CLOSE'],
  );
});

test('a transition between two that do not join has not been told of', (t) => {
  using timeline = new Timeline({ originNs: 0n });
  timeline.serverListens(server);
  const hits = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
  hits.push(transition(10, 'client', 'CLOSE', 'SYN_SENT'));
  hits.push(transition(20, 'client', 'ESTABLISHED', 'FIN_WAIT1'));
  hits.advance(UNTIL);
  timeline.close();
  t.is(untold(timeline.findings, timeline.events).length, 1);
});
