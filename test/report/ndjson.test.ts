import test from 'ava';
import { Timeline } from '../../src/experiment/timeline.js';
import { formatNdjson } from '../../src/report/ndjson.js';
import { lifeCalls, lifeTransitions, server } from '../fixture/sightings.js';

for (const { name, events, expected } of [
  { name: 'no events', events: [], expected: '' },
  { name: 'one a line', events: [{ id: 0 }, { id: 1 }], expected: '{"id":0}\n{"id":1}\n' },
  {
    name: '64 bits, exactly',
    events: [{ socket: (1n << 64n) - 1n, args: [1n << 64n] }],
    expected: '{"socket":"18446744073709551615","args":["18446744073709551616"]}\n',
  },
  {
    name: 'line ends inside text',
    events: [{ name: 'a\nb\r' }],
    expected: '{"name":"a\\nb\\r"}\n',
  },
]) {
  test(name, (t) => {
    t.is(formatNdjson(events), expected);
  });
}

test('the events of a timeline: every line is a document with its time, source, end and kind', (t) => {
  using timeline = new Timeline({ originNs: 0n });
  timeline.serverListens(server);
  const feed = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
  for (const each of [...lifeCalls, ...lifeTransitions]) feed.push(each);
  timeline.close();
  const lines = formatNdjson(timeline.events).trimEnd().split('\n');
  t.is(lines.length, lifeCalls.length + lifeTransitions.length);
  for (const [id, line] of lines.entries()) {
    const event = JSON.parse(line);
    t.like(event, { id, source: 'tracepoint' });
    t.is(typeof event.tNs, 'number');
    t.is(typeof event.kind, 'string');
    t.true('end' in event);
  }
});
